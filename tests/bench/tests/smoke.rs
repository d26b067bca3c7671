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
    for (arguments, works) in [
        (&["push"][..], bench::push::work::all()),
        (&["push", "--redis"], bench::push::work::shared()),
    ] {
        let text = print_table(folder.path(), arguments);
        for figure in works.iter().flat_map(|(work, _)| work.figures()) {
            let name = figure.name();
            assert!(text.lines().any(|line| line.contains(name)), "{name} in {text}");
        }
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

#[test]
fn uploads_into_an_object_store_have_a_table_and_many_at_once_stay_inside_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let text = print_table(folder.path(), &["s3"]);
    for row in ["1 x 1 GiB", "8 x 128 MiB"] {
        assert!(text.lines().any(|line| line.contains(row)), "{row} in {text}");
    }
    let crowd = ["s3", "--uploads", "20", "--size-mib", "12", "--budget-mib", "24"];
    let text = print_table(folder.path(), &crowd);
    assert!(
        text.contains("20 uploads of 12 MiB at once, each read back and right"),
        "{text}"
    );
    eprintln!("{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_tenant_that_floods_is_measured_beside_another() {
    let folder = tempfile::tempdir().unwrap();
    let text = print_table(folder.path(), &["neighbours"]);
    assert!(text.contains("beside the flood"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
