//! One command after the other: who may do what, and what is answered.

use super::*;
use crate::config::Channels;

const BAD_REQUEST: &str = "close 3501";

fn refused(id: u32, code: u32) -> String {
    let error = ErrorCode::ALL
        .into_iter()
        .find(|error| error.parts().0 == code)
        .unwrap();
    let mut frame = Vec::new();
    json::encode(&Reply::Refused(id, error.into()), &mut frame).unwrap();
    String::from_utf8(frame).unwrap()
}

#[test]
fn before_connect_everything_else_is_a_bad_request() {
    for text in [
        r#"{"id":1,"subscribe":{"channel":"a"}}"#,
        r#"{"id":1,"publish":{"channel":"a","data":1}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"send":{}}"#,
        "{}",
        "garbage",
    ] {
        assert_eq!(Bench::opened().ask(text), BAD_REQUEST, "{text}");
    }
}

#[test]
fn connect_tells_who_the_client_is_and_how_it_is_pinged() {
    let mut bench = Bench::opened();
    bench.say(r#"{"id":1,"connect":{"token":"t"}}"#);
    assert_eq!(
        bench.take(),
        [Output::Do(Effect::Authenticate(Box::new(
            crate::session::Credentials::token("t".into())
        )))]
    );
    assert!(bench.engine.is_busy());
    let identity = Identity::known(Principal::local(), Some(Duration::from_millis(1_500)));
    bench.complete(Completion::Authenticated(Ok(identity)));
    let Some(Output::Reply(Reply::Done(1, Outcome::Connect(result)))) = bench.take().pop() else {
        panic!("no reply")
    };
    assert_eq!(result.client.len(), 36);
    assert_eq!(
        (result.ping, result.pong, result.expires, result.ttl),
        (30, true, true, 2)
    );
}

#[test]
fn an_expired_token_is_an_error_after_which_nothing_is_taken_and_a_wrong_one_ends_the_connection() {
    let mut bench = Bench::opened();
    bench.ask(r#"{"id":1,"connect":{"token":"t"}}"#);
    bench.complete(Completion::Authenticated(Err(TokenError::Expired.into())));
    assert_eq!(bench.heard(), [refused(1, 109)]);
    assert_eq!(bench.ask(r#"{"id":2,"subscribe":{"channel":"a"}}"#), BAD_REQUEST);

    for error in [TokenError::Missing, TokenError::Invalid("x")] {
        let mut bench = Bench::opened();
        bench.ask(r#"{"id":1,"connect":{}}"#);
        bench.complete(Completion::Authenticated(Err(error.into())));
        assert_eq!(bench.heard(), ["close 3500"]);
    }
}

#[test]
fn after_connect_what_breaks_the_protocol_ends_the_connection() {
    for text in [
        r#"{"id":2,"connect":{}}"#,
        "{}",
        r#"{"id":2}"#,
        r#"{"id":2,"fly":{}}"#,
        r#"{"subscribe":{"channel":"a"}}"#,
        r#"{"id":2,"subscribe":{}}"#,
        r#"{"id":2,"unsubscribe":{}}"#,
        r#"{"id":2,"publish":{"data":1}}"#,
        r#"{"id":2,"history":{}}"#,
        r#"{"id":2,"presence":{"channel":""}}"#,
        r#"{"id":2,"presence_stats":{}}"#,
        r#"{"id":2,"sub_refresh":{}}"#,
        r#"{"id":2,"subscribe":{"channel":"a""#,
        "\u{0}",
    ] {
        assert_eq!(Bench::connected().ask(text), BAD_REQUEST, "{text}");
    }
    assert_eq!(Bench::connected().ask(r#"{"send":{"data":1}}"#), "close 3508");
}

#[test]
fn commands_that_cannot_be_done_are_refused_and_the_connection_goes_on() {
    let long = "x".repeat(256);
    let table = [
        (format!(r#"{{"id":2,"subscribe":{{"channel":"{long}"}}}}"#), 107),
        (format!(r#"{{"id":2,"publish":{{"channel":"{long}","data":1}}}}"#), 107),
        (format!(r#"{{"id":2,"presence":{{"channel":"{long}"}}}}"#), 107),
        (r#"{"id":2,"subscribe":{"channel":"a\u0000"}}"#.into(), 107),
        (r#"{"id":2,"subscribe":{"channel":"task:../x"}}"#.into(), 102),
        (r#"{"id":2,"history":{"channel":"task:x"}}"#.into(), 102),
        (format!(r#"{{"id":2,"history":{{"channel":"{TASK}"}}}}"#), 108),
        (format!(r#"{{"id":2,"presence":{{"channel":"{TASK}"}}}}"#), 108),
        (format!(r#"{{"id":2,"publish":{{"channel":"{TASK}","data":1}}}}"#), 103),
        (r#"{"id":2,"publish":{"channel":"task:x","data":1}}"#.into(), 103),
        (r#"{"id":2,"publish":{"channel":"a"}}"#.into(), 107),
        (r#"{"id":2,"publish":{"channel":"a","data":1,"type":1}}"#.into(), 108),
        (r#"{"id":2,"subscribe":{"channel":"a","type":1}}"#.into(), 108),
        (r#"{"id":2,"subscribe":{"channel":"a","tf":{"key":"k"}}}"#.into(), 108),
        (r#"{"id":2,"rpc":{"method":"m"}}"#.into(), 108),
        (r#"{"id":2,"ping":{}}"#.into(), 108),
        (r#"{"id":2,"refresh":{"token":"t"}}"#.into(), 108),
        (r#"{"id":2,"sub_refresh":{"channel":"a","token":"t"}}"#.into(), 103),
    ];
    let mut bench = Bench::connected();
    for (text, code) in table {
        assert_eq!(bench.ask(&text), refused(2, code), "{text}");
    }
    assert_eq!(
        bench.ask(r#"{"id":3,"unsubscribe":{"channel":"never"}}"#),
        r#"{"id":3,"unsubscribe":{}}"#
    );
}

#[test]
fn closed_channels_allow_nothing_and_rights_are_demanded_beside_options() {
    let closed = |settings: &mut Settings| settings.channels = Channels::all(ChannelOptions::default());
    let mut bench = Bench::connected_as(Rights::ALL, None, closed);
    assert_eq!(bench.ask(r#"{"id":2,"subscribe":{"channel":"a"}}"#), refused(2, 103));
    assert_eq!(
        bench.ask(r#"{"id":2,"publish":{"channel":"a","data":1}}"#),
        refused(2, 103)
    );
    assert_eq!(bench.ask(r#"{"id":2,"history":{"channel":"a"}}"#), refused(2, 108));
    assert_eq!(bench.ask(r#"{"id":2,"presence":{"channel":"a"}}"#), refused(2, 108));
    bench.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{TASK}"}}}}"#));
    assert!(
        matches!(subscription(bench.take()).source, Source::Task { .. }),
        "tasks are not a matter of options"
    );

    let mut bench = Bench::connected_as(Rights::DEFAULT, None, |_| {});
    assert_eq!(
        bench.ask(r#"{"id":2,"publish":{"channel":"a","data":1}}"#),
        refused(2, 103)
    );
    let only_publish = [Right::Publish].into_iter().collect();
    let mut bench = Bench::connected_as(only_publish, None, |_| {});
    assert_eq!(bench.ask(r#"{"id":2,"subscribe":{"channel":"a"}}"#), refused(2, 103));
    assert_eq!(
        bench.ask(&format!(r#"{{"id":2,"subscribe":{{"channel":"{TASK}"}}}}"#)),
        refused(2, 103)
    );
    assert_eq!(bench.ask(r#"{"id":2,"history":{"channel":"a"}}"#), refused(2, 103));
}

fn for_subscribers() -> Channels {
    Channels::all(ChannelOptions {
        allow_publish_for_client: false,
        allow_history_for_client: false,
        allow_presence_for_client: false,
        ..ChannelOptions::open()
    })
}

#[test]
fn subscribers_may_do_what_others_may_not() {
    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| {
        settings.channels = for_subscribers();
    });
    let commands = [
        r#"{"id":2,"publish":{"channel":"a","data":1}}"#,
        r#"{"id":2,"history":{"channel":"a"}}"#,
        r#"{"id":2,"presence":{"channel":"a"}}"#,
        r#"{"id":2,"presence_stats":{"channel":"a"}}"#,
    ];
    for text in commands {
        assert_eq!(bench.ask(text), refused(2, 103), "{text}");
    }
    for text in commands {
        let mut bench = Bench::connected_as(Rights::ALL, None, |settings| {
            settings.channels = for_subscribers();
        });
        bench.subscribe("a", 0);
        assert_eq!(bench.ask(text), "effect", "{text}");
    }
}

#[test]
fn the_same_channel_is_not_subscribed_twice_nor_more_than_the_limit() {
    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| settings.subscriptions_max = 2);
    bench.subscribe("a", 0);
    assert_eq!(bench.ask(r#"{"id":2,"subscribe":{"channel":"a"}}"#), refused(2, 105));
    bench.subscribe("b", 0);
    assert_eq!(bench.ask(r#"{"id":2,"subscribe":{"channel":"c"}}"#), refused(2, 106));
    bench.say(r#"{"id":3,"unsubscribe":{"channel":"a"}}"#);
    let Some(Output::Do(Effect::Unsubscribe { slot })) = bench.take().pop() else {
        panic!("nothing is ended")
    };
    bench.complete(Completion::Unsubscribed { slot });
    assert_eq!(bench.heard(), [r#"{"id":3,"unsubscribe":{}}"#]);
    bench.subscribe("a", 0);
}

#[test]
fn a_channel_is_known_inside_by_its_tenant() {
    let mut bench = Bench::connected();
    bench.say(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    assert_eq!(subscription(bench.take()).channel.as_str(), "default/a");
}

#[test]
fn history_is_read_within_bounds_and_pages() {
    let mut bench = Bench::connected();
    let table = [
        (
            r#"{"channel":"a"}"#,
            Range {
                since: None,
                limit: 0,
                reverse: false,
            },
        ),
        (
            r#"{"channel":"a","limit":-1}"#,
            Range {
                since: None,
                limit: 300,
                reverse: false,
            },
        ),
        (
            r#"{"channel":"a","limit":999999}"#,
            Range {
                since: None,
                limit: 300,
                reverse: false,
            },
        ),
        (
            r#"{"channel":"a","limit":5,"reverse":true,"since":{"offset":4,"epoch":"7"}}"#,
            Range {
                since: Some(4),
                limit: 5,
                reverse: true,
            },
        ),
        (
            r#"{"channel":"a","limit":5,"since":{"epoch":"7"}}"#,
            Range {
                since: Some(0),
                limit: 5,
                reverse: false,
            },
        ),
    ];
    for (request, expected) in table {
        bench.say(&format!(r#"{{"id":2,"history":{request}}}"#));
        let Some(Output::Do(Effect::ReadHistory { range, .. })) = bench.take().pop() else {
            panic!("{request}")
        };
        assert_eq!(range, expected, "{request}");
        bench.complete(Completion::History(Ok(history(4..6, 9))));
        assert_eq!(
            bench.heard(),
            [
                r#"{"id":2,"history":{"publications":[{"data":4,"offset":4},{"data":5,"offset":5}],"epoch":"7","offset":9}}"#
            ]
        );
    }
    bench.ask(r#"{"id":2,"history":{"channel":"a","since":{"offset":1,"epoch":"another"}}}"#);
    bench.complete(Completion::History(Ok(history(4..6, 9))));
    assert_eq!(bench.heard(), [refused(2, 112)]);
    bench.ask(r#"{"id":2,"history":{"channel":"a"}}"#);
    bench.complete(Completion::History(Err(Failure::Unavailable)));
    assert_eq!(bench.heard(), [refused(2, 100)]);
}

#[test]
fn a_reply_carries_no_more_bytes_than_its_bound() {
    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| settings.reply_bytes_max = 2);
    bench.ask(r#"{"id":2,"history":{"channel":"a","limit":-1}}"#);
    bench.complete(Completion::History(Ok(history(1..6, 5))));
    let Some(Output::Reply(Reply::Done(2, Outcome::History(result)))) = bench.take().pop() else {
        panic!("no reply")
    };
    assert_eq!((result.publications.len(), result.offset), (2, 5));
}

#[test]
fn presence_is_told_by_connection() {
    let mut bench = Bench::connected();
    bench.ask(r#"{"id":2,"presence":{"channel":"a"}}"#);
    let info = crate::client::ClientInfo {
        user: "ada".into(),
        client: "c".into(),
        ..Default::default()
    };
    bench.complete(Completion::Presence(Ok(vec![info])));
    assert_eq!(
        bench.heard(),
        [r#"{"id":2,"presence":{"presence":{"c":{"user":"ada","client":"c"}}}}"#]
    );
    bench.ask(r#"{"id":2,"presence_stats":{"channel":"a"}}"#);
    bench.complete(Completion::PresenceCount(Ok(crate::broker::PresenceCount {
        clients: 3,
        users: 2,
    })));
    assert_eq!(
        bench.heard(),
        [r#"{"id":2,"presence_stats":{"num_clients":3,"num_users":2}}"#]
    );
}

#[test]
fn a_connection_ends_with_its_token_unless_it_is_refreshed_by_the_same_user() {
    let minute = Duration::from_secs(60);
    let mut bench = Bench::connected_as(Rights::ALL, Some(minute), |_| {});
    bench.say(r#"{"id":2,"refresh":{"token":"t"}}"#);
    bench.take();
    bench.now += minute;
    bench.engine.heard(bench.now);
    let identity = Identity::known(Principal::local(), Some(minute));
    bench.complete(Completion::Authenticated(Ok(identity.clone())));
    let Some(Output::Reply(Reply::Done(2, Outcome::Refresh(result)))) = bench.take().pop() else {
        panic!("no reply")
    };
    assert_eq!((result.expires, result.ttl), (true, 60));

    bench.say(r#"{"id":3,"refresh":{"token":"t"}}"#);
    bench.take();
    bench.complete(Completion::Authenticated(Err(TokenError::Expired.into())));
    assert_eq!(bench.heard(), [refused(3, 109)]);

    bench.now += minute + Duration::from_secs(25);
    bench.engine.heard(bench.now);
    bench.engine.tick(bench.now);
    assert_eq!(bench.heard(), ["close 3005"]);

    let mut bench = Bench::connected_as(Rights::ALL, Some(minute), |_| {});
    bench.ask(r#"{"id":2,"refresh":{"token":"t"}}"#);
    let principal = Principal {
        owner: "eve".parse().unwrap(),
        ..identity.principal
    };
    bench.complete(Completion::Authenticated(Ok(Identity::known(principal, Some(minute)))));
    assert_eq!(bench.heard(), ["close 3500"]);
    assert_eq!(Bench::connected().ask(r#"{"id":2,"refresh":{}}"#), BAD_REQUEST);
}

#[test]
fn a_client_that_does_not_connect_is_stale_and_one_that_does_not_pong_is_gone() {
    let mut bench = Bench::opened();
    let deadline = bench.engine.deadline().unwrap();
    assert_eq!(deadline - bench.now, Duration::from_secs(10));
    bench.engine.tick(deadline - Duration::from_millis(1));
    assert!(bench.heard().is_empty());
    bench.engine.tick(deadline);
    assert_eq!(bench.heard(), ["close 3502"]);
    assert_eq!(bench.engine.deadline(), None);

    let mut bench = Bench::connected();
    let mut heard = Vec::new();
    let start = bench.now;
    while let Some(deadline) = bench.engine.deadline() {
        bench.now = deadline;
        bench.engine.tick(deadline);
        heard.extend(bench.heard());
    }
    assert_eq!(heard, ["{}", "{}", "{}", "close 3012"]);
    assert_eq!(bench.now - start, Duration::from_secs(60));
}

#[test]
fn each_ping_takes_one_pong() {
    let mut bench = Bench::connected();
    bench.engine.tick(bench.engine.deadline().unwrap());
    assert_eq!(bench.heard(), ["{}"]);
    assert_eq!(bench.ask("{}"), "");
    assert_eq!(bench.ask("{}"), BAD_REQUEST);
}

#[test]
fn after_the_end_nothing_happens() {
    let mut bench = Bench::connected();
    let slot = bench.subscribe("a", 0);
    bench.ask(r#"{"id":2,"publish":{"channel":"a","data":1}}"#);
    bench.engine.leave();
    assert_eq!(bench.heard(), ["close 3001"]);
    bench.complete(Completion::Published(Ok(None)));
    bench.engine.leave();
    bench.engine.deliver(delivery(slot, 1));
    bench.engine.overflow(slot);
    bench.engine.tick(bench.now + Duration::from_secs(1_000));
    assert_eq!(bench.ask(r#"{"id":3,"ping":{}}"#), "");
}
