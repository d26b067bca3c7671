//! Waiting for what must come and proving what must not: never a bare sleep.

use std::time::Duration;

use tokio::time::Instant;

/// How often is looked. Short, for a test's time is made of these.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `look` gives a value.
///
/// # Panics
/// When it has given none by the deadline; `what` says what was waited for.
pub async fn eventually<T>(within: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks for as long as `during` and finds `holds` each time.
///
/// # Panics
/// As soon as it does not; `what` says what should have stayed.
pub async fn stays(during: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + during;
    loop {
        assert!(holds().await, "did not stay: {what}");
        if Instant::now() >= end {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
