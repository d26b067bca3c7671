//! The floor: what any server must do for these uploads, and nothing else. A thread a connection reads the socket into
//! one buffer of 1 MiB and writes it to a file; no HTTP, no records, no offsets.
//!
//! A message is a kind (`n`: a new upload without bytes; `a`: bytes that follow) and a length of 8 bytes, little
//! endian; each is answered by one byte, so there are as many exchanges as in the protocol that is measured.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};

use crate::work::MIB;

/// The kind of a message that begins an upload.
pub const NEW: u8 = b'n';
/// The kind of a message with bytes.
pub const APPEND: u8 = b'a';
/// The length of a message's head: kind and length.
pub const HEAD: usize = 9;

/// Serves until the process is killed.
///
/// # Errors
/// When there is no port to listen on.
pub fn serve(dir: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("ready on http://{}", listener.local_addr()?);
    let (dir, files) = (Arc::<Path>::from(dir), Arc::new(AtomicU64::new(0)));
    loop {
        let (stream, _) = listener.accept()?;
        let (dir, files) = (Arc::clone(&dir), Arc::clone(&files));
        std::thread::spawn(move || {
            if let Err(error) = take(stream, &dir, &files) {
                eprintln!("floor: {error:#}");
            }
        });
    }
}

fn take(mut stream: TcpStream, dir: &Path, files: &AtomicU64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; usize::try_from(MIB)?];
    let (mut file, mut at) = (None, 0);
    loop {
        let mut head = [0; HEAD];
        if stream.read_exact(&mut head).is_err() {
            return Ok(());
        }
        let (kind, length) = head.split_first().context("a head has bytes")?;
        let mut left = u64::from_le_bytes(length.try_into()?);
        match *kind {
            NEW => {
                let name = files.fetch_add(1, Ordering::Relaxed).to_string();
                (file, at) = (Some(File::create_new(dir.join(name))?), 0);
            }
            APPEND => {
                let file = file.as_ref().context("bytes of no upload")?;
                while left > 0 {
                    let wanted = usize::try_from(left.min(MIB))?;
                    let piece = buffer.get_mut(..wanted).context("a piece fits")?;
                    stream.read_exact(piece)?;
                    file.write_all_at(piece, at)?;
                    at += wanted as u64;
                    left -= wanted as u64;
                }
            }
            kind => bail!("a message of kind {kind}"),
        }
        stream.write_all(b".")?;
    }
}
