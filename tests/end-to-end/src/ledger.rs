//! Every offset that the server has ever shown, and the judgement that none of them decreases (promise P1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The offsets shown so far, of any number of tasks. Clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<HashMap<String, Shown>>>);

#[derive(Debug, Clone, Default)]
struct Shown {
    highest: u64,
    source: String,
    times: u64,
}

/// What had been shown of a task when a question was asked: no answer to it may say less.
///
/// Answers to questions that were on their way together may overtake each other, so an answer is judged by what was
/// known when its question left, not when it came.
#[derive(Debug, Clone)]
pub struct Mark {
    task: String,
    floor: u64,
    source: String,
}

impl Ledger {
    /// To be taken before the question leaves.
    #[must_use]
    pub fn mark(&self, task: &str) -> Mark {
        let shown = self.lock().get(task).cloned().unwrap_or_default();
        Mark {
            task: task.to_owned(),
            floor: shown.highest,
            source: shown.source,
        }
    }

    /// Enters an offset that `source` has shown in answer to the question of `mark`.
    ///
    /// # Panics
    /// When it is less than what had been shown before.
    pub fn shown(&self, mark: &Mark, offset: u64, source: &str) {
        assert!(
            offset >= mark.floor,
            "P1 broken: {source} shows offset {offset} of {}, and {} had shown {}",
            mark.task,
            mark.source,
            mark.floor,
        );
        self.at_least(&mark.task, offset, source);
    }

    /// Enters that `source` has shown `offset` or more, such as a whole percent does.
    pub fn at_least(&self, task: &str, offset: u64, source: &str) {
        let mut tasks = self.lock();
        let shown = tasks.entry(task.to_owned()).or_default();
        shown.times += 1;
        if offset >= shown.highest {
            shown.highest = offset;
            source.clone_into(&mut shown.source);
        }
    }

    /// The greatest offset that was shown of a task.
    #[must_use]
    pub fn highest(&self, task: &str) -> u64 {
        self.lock().get(task).map_or(0, |shown| shown.highest)
    }

    /// How many offsets were entered.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.lock().values().map(|shown| shown.times).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_what_was_known_when_it_was_asked_for() {
        let ledger = Ledger::default();
        let early = ledger.mark("a");
        ledger.shown(&ledger.mark("a"), 10, "HEAD");
        ledger.shown(&early, 5, "an answer that was overtaken");
        assert_eq!((ledger.highest("a"), ledger.highest("b"), ledger.entries()), (10, 0, 2));
    }

    #[test]
    #[should_panic(expected = "P1 broken: PATCH shows offset 9 of a, and HEAD had shown 10")]
    fn a_decrease_fails_the_test() {
        let ledger = Ledger::default();
        ledger.shown(&ledger.mark("a"), 10, "HEAD");
        ledger.shown(&ledger.mark("a"), 9, "PATCH");
    }
}
