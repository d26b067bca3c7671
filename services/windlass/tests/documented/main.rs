//! What the documents say of the HTTP API, compared with the sources.

#![expect(clippy::unwrap_used, reason = "a test: a missing source is a failed test")]

mod api;
mod errors;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The sources of the services, without their tests.
fn products() -> Vec<String> {
    let mut files = Vec::new();
    for service in ["windlass-serve", "windlass-upload", "windlass-push"] {
        sources(&root().join("services").join(service).join("src"), &mut files);
    }
    let files = files.iter().filter(|file| !file.ends_with("tests.rs"));
    let texts = files.map(|file| std::fs::read_to_string(file).unwrap());
    texts
        .map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned())
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
