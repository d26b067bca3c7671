//! Bounds that multer does not have: how much may come before a field's header ends, and for how long nothing may.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

/// What may come while a field's header is awaited. The header shares its buffers with the data that follows, so
/// this is far above any header.
const HEADER_MAX_BYTES: u64 = 2 * 1024 * 1024;

/// Nothing is awaited: file data may be as long as it likes.
const UNBOUNDED: u64 = u64::MAX;

/// Tells the stream under a form when the form awaits a field's header.
pub(super) struct HeaderBudget(Arc<AtomicU64>);

impl HeaderBudget {
    /// A budget and the stream that keeps to it.
    pub(super) fn watch<E: std::error::Error + Send + Sync + 'static>(
        body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        idle: Duration,
    ) -> (Self, impl Stream<Item = io::Result<Bytes>> + Send) {
        let budget = Arc::new(AtomicU64::new(UNBOUNDED));
        let watched = stream::try_unfold((body, Arc::clone(&budget)), move |(mut body, budget)| async move {
            let next = tokio::time::timeout(idle, body.next()).await;
            let Some(bytes) = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? else {
                // multer looks for the first boundary, polls once more, and takes the end for a form without one, though
                // all of it came in that very poll. So the end comes in a poll of its own.
                tokio::task::yield_now().await;
                return Ok(None);
            };
            let bytes = bytes.map_err(io::Error::other)?;
            let left = budget.load(Ordering::Relaxed);
            if left != UNBOUNDED {
                let left = left.checked_sub(bytes.len() as u64);
                let left = left.ok_or_else(|| io::Error::other("a field's header does not end"))?;
                budget.store(left, Ordering::Relaxed);
            }
            Ok(Some((bytes, (body, budget))))
        });
        (Self(budget), watched)
    }

    /// A header is awaited from here on.
    pub(super) fn begin(&self) {
        self.0.store(HEADER_MAX_BYTES, Ordering::Relaxed);
    }

    /// The header is there.
    pub(super) fn end(&self) {
        self.0.store(UNBOUNDED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    /// Pending at the first poll, then the whole form, then the end.
    fn all_at_once(form: &'static str) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + Unpin {
        let mut polls = 0;
        stream::poll_fn(move |cx| {
            polls += 1;
            match polls {
                1 => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                2 => Poll::Ready(Some(Ok(Bytes::from_static(form.as_bytes())))),
                _ => Poll::Ready(None),
            }
        })
    }

    #[tokio::test]
    async fn a_form_that_comes_whole_between_two_polls_is_read() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nhello\r\n--b--\r\n";
        let (_budget, body) = HeaderBudget::watch(all_at_once(form), Duration::from_secs(10));
        let mut form = multer::Multipart::new(body, "b");
        let field = form.next_field().await.unwrap().expect("there is a file");
        assert_eq!(field.bytes().await.unwrap(), "hello");
        assert!(form.next_field().await.unwrap().is_none());
    }
}
