//! Where a subscriber is in a channel's stream.

pub use windlass_task::epoch::StreamEpoch;

/// A place in one life of a channel's stream. Offsets of two epochs say nothing of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamPosition {
    /// How many publications the stream had up to here; the first has offset 1.
    pub offset: u64,
    /// Which life of the stream.
    pub epoch: StreamEpoch,
}

/// An epoch as a client names it: any text, for what a client kept may come from another server.
#[must_use]
pub fn names_epoch(text: &str, epoch: StreamEpoch) -> bool {
    text == epoch.to_string()
}

/// A fresh epoch: random, so that two lives of a stream never share one, in this process or in another.
#[must_use]
pub fn random_epoch() -> StreamEpoch {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    StreamEpoch(u64::from_ne_bytes(bytes))
}
