//! Writes the definitions of all kinds into a folder; without one, to where the operator's chart has them.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/windlass-operator/files/crds");
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(chart), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, text) in windlass_api::definitions::all() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
