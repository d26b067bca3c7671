//! The threads that write files: so many that the disk has always something to do, and no more.
//!
//! Not the runtime's pool of hundreds: there each of many small pieces of work wakes a thread of its own, and the waking costs
//! as much as the work; nor do files wait here behind whatever else blocks, such as names that are looked up.

use tokio::runtime::{Builder, Runtime};

use super::Durability;
use crate::storage::Error;

/// Threads for a core where writing means copying into the operating system's buffers: more than one, for it may make a
/// writer wait for the disk.
const THREADS_A_CORE: usize = 2;
/// Threads where each checkpoint waits for the disk, which makes many that wait together durable at once.
const SYNCING_THREADS: usize = 64;

/// A pool of threads; what is under way when it is dropped ends by itself.
#[derive(Debug)]
pub(super) struct Threads {
    /// Used for its pool only. It is there until the drop.
    runtime: Option<Runtime>,
}

impl Threads {
    pub(super) fn start(durability: Durability) -> std::io::Result<Self> {
        let count = match durability {
            Durability::Process => std::thread::available_parallelism().map_or(1, usize::from) * THREADS_A_CORE,
            Durability::PowerCut => SYNCING_THREADS,
        };
        let runtime = Builder::new_current_thread()
            .thread_name("upload-files")
            .max_blocking_threads(count)
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Does `work` where waiting for the disk delays no request that does not wait for a file. What waits for a thread is
    /// bounded by the connections: each request waits for its own work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = self.runtime.as_ref().ok_or(Error::RunThread)?;
        runtime.spawn_blocking(work).await.map_err(|_| Error::RunThread)?
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it would block the runtime in which the last request may be dropped.
            runtime.shutdown_background();
        }
    }
}
