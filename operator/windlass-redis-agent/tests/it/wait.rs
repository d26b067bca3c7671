//! Waiting for what must come and proving what must not.

use std::time::Duration;

use tokio::time::Instant;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Within which anything comes, on a machine that does other things too.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// Looks until `look` gives a value; `what` says what was waited for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {WITHIN:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
