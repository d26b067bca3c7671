//! Subscription tokens, namespaces, subscriptions of the server's, and who comes and goes.

use super::*;
use crate::config::{Channels, Namespace};
use crate::grant::{Grant, ServerSubscription, SubscriptionToken, Welcome};
use crate::session::Instruction;

const MINUTE: Duration = Duration::from_secs(60);

fn namespaces(json: &str) -> impl FnOnce(&mut Settings) + use<'_> {
    move |settings| {
        let namespaces: Vec<Namespace> = serde_json::from_str(json).unwrap();
        settings.channels = Channels::validate(None, &namespaces, false).unwrap();
        settings.verifies_tokens = true;
    }
}

/// A connection of the user `ann`.
fn ann(json: &str) -> Bench {
    let mut bench = Bench::with(namespaces(json));
    bench.say(r#"{"id":1,"connect":{}}"#);
    bench.complete(Completion::Authenticated(Ok(Identity::known(ann_herself(), None))));
    bench.take();
    bench
}

fn ann_herself() -> Principal {
    Principal {
        owner: "ann".parse().unwrap(),
        ..Principal::local()
    }
}

fn token(user: &str, channel: &str, expires_in: Option<Duration>) -> Completion {
    Completion::Granted(Ok(Some(Box::new(SubscriptionToken {
        user: user.into(),
        channel: channel.into(),
        client: String::new(),
        grant: Grant {
            info: Payload::of(&"of the token").unwrap(),
            expires_in,
            ..Grant::default()
        },
    }))))
}

const CLOSED: &str = r#"[{"name":"chat","allow_user_limited_channels":true,"channel_regex":"^[a-z#,]+$"}]"#;

#[test]
fn without_a_token_a_closed_channel_is_refused_and_an_unknown_one_is_unknown() {
    let mut bench = ann(CLOSED);
    for (channel, code) in [
        ("chat:a", 103),
        ("$chat:a", 103),
        ("other:a", 102),
        ("plain", 103),
        ("chat:A", 107),
    ] {
        let answer = bench.ask(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#));
        assert!(answer.contains(&format!(r#""code":{code}"#)), "{channel} {answer}");
    }
}

#[test]
fn a_token_for_this_channel_and_user_opens_it_and_another_ends_the_connection() {
    let subscribe = r#"{"id":2,"subscribe":{"channel":"$chat:a","token":"t"}}"#;
    let mut bench = ann(CLOSED);
    bench.say(subscribe);
    assert_eq!(bench.take(), [Output::Do(Effect::ReadGrant { token: "t".into() })]);
    bench.complete(token("ann", "$chat:a", Some(MINUTE)));
    let wanted = subscription(bench.take());
    assert_eq!(wanted.info.chan_info, Payload::of(&"of the token").unwrap());
    bench.complete(Completion::Subscribed {
        slot: wanted.slot,
        start: Ok(Start::Nothing),
    });
    assert_eq!(bench.heard(), [r#"{"id":2,"subscribe":{"expires":true,"ttl":60}}"#]);

    for (user, channel) in [("bob", "$chat:a"), ("ann", "chat:b")] {
        let mut bench = ann(CLOSED);
        bench.say(subscribe);
        bench.take();
        bench.complete(token(user, channel, None));
        assert_eq!(bench.heard(), ["close 3500"]);
    }
    for (error, heard) in [
        (
            TokenError::Expired,
            r#"{"id":2,"error":{"code":109,"message":"token expired"}}"#,
        ),
        (
            TokenError::Invalid("no"),
            r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#,
        ),
    ] {
        let mut bench = ann(CLOSED);
        bench.say(subscribe);
        bench.take();
        bench.complete(Completion::Granted(Err(error)));
        assert_eq!(bench.heard(), [heard]);
    }
}

#[test]
fn a_subscription_ends_with_its_token_unless_it_is_refreshed() {
    let mut bench = ann(CLOSED);
    bench.say(r#"{"id":2,"subscribe":{"channel":"chat:a","token":"t"}}"#);
    bench.take();
    bench.complete(token("ann", "chat:a", Some(MINUTE)));
    let slot = subscription(bench.take()).slot;
    bench.complete(Completion::Subscribed {
        slot,
        start: Ok(Start::Nothing),
    });
    bench.take();
    let grace = Duration::from_secs(25);
    bench.now += MINUTE;
    bench.engine.heard(bench.now);
    bench.say(r#"{"id":3,"sub_refresh":{"channel":"chat:a","token":"u"}}"#);
    bench.take();
    bench.complete(token("ann", "chat:a", Some(MINUTE)));
    assert_eq!(bench.heard(), [r#"{"id":3,"sub_refresh":{"expires":true,"ttl":60}}"#]);
    for _ in 0..2 {
        bench.now += (MINUTE + grace) / 2;
        bench.engine.heard(bench.now);
        while bench.engine.deadline().is_some_and(|deadline| deadline <= bench.now) {
            bench.engine.tick(bench.now);
        }
    }
    let heard: Vec<String> = bench.heard().into_iter().filter(|text| text != "{}").collect();
    assert_eq!(
        heard,
        [
            "effect",
            r#"{"push":{"channel":"chat:a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}"#
        ]
    );
}

#[test]
fn a_channel_for_some_users_is_for_no_others() {
    let mut bench = ann(CLOSED);
    assert!(
        bench
            .ask(r#"{"id":2,"subscribe":{"channel":"chat:a#bob"}}"#)
            .contains(r#""code":103"#)
    );
    bench.say(r#"{"id":3,"subscribe":{"channel":"chat:a#bob,ann"}}"#);
    assert!(matches!(&bench.take()[..], [Output::Do(Effect::Subscribe(_))]));
}

#[test]
fn whom_nobody_knows_may_what_such_may() {
    let json = r#"[{"name":"open","allow_subscribe_for_client":true,"allow_subscribe_for_anonymous":true},
        {"name":"known","allow_subscribe_for_client":true,"allow_publish_for_client":true}]"#;
    let mut bench = Bench::with(namespaces(json));
    bench.say(r#"{"id":1,"connect":{}}"#);
    bench.complete(Completion::Authenticated(Ok(Identity::anonymous())));
    bench.take();
    assert!(
        bench
            .ask(r#"{"id":2,"subscribe":{"channel":"known:a"}}"#)
            .contains(r#""code":103"#)
    );
    let publish = r#"{"id":2,"publish":{"channel":"known:a","data":1}}"#;
    assert!(bench.ask(publish).contains(r#""code":103"#));
    let task = format!(r#"{{"id":2,"subscribe":{{"channel":"{TASK}"}}}}"#);
    assert!(bench.ask(&task).contains(r#""code":103"#));
    bench.say(r#"{"id":3,"subscribe":{"channel":"open:a"}}"#);
    assert_eq!(subscription(bench.take()).info.user, "");
}

#[test]
fn the_latest_publication_is_all_that_a_cache_recovers() {
    let json = r#"[{"name":"price","history_size":10,"history_ttl":"1m","force_recovery":true,
        "force_recovery_mode":"cache","allow_subscribe_for_client":true}]"#;
    let mut bench = ann(json);
    bench.say(r#"{"id":2,"subscribe":{"channel":"price:a","recover":true}}"#);
    let wanted = subscription(bench.take());
    let newest = Range {
        since: None,
        limit: 1,
        reverse: true,
    };
    assert_eq!(wanted.source, Source::History(newest));
    bench.complete(Completion::Subscribed {
        slot: wanted.slot,
        start: Ok(Start::History(history(5..6, 5))),
    });
    let heard = bench.heard().join(" ");
    assert!(
        heard.contains(r#""publications":[{"data":5,"offset":5}],"recovered":true"#),
        "{heard}"
    );
}

const TALK: &str = r#"[{"name":"chat","join_leave":true,"force_push_join_leave":true,"presence":true,
    "history_size":10,"history_ttl":"1m","force_recovery":true}]"#;

fn welcomed(bench: &mut Bench, channels: &[&str]) {
    let subscription = |channel: &&str| ServerSubscription {
        channel: (*channel).to_owned(),
        grant: Grant::default(),
    };
    let welcome = Welcome {
        info: Payload::of(&"ann's").unwrap(),
        subscriptions: channels.iter().map(subscription).collect(),
        ..Welcome::default()
    };
    bench.complete(Completion::Authenticated(Ok(Identity {
        welcome,
        ..Identity::known(ann_herself(), None)
    })));
}

#[test]
fn the_reply_to_connect_waits_for_the_subscriptions_of_the_server() {
    let mut bench = Bench::with(namespaces(TALK));
    bench.say(r#"{"id":1,"connect":{"subs":{"chat:b":{"recover":true,"epoch":"7","offset":3}}}}"#);
    bench.take();
    welcomed(&mut bench, &["chat:a", "chat:b", "chat:a"]);
    let slots: Vec<Subscribe> = bench
        .take()
        .into_iter()
        .map(|output| match output {
            Output::Do(Effect::Subscribe(subscribe)) => *subscribe,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(slots.len(), 2);
    assert!(slots[0].presence && slots[0].announced && slots[0].hears_others);
    assert_eq!(slots[0].info.conn_info, Payload::of(&"ann's").unwrap());
    assert!(bench.engine.is_busy());
    // What comes before the reply follows it.
    bench.engine.deliver(delivery(slots[0].slot, 1));
    bench.complete(Completion::Subscribed {
        slot: slots[0].slot,
        start: Ok(Start::History(history(0..0, 0))),
    });
    assert_eq!(bench.heard(), [""; 0]);
    bench.complete(Completion::Subscribed {
        slot: slots[1].slot,
        start: Ok(Start::History(history(4..6, 5))),
    });
    let heard = bench.heard();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(
        heard[1].contains(r#""chat:a":{"recoverable":true,"epoch":"7","positioned":true}"#),
        "{heard:?}"
    );
    assert!(
        heard[1].contains(r#""recovered":true"#) && heard[1].contains(r#""offset":5"#),
        "{heard:?}"
    );
    assert_eq!(heard[2], "frame 1");
    assert!(!bench.engine.is_busy());
    // A gap cannot be mended by the client alone, for it did not subscribe.
    bench.engine.deliver(delivery(slots[0].slot, 7));
    assert_eq!(bench.heard(), ["close 3010"]);
}

#[test]
fn a_token_that_brings_an_unknown_channel_is_refused() {
    let mut bench = Bench::with(namespaces(TALK));
    bench.say(r#"{"id":1,"connect":{}}"#);
    bench.take();
    welcomed(&mut bench, &["chat:a", "none:b"]);
    let heard = bench.heard();
    assert!(heard.last().unwrap().contains(r#""code":102"#), "{heard:?}");
}

#[test]
fn the_server_subscribes_and_unsubscribes_while_the_client_does_something_else() {
    let mut bench = ann(TALK);
    bench.say(r#"{"id":2,"unsubscribe":{"channel":"x"}}"#);
    bench.take();
    let wanted = ServerSubscription {
        channel: "chat:a".into(),
        grant: Grant::default(),
    };
    let now = bench.now;
    bench.engine.instruct(Instruction::Subscribe(Box::new(wanted)), now);
    let slot = subscription(bench.take()).slot;
    let unsubscribe = Instruction::Unsubscribe {
        channel: "chat:a".into(),
        code: UnsubscribeCode::Server,
    };
    bench.engine.instruct(unsubscribe, now);
    assert_eq!(bench.heard(), [""; 0], "the subscription has no beginning yet");
    bench.complete(Completion::Subscribed {
        slot,
        start: Ok(Start::History(history(0..0, 3))),
    });
    assert_eq!(
        bench.heard(),
        [
            r#"{"push":{"channel":"chat:a","subscribe":{"recoverable":true,"epoch":"7","offset":3,"positioned":true}}}"#,
            "effect",
            r#"{"push":{"channel":"chat:a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#,
        ]
    );
    bench.engine.instruct(
        Instruction::Refresh {
            expires_in: Some(MINUTE),
        },
        now,
    );
    assert_eq!(bench.heard(), [r#"{"push":{"refresh":{"expires":true,"ttl":60}}}"#]);
}
