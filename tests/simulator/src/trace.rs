//! What happened in a run, and what of it must not have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Clones write into the same trace.
#[derive(Clone)]
pub(crate) struct Trace {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    lines: Vec<String>,
    violation: Option<String>,
}

impl Trace {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            inner: Arc::default(),
        }
    }

    pub(crate) fn say(&self, line: &str) {
        let at = self.began.elapsed().as_millis();
        self.lock().lines.push(format!("{at:>8} ms  {line}"));
    }

    /// A promise is broken. The first time counts.
    pub(crate) fn violate(&self, what: &str) {
        self.say(&format!("VIOLATION: {what}"));
        self.lock().violation.get_or_insert_with(|| what.to_owned());
    }

    pub(crate) fn is_violated(&self) -> bool {
        self.lock().violation.is_some()
    }

    /// The lines, and the first violation.
    pub(crate) fn take(&self) -> (Vec<String>, Option<String>) {
        let mut inner = self.lock();
        (std::mem::take(&mut inner.lines), inner.violation.take())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
