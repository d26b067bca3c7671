use windlass_task::feed::Standing;
use windlass_task::{Owner, Rights, Status, TaskKey, TaskUpdate, Tenant, UnixMillis};

use super::*;
use crate::config::Config;
use crate::position::StreamEpoch;
use crate::queue::{Class, End};
use crate::session::{Start, TaskValue};

const TASK: &str = "local-018f0000-0000-7000-8000-000000000000";

struct Bench {
    plain: Plain,
    now: Instant,
}

impl Bench {
    /// A connection that was just opened, whose request showed `identity`.
    fn opened(identity: Result<Identity, TokenError>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::validate(&Config::default(), true).unwrap();
        change(&mut settings);
        let now = Instant::now();
        let mut bench = Self {
            plain: Plain::new(Arc::new(settings), now, 1.0),
            now,
        };
        assert_eq!(
            bench.heard(),
            [
                "Authenticate(Credentials { token: \"\", name: \"\", version: \"\", data: Payload(0 bytes), headers: {} })"
            ]
        );
        assert!(!bench.plain.is_receptive());
        bench
            .plain
            .complete(Completion::Authenticated(identity.map_err(Into::into)), now);
        bench
    }

    fn local() -> Self {
        Self::opened(Ok(identity(Rights::ALL)), |_| {})
    }

    fn say(&mut self, text: &str) -> Vec<String> {
        self.plain.receive(Message::Text(text.to_owned()), self.now);
        self.heard()
    }

    fn heard(&mut self) -> Vec<String> {
        let text = |action| match action {
            Action::Write(frame) => {
                let header = if frame[1] == 126 { 4 } else { 2 };
                String::from_utf8_lossy(&frame[header..]).into_owned()
            }
            Action::Do(effect) => format!("{effect:?}"),
            Action::Note(note) => format!("{note:?}"),
            Action::Close(disconnect) => format!("close {}", disconnect.parts().0),
        };
        std::iter::from_fn(|| self.plain.action()).map(text).collect()
    }

    fn error(&mut self, text: &str) -> String {
        let heard = self.say(text);
        assert_eq!(heard.len(), 1, "{heard:?}");
        let error: serde_json::Value = serde_json::from_str(&heard[0]).unwrap();
        assert_eq!(error["type"], "error");
        error["code"].as_str().unwrap().to_owned()
    }

    /// Joins the task, whose value is `progress` at `revision`.
    fn join(&mut self, slot: u32, revision: u64) -> Vec<String> {
        let heard = self.say(&join(TASK));
        assert!(heard.last().unwrap().starts_with("Subscribe"), "{heard:?}");
        let start = Ok(Start::Value(Box::new(value(revision, Status::Uploading))));
        self.plain.complete(
            Completion::Subscribed {
                slot: Slot(slot),
                start,
            },
            self.now,
        );
        self.heard()
    }
}

fn identity(rights: Rights) -> Identity {
    let principal = Principal {
        rights,
        ..Principal::local()
    };
    Identity::known(principal, None)
}

fn join(task: &str) -> String {
    format!(r#"{{"type":"join","fileId":"{task}"}}"#)
}

fn value(revision: u64, status: Status) -> TaskValue {
    let key = TaskKey {
        tenant: Tenant::default_tenant(),
        id: TASK.parse().unwrap(),
    };
    let update = TaskUpdate {
        key,
        owner: Owner::local(),
        standing: Standing::Live(status),
        progress: 42,
        offset: 42,
        length: Some(100),
        revision,
        at: UnixMillis(0),
        traceparent: None,
    };
    TaskValue {
        update,
        epoch: StreamEpoch(1),
    }
}

fn delivery(slot: u32, revision: u64, end: End) -> Delivery {
    let text = format!("..{revision}");
    Delivery {
        slot: Slot(slot),
        class: Class::Latest(revision),
        end,
        frame: text.into(),
    }
}

#[test]
fn a_join_is_answered_with_the_present_value_and_then_with_newer_ones() {
    let mut bench = Bench::local();
    assert_eq!(bench.join(1, 5), [format!(r#"{{"fileId":"{TASK}","progress":42}}"#)]);
    for revision in [5, 4, 6, 6, 8] {
        bench.plain.deliver(delivery(1, revision, End::Open));
    }
    assert_eq!(bench.heard(), ["6", "8"]);
}

#[test]
fn what_comes_before_the_present_value_follows_it_if_it_is_newer() {
    for (held, followed) in [(4, vec![]), (7, vec!["7"])] {
        let mut bench = Bench::local();
        bench.say(&join(TASK));
        bench.plain.deliver(delivery(1, 3, End::Open));
        bench.plain.deliver(delivery(1, held, End::Open));
        assert!(bench.heard().is_empty());
        let start = Ok(Start::Value(Box::new(value(5, Status::Uploading))));
        bench
            .plain
            .complete(Completion::Subscribed { slot: Slot(1), start }, bench.now);
        assert_eq!(bench.heard()[1..], followed);
    }
}

#[test]
fn a_second_join_starts_again_and_a_leave_ends_it() {
    let mut bench = Bench::local();
    bench.join(1, 5);
    assert_eq!(bench.join(2, 6).len(), 1);
    bench.plain.deliver(delivery(1, 7, End::Open));
    bench.plain.deliver(delivery(2, 7, End::Open));
    assert_eq!(bench.heard(), ["7"]);
    let leave = format!(r#"{{"type":"leave","fileId":"{TASK}"}}"#);
    assert_eq!(bench.say(&leave), ["Unsubscribe { slot: Slot(2) }"]);
    bench.plain.deliver(delivery(2, 8, End::Open));
    assert!(bench.heard().is_empty());
    assert!(bench.say(&leave).is_empty());
}

#[test]
fn a_task_that_is_gone_is_left() {
    let mut bench = Bench::local();
    bench.join(1, 5);
    bench.plain.deliver(delivery(1, 6, End::Gone));
    assert_eq!(bench.heard(), ["6", "Unsubscribe { slot: Slot(1) }"]);
}

#[test]
fn refusals_have_stable_codes_and_name_the_task() {
    for (failure, code) in [
        (Failure::UnknownTask, "task_not_found"),
        (Failure::ForeignTask, "task_not_found"),
        (Failure::TaskGone, "task_gone"),
        (Failure::NoTaskView, "no_task_view"),
        (Failure::Unavailable, "unavailable"),
    ] {
        let mut bench = Bench::local();
        bench.say(&join(TASK));
        bench.plain.complete(
            Completion::Subscribed {
                slot: Slot(1),
                start: Err(failure),
            },
            bench.now,
        );
        let heard = bench.heard();
        assert!(heard[0].contains(code) && heard[0].contains(TASK), "{heard:?}");
        assert!(bench.plain.is_receptive());
    }
    let mut bench = Bench::local();
    assert_eq!(bench.error(&join("../../etc/passwd")), "task_not_found");
    assert!(
        !bench.say(&join(&"x".repeat(4_000)))[0].contains("xxx"),
        "what cannot be an id is not repeated"
    );
    assert_eq!(bench.error(r#"{"type":"message","to":"bob","data":1}"#), "messages_off");
    assert_eq!(bench.error("{"), "bad_message");
    assert_eq!(bench.error(r#"{"type":"fly"}"#), "unknown_type");
}

#[test]
fn pause_and_resume_are_asked_of_the_store_and_refusals_are_told() {
    let mut bench = Bench::local();
    let heard = bench.say(&format!(r#"{{"type":"pause","fileId":"{TASK}"}}"#));
    assert!(heard[0].contains("operation: Pause"), "{heard:?}");
    let task = TaskKey {
        tenant: Tenant::default_tenant(),
        id: TASK.parse().unwrap(),
    };
    let outcome = Err(Failure::IllegalTransition);
    bench.plain.complete(Completion::Operated { task, outcome }, bench.now);
    assert!(bench.heard()[0].contains("illegal_transition"));
    assert!(bench.say(&format!(r#"{{"type":"resume","fileId":"{TASK}"}}"#))[0].contains("operation: Resume"));
}

#[test]
fn rights_are_demanded() {
    let upload = [Right::Upload].into_iter().collect();
    let mut bench = Bench::opened(Ok(identity(upload)), |settings| settings.messages = true);
    bench.heard();
    assert_eq!(bench.error(&join(TASK)), "forbidden");
    assert_eq!(bench.error(r#"{"type":"message","to":"bob","data":1}"#), "forbidden");
    let watch = [Right::Watch].into_iter().collect();
    let mut bench = Bench::opened(Ok(identity(watch)), |_| {});
    assert_eq!(
        bench.error(&format!(r#"{{"type":"pause","fileId":"{TASK}"}}"#)),
        "forbidden"
    );
}

#[test]
fn a_connection_that_has_shown_nothing_shows_it_with_join() {
    let mut bench = Bench::opened(Err(TokenError::Missing), |_| {});
    assert_eq!(bench.error(&join(TASK)), "token_missing");
    let with_token = format!(r#"{{"type":"join","fileId":"{TASK}","token":"t"}}"#);
    for (error, code) in [
        (TokenError::Invalid("x"), "token_invalid"),
        (TokenError::Expired, "token_expired"),
    ] {
        assert_eq!(
            bench.say(&with_token),
            [
                "Authenticate(Credentials { token: \"t\", name: \"\", version: \"\", data: Payload(0 bytes), headers: {} })"
            ]
        );
        bench
            .plain
            .complete(Completion::Authenticated(Err(error.into())), bench.now);
        assert!(bench.heard()[0].contains(code));
    }
    bench.say(&with_token);
    bench
        .plain
        .complete(Completion::Authenticated(Ok(identity(Rights::DEFAULT))), bench.now);
    assert!(bench.heard()[0].starts_with("Subscribe"));

    // Another user's token on the same connection.
    let mut bench = Bench::local();
    bench.say(&with_token);
    let principal = Principal {
        owner: "eve".parse().unwrap(),
        ..Principal::local()
    };
    bench.plain.complete(
        Completion::Authenticated(Ok(Identity::known(principal, None))),
        bench.now,
    );
    let heard = bench.heard();
    assert!(
        heard[0].contains("token_invalid") && heard[1] == "close 1008",
        "{heard:?}"
    );
}

#[test]
fn who_shows_nothing_in_time_and_who_is_silent_is_closed() {
    let mut bench = Bench::opened(Err(TokenError::Missing), |_| {});
    let deadline = bench.plain.deadline().unwrap();
    assert_eq!(deadline - bench.now, Duration::from_secs(10));
    bench.plain.tick(deadline);
    let heard = bench.heard();
    assert!(
        heard[0].contains("token_missing") && heard[1] == "close 1008",
        "{heard:?}"
    );

    let mut bench = Bench::local();
    let mut heard = Vec::new();
    for _ in 0..3 {
        bench.plain.tick(bench.plain.deadline().unwrap());
        heard.extend(bench.heard());
    }
    assert_eq!(heard, ["", "", "close 3012"], "pings without payload, then the end");
}

#[test]
fn a_client_that_answers_at_once_is_pinged_more_often() {
    let mut bench = Bench::local();
    let mut intervals = Vec::new();
    for _ in 0..5 {
        let now = bench.plain.deadline().unwrap();
        bench.plain.tick(now);
        bench.plain.receive(Message::Pong, now + Duration::from_millis(30));
        intervals.push((bench.plain.deadline().unwrap() - now).as_secs());
    }
    assert_eq!(intervals, [15, 15, 15, 5, 5]);
}

#[test]
fn garbage_is_answered_for_a_while() {
    let mut bench = Bench::local();
    for _ in 1..GARBAGE_MAX {
        assert_eq!(bench.say("{").len(), 1);
    }
    bench.say(&format!(r#"{{"type":"leave","fileId":"{TASK}"}}"#));
    for _ in 1..GARBAGE_MAX {
        assert_eq!(bench.say("{").len(), 1);
    }
    assert_eq!(bench.say("{")[1], "close 1008");
    let mut bench = Bench::local();
    bench.plain.receive(Message::Binary(b"\x00".to_vec()), bench.now);
    assert_eq!(bench.heard(), ["close 1003"]);
}

#[test]
fn a_server_that_leaves_says_so_first() {
    let mut bench = Bench::local();
    bench.join(1, 5);
    bench.plain.leave(Duration::from_secs(2), bench.now);
    assert_eq!(bench.heard(), [r#"{"type":"reconnect","withinSeconds":2}"#]);
    bench.plain.deliver(delivery(1, 6, End::Open));
    assert_eq!(bench.heard(), ["6"], "until the client has moved nothing is missed");
    assert_eq!(bench.plain.deadline(), Some(bench.now + Duration::from_secs(2)));
    bench.plain.tick(bench.now + Duration::from_secs(2));
    assert_eq!(bench.heard(), ["close 1001"]);
}

#[test]
fn messages_go_to_a_user_when_they_are_on() {
    let mut bench = Bench::opened(Ok(identity(Rights::ALL)), |settings| settings.messages = true);
    let heard = bench.heard();
    assert!(
        heard[0].contains("Slot(0)") && heard[0].contains("user:local"),
        "{heard:?}"
    );
    bench.plain.receive(
        Message::Text(r#"{"type":"message","to":"bob","data":{"a":1}}"#.into()),
        bench.now,
    );
    let Some(Action::Do(Effect::Publish { channel, outgoing, .. })) = bench.plain.action() else {
        panic!("no effect")
    };
    assert!(channel.name().ends_with("user:bob"));
    assert_eq!(
        outgoing.data.bytes(),
        br#"{"type":"message","from":"local","data":{"a":1}}"#.as_slice()
    );
    assert!(!bench.plain.is_receptive());
    bench.plain.complete(Completion::Published(Ok(None)), bench.now);
    assert!(bench.plain.is_receptive());
    bench.plain.deliver(Delivery {
        class: Class::Stream(None),
        ..delivery(0, 1, End::Open)
    });
    assert_eq!(bench.heard(), ["1"]);
}

#[test]
fn the_number_of_tasks_is_bounded() {
    let mut bench = Bench::opened(Ok(identity(Rights::ALL)), |settings| settings.subscriptions_max = 1);
    bench.join(1, 5);
    assert_eq!(
        bench.error(&join("local-018f0000-0000-7000-8000-000000000001")),
        "limit_exceeded"
    );
}
