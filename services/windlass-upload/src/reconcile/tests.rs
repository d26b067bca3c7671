use windlass_task::fixture;
use windlass_task::{Finish, HolderId, Protocol, SegmentKind};

use super::*;
use crate::storage::Damage;

const BEGAN: u64 = 1_000_000_000;

fn going_on() -> GoingOn {
    GoingOn {
        token: Token {
            generation: Generation(BEGAN),
            epoch: WriterEpoch(4),
            holder: HolderId::from_u128(9),
        },
        lifetime: Duration::from_secs(60),
        quarantine: false,
        whether: Whether::Forgotten,
    }
}

fn found(received: u64) -> Found {
    let creation = fixture::creation(Some(20));
    let segment = Segment {
        store: "disk".into(),
        key: "k".into(),
        start: 0,
        end: received,
        kind: SegmentKind::Part,
        parts: None,
    };
    Found {
        manifest: Some(Manifest::of(&creation, UnixMillis(5))),
        completion: None,
        length: None,
        segments: if received > 0 { vec![segment] } else { Vec::new() },
        epoch: WriterEpoch(3),
        damage: None,
    }
}

fn recorded(found: &Found, received: u64, epoch: u64) -> Record {
    let mut record = fixture::record(Protocol::Tus, Some(20));
    record.key = found.manifest.as_ref().unwrap().key.clone();
    (record.received, record.token.epoch, record.status) = (received, WriterEpoch(epoch), Status::Uploading);
    record
}

fn decided(known: Option<&Record>, found: Found) -> Entry {
    let Plan::Commit(commit) = plan(known, found, &going_on()) else {
        panic!("nothing is committed")
    };
    let current = known.map(|record| Entry::Live(Box::new(record.clone())));
    let now = UnixMillis(BEGAN + 1);
    windlass_task::change::decide(current.as_ref(), &commit, Generation(BEGAN), now)
        .unwrap()
        .entry
}

fn live(entry: Entry) -> Record {
    match entry {
        Entry::Live(record) => *record,
        Entry::Gone(gone) => panic!("{gone:?}"),
    }
}

#[test]
fn only_what_an_earlier_generation_may_have_known_is_looked_up() {
    let record = fixture::record(Protocol::Tus, None);
    let key = record.key.clone();
    let entry = Entry::Live(Box::new(record));
    assert!(is_needed(&key, Some(&entry), Generation(2)));
    assert!(!is_needed(&key, Some(&entry), Generation(1)));
    let born = key.id.born();
    assert!(
        !is_needed(&key, None, Generation(1)),
        "the first generation has forgotten nothing"
    );
    assert!(is_needed(&key, None, Generation(born.0 + 1)));
    // A clock that was ahead of the store's.
    assert!(is_needed(&key, None, Generation(born.0 - 59_000)));
    assert!(!is_needed(&key, None, Generation(born.0 - 61_000)));
}

#[test]
fn a_forgotten_upload_is_as_its_documents_say() {
    let entry = live(decided(None, found(12)));
    assert_eq!(
        (entry.received, entry.length, entry.created),
        (12, Some(20), UnixMillis(5))
    );
    assert_eq!(
        entry.token.epoch,
        WriterEpoch(4),
        "an epoch that may have left bytes is not used again"
    );

    let whole = Found {
        completion: Some(Completion::accepted(20)),
        ..found(20)
    };
    assert_eq!(live(decided(None, whole)).status, Status::Completed);
    let refused = Found {
        completion: Some(Completion::refused(20, "no".to_owned())),
        ..found(20)
    };
    assert!(matches!(live(decided(None, refused)).finish, Finish::Refused { reason } if reason == "no"));
    let refused = Found {
        completion: Some(Completion::refused(20, "no".to_owned())),
        ..found(3)
    };
    assert!(matches!(live(decided(None, refused)).finish, Finish::Refused { reason } if reason == "no"));
    // Whole, and nobody has judged it: its client sends the last byte again.
    let unjudged = live(decided(None, found(20)));
    assert_eq!((unjudged.offset(), unjudged.finish), (19, Finish::VerdictPending));
}

#[test]
fn a_length_that_was_declared_is_not_forgotten() {
    let mut stored = found(12);
    if let Some(manifest) = &mut stored.manifest {
        manifest.length = None;
    }
    assert_eq!(live(decided(None, stored.clone())).length, None);
    stored.length = Some(30);
    assert_eq!(live(decided(None, stored)).length, Some(30));
}

#[test]
fn what_is_less_than_was_acknowledged_is_gone_and_a_finished_file_is_not_touched() {
    let stored = found(6);
    let mut record = recorded(&stored, 7, 1);
    assert!(matches!(decided(Some(&record), stored.clone()), Entry::Gone(gone) if gone.cause == Cause::Lost));
    record.status = Status::Completed;
    assert!(matches!(plan(Some(&record), stored.clone(), &going_on()), Plan::Lost));
    // A storage without the manifest may be the wrong one.
    record.status = Status::Uploading;
    let wrong = Found {
        manifest: None,
        ..stored.clone()
    };
    assert!(matches!(plan(Some(&record), wrong.clone(), &going_on()), Plan::Lost));
    assert!(matches!(plan(None, wrong, &going_on()), Plan::Unknown));
    let damaged = Found {
        damage: Some(Damage::Missing { from: 6, to: 9 }),
        ..stored
    };
    assert!(matches!(plan(None, damaged, &going_on()), Plan::Lost));
}

#[test]
fn what_died_before_its_record_does_not_come_to_be() {
    let mut stored = found(6);
    if let Some(manifest) = &mut stored.manifest {
        manifest.created_at = UnixMillis(BEGAN + 61_000);
    }
    assert!(matches!(plan(None, stored, &going_on()), Plan::Unknown));
}

#[test]
fn a_final_upload_is_joined_again_and_not_taken_for_damaged() {
    let mut stored = Found {
        completion: Some(Completion::accepted(40)),
        ..found(0)
    };
    if let Some(manifest) = &mut stored.manifest {
        manifest.length = None;
        manifest.concat = Some(Concat::Final {
            parts: Vec::new(),
            header: "final;/files/a".to_owned(),
        });
    }
    let after = live(decided(None, stored));
    assert_eq!((after.received, &after.finish), (0, &Finish::Open));
    assert_eq!(after.lifetime(), Duration::from_secs(60) * concat::LIFETIMES);
}
