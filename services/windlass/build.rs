//! Lists the page's files, so that a new one is served without anybody naming it twice.
//!
//! The folder's own files only: `page/test` is for developers. A kind of file that has no media type here stops the
//! build rather than being served as something else.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let folder = Path::new(&root).join("page");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names: Vec<_> = fs::read_dir(&folder)
        .expect("the page's folder is there")
        .map(|entry| entry.expect("the page's folder can be read"))
        .filter(|entry| entry.file_type().expect("a file has a type").is_file())
        .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
        .filter(|name| !name.starts_with('.') && !name.ends_with(".md") && name != "package.json")
        .collect();
    names.sort();
    let mut table = String::from("&[\n");
    for name in names {
        let media_type = match name.rsplit('.').next() {
            Some("css") => "text/css; charset=utf-8",
            Some("html") => "text/html; charset=utf-8",
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("webmanifest") => "application/manifest+json",
            _ => panic!("page/{name}: no media type for this kind of file; add it in build.rs"),
        };
        let path = folder.join(&name);
        writeln!(table, "    ({name:?}, {media_type:?}, include_bytes!({path:?})),").expect("a String takes it");
    }
    table.push_str("]\n");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("page.rs"), table).expect("the output folder can be written");
}
