//! The states of a task and the one table of how it moves between them.

use serde::{Deserialize, Serialize};

/// Where a task stands. Terminated and expired are tombstones, not states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Created, no byte yet.
    Pending,
    /// Bytes have come.
    Uploading,
    /// Its owner wants no more bytes for now; a dropped connection is no pause.
    Paused,
    /// Every byte is stored and the finish verdict accepted them.
    Completed,
    /// It will never complete.
    Failed,
}

impl Status {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Uploading,
        Self::Paused,
        Self::Completed,
        Self::Failed,
    ];

    /// Whether nothing leaves this state.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Failed => true,
            Self::Pending | Self::Uploading | Self::Paused => false,
        }
    }

    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Uploading => "uploading",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// What moves a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Bytes were stored.
    Advance,
    /// Its owner pauses it.
    Pause,
    /// Its owner resumes it, by a request of its own or by an authorised append.
    Resume,
    /// Every byte is stored and accepted.
    Complete,
    /// The verdict refused it, or it can go on no more.
    Fail,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 5] = [Self::Advance, Self::Pause, Self::Resume, Self::Complete, Self::Fail];
}

/// A move that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {} cannot {trigger:?}", from.as_str())]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: Status,
    /// What was asked.
    pub trigger: Trigger,
}

/// The table: the state that follows `from` when `trigger` happens.
///
/// Bytes that a holder had read before it heard of a pause still count, so `Advance` leaves `Paused` as it is;
/// `Pause` and `Resume` are idempotent where they change nothing.
///
/// # Errors
/// [`IllegalTransition`] where the table has no such move.
pub fn transition(from: Status, trigger: Trigger) -> Result<Status, IllegalTransition> {
    use Status::{Completed, Failed, Paused, Pending, Uploading};
    match (from, trigger) {
        (Pending | Uploading, Trigger::Advance) => Ok(Uploading),
        (Paused, Trigger::Advance | Trigger::Pause) => Ok(Paused),
        (Uploading, Trigger::Pause) => Ok(Paused),
        (Uploading | Paused, Trigger::Resume) => Ok(Uploading),
        (Uploading, Trigger::Complete) => Ok(Completed),
        (Pending | Uploading | Paused, Trigger::Fail) => Ok(Failed),
        (Pending, Trigger::Pause | Trigger::Resume | Trigger::Complete)
        | (Paused, Trigger::Complete)
        | (
            Completed | Failed,
            Trigger::Advance | Trigger::Pause | Trigger::Resume | Trigger::Complete | Trigger::Fail,
        ) => Err(IllegalTransition { from, trigger }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_has_exactly_the_moves_of_the_design() {
        let mut moves = Vec::new();
        for from in Status::ALL {
            for trigger in Trigger::ALL {
                if let Ok(to) = transition(from, trigger)
                    && to != from
                {
                    moves.push((from, to));
                }
            }
        }
        use Status::{Completed, Failed, Paused, Pending, Uploading};
        assert_eq!(
            moves,
            [
                (Pending, Uploading),
                (Pending, Failed),
                (Uploading, Paused),
                (Uploading, Completed),
                (Uploading, Failed),
                (Paused, Uploading),
                (Paused, Failed),
            ]
        );
    }

    proptest! {
        #[test]
        fn nothing_leaves_a_final_state(walk in prop::collection::vec(prop::sample::select(Trigger::ALL.to_vec()), 0..40)) {
            let mut status = Status::Pending;
            for trigger in walk {
                let before = status;
                status = transition(status, trigger).unwrap_or(status);
                prop_assert!(!before.is_final() || status == before);
            }
        }
    }
}
