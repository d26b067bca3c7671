//! The bare client: `object_store` itself, with its own multipart upload, fed from memory as from a socket: 64 KiB at a time,
//! copied once. Part size, parts under way at once and unsigned payloads are the service's, the HTTP client is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, WriteMultipart};
use tokio::task::JoinSet;

use super::connector::Connector;
use crate::process::Process;
use crate::work::MIB;

/// The service's part size for all that is measured here.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// As many parts as the service has under way of one upload.
const UNDER_WAY_MAX: usize = 3;
/// What a read of a socket brings.
const PIECE_BYTES: usize = 64 * 1024;

/// Uploads, and prints how many seconds it took and how many of CPU time.
///
/// # Errors
/// When something is not uploaded.
pub fn run(endpoint: &str, uploads: u64, at_once: u64, size: u64) -> anyhow::Result<()> {
    // One provider for the process, though nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(bucket::NAME)
        .with_region(bucket::REGION)
        .with_access_key_id(bucket::ACCESS_KEY)
        .with_secret_access_key(bucket::SECRET_KEY)
        .with_unsigned_payload(true)
        .with_http_connector(Connector::new()?)
        .build()?;
    let (before, begun) = (Process::own_cpu()?, Instant::now());
    runtime.block_on(upload_all(Arc::new(store), uploads, at_once, size))?;
    let took = begun.elapsed().as_secs_f64();
    let cpu = (Process::own_cpu()? - before).as_secs_f64();
    println!("{took} {cpu}");
    Ok(())
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
