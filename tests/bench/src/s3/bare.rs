//! The bare client: `object_store` itself, with its own multipart upload. Part size, parts under way at once and unsigned
//! payloads are the service's, the HTTP client is the same. It gets the bytes as the service does, from sockets, in the
//! words of the [floor]; or it has them in its memory, and sends without receiving.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, WriteMultipart};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::connector::Connector;
use crate::floor;
use crate::process::Process;
use crate::work::MIB;

/// The service's part size for all that is measured here.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// As many parts as the service has under way of one upload.
const UNDER_WAY_MAX: usize = 3;
/// What a read of a socket brings.
const PIECE_BYTES: usize = 64 * 1024;

/// Takes uploads from sockets until the process is killed.
///
/// # Errors
/// When there is no port to listen on.
pub fn serve(endpoint: &str) -> anyhow::Result<()> {
    let store = Arc::new(open(endpoint)?);
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("ready on http://{}", listener.local_addr()?);
        let numbers = Arc::new(AtomicU64::new(0));
        loop {
            let (stream, _) = listener.accept().await?;
            let (store, numbers) = (Arc::clone(&store), Arc::clone(&numbers));
            tokio::spawn(async move {
                if let Err(error) = take(stream, &store, &numbers).await {
                    eprintln!("bare: {error:#}");
                }
            });
        }
    })
}

/// One upload of a connection after the other: a new one, then all its bytes in one message, answered when it is there.
async fn take(mut stream: TcpStream, store: &AmazonS3, numbers: &AtomicU64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut head = [0; floor::HEAD];
        if stream.read_exact(&mut head).await.is_err() {
            return Ok(());
        }
        let (kind, length) = head.split_first().context("a head has bytes")?;
        match *kind {
            floor::NEW => {}
            floor::APPEND => {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                stream_one(&mut stream, store, number, u64::from_le_bytes(length.try_into()?)).await?;
            }
            kind => bail!("a message of kind {kind}"),
        }
        stream.write_all(b".").await?;
    }
}

async fn stream_one(stream: &mut TcpStream, store: &AmazonS3, number: u64, mut left: u64) -> anyhow::Result<()> {
    let begun = store.put_multipart(&Path::from(format!("bare/{number}"))).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(begun, PART_BYTES);
    while left > 0 {
        // Read into memory of its own, which goes out without being copied.
        let mut piece = Vec::with_capacity(PIECE_BYTES.min(usize::try_from(left)?));
        let room = piece.capacity() as u64;
        let count = (&mut *stream).take(room).read_buf(&mut piece).await?;
        anyhow::ensure!(count > 0, "the client closed the connection");
        left -= count as u64;
        upload.wait_for_capacity(UNDER_WAY_MAX).await?;
        upload.put(piece.into());
    }
    upload.finish().await?;
    Ok(())
}

/// Uploads what it has in memory, and prints how many seconds it took and how many of CPU time.
///
/// # Errors
/// When something is not uploaded.
pub fn run(endpoint: &str, uploads: u64, at_once: u64, size: u64) -> anyhow::Result<()> {
    let store = open(endpoint)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (before, begun) = (Process::own_cpu()?, Instant::now());
    runtime.block_on(upload_all(Arc::new(store), uploads, at_once, size))?;
    let took = begun.elapsed().as_secs_f64();
    let cpu = (Process::own_cpu()? - before).as_secs_f64();
    println!("{took} {cpu}");
    Ok(())
}

fn open(endpoint: &str) -> anyhow::Result<AmazonS3> {
    // One provider for the process, though nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(bucket::NAME)
        .with_region(bucket::REGION)
        .with_access_key_id(bucket::ACCESS_KEY)
        .with_secret_access_key(bucket::SECRET_KEY)
        .with_unsigned_payload(true)
        .with_http_connector(Connector::new()?);
    Ok(store.build()?)
}

async fn upload_all(store: Arc<AmazonS3>, uploads: u64, at_once: u64, size: u64) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        workers.spawn(async move {
            let bytes: Vec<u8> = (0..MIB).map(|at| (at % 251) as u8 + 1).collect();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= uploads {
                    return anyhow::Ok(());
                }
                upload(&store, number, size, &bytes).await?;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

async fn upload(store: &AmazonS3, number: u64, size: u64, bytes: &[u8]) -> anyhow::Result<()> {
    let begun = store.put_multipart(&Path::from(format!("bare/{number}"))).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(begun, PART_BYTES);
    let mut left = size;
    while left > 0 {
        for piece in bytes.chunks(PIECE_BYTES) {
            let taken = usize::try_from(left)?.min(piece.len());
            upload.wait_for_capacity(UNDER_WAY_MAX).await?;
            upload.write(piece.get(..taken).unwrap_or_default());
            left -= taken as u64;
        }
    }
    upload.finish().await?;
    Ok(())
}
