use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::epoch::{HolderId, WriterEpoch};
use crate::fixture::creation;
use crate::record::{PartNumber, SegmentKind};
use crate::status::Status;

mod reconcile;

const GENERATION: Generation = Generation(1);

fn segments(received: u64) -> Vec<Segment> {
    if received == 0 {
        return Vec::new();
    }
    vec![Segment {
        store: "disk".into(),
        key: "k".into(),
        start: 0,
        end: received,
        kind: SegmentKind::Part,
        parts: None,
    }]
}

fn created(length: Option<u64>) -> Entry {
    let creation = creation(length);
    let commit = Commit::create(creation);
    decide(None, &commit, GENERATION, UnixMillis(0)).unwrap().entry
}

fn record(entry: &Entry) -> &Record {
    match entry {
        Entry::Live(record) => record,
        Entry::Gone(tombstone) => panic!("the task is gone: {tombstone:?}"),
    }
}

fn held(entry: &Entry, changes: Vec<Change>) -> Commit {
    let record = record(entry);
    Commit::held(record.key.clone(), record.token, record.received, changes)
}

#[test]
fn a_whole_upload_in_one_commit_passes_uploading() {
    let creation = creation(Some(3));
    let mut commit = Commit::create(creation);
    commit.changes.push(Change::Advance {
        received: 3,
        segments: segments(3),
    });
    commit.changes.push(Change::Finish(Verdict::Accept));
    let decision = decide(None, &commit, GENERATION, UnixMillis(5)).unwrap();
    assert_eq!(record(&decision.entry).status, Status::Completed);
    let kinds: Vec<_> = decision
        .events
        .iter()
        .map(|event| (event.kind, event.sequence))
        .collect();
    assert_eq!(kinds, [(EventType::Created, 1), (EventType::Completed, 2)]);
    assert_eq!(decision.update.unwrap().progress, 100);
}

#[test]
fn an_empty_upload_completes_without_a_byte() {
    let mut commit = Commit::create(creation(Some(0)));
    commit.changes.push(Change::Finish(Verdict::Accept));
    let decision = decide(None, &commit, GENERATION, UnixMillis(5)).unwrap();
    assert_eq!(
        (record(&decision.entry).status, record(&decision.entry).offset()),
        (Status::Completed, 0)
    );
}

#[test]
fn the_offset_is_one_short_until_the_verdict() {
    let entry = created(Some(10));
    let commit = held(
        &entry,
        vec![Change::Advance {
            received: 10,
            segments: segments(10),
        }],
    );
    let pending = decide(Some(&entry), &commit, GENERATION, UnixMillis(1)).unwrap().entry;
    assert_eq!((record(&pending).offset(), record(&pending).progress()), (9, 90));
    let commit = held(
        &pending,
        vec![Change::Finish(Verdict::Refuse {
            reason: "a virus".into(),
        })],
    );
    let refused = decide(Some(&pending), &commit, GENERATION, UnixMillis(2)).unwrap();
    assert_eq!(
        (record(&refused.entry).offset(), record(&refused.entry).status),
        (9, Status::Failed)
    );
    assert_eq!(refused.events[0].data.reason.as_deref(), Some("a virus"));
}

#[test]
fn a_stale_writer_changes_nothing() {
    let entry = created(Some(10));
    let stale = held(
        &entry,
        vec![Change::Advance {
            received: 5,
            segments: segments(5),
        }],
    );
    let mut token = record(&entry).token;
    token.epoch = token.epoch.next();
    token.holder = HolderId::from_u128(2);
    let take = held(&entry, vec![Change::Take { token }]);
    let taken = decide(Some(&entry), &take, GENERATION, UnixMillis(1)).unwrap().entry;
    assert_eq!(
        decide(Some(&taken), &stale, GENERATION, UnixMillis(2)).unwrap_err(),
        Denial::Conflict
    );
    // Nor may an epoch go back, or one holder's name serve twice.
    for wrong in [
        Token {
            epoch: WriterEpoch(1),
            ..token
        },
        Token {
            epoch: token.epoch.next(),
            ..token
        },
        Token {
            epoch: token.epoch,
            holder: HolderId::from_u128(3),
            ..token
        },
    ] {
        let take = held(&taken, vec![Change::Take { token: wrong }]);
        assert_eq!(
            decide(Some(&taken), &take, GENERATION, UnixMillis(2)).unwrap_err(),
            Denial::Refused(Refusal::Token)
        );
    }
}

#[test]
fn a_token_of_another_generation_is_refused() {
    let entry = created(Some(10));
    let commit = held(&entry, vec![Change::Pause]);
    assert_eq!(
        decide(Some(&entry), &commit, Generation(2), UnixMillis(1)).unwrap_err(),
        Denial::Refused(Refusal::Generation)
    );
}

#[test]
fn bytes_read_before_a_pause_still_count() {
    let entry = created(Some(10));
    let commit = held(
        &entry,
        vec![Change::Advance {
            received: 5,
            segments: segments(5),
        }],
    );
    let entry = decide(Some(&entry), &commit, GENERATION, UnixMillis(1)).unwrap().entry;
    let pause = Commit::present(record(&entry).key.clone(), vec![Change::Pause]);
    let paused = decide(Some(&entry), &pause, GENERATION, UnixMillis(2)).unwrap().entry;
    let commit = held(
        &paused,
        vec![Change::Advance {
            received: 7,
            segments: segments(7),
        }],
    );
    let paused = decide(Some(&paused), &commit, GENERATION, UnixMillis(3)).unwrap().entry;
    assert_eq!((record(&paused).status, record(&paused).offset()), (Status::Paused, 7));
}

#[test]
fn an_upload_expires_only_in_its_time_and_only_unfinished() {
    let entry = created(Some(10));
    let expire = Commit::present(record(&entry).key.clone(), vec![Change::Expire]);
    let day = 86_400_000;
    let early = decide(Some(&entry), &expire, GENERATION, UnixMillis(day - 1)).unwrap_err();
    assert_eq!(early, Denial::Refused(Refusal::NotExpired));
    let gone = decide(Some(&entry), &expire, GENERATION, UnixMillis(day)).unwrap();
    assert!(matches!(&gone.entry, Entry::Gone(tombstone) if tombstone.cause == Cause::Expired));
    assert_eq!(gone.events[0].kind, EventType::Expired);
    // An acknowledged byte moves the end.
    let commit = held(
        &entry,
        vec![Change::Advance {
            received: 1,
            segments: segments(1),
        }],
    );
    let later = decide(Some(&entry), &commit, GENERATION, UnixMillis(day / 2))
        .unwrap()
        .entry;
    assert!(decide(Some(&later), &expire, GENERATION, UnixMillis(day)).is_err());
}

#[test]
fn what_failed_is_remembered_for_a_lifetime_and_then_goes() {
    let entry = created(Some(10));
    let reason = "broken off".to_owned();
    let failed = decide(
        Some(&entry),
        &held(&entry, vec![Change::Fail { reason }]),
        GENERATION,
        UnixMillis(5),
    );
    let failed = failed.unwrap().entry;
    let expire = Commit::present(failed.key().clone(), vec![Change::Expire]);
    let end = failed.due().unwrap();
    assert_eq!(end, UnixMillis(86_400_005));
    let early = decide(Some(&failed), &expire, GENERATION, UnixMillis(end.0 - 1)).unwrap_err();
    assert_eq!(early, Denial::Refused(Refusal::NotExpired));
    let gone = decide(Some(&failed), &expire, GENERATION, end).unwrap();
    assert!(matches!(&gone.entry, Entry::Gone(tombstone) if tombstone.cause == Cause::Expired));
}

#[test]
fn segments_must_cover_the_received_bytes_without_a_gap() {
    let entry = created(Some(10));
    let piece = |start, end| Segment {
        store: "d".into(),
        key: "k".into(),
        start,
        end,
        kind: SegmentKind::Part,
        parts: None,
    };
    for wrong in [
        vec![],
        vec![piece(0, 4)],
        vec![piece(1, 5)],
        vec![piece(0, 2), piece(3, 5)],
        vec![piece(0, 0)],
    ] {
        let commit = held(
            &entry,
            vec![Change::Advance {
                received: 5,
                segments: wrong,
            }],
        );
        assert_eq!(
            decide(Some(&entry), &commit, GENERATION, UnixMillis(1)).unwrap_err(),
            Denial::Refused(Refusal::Segments)
        );
    }
}

#[test]
fn an_adopted_partials_bytes_stay_until_it_is_disowned() {
    let mut partial = creation(Some(3));
    partial.concat = Some(Concat::Partial { adopted_by: Vec::new() });
    let key = partial.key.clone();
    let entry = decide(None, &Commit::create(partial), GENERATION, UnixMillis(0))
        .unwrap()
        .entry;
    let (one, two) = (creation(None).key.id, creation(None).key.id);
    let present = |changes| Commit::present(key.clone(), changes);
    let adopt = |by: &TaskId| Change::Adopt { by: by.clone() };
    let commit = present(vec![adopt(&one), adopt(&two), adopt(&one), Change::Terminate]);
    let gone = decide(Some(&entry), &commit, GENERATION, UnixMillis(1)).unwrap().entry;
    assert_eq!(gone.due(), None);
    let disown = |by: &TaskId| present(vec![Change::Disown { by: by.clone() }]);
    let gone = decide(Some(&gone), &disown(&one), GENERATION, UnixMillis(2))
        .unwrap()
        .entry;
    assert_eq!(gone.due(), None);
    let gone = decide(Some(&gone), &disown(&two), GENERATION, UnixMillis(3))
        .unwrap()
        .entry;
    assert_eq!(gone.due(), Some(UnixMillis(1)));
    // What is not partial cannot be adopted.
    let other = created(Some(3));
    let commit = Commit::present(record(&other).key.clone(), vec![adopt(&one)]);
    assert_eq!(
        decide(Some(&other), &commit, GENERATION, UnixMillis(1)).unwrap_err(),
        Denial::Refused(Refusal::Concat)
    );
}

fn any_change(length: u64) -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..=length + 2).prop_map(|received| Change::Advance { received, segments: segments(received) }),
        1 => Just(Change::Pause),
        1 => Just(Change::Resume),
        1 => (0..=length + 2).prop_map(Change::DeclareLength),
        1 => Just(Change::Finish(Verdict::Accept)),
        1 => Just(Change::Finish(Verdict::Refuse { reason: "no".into() })),
        1 => Just(Change::Fail { reason: "no".into() }),
        1 => Just(Change::Terminate),
        1 => Just(Change::Expire),
        1 => Just(Change::ForgetBytes),
        1 => (0_u64..4, 0_u128..4).prop_map(|(epoch, holder)| Change::Take {
            token: Token { generation: GENERATION, epoch: WriterEpoch(epoch), holder: HolderId::from_u128(holder) },
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_the_offset_never_decreases_and_final_stays_final(
        deferred: bool,
        walk in prop::collection::vec(prop::collection::vec(any_change(20), 1..3), 1..40),
    ) {
        let mut entry = created((!deferred).then_some(20));
        let mut now = UnixMillis(0);
        for changes in walk {
            now = now.after(Duration::from_secs(3_600));
            let commit = match &entry {
                Entry::Live(record) => Commit::held(record.key.clone(), record.token, record.received, changes),
                Entry::Gone(tombstone) => Commit::present(tombstone.key.clone(), changes),
            };
            let Ok(decision) = decide(Some(&entry), &commit, GENERATION, now) else { continue };
            match (&entry, &decision.entry) {
                (Entry::Live(before), Entry::Live(after)) => {
                    prop_assert!(after.offset() >= before.offset());
                    prop_assert!(after.length.is_none_or(|length| after.received <= length));
                    prop_assert!(!before.status.is_final() || before.status == after.status);
                    prop_assert_eq!(after.status == Status::Completed, after.finish == Finish::Accepted);
                    prop_assert_eq!(after.revision, before.revision + 1);
                    prop_assert_eq!(after.sequence, before.sequence + decision.events.len() as u64);
                }
                (Entry::Gone(_), Entry::Live(_)) => prop_assert!(false, "a tombstone came back to life"),
                (_, Entry::Gone(_)) => {}
            }
            entry = decision.entry;
        }
    }
}

fn multipart(id: &str, next_part: u32) -> Multipart {
    Multipart {
        key: format!("object of {id}"),
        id: id.to_owned(),
        generation: GENERATION,
        next_part: PartNumber(next_part),
    }
}

#[test]
fn part_numbers_are_reserved_upwards_until_every_byte_is_there() {
    let entry = created(Some(10));
    let make = |entry: &Entry, change| decide(Some(entry), &held(entry, vec![change]), GENERATION, UnixMillis(1));
    let entry = make(&entry, Change::Reserve(multipart("a", 5))).unwrap().entry;
    for again in [multipart("a", 5), multipart("a", 3)] {
        let denial = make(&entry, Change::Reserve(again)).unwrap_err();
        assert_eq!(denial, Denial::Refused(Refusal::Reserve));
    }
    let other_generation = Multipart {
        generation: Generation(2),
        ..multipart("b", 9)
    };
    let denial = make(&entry, Change::Reserve(other_generation)).unwrap_err();
    assert_eq!(denial, Denial::Refused(Refusal::Reserve));
    let entry = make(&entry, Change::Reserve(multipart("a", 9))).unwrap().entry;
    let entry = make(&entry, Change::Reserve(multipart("b", 2))).unwrap().entry;
    assert_eq!(record(&entry).multipart, Some(multipart("b", 2)));

    let all = Change::Advance {
        received: 10,
        segments: segments(10),
    };
    let entry = make(&entry, all).unwrap().entry;
    let denial = make(&entry, Change::Reserve(multipart("b", 4))).unwrap_err();
    assert_eq!(denial, Denial::Refused(Refusal::Reserve));
}

#[test]
fn bytes_are_sealed_whole_and_before_the_verdict() {
    let seal = |received| Change::Seal {
        segments: segments(received),
    };
    let make = |entry: &Entry, changes| {
        let commit = Commit::present(record(entry).key.clone(), changes);
        decide(Some(entry), &commit, GENERATION, UnixMillis(1))
    };
    let entry = created(Some(10));
    let denial = make(&entry, vec![seal(0)]).unwrap_err();
    assert_eq!(denial, Denial::Refused(Refusal::Verdict));
    let advance = Change::Advance {
        received: 10,
        segments: segments(10),
    };
    let entry = make(&entry, vec![Change::Reserve(multipart("a", 5)), advance])
        .unwrap()
        .entry;
    let denial = make(&entry, vec![seal(9)]).unwrap_err();
    assert_eq!(denial, Denial::Refused(Refusal::Segments));
    let sealed = make(&entry, vec![seal(10), Change::Finish(Verdict::Accept)]).unwrap();
    assert_eq!(record(&sealed.entry).status, Status::Completed);
    assert_eq!(record(&sealed.entry).multipart, None);
    let denial = make(&sealed.entry, vec![seal(10)]).unwrap_err();
    assert_eq!(denial, Denial::Refused(Refusal::Verdict));
}

#[test]
fn what_is_lost_is_a_tombstone_that_says_so_also_when_it_was_complete() {
    let mut commit = Commit::create(creation(Some(3)));
    commit.changes.push(Change::Advance {
        received: 3,
        segments: segments(3),
    });
    let pending = decide(None, &commit, GENERATION, UnixMillis(5)).unwrap().entry;
    let finish = held(&pending, vec![Change::Finish(Verdict::Accept)]);
    let complete = decide(Some(&pending), &finish, GENERATION, UnixMillis(6))
        .unwrap()
        .entry;
    for entry in [pending, complete] {
        let commit = held(&entry, vec![Change::Lose]);
        let lost = decide(Some(&entry), &commit, GENERATION, UnixMillis(7)).unwrap();
        let Entry::Gone(tombstone) = &lost.entry else {
            panic!("it is not gone: {lost:?}")
        };
        assert_eq!((tombstone.cause, tombstone.stored), (Cause::Lost, true));
        assert_eq!(lost.events.last().map(|event| event.kind), Some(EventType::Failed));
        let again = Commit::present(tombstone.key.clone(), vec![Change::Lose]);
        let refused = decide(Some(&lost.entry), &again, GENERATION, UnixMillis(8));
        assert_eq!(refused.unwrap_err(), Denial::Refused(Refusal::Gone));
    }
}
