//! Proves the policies of `policies/` and prints a table of what was proven.
//!
//! ```text
//! policies OPA [--write-capabilities] [RECORDED…]
//! ```
//!
//! OPA is the `opa` binary that the in-process engine is compared with; RECORDED are further inputs, `DOMAIN=FILE.json`,
//! for example of real plans. The last line is `N passed, N failed`.

mod capabilities;
mod mutation;
mod parity;
mod report;
mod samples;
mod timing;
mod tree;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::report::Report;
use crate::tree::Tree;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let opa = PathBuf::from(arguments.next().context("the first argument is the path of opa")?);
    let (flags, recorded): (Vec<_>, Vec<_>) = arguments.partition(|argument| argument.starts_with("--"));
    let tree = Tree::read()?;

    if flags.iter().any(|flag| flag == "--write-capabilities") {
        return capabilities::write(&opa, &tree);
    }
    let mut report = Report::default();
    capabilities::check(&opa, &tree, &mut report)?;
    samples::check(&tree, &mut report)?;
    parity::check(&opa, &tree, &recorded, &mut report)?;
    mutation::check(&tree, &mut report)?;
    timing::measure(&tree, &mut report)?;
    report.print(&tree);
    Ok(())
}
