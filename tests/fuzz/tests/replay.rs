//! What the fuzzer has found worth keeping is run by every `cargo test`, without the fuzzer.

use std::path::Path;

#[test]
fn every_target_has_a_corpus_and_survives_it() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in fuzz::TARGETS {
        let files: Vec<_> = std::fs::read_dir(corpora.join(name))
            .unwrap_or_else(|error| panic!("target {name} has no corpus: {error}"))
            .map(|file| file.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            run(&std::fs::read(&file).unwrap());
        }
    }
    for folder in std::fs::read_dir(&corpora).unwrap() {
        let name = folder.unwrap().file_name();
        assert!(
            fuzz::find(name.to_str().unwrap()).is_some(),
            "{name:?} is a corpus without a target"
        );
    }
}
