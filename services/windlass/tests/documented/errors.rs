//! `docs/errors.md` lists every error code of the HTTP API and of `/ws`, and no other.

use std::collections::BTreeSet;

use super::{products, read};

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
fn codes_of(product: &str) -> BTreeSet<String> {
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
    let mut coded: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    for product in products() {
        coded.extend(codes_of(&product));
    }
    let page = read("docs/errors.md");
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
