//! The newest committed events, so that the groups of the outbox that keep up share one copy, parse nothing and do not
//! trouble the thread that owns the database.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;
use crate::outbox::Position;

/// How many events are remembered, under a kilobyte each. A group that is further behind reads the database.
const EVENTS_MAX: usize = 1_024;

/// The end of the outbox.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Without a hole: each position follows the one before.
    events: Mutex<VecDeque<(Position, Arc<Event>)>>,
}

impl Tail {
    pub(super) fn committed(&self, committed: impl IntoIterator<Item = (Position, Arc<Event>)>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for (position, event) in committed {
            if events.back().is_some_and(|(last, _)| last.0 + 1 != position.0) {
                events.clear();
            }
            if events.len() >= EVENTS_MAX {
                events.pop_front();
            }
            events.push_back((position, event));
        }
    }

    /// At most `limit` events behind `position`; `None` when older ones than these may be among them.
    pub(super) fn after(&self, position: Position, limit: usize) -> Option<Vec<(Position, Arc<Event>)>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, _) = events.front()?;
        let skip = (position.0 + 1).checked_sub(first.0)?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Some(events.iter().skip(skip).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::fixture;
    use crate::record::Protocol;
    use crate::time::UnixMillis;

    fn events(positions: std::ops::Range<u64>) -> impl Iterator<Item = (Position, Arc<Event>)> {
        let record = fixture::record(Protocol::Tus, None);
        let event = Arc::new(Event::of(EventType::Created, &record, UnixMillis(0), None));
        positions.map(move |position| (Position(position), Arc::clone(&event)))
    }

    fn positions(tail: &Tail, acknowledged: u64) -> Option<Vec<u64>> {
        let found = tail.after(Position(acknowledged), 3)?;
        Some(found.into_iter().map(|(position, _)| position.0).collect())
    }

    #[test]
    fn a_group_that_keeps_up_is_served_and_one_that_is_behind_is_not() {
        let tail = Tail::default();
        assert_eq!(positions(&tail, 0), None);
        tail.committed(events(5..9));
        assert_eq!(positions(&tail, 3), None);
        assert_eq!(positions(&tail, 4), Some(vec![5, 6, 7]));
        assert_eq!(positions(&tail, 7), Some(vec![8]));
        assert_eq!(positions(&tail, 8), Some(vec![]));
        tail.committed(events(9..2_000));
        assert_eq!(positions(&tail, 8), None);
        assert_eq!(positions(&tail, 1_997), Some(vec![1_998, 1_999]));
        // Whoever finds a hole cannot know what is in it.
        tail.committed(events(2_005..2_006));
        assert_eq!(positions(&tail, 1_999), None);
    }
}
