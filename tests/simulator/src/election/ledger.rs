//! What was acknowledged, and what of the world's doings must not have been.

use std::collections::{BTreeMap, BTreeSet};

use windlass_election::{Certainty, Generation, Ordinal, Term};

use super::redis::{Entry, Redis};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    next: u64,
    acknowledged: BTreeMap<u64, Generation>,
    /// What an election said that it may be missing, and is.
    lost: BTreeSet<u64>,
    /// Who took writes in each term.
    opened: BTreeMap<Term, Ordinal>,
    certainties: BTreeMap<Term, Certainty>,
    /// Raw writes that a former primary took after a later one did.
    pub(super) late: u64,
    pub(super) switchovers: u64,
}

impl Ledger {
    pub(super) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    pub(super) fn elections(&self) -> usize {
        self.opened.len()
    }

    /// An election's term, with what is known of its candidate's data.
    pub(super) fn elected(&mut self, term: Term, certainty: Certainty) {
        self.certainties.insert(term, certainty);
    }

    /// Whether another has taken writes in a later term than this one's.
    pub(super) fn is_former(&self, by: Ordinal, entry: Entry) -> bool {
        let newest = self.opened.last_key_value();
        newest.is_some_and(|(term, primary)| *term > entry.term && *primary != by)
    }

    /// A write was acknowledged by as many as are asked for.
    pub(super) fn acknowledge(&mut self, by: Ordinal, entry: Entry, strict: bool) -> Result<(), String> {
        if strict && self.is_former(by, entry) {
            return Err(format!(
                "write {} of term {} was acknowledged in a later one",
                entry.id, entry.term
            ));
        }
        self.acknowledged.insert(entry.id, entry.generation);
        Ok(())
    }

    /// A primary takes writes.
    pub(super) fn open(&mut self, by: Ordinal, redis: &Redis, strict: bool) -> Result<(), String> {
        let last = redis.last();
        if let Some(other) = self.opened.insert(last.term, by)
            && other != by
        {
            return Err(format!("term {} has the primaries {other} and {by}", last.term));
        }
        let present: BTreeSet<u64> = redis.log.iter().map(|entry| entry.id).collect();
        let certainty = self.certainties.get(&last.term).copied().unwrap_or(Certainty::Whole);
        let missing: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|(id, _)| !present.contains(id) && !self.lost.contains(id))
            .map(|(id, generation)| (*id, *generation))
            .collect();
        for (id, generation) in missing {
            if generation == last.generation {
                return Err(format!(
                    "write {id} is missing within its generation, in term {}",
                    last.term
                ));
            }
            if strict && certainty == Certainty::Whole {
                return Err(format!(
                    "write {id} is missing in term {}, which was to have everything",
                    last.term
                ));
            }
            self.lost.insert(id);
        }
        Ok(())
    }
}
