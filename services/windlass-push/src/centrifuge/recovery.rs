//! Whether a client that was away can be given exactly what it missed.

use crate::broker::History;
use crate::position::names_epoch;
use crate::publication::Message;

/// What a client knows of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The offset of the last publication that it has.
    pub offset: u64,
    /// The epoch; empty when it knows none.
    pub epoch: String,
}

/// What a client missed, whole and in order; `None` when any of it cannot be given.
///
/// There is no partial recovery: a client that gets something is not missing anything. `history` was read from
/// behind the known offset, up to any limit.
#[must_use]
pub fn recover(known: &Known, history: History, bytes_max: usize) -> Option<Vec<Message>> {
    let History { publications, top } = history;
    if !known.epoch.is_empty() && !names_epoch(&known.epoch, top.epoch) {
        return None;
    }
    let mut offset = known.offset;
    let mut bytes = 0_usize;
    for message in &publications {
        let position = message.position?;
        if position.epoch != top.epoch || Some(position.offset) != offset.checked_add(1) {
            return None;
        }
        offset = position.offset;
        bytes = bytes.saturating_add(message.data.len());
    }
    (offset == top.offset && bytes <= bytes_max).then_some(publications)
}

/// The latest publication, unless the client has it; `None` when it cannot be given. `history` holds the newest only.
#[must_use]
pub fn recover_latest(known: &Known, history: History) -> Option<Vec<Message>> {
    let History { mut publications, top } = history;
    publications.retain(|message| message.position == Some(top));
    if publications.is_empty() {
        return None;
    }
    if known.offset == top.offset && names_epoch(&known.epoch, top.epoch) {
        publications.clear();
    }
    Some(publications)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use crate::position::{StreamEpoch, StreamPosition};

    const EPOCH: StreamEpoch = StreamEpoch(7);

    fn history(offsets: std::ops::Range<u64>, top: u64) -> History {
        let message = |offset| Message {
            data: Payload::of(&offset).unwrap(),
            info: None,
            tags: Default::default(),
            position: Some(StreamPosition { offset, epoch: EPOCH }),
        };
        History {
            publications: offsets.map(message).collect(),
            top: StreamPosition {
                offset: top,
                epoch: EPOCH,
            },
        }
    }

    fn recovered(offset: u64, epoch: &str, history: History) -> Option<usize> {
        recover(
            &Known {
                offset,
                epoch: epoch.into(),
            },
            history,
            1_000,
        )
        .map(|missed| missed.len())
    }

    #[test]
    fn all_or_nothing() {
        let table = [
            // known offset, epoch, history, what comes of it
            (3, "7", history(4..6, 5), Some(2)),
            (3, "", history(4..6, 5), Some(2)),
            (5, "7", history(0..0, 5), Some(0)),
            (0, "", history(0..0, 0), Some(0)),
            (0, "7", history(1..6, 5), Some(5)),
            (3, "8", history(4..6, 5), None),
            (3, "x", history(4..6, 5), None),
            (3, "07", history(4..6, 5), None),
            // The beginning is forgotten.
            (3, "7", history(5..6, 5), None),
            // A limit cut the end.
            (3, "7", history(4..6, 6), None),
            // Everything is forgotten.
            (3, "7", history(0..0, 5), None),
            // The client knows more than there is.
            (9, "7", history(0..0, 5), None),
            (u64::MAX, "", history(0..0, 5), None),
        ];
        for (offset, epoch, history, expected) in table {
            let case = format!("{offset} {epoch:?} {history:?}");
            assert_eq!(recovered(offset, epoch, history), expected, "{case}");
        }
    }

    #[test]
    fn the_latest_comes_unless_the_client_has_it_or_it_is_forgotten() {
        let latest = |offset, epoch: &str, history| {
            let known = Known {
                offset,
                epoch: epoch.into(),
            };
            recover_latest(&known, history).map(|missed| missed.len())
        };
        assert_eq!(latest(0, "", history(5..6, 5)), Some(1));
        assert_eq!(latest(3, "7", history(5..6, 5)), Some(1));
        assert_eq!(latest(5, "7", history(5..6, 5)), Some(0));
        assert_eq!(latest(5, "8", history(5..6, 5)), Some(1));
        assert_eq!(latest(3, "7", history(0..0, 5)), None);
    }

    #[test]
    fn more_bytes_than_a_reply_may_have_are_not_recovered() {
        let known = Known {
            offset: 0,
            epoch: String::new(),
        };
        assert!(recover(&known, history(1..10, 9), 9).is_some());
        assert!(recover(&known, history(1..10, 9), 8).is_none());
    }
}
