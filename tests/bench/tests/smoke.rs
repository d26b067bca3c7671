//! The benchmarks run from their first row to their last, at a size that proves nothing else. Nothing is timed here.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary that the other tests of the real program use.
fn server() -> PathBuf {
    let named = std::env::var_os("WINDLASS_BIN").map(PathBuf::from);
    let built = || {
        let own = std::env::current_exe().expect("a process knows its program");
        own.ancestors()
            .skip(1)
            .map(|folder| folder.join("windlass"))
            .find(|path| path.is_file())
    };
    named
        .or_else(built)
        .expect("run `cargo build -p windlass` first, or name a binary in WINDLASS_BIN")
}

fn print_table(folder: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(more)
        .arg("--smoke")
        .arg("--server")
        .arg(server())
        .arg("--dir")
        .arg(folder)
        .output()
        .expect("the benchmark can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.into_owned()
}

#[test]
fn the_table_of_push_has_every_figure_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let text = print_table(folder.path(), &["push"]);
    for figure in bench::push::work::all().iter().flat_map(|work| work.figures()) {
        let name = figure.name();
        assert!(text.lines().any(|line| line.contains(name)), "{name} in {text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_table_of_uploads_has_every_row_measured_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let text = print_table(folder.path(), &[]);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 1 + bench::work::all(1).len(), "{text}");
    for work in bench::work::all(1) {
        assert!(
            rows.iter().any(|row| row.contains(work.name)),
            "{} in {text}",
            work.name
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
