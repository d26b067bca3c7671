//! Subscriptions: how they begin, and that nothing is missing from them in silence.

use std::collections::BTreeMap;

use proptest::prelude::*;
use windlass_task::feed::Standing;
use windlass_task::{Status, TaskUpdate, UnixMillis};

use super::*;
use crate::centrifuge::reply::SubscribeResult;
use crate::config::channels::DeltaType;
use crate::config::{ChannelOptions, Channels};
use crate::session::TaskValue;
use crate::variant::{Frame, Variant};

fn start(bench: &mut Bench, request: &str, start: Result<Start, Failure>) -> Vec<String> {
    bench.say(&format!(r#"{{"id":2,"subscribe":{request}}}"#));
    let slot = subscription(bench.take()).slot;
    bench.complete(Completion::Subscribed { slot, start });
    bench.heard()
}

fn task_value(revision: u64) -> Start {
    let Some(Ok(id)) = TASK.strip_prefix(crate::channel::TASK_PREFIX).map(str::parse) else {
        panic!("no task's name")
    };
    let update = TaskUpdate {
        key: windlass_task::TaskKey {
            tenant: windlass_task::Tenant::default_tenant(),
            id,
        },
        owner: windlass_task::Owner::local(),
        standing: Standing::Live(Status::Uploading),
        progress: 42,
        offset: 42,
        length: Some(100),
        revision,
        at: UnixMillis(1),
        traceparent: None,
    };
    Start::Value(Box::new(TaskValue { update, epoch: EPOCH }))
}

#[test]
fn a_subscription_begins_at_the_top() {
    let heard = start(
        &mut Bench::connected(),
        r#"{"channel":"a"}"#,
        Ok(Start::History(history(0..0, 5))),
    );
    assert_eq!(
        heard,
        [r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"7","offset":5,"positioned":true}}"#]
    );
}

#[test]
fn what_was_missed_comes_with_the_offset_that_the_client_gave() {
    let request = r#"{"channel":"a","recover":true,"epoch":"7","offset":3}"#;
    let heard = start(&mut Bench::connected(), request, Ok(Start::History(history(4..6, 5))));
    assert_eq!(
        heard,
        [
            "Recovered(true)",
            concat!(
                r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"7","offset":3,"publications":[{"data":4,"offset":4},"#,
                r#"{"data":5,"offset":5}],"recovered":true,"was_recovering":true,"positioned":true}}"#
            )
        ]
    );
}

#[test]
fn what_cannot_be_recovered_whole_is_not_recovered_at_all() {
    let request = r#"{"channel":"a","recover":true,"epoch":"7","offset":3}"#;
    let heard = start(&mut Bench::connected(), request, Ok(Start::History(history(5..6, 5))));
    assert_eq!(
        heard,
        [
            "Recovered(false)",
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"7","offset":5,"was_recovering":true,"positioned":true}}"#
        ]
    );
    let request = r#"{"channel":"a","recover":true,"epoch":"7","offset":3,"flag":3}"#;
    let mut bench = Bench::connected();
    let heard = start(&mut bench, request, Ok(Start::History(history(5..6, 5))));
    assert_eq!(
        heard,
        [
            "Recovered(false)",
            "effect",
            r#"{"id":2,"error":{"code":112,"message":"unrecoverable position"}}"#
        ]
    );
    bench.complete(Completion::Unsubscribed { slot: Slot(0) });
    bench.subscribe("a", 5);
}

#[test]
fn a_task_begins_with_its_value_unless_the_client_has_it() {
    let with_value = concat!(
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"7","publications":[{"data":{"fileId":"#,
        r#""local-018f0000-0000-7000-8000-000000000000","progress":42},"offset":9,"tags":{"status":"uploading"}}],"#,
        r#""recovered":true,"was_recovering":true}}"#
    );
    let request = format!(r#"{{"channel":"{TASK}"}}"#);
    assert_eq!(
        start(&mut Bench::connected(), &request, Ok(task_value(9))),
        [with_value]
    );
    let request = format!(r#"{{"channel":"{TASK}","recover":true,"offset":9,"epoch":"7"}}"#);
    assert_eq!(
        start(&mut Bench::connected(), &request, Ok(task_value(9))),
        [r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"7","offset":9,"recovered":true,"was_recovering":true}}"#]
    );
    let another_life = format!(r#"{{"channel":"{TASK}","recover":true,"offset":9,"epoch":"6"}}"#);
    let heard = start(&mut Bench::connected(), &another_life, Ok(task_value(9)));
    assert!(heard[0].contains(r#""progress":42"#), "{heard:?}");
}

#[test]
fn a_task_that_cannot_be_seen_is_refused_and_may_be_asked_for_again() {
    let request = format!(r#"{{"channel":"{TASK}"}}"#);
    let mut bench = Bench::connected();
    for (failure, code) in [
        (Failure::UnknownTask, 102),
        (Failure::ForeignTask, 103),
        (Failure::TaskGone, 102),
        (Failure::NoTaskView, 102),
        (Failure::Unavailable, 100),
    ] {
        let heard = start(&mut bench, &request, Err(failure));
        assert!(
            heard[0].starts_with(&format!(r#"{{"id":2,"error":{{"code":{code},"#)),
            "{heard:?}"
        );
    }
}

#[test]
fn what_comes_before_the_reply_follows_it_as_far_as_it_is_news() {
    let mut bench = Bench::connected();
    bench.say(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let slot = subscription(bench.take()).slot;
    for offset in 4..=7 {
        bench.engine.deliver(delivery(slot, offset));
    }
    assert!(bench.take().is_empty(), "nothing before the reply");
    bench.complete(Completion::Subscribed {
        slot,
        start: Ok(Start::History(history(0..0, 5))),
    });
    let heard = bench.heard();
    assert!(heard[0].starts_with(r#"{"id":2,"subscribe""#));
    assert_eq!(heard[1..], ["frame 6", "frame 7"]);
}

#[test]
fn a_gap_or_another_life_ends_the_subscription_so_that_the_client_recovers() {
    let ended = r#"{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#;
    let mut bench = Bench::connected();
    let slot = bench.subscribe("a", 5);
    for offset in [6, 6, 5, 7] {
        bench.engine.deliver(delivery(slot, offset));
    }
    assert_eq!(bench.heard(), ["frame 6", "frame 7"]);
    bench.engine.deliver(delivery(slot, 9));
    assert_eq!(bench.heard(), ["effect", ended]);
    bench.engine.deliver(delivery(slot, 10));
    assert!(bench.heard().is_empty());

    let mut bench = Bench::connected();
    let slot = bench.subscribe("a", 5);
    let class = Class::Stream(Some(StreamPosition {
        offset: 6,
        epoch: StreamEpoch(8),
    }));
    bench.engine.deliver(Delivery {
        class,
        ..delivery(slot, 6)
    });
    assert_eq!(bench.heard(), ["effect", ended]);

    let mut bench = Bench::connected();
    let slot = bench.subscribe("a", 5);
    bench.engine.overflow(slot);
    assert_eq!(bench.heard(), ["effect", ended]);
}

#[test]
fn who_is_not_where_the_top_is_has_missed_something() {
    let ended = r#"{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#;
    let top = |slot, offset, epoch| Delivery {
        class: Class::Top(StreamPosition { offset, epoch }),
        ..delivery(slot, offset)
    };
    for (offset, epoch, is_told) in [
        (5, EPOCH, false),
        // It has subscribed since.
        (4, EPOCH, false),
        (6, EPOCH, true),
        (5, StreamEpoch(8), true),
        (0, StreamEpoch(8), true),
    ] {
        let mut bench = Bench::connected();
        let slot = bench.subscribe("a", 5);
        bench.engine.deliver(top(slot, offset, epoch));
        let expected = if is_told { vec!["effect", ended] } else { Vec::new() };
        assert_eq!(bench.heard(), expected, "{offset} {epoch}");
    }
    let mut bench = Bench::connected();
    let slot = bench.subscribe("a", 5);
    bench.engine.deliver(delivery(slot, 6));
    bench.engine.deliver(top(slot, 6, EPOCH));
    assert_eq!(bench.heard(), ["frame 6"], "what came before counts");
}

#[test]
fn what_did_not_fit_before_the_reply_ends_the_subscription_after_it() {
    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| settings.queue_bytes_max = 1);
    bench.say(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let slot = subscription(bench.take()).slot;
    bench.engine.deliver(delivery(slot, 6));
    bench.engine.deliver(delivery(slot, 7));
    bench.complete(Completion::Subscribed {
        slot,
        start: Ok(Start::History(history(0..0, 5))),
    });
    let heard = bench.heard();
    assert!(heard[0].starts_with(r#"{"id":2,"subscribe""#));
    assert_eq!(heard[1], "effect");
    assert!(heard[2].contains("2500"), "{heard:?}");
}

#[test]
fn a_tasks_values_never_go_back_and_a_task_that_is_gone_ends_its_subscription() {
    let mut bench = Bench::connected();
    bench.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{TASK}"}}}}"#));
    let slot = subscription(bench.take()).slot;
    bench.engine.deliver(value(slot, 8, End::Open));
    bench.complete(Completion::Subscribed {
        slot,
        start: Ok(task_value(9)),
    });
    assert_eq!(bench.heard().len(), 1);
    for revision in [9, 11, 10, 14] {
        bench.engine.deliver(value(slot, revision, End::Open));
    }
    assert_eq!(bench.heard(), ["frame 11", "frame 14"]);
    bench.engine.deliver(value(slot, 15, End::Final));
    assert_eq!(bench.heard(), ["frame 15"]);
    bench.engine.deliver(value(slot, 16, End::Gone));
    assert_eq!(bench.heard(), ["frame 16", "effect"]);
    bench.engine.deliver(value(slot, 17, End::Open));
    assert!(bench.heard().is_empty());
}

/// A publication that may go out as the difference from the one before.
fn next(slot: Slot, offset: Option<u64>) -> Delivery {
    let class = Class::Stream(offset.map(|offset| StreamPosition { offset, epoch: EPOCH }));
    let (whole, delta) = (Bytes::from_static(b"whole"), Bytes::from_static(b"delta"));
    Delivery {
        class,
        frame: Frame::next(whole, delta),
        ..delivery(slot, 0)
    }
}

fn takes_deltas(settings: &mut Settings) {
    let options = ChannelOptions {
        allowed_delta_types: vec![DeltaType::Fossil],
        ..ChannelOptions::open()
    };
    settings.channels = Channels::all(options);
}

#[test]
fn a_delta_goes_to_who_has_the_publication_before_it() {
    let mut bench = Bench::connected_as(Rights::ALL, None, takes_deltas);
    bench.say(r#"{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}"#);
    let subscribe = subscription(bench.take());
    assert!(matches!(subscribe.variant, Variant::Deltas(_)));
    let slot = subscribe.slot;
    // The client is told of offset 5 as the top, but has not got it.
    bench.engine.deliver(next(slot, Some(5)));
    bench.complete(Completion::Subscribed {
        slot,
        start: Ok(Start::History(history(0..0, 5))),
    });
    assert!(bench.heard()[0].ends_with(r#""positioned":true,"delta":true}}"#));
    for offset in [Some(6), Some(7), None, Some(8), Some(9)] {
        bench.engine.deliver(next(slot, offset));
    }
    // What is in no history is not what the next one is the difference from, but the client would take it for that.
    let expected = [
        "frame whole",
        "frame delta",
        "frame whole",
        "frame whole",
        "frame delta",
    ];
    assert_eq!(bench.heard(), expected);
}

#[test]
fn what_was_missed_comes_whole_and_the_next_is_a_delta() {
    let mut bench = Bench::connected_as(Rights::ALL, None, takes_deltas);
    let request = r#"{"channel":"a","delta":"fossil","recover":true,"epoch":"7","offset":3}"#;
    let heard = start(&mut bench, request, Ok(Start::History(history(4..6, 5))));
    assert!(
        heard[1].contains(r#""publications":[{"data":"4","offset":4},{"data":"5","offset":5}]"#),
        "{heard:?}"
    );
    bench.engine.deliver(next(Slot(0), Some(6)));
    assert_eq!(bench.heard(), ["frame delta"]);
    // Who missed nothing may have lost what it had.
    let mut bench = Bench::connected_as(Rights::ALL, None, takes_deltas);
    start(&mut bench, request, Ok(Start::History(history(0..0, 3))));
    bench.engine.deliver(next(Slot(0), Some(4)));
    assert_eq!(bench.heard(), ["frame whole"]);
}

#[test]
fn nobody_gets_deltas_who_did_not_ask_or_may_not() {
    let plain = |settings: &mut Settings| settings.channels = Channels::all(ChannelOptions::open());
    let unwatched = |settings: &mut Settings| {
        let options = ChannelOptions {
            allow_subscribe_for_client: true,
            allowed_delta_types: vec![DeltaType::Fossil],
            ..ChannelOptions::default()
        };
        settings.channels = Channels::all(options);
    };
    for (settings, request) in [
        (takes_deltas as fn(&mut Settings), r#"{"channel":"a"}"#),
        (takes_deltas, r#"{"channel":"a","delta":"tomorrow"}"#),
        (plain, r#"{"channel":"a","delta":"fossil"}"#),
        (unwatched, r#"{"channel":"a","delta":"fossil"}"#),
    ] {
        let mut bench = Bench::connected_as(Rights::ALL, None, settings);
        bench.say(&format!(r#"{{"id":2,"subscribe":{request}}}"#));
        assert!(
            matches!(subscription(bench.take()).variant, Variant::Centrifuge(_)),
            "{request}"
        );
    }
}

/// What happens to a channel and one of its clients.
#[derive(Debug, Clone)]
enum Step {
    Publish,
    /// The last publications on their way to the client are lost.
    Lose,
    /// What is on its way arrives.
    Arrive(usize),
    /// Everything that waited did not fit.
    Overflow,
    /// The client's connection breaks; it comes back at once.
    Reconnect,
    /// All but the newest of the history are forgotten.
    Forget(usize),
    /// The stream begins another life.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Publish),
        1 => Just(Step::Lose),
        4 => (1_usize..4).prop_map(Step::Arrive),
        1 => Just(Step::Overflow),
        2 => Just(Step::Reconnect),
        1 => (0_usize..6).prop_map(Step::Forget),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

/// A stream, what is on its way to one client, and the client as the library keeps it.
struct World {
    bench: Bench,
    slot: Slot,
    epoch: u64,
    top: u64,
    /// What is still remembered, oldest first.
    kept: Vec<u64>,
    limit: usize,
    on_the_way: Vec<u64>,
    /// The client's position and what it has seen since it was last told that something is missing.
    client: (u64, u64),
    seen: BTreeMap<u64, Vec<u64>>,
}

impl World {
    fn new(limit: usize) -> Self {
        let bench = Bench::connected();
        let mut world = Self {
            bench,
            slot: Slot(0),
            epoch: 7,
            top: 0,
            kept: Vec::new(),
            limit,
            on_the_way: Vec::new(),
            client: (0, 0),
            seen: BTreeMap::new(),
        };
        world.subscribe(false, &[]);
        world
    }

    /// Subscribes; `racing` is published after the subscription has entered the hub and before the history is read.
    fn subscribe(&mut self, recover: bool, racing: &[()]) {
        let (epoch, offset) = self.client;
        let request = format!(
            r#"{{"id":2,"subscribe":{{"channel":"a","recover":{recover},"epoch":"{epoch}","offset":{offset}}}}}"#
        );
        self.bench.say(&request);
        self.slot = subscription(self.bench.take()).slot;
        self.on_the_way.clear();
        for () in racing {
            self.publish();
        }
        let missed = self
            .kept
            .iter()
            .copied()
            .filter(|kept| recover && *kept > offset)
            .take(self.limit);
        let at = |offset| StreamPosition {
            offset,
            epoch: StreamEpoch(self.epoch),
        };
        let publications = missed
            .map(|offset| Message {
                position: Some(at(offset)),
                ..message(offset)
            })
            .collect();
        let start = Ok(Start::History(History {
            publications,
            top: at(self.top),
        }));
        let slot = self.slot;
        self.arrive(racing.len() / 2);
        self.bench.complete(Completion::Subscribed { slot, start });
        self.hear();
    }

    fn publish(&mut self) {
        self.top += 1;
        self.kept.push(self.top);
        self.on_the_way.push(self.top);
    }

    fn arrive(&mut self, count: usize) {
        let count = count.min(self.on_the_way.len());
        for offset in self.on_the_way.drain(..count) {
            let class = Class::Stream(Some(StreamPosition {
                offset,
                epoch: StreamEpoch(self.epoch),
            }));
            self.bench.engine.deliver(Delivery {
                class,
                ..delivery(self.slot, offset)
            });
        }
    }

    /// What the library does with what it hears.
    fn hear(&mut self) {
        for output in self.bench.take() {
            match output {
                Output::Reply(Reply::Done(_, Outcome::Subscribe(result))) => self.hear_subscribed(result),
                Output::Forward(frame) => {
                    let offset = String::from_utf8_lossy(&frame).parse().unwrap();
                    self.hear_publication(offset);
                }
                Output::Reply(Reply::Push(Push::Unsubscribe { code, .. })) => {
                    assert_eq!(code, UnsubscribeCode::InsufficientState);
                    return self.subscribe(true, &[]);
                }
                Output::Note(_) => {}
                Output::Do(Effect::Unsubscribe { slot }) => self.bench.complete(Completion::Unsubscribed { slot }),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn hear_subscribed(&mut self, result: SubscribeResult) {
        let epoch = result.epoch.parse().unwrap();
        if result.recovered {
            assert_eq!(epoch, self.client.0);
            assert_eq!(result.offset, self.client.1);
        } else {
            assert!(result.publications.is_empty(), "a partial recovery");
            self.seen.remove(&epoch);
        }
        self.client = (epoch, result.offset);
        for publication in result.publications {
            self.hear_publication(publication.offset);
        }
    }

    fn hear_publication(&mut self, offset: u64) {
        assert_eq!(offset, self.client.1 + 1, "a gap or a repetition");
        self.client.1 = offset;
        self.seen.entry(self.client.0).or_default().push(offset);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish => self.publish(),
            Step::Lose => {
                self.on_the_way.pop();
            }
            Step::Arrive(count) => self.arrive(*count),
            Step::Overflow => {
                self.on_the_way.clear();
                self.bench.engine.overflow(self.slot);
            }
            Step::Reconnect => {
                self.bench = Bench::connected();
                self.subscribe(true, &[(), (), ()]);
            }
            Step::Forget(count) => {
                let keep_from = self.kept.len().saturating_sub(*count);
                self.kept.drain(..keep_from);
            }
            Step::Restart => {
                self.epoch += 1;
                self.top = 0;
                self.kept.clear();
                self.on_the_way.clear();
            }
        }
        self.hear();
    }
}

proptest! {
    #[test]
    fn each_client_ends_with_each_publication_once_and_in_order_or_is_told(steps in steps(), limit in 1_usize..20) {
        let mut world = World::new(limit);
        for step in &steps {
            world.step(step);
        }
        // The world comes to rest: one more publication reaches everybody, or shows that something is missing.
        world.publish();
        world.arrive(usize::MAX);
        world.hear();
        prop_assert_eq!(world.client, (world.epoch, world.top));
        for seen in world.seen.values() {
            prop_assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", seen);
        }
    }

    #[test]
    fn no_sequence_of_commands_makes_the_engine_panic_or_answer_twice(
        texts in prop::collection::vec(prop_oneof![
            Just(r#"{"id":2,"subscribe":{"channel":"a"}}"#),
            Just(r#"{"id":3,"subscribe":{"channel":"b","recover":true,"epoch":"7","offset":2}}"#),
            Just(r#"{"id":4,"unsubscribe":{"channel":"a"}}"#),
            Just(r#"{"id":5,"publish":{"channel":"a","data":{}}}"#),
            Just(r#"{"id":6,"history":{"channel":"a","limit":3}}"#),
            Just(r#"{"id":7,"presence":{"channel":"a"}}"#),
            Just(r#"{"id":8,"presence_stats":{"channel":"a"}}"#),
            Just(r#"{"id":9,"ping":{}}"#),
            Just(r#"{"id":10,"rpc":{}}"#),
            Just("deliver"),
            Just("overflow"),
            Just("tick"),
            Just("{}"),
        ], 0..40),
    ) {
        let mut bench = Bench::connected();
        let (mut closed, mut asked, mut answered) = (false, 0, 0);
        for text in texts {
            match text {
                "deliver" => bench.engine.deliver(delivery(Slot(0), 1)),
                "overflow" => bench.engine.overflow(Slot(1)),
                "tick" => {
                    bench.now += Duration::from_secs(1);
                    bench.engine.tick(bench.now);
                }
                text => {
                    asked += u32::from(!closed && text != "{}");
                    bench.say(text);
                }
            }
            loop {
                let outputs = bench.take();
                if outputs.is_empty() {
                    break;
                }
                for output in outputs {
                    prop_assert!(!closed, "something follows the close");
                    match output {
                        Output::Reply(Reply::Done(..) | Reply::Refused(..)) => answered += 1,
                        Output::Reply(Reply::Push(_) | Reply::Ping) | Output::Forward(_) | Output::Note(_) => {}
                        Output::Close(_) => closed = true,
                        Output::Do(effect) => bench.complete(succeed(effect)),
                    }
                }
            }
            prop_assert!(!bench.engine.is_busy());
            prop_assert_eq!(asked, answered);
        }
    }
}

/// What an effect gives when everything is well.
fn succeed(effect: Effect) -> Completion {
    match effect {
        Effect::Authenticate(_) => Completion::Authenticated(Ok(Identity::known(Principal::local(), None))),
        Effect::ReadGrant { .. } => Completion::Granted(Ok(None)),
        Effect::Subscribe(subscribe) => Completion::Subscribed {
            slot: subscribe.slot,
            start: Ok(Start::History(history(0..0, 0))),
        },
        Effect::Unsubscribe { slot } => Completion::Unsubscribed { slot },
        Effect::Publish { .. } => Completion::Published(Ok(None)),
        Effect::ReadHistory { .. } => Completion::History(Ok(history(1..3, 2))),
        Effect::ReadPresence { .. } => Completion::Presence(Ok(Vec::new())),
        Effect::CountPresence { .. } => Completion::PresenceCount(Ok(Default::default())),
        Effect::Operate { .. } => panic!("the protocol has no operations"),
        Effect::Ask(ask) => panic!("nobody is to be asked: {ask:?}"),
    }
}
