//! Backends that have a say.

use super::*;
use crate::broker::Retention;
use crate::codes::{CustomDisconnect, CustomError, Denial, Disconnect, Refusal};
use crate::grant::{Grant, Welcome};
use crate::proxy::{About, Answer, Ask, Edited, Prolonged, Question};

const MINUTE: Duration = Duration::from_secs(60);

const PROXIED: &str = r#"{
    "client": {"proxy": {"refresh": {"enabled": true, "endpoint": "http://backend/refresh"}}},
    "channel": {"proxy": {
        "subscribe": {"endpoint": "http://backend/subscribe"},
        "publish": {"endpoint": "http://backend/publish"},
        "sub_refresh": {"endpoint": "http://backend/sub_refresh"}
    }},
    "proxies": [{"name": "other", "endpoint": "http://other/"}],
    "rpc": {
        "proxy": {"endpoint": "http://backend/rpc"},
        "without_namespace": {"proxy_enabled": true},
        "namespaces": [{"name": "off"}, {"name": "other", "proxy_enabled": true, "proxy_name": "other"}]
    },
    "namespaces": [{
        "name": "chat", "history_size": 10, "history_ttl": "1m", "allow_user_limited_channels": true,
        "subscribe_proxy_enabled": true, "publish_proxy_enabled": true, "publish_proxy_name": "other",
        "sub_refresh_proxy_enabled": true
    }]
}"#;

/// A connection of the user `ann` with `meta`, good for so long.
fn ann(config: &str, expires_in: Option<Duration>) -> (Bench, String) {
    let config: Config = serde_json::from_str(config).unwrap();
    let mut bench = Bench::with(|settings| *settings = Settings::validate(&config, false).unwrap());
    bench.say(r#"{"id":1,"connect":{"data":{"a":1},"headers":{"X-A":"b"}}}"#);
    let Some(Output::Do(Effect::Authenticate(credentials))) = bench.take().pop() else {
        panic!("it is to be known who this is");
    };
    assert_eq!((credentials.data.len(), credentials.headers["X-A"].as_str()), (7, "b"));
    let principal = Principal {
        owner: "ann".parse().unwrap(),
        rights: Rights::DEFAULT,
        ..Principal::local()
    };
    let welcome = Welcome {
        meta: Payload::of(&"m").unwrap(),
        ..Welcome::default()
    };
    bench.complete(Completion::Authenticated(Ok(Identity {
        welcome,
        ..Identity::known(principal, expires_in)
    })));
    let heard = bench.heard().join(" ");
    (bench, heard)
}

impl Bench {
    /// What the engine asks, and nothing else.
    fn asked(&mut self) -> Ask {
        let outputs = self.take();
        match <[Output; 1]>::try_from(outputs) {
            Ok([Output::Do(Effect::Ask(ask))]) => *ask,
            other => panic!("no question but {other:?}"),
        }
    }

    fn answer(&mut self, about: About, answer: Result<Answer, Denial>) {
        self.complete(Completion::Answered { about, answer });
    }

    /// Lets time pass; the client is not silent.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.heard(self.now);
        while self.engine.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.engine.tick(self.now);
        }
    }

    /// What is said beside pings.
    fn said(&mut self) -> Vec<String> {
        self.heard().into_iter().filter(|text| text != "{}").collect()
    }
}

fn refused() -> Denial {
    Denial::Refused(Refusal::Custom(
        CustomError {
            code: 403,
            message: "no".into(),
            temporary: false,
        }
        .into(),
    ))
}

fn disconnected() -> Denial {
    let custom = CustomDisconnect::new(4501, "out".into()).unwrap();
    Denial::Disconnected(Disconnect::Custom(custom.into()))
}

fn text(json: &str) -> Payload {
    Payload::from_bytes(json.as_bytes())
}

#[test]
fn a_method_is_called_where_its_namespace_has_a_proxy() {
    let (mut bench, _) = ann(PROXIED, None);
    bench.say(r#"{"id":2,"rpc":{"method":"price","data":{"of":7}}}"#);
    assert!(bench.engine.is_busy(), "nothing is taken before the answer");
    let ask = bench.asked();
    assert_eq!((ask.proxy.as_str(), ask.user.as_str()), ("default", "ann"));
    assert_eq!(ask.meta, text(r#""m""#));
    let (method, data) = ("price".to_owned(), text(r#"{"of":7}"#));
    assert_eq!(ask.question, Question::Rpc { method, data });
    bench.answer(About::Command, Ok(Answer::Rpc(text("{\n\"is\":3}"))));
    assert_eq!(bench.heard(), [r#"{"id":2,"rpc":{"data":{ "is":3}}}"#]);

    bench.say(r#"{"id":3,"rpc":{"method":"other:x"}}"#);
    assert_eq!(bench.asked().proxy, "other");
    bench.answer(About::Command, Ok(Answer::Rpc(Payload::default())));
    assert_eq!(bench.heard(), [r#"{"id":3,"rpc":{}}"#]);
    for (method, code) in [("off:x", 108), ("nobody:x", 104)] {
        let heard = bench.ask(&format!(r#"{{"id":4,"rpc":{{"method":"{method}"}}}}"#));
        assert!(heard.contains(&format!(r#""code":{code}"#)), "{heard}");
    }

    bench.say(r#"{"id":5,"rpc":{"method":"bytes"}}"#);
    bench.take();
    bench.answer(About::Command, Ok(Answer::Rpc(Payload::from_bytes(&[0, 1]))));
    assert!(bench.heard()[0].contains(r#""code":100"#), "no form in JSON");
    bench.say(r#"{"id":6,"rpc":{"method":"no"}}"#);
    bench.take();
    bench.answer(About::Command, Err(refused()));
    assert_eq!(bench.heard(), [r#"{"id":6,"error":{"code":403,"message":"no"}}"#]);
    bench.say(r#"{"id":7,"rpc":{"method":"out"}}"#);
    bench.take();
    bench.answer(About::Command, Err(disconnected()));
    assert_eq!(bench.heard(), ["close 4501"]);
}

#[test]
fn without_any_proxy_there_are_no_methods() {
    let mut bench = Bench::connected();
    assert!(
        bench
            .ask(r#"{"id":2,"rpc":{"method":"a:b"}}"#)
            .contains(r#""code":108"#)
    );
}

#[test]
fn a_backend_says_who_may_publish_and_what() {
    let (mut bench, _) = ann(PROXIED, None);
    let publish = r#"{"id":2,"publish":{"channel":"chat:a","data":{"n":1}}}"#;
    bench.say(publish);
    let ask = bench.asked();
    assert_eq!(ask.proxy, "other");
    let (channel, data) = ("chat:a".to_owned(), text(r#"{"n":1}"#));
    assert_eq!(ask.question, Question::Publish { channel, data });
    let edited = Edited {
        data: Some(text(r#"{"n":2}"#)),
        tags: [("a".to_owned(), "b".to_owned())].into(),
        skip_history: true,
        idempotency_key: Some("k".into()),
        delta: true,
    };
    bench.answer(About::Command, Ok(Answer::Publish(Box::new(edited))));
    let outputs = bench.take();
    let [
        Output::Do(Effect::Publish {
            outgoing, retention, ..
        }),
    ] = &outputs[..]
    else {
        panic!("it is not published: {outputs:?}");
    };
    assert_eq!((&outgoing.data, *retention), (&text(r#"{"n":2}"#), Retention::NONE));
    assert_eq!(
        (outgoing.tags["a"].as_str(), outgoing.idempotency_key.as_deref()),
        ("b", Some("k"))
    );
    assert_eq!(outgoing.info.as_ref().map(|info| info.user.as_str()), Some("ann"));
    bench.complete(Completion::Published(Ok(None)));
    assert_eq!(bench.heard(), [r#"{"id":2,"publish":{}}"#]);

    bench.say(publish);
    bench.take();
    bench.answer(About::Command, Err(refused()));
    assert_eq!(bench.heard(), [r#"{"id":2,"error":{"code":403,"message":"no"}}"#]);
}

#[test]
fn a_backend_says_who_may_subscribe_unless_the_name_does() {
    let (mut bench, _) = ann(PROXIED, None);
    bench.say(r#"{"id":2,"subscribe":{"channel":"chat:a","data":[1]}}"#);
    let (channel, data) = ("chat:a".to_owned(), text("[1]"));
    assert_eq!(bench.asked().question, Question::Subscribe { channel, data });
    let grant = Grant {
        info: text(r#""seen""#),
        data: text(r#""told""#),
        expires_in: Some(MINUTE),
        ..Grant::default()
    };
    bench.answer(About::Command, Ok(Answer::Subscribe(Box::new(grant))));
    let wanted = subscription(bench.take());
    assert_eq!(wanted.info.chan_info, text(r#""seen""#));
    bench.complete(Completion::Subscribed {
        slot: wanted.slot,
        start: Ok(Start::Nothing),
    });
    // The client is not told of an end: the server sees to it.
    assert_eq!(bench.heard(), [r#"{"id":2,"subscribe":{"data":"told"}}"#]);

    bench.say(r#"{"id":3,"subscribe":{"channel":"chat:b"}}"#);
    bench.take();
    bench.answer(About::Command, Err(refused()));
    assert_eq!(bench.heard(), [r#"{"id":3,"error":{"code":403,"message":"no"}}"#]);
    assert!(
        bench
            .ask(r#"{"id":4,"subscribe":{"channel":"chat:#bob"}}"#)
            .contains("103")
    );
    assert!(
        bench
            .ask(r#"{"id":4,"subscribe":{"channel":"$chat:b"}}"#)
            .contains("103")
    );
    bench.say(r#"{"id":5,"subscribe":{"channel":"chat:#ann"}}"#);
    assert_eq!(subscription(bench.take()).channel.name(), "chat:#ann");
}

#[test]
fn a_connection_goes_on_as_long_as_the_backend_says() {
    let (mut bench, heard) = ann(PROXIED, Some(MINUTE));
    assert!(!heard.contains("expires"), "{heard}");
    bench.pass(MINUTE);
    let said = bench.take();
    let asks = said
        .iter()
        .filter(|output| matches!(output, Output::Do(Effect::Ask(ask)) if ask.about == About::Connection));
    assert_eq!(asks.count(), 1);
    // Commands are taken meanwhile as far as effects let them, and it is asked once.
    bench.pass(MINUTE);
    assert_eq!(bench.said(), [""; 0]);
    let prolonged = Prolonged::For {
        time: Some(MINUTE),
        info: Some(text(r#""new""#)),
        meta: Some(text(r#""n""#)),
    };
    bench.answer(About::Connection, Ok(Answer::Prolong(prolonged)));
    bench.say(r#"{"id":3,"rpc":{"method":"x"}}"#);
    assert_eq!(bench.asked().meta, text(r#""n""#));
    bench.answer(About::Command, Ok(Answer::Rpc(Payload::default())));
    bench.take();

    // The backend is away: it is asked again, and the connection lives.
    bench.pass(MINUTE);
    bench.take();
    bench.answer(About::Connection, Err(ErrorCode::Internal.into()));
    bench.pass(MINUTE - Duration::from_secs(1));
    assert_eq!(bench.said(), [""; 0]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.said(), ["effect"]);
    bench.answer(About::Connection, Ok(Answer::Prolong(Prolonged::Over)));
    assert_eq!(bench.said(), ["close 3005"]);

    for no in [refused(), disconnected()] {
        let (mut bench, _) = ann(PROXIED, Some(MINUTE));
        bench.pass(MINUTE);
        bench.take();
        bench.answer(About::Connection, Err(no));
        assert_eq!(bench.said(), ["close 3005"]);
    }
    let (mut bench, _) = ann(PROXIED, Some(MINUTE));
    assert_eq!(bench.ask(r#"{"id":2,"refresh":{"token":"t"}}"#), "close 3501");
}

#[test]
fn a_subscription_goes_on_as_long_as_the_backend_says() {
    let (mut bench, _) = ann(PROXIED, None);
    bench.say(r#"{"id":2,"subscribe":{"channel":"chat:a"}}"#);
    bench.take();
    let grant = Grant {
        expires_in: Some(MINUTE),
        ..Grant::default()
    };
    bench.answer(About::Command, Ok(Answer::Subscribe(Box::new(grant))));
    let slot = subscription(bench.take()).slot;
    let start = Ok(Start::Nothing);
    bench.complete(Completion::Subscribed { slot, start });
    bench.take();
    for _ in 0..2 {
        bench.pass(MINUTE);
        assert_eq!(bench.said(), ["effect"]);
        let prolonged = Prolonged::For {
            time: Some(MINUTE),
            info: None,
            meta: None,
        };
        bench.answer(About::Subscription(slot), Ok(Answer::Prolong(prolonged)));
    }
    bench.pass(MINUTE);
    bench.take();
    bench.answer(About::Subscription(slot), Ok(Answer::Prolong(Prolonged::Over)));
    let unsubscribed = r#"{"push":{"channel":"chat:a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}"#;
    assert_eq!(bench.said(), ["effect", unsubscribed]);
    // What still comes for it goes nowhere.
    bench.answer(About::Subscription(slot), Ok(Answer::Prolong(Prolonged::Over)));
    assert_eq!(bench.said(), [""; 0]);
}

#[test]
fn who_is_not_let_in_is_told_in_the_backends_words() {
    for (denial, heard) in [
        (refused(), r#"{"id":1,"error":{"code":403,"message":"no"}}"#),
        (disconnected(), "close 4501"),
        (
            ErrorCode::Internal.into(),
            r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
        ),
    ] {
        let mut bench = Bench::opened();
        bench.say(r#"{"id":1,"connect":{}}"#);
        bench.take();
        bench.complete(Completion::Authenticated(Err(denial.into())));
        assert_eq!(bench.heard(), [heard]);
    }
}
