//! A model of a Redis server: a stream of writes that replicas get late, and that loses its end with the process.

use std::time::Duration;

use windlass_election::{Generation, Position, Term};

use crate::random::Random;

/// One write, under the term and the generation that are in the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) generation: Generation,
    /// 0 for a primary's own mark.
    pub(super) id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As it starts: `replicaof` nobody that answers. It takes no writes, and feeds nobody.
    Alone,
    Primary {
        open: bool,
    },
    Replica {
        of: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    /// A full synchronisation, for which the old data is dropped.
    Loading {
        until: Duration,
    },
    /// With what the primary had when they met.
    Up {
        met: usize,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Redis {
    pub(super) run: u64,
    pub(super) log: Vec<Entry>,
    pub(super) mode: Mode,
    pub(super) link: Link,
    /// `FAILOVER TO` whom, and until when it is tried.
    pub(super) handing: Option<(usize, Duration)>,
}

impl Redis {
    pub(super) fn start(run: u64, log: Vec<Entry>) -> Self {
        Self {
            run,
            log,
            mode: Mode::Alone,
            link: Link::Down,
            handing: None,
        }
    }

    pub(super) fn become_(&mut self, mode: Mode) {
        (self.mode, self.link, self.handing) = (mode, Link::Down, None);
    }

    /// What its files have after the process died: the end may be missing.
    pub(super) fn remains(&self, random: &Random) -> Vec<Entry> {
        let lost = if random.once_in(2) { random.between(0, 20) } else { 0 };
        let kept = self.log.len().saturating_sub(lost as usize);
        self.log.iter().take(kept).copied().collect()
    }

    pub(super) fn takes_writes(&self) -> bool {
        self.mode == (Mode::Primary { open: true }) && self.handing.is_none()
    }

    pub(super) fn is_primary(&self) -> bool {
        matches!(self.mode, Mode::Primary { .. })
    }

    /// The replica of `of` that has all that it had when they met.
    pub(super) fn is_in_step_with(&self) -> Option<usize> {
        match (self.mode, self.link) {
            (Mode::Replica { of }, Link::Up { met }) if self.log.len() >= met => Some(of),
            _ => None,
        }
    }

    pub(super) fn last(&self) -> Entry {
        self.log.last().copied().unwrap_or(Entry {
            term: Term::default(),
            generation: Generation::default(),
            id: 0,
        })
    }

    /// How far it goes. Where its stream was interrupted by a restart, the data itself says it, less exactly.
    pub(super) fn position(&self, is_intact: bool) -> Position {
        let length = self.log.len() as u64;
        Position {
            term: self.last().term,
            offset: if is_intact { length } else { length / 5 * 5 },
        }
    }

    pub(super) fn has(&self, id: u64) -> bool {
        self.log.iter().rev().any(|entry| entry.id == id)
    }

    /// One exchange with the primary that it follows.
    pub(super) fn pull(&mut self, primary: &Self, now: Duration, is_slow: bool, random: &Random) {
        match self.link {
            Link::Down => {
                if !primary.is_primary() || (primary.log.is_empty() && !self.log.is_empty()) {
                    return;
                }
                if primary.log.starts_with(&self.log) && !random.once_in(4) {
                    self.link = Link::Up { met: primary.log.len() };
                } else {
                    self.log.clear();
                    let until = now + random.millis(20, 800);
                    self.link = Link::Loading { until };
                }
            }
            Link::Loading { .. } | Link::Up { .. } if !primary.is_primary() => self.link = Link::Down,
            Link::Loading { until } if now >= until => {
                self.log.clone_from(&primary.log);
                self.link = Link::Up { met: self.log.len() };
            }
            Link::Loading { .. } => {}
            Link::Up { .. } => {
                if !primary.log.starts_with(&self.log) {
                    self.link = Link::Down;
                    return;
                }
                let behind = primary.log.len() - self.log.len();
                // Now and then it hangs behind for long.
                let most = if is_slow { 3 } else { behind as u64 + 1 };
                let many = random.between(0, most).min(behind as u64) as usize;
                let from = self.log.len();
                self.log.extend(primary.log.iter().skip(from).take(many));
            }
        }
    }
}
