//! A store that forgets and a storage that does not.

use proptest::prelude::*;

use super::*;
use crate::store::Cause;

const LENGTH: u64 = 20;

fn stored(token: Token, received: u64) -> Reconciliation {
    Reconciliation {
        token,
        received,
        segments: segments(received),
        damaged: false,
        length: None,
        verdict: None,
        quarantined: false,
        created: None,
    }
}

fn in_generation(token: Token, generation: Generation) -> Token {
    Token {
        generation,
        epoch: token.epoch.next(),
        ..token
    }
}

fn reconcile(entry: &Entry, stored: Reconciliation, generation: Generation) -> Result<Decision, Denial> {
    let change = Change::Reconcile(Box::new(stored));
    let commit = Commit::present(entry.key().clone(), vec![change]);
    decide(Some(entry), &commit, generation, UnixMillis(9))
}

#[test]
fn what_is_stored_counts_and_the_old_token_does_not() {
    let entry = created(Some(LENGTH));
    let (old, next) = (record(&entry).token, Generation(7));
    let token = in_generation(old, next);
    let after = reconcile(&entry, stored(token, 12), next).unwrap().entry;
    assert_eq!((record(&after).offset(), record(&after).token), (12, token));
    assert_eq!(record(&after).status, Status::Uploading);
    assert!(record(&after).stream_epoch > record(&entry).stream_epoch);
    let late = Change::Advance {
        received: 15,
        segments: segments(15),
    };
    let late = Commit::held(after.key().clone(), old, 12, vec![late]);
    assert!(decide(Some(&after), &late, next, UnixMillis(9)).is_err());
    // Once a generation, by whoever is first.
    let again = reconcile(&after, stored(in_generation(token, next), 15), next);
    assert_eq!(again.unwrap_err(), Denial::Refused(Refusal::Token));
}

#[test]
fn a_token_that_follows_nothing_reconciles_nothing() {
    let entry = created(Some(LENGTH));
    let (old, next) = (record(&entry).token, Generation(7));
    let same_epoch = Token {
        epoch: old.epoch,
        ..in_generation(old, next)
    };
    let refused = reconcile(&entry, stored(same_epoch, 1), next).unwrap_err();
    assert_eq!(refused, Denial::Refused(Refusal::Token));
    // The generation that it is for has ended while it looked at the storage.
    let refused = reconcile(&entry, stored(in_generation(old, next), 1), Generation(8)).unwrap_err();
    assert_eq!(refused, Denial::Refused(Refusal::Generation));
}

#[test]
fn what_was_acknowledged_and_is_gone_is_gone_and_not_smaller() {
    let next = Generation(7);
    let entry = created(Some(LENGTH));
    let token = in_generation(record(&entry).token, next);
    let mut advanced = stored(token, 12);
    let entry = reconcile(&entry, advanced.clone(), next).unwrap().entry;
    let (last, token) = (Generation(8), in_generation(token, Generation(8)));
    for (received, damaged) in [(11, false), (12, true)] {
        advanced = Reconciliation {
            damaged,
            ..stored(token, received)
        };
        let decision = reconcile(&entry, advanced.clone(), last).unwrap();
        assert!(matches!(&decision.entry, Entry::Gone(gone) if gone.cause == Cause::Lost && gone.offset == 12));
        assert_eq!(decision.events[0].kind, EventType::Failed);
        assert!(decision.events[0].data.reason.is_some());
    }
}

#[test]
fn a_verdict_that_was_stored_is_not_given_again() {
    let next = Generation(7);
    for (paused, accepted) in [(false, true), (true, true), (false, false)] {
        let mut entry = created(Some(LENGTH));
        let first = Change::Advance {
            received: 5,
            segments: segments(5),
        };
        let mut changes = vec![first];
        changes.extend(paused.then_some(Change::Pause));
        entry = decide(Some(&entry), &held(&entry, changes), GENERATION, UnixMillis(1))
            .unwrap()
            .entry;
        let verdict = if accepted {
            Verdict::Accept
        } else {
            Verdict::Refuse { reason: "no".into() }
        };
        let whole = Reconciliation {
            verdict: Some((verdict, None)),
            ..stored(in_generation(record(&entry).token, next), LENGTH)
        };
        let decision = reconcile(&entry, whole, next).unwrap();
        let status = if accepted { Status::Completed } else { Status::Failed };
        assert_eq!(record(&decision.entry).status, status);
        assert_eq!(decision.events.len(), 1);
    }
}

#[test]
fn a_record_is_made_anew_as_it_was_and_its_events_repeat_theirs() {
    let next = Generation(7);
    let mut creation = creation(None);
    creation.token.generation = next;
    let made = Reconciliation {
        created: Some(UnixMillis(2)),
        length: Some(6),
        verdict: Some((Verdict::Accept, None)),
        ..stored(creation.token, 6)
    };
    let mut commit = Commit::create(creation);
    commit.changes.push(Change::Reconcile(Box::new(made)));
    let decision = decide(None, &commit, next, UnixMillis(9)).unwrap();
    let after = record(&decision.entry);
    assert_eq!(
        (after.status, after.offset(), after.created),
        (Status::Completed, 6, UnixMillis(2))
    );
    let kinds: Vec<_> = decision
        .events
        .iter()
        .map(|event| (event.kind, event.sequence))
        .collect();
    assert_eq!(kinds, [(EventType::Created, 1), (EventType::Completed, 2)]);
}

#[derive(Debug, Clone)]
enum Step {
    /// Bytes become durable, and the commit that says so may be lost on its way.
    Append {
        bytes: u64,
        committed: bool,
    },
    Take,
    Pause,
    /// The store fails over and has forgotten its last commits.
    Forget {
        commits: usize,
    },
    /// The storage loses what it had from here on.
    Lose {
        from: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_u64, any::<bool>()).prop_map(|(bytes, committed)| Step::Append { bytes, committed }),
        1 => Just(Step::Take),
        1 => Just(Step::Pause),
        3 => (0..6_usize).prop_map(|commits| Step::Forget { commits }),
        1 => (0..LENGTH).prop_map(|from| Step::Lose { from }),
    ]
}

/// One upload, in a store whose past can be cut off and in a storage whose cannot.
struct World {
    creation: Creation,
    past: Vec<Entry>,
    generation: Generation,
    now: UnixMillis,
    durable: u64,
    completed: bool,
    epoch: u64,
    harmed: bool,
}

impl World {
    fn commit(&mut self, commit: &Commit) -> Result<Entry, Denial> {
        let decision = decide(self.past.last(), commit, self.generation, self.now)?;
        self.past.push(decision.entry.clone());
        if let Entry::Live(record) = &decision.entry {
            self.epoch = self.epoch.max(record.token.epoch.0);
        }
        Ok(decision.entry)
    }

    /// What whoever asks for the upload is shown.
    fn show(&mut self) -> Entry {
        let known = match self.past.last() {
            Some(Entry::Live(record)) if record.token.generation != self.generation => Some(record.clone()),
            Some(entry) => return entry.clone(),
            None => None,
        };
        let token = Token {
            generation: self.generation,
            epoch: WriterEpoch(self.epoch + 1),
            holder: HolderId::from_u128(1),
        };
        let stored = Change::Reconcile(Box::new(Reconciliation {
            verdict: self.completed.then_some((Verdict::Accept, None)),
            damaged: self.harmed && self.completed,
            ..stored(token, self.durable)
        }));
        let commit = match known {
            Some(record) => Commit::present(record.key, vec![stored]),
            None => {
                let mut commit = Commit::create(Creation {
                    token,
                    ..self.creation.clone()
                });
                commit.changes.push(stored);
                commit
            }
        };
        self.commit(&commit).expect("what is stored can be reconciled")
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Forget { commits } => {
                self.past.truncate(self.past.len().saturating_sub(*commits));
                self.generation = Generation::beginning(self.now);
            }
            Step::Lose { from } => {
                self.harmed |= *from < self.durable;
                self.durable = self.durable.min(*from);
            }
            Step::Append { bytes, committed } => {
                let Entry::Live(record) = self.show() else { return };
                if record.status.is_final() {
                    return;
                }
                let received = (record.received + bytes).min(LENGTH);
                if !self.harmed {
                    self.durable = self.durable.max(received);
                }
                let mut changes = vec![Change::Resume];
                if record.status != Status::Paused {
                    changes.clear();
                }
                changes.push(Change::Advance {
                    received,
                    segments: segments(received),
                });
                if received == LENGTH {
                    self.completed = true;
                    changes.push(Change::Finish(Verdict::Accept));
                }
                if *committed {
                    let commit = Commit::held(record.key.clone(), record.token, record.received, changes);
                    self.commit(&commit).expect("nobody else writes");
                }
            }
            Step::Take => {
                let Entry::Live(record) = self.show() else { return };
                let token = Token {
                    epoch: record.token.epoch.next(),
                    holder: HolderId::random(),
                    ..record.token
                };
                let take = Commit::held(
                    record.key.clone(),
                    record.token,
                    record.received,
                    vec![Change::Take { token }],
                );
                self.commit(&take).expect("nobody else writes");
            }
            Step::Pause => {
                let entry = self.show();
                // Refused where there is nothing to pause.
                let _ = self.commit(&Commit::present(entry.key().clone(), vec![Change::Pause]));
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_store_forgets_no_acknowledged_offset_decreases(walk in prop::collection::vec(any_step(), 1..40)) {
        let mut world = World {
            creation: creation(Some(LENGTH)),
            past: Vec::new(),
            generation: GENERATION,
            now: UnixMillis(10),
            durable: 0,
            completed: false,
            epoch: 0,
            harmed: false,
        };
        let (mut acknowledged, mut completed) = (0, false);
        for step in &walk {
            world.now = world.now.after(Duration::from_secs(1));
            world.step(step);
            if world.harmed && matches!(step, Step::Forget { commits: 1.. }) {
                // Nobody is left who could know of what both have lost.
                return Ok(());
            }
            match world.show() {
                Entry::Live(record) => {
                    prop_assert_eq!(record.token.generation, world.generation, "shown unreconciled");
                    prop_assert!(record.offset() >= acknowledged, "{} after {}", record.offset(), acknowledged);
                    prop_assert!(record.status == Status::Completed || !completed, "completed and then not");
                    acknowledged = record.offset();
                    completed = record.status == Status::Completed;
                }
                Entry::Gone(gone) => {
                    prop_assert_eq!(gone.cause, Cause::Lost);
                    prop_assert!(world.harmed, "given up without a loss");
                    // The client begins anew.
                    return Ok(());
                }
            }
        }
    }
}
