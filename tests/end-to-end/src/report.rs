//! Figures that a reader of the log wants also when every test passes.

use std::io::Write as _;

/// Writes a line past the capture of the test runner, which shows only what failed tests print.
pub fn line(text: &str) {
    // Nobody is there to hear of a closed stderr.
    let _ = writeln!(std::io::stderr(), "[end-to-end] {text}");
}
