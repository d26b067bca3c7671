//! `docs/errors.md` lists every error code of the HTTP API and of `/ws`, and no other.

#![expect(clippy::unwrap_used, reason = "a test file: a missing source is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
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

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The string literal at the start of `text`, after white space.
fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

/// Codes as the code has them: the literal after a status, the name that `code()` gives a variant, the first part of
/// a `/ws` error.
fn codes_of(source: &str) -> BTreeSet<String> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let after_status = product
        .split("StatusCode::")
        .skip(1)
        .filter_map(|rest| literal(rest.split_once(',')?.1));
    let named = product
        .split("=> ")
        .skip(1)
        .filter_map(|rest| literal(rest.strip_prefix('(').unwrap_or(rest)));
    let wanted = product.contains("fn code(self)") || product.contains("fn parts(self) -> (&'static str");
    let named = named.filter(|_| wanted);
    after_status
        .chain(named)
        .filter(|code| is_code(code) && code.contains('_'))
        .map(str::to_owned)
        .collect()
}

/// Single words cannot be told from other literals, and 460 is no status that has a name; these are codes.
const OTHERS: [&str; 5] = ["paused", "draining", "forbidden", "unavailable", "checksum_mismatch"];

#[test]
fn the_page_of_errors_lists_every_code_and_no_other() {
    let mut files = Vec::new();
    for service in ["windlass-serve", "windlass-upload", "windlass-push"] {
        sources(&root().join("services").join(service).join("src"), &mut files);
    }
    let mut coded: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        coded.extend(codes_of(&std::fs::read_to_string(file).unwrap()));
    }
    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let listed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert!(coded.len() > 40, "the sources were read wrongly: {coded:?}");
    let missing: Vec<_> = coded.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&coded).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not in docs/errors.md: {missing:?}; only there: {stale:?}"
    );
}
