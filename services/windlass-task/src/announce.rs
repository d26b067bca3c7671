//! Handing events to other services, by a stream that both reach: neither calls the other.

use async_trait::async_trait;

use crate::event::Event;
use crate::store::Error;

/// Who keeps events in a stream until they are taken.
#[async_trait]
pub trait Announce: Send + Sync + 'static {
    /// Adds events to a stream, in order.
    ///
    /// # Errors
    /// [`Error`] when some may not have been added; all may be added again, and are told by their ids.
    async fn announce(&self, stream: &str, events: &[&Event]) -> Result<(), Error>;
}
