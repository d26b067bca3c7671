use super::*;
use crate::centrifuge::codec::Codec;
use crate::codes::{ErrorCode, UnsubscribeCode};
use crate::payload::Payload;
use proptest::prelude::*;

fn one(text: &str) -> Result<Command, Malformed> {
    let mut commands = Codec::Json.decode(text.as_bytes());
    assert_eq!(commands.len(), 1, "{text}");
    commands.remove(0)
}

fn encoded(reply: &Reply) -> String {
    let mut frame = Vec::new();
    encode(reply, &mut frame).unwrap();
    String::from_utf8(frame).unwrap()
}

#[test]
fn what_the_javascript_library_sends_first_is_read() {
    let frame = concat!(
        r#"{"connect":{"name":"js","flag":1},"id":1}"#,
        "\n",
        r#"{"subscribe":{"channel":"news","recover":true,"epoch":"7","offset":3,"flag":1},"id":2}"#,
        "\n"
    );
    let commands: Vec<Command> = Codec::Json
        .decode(frame.as_bytes())
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        commands[0].method,
        Method::Connect(ConnectRequest {
            name: "js".into(),
            ..Default::default()
        })
    );
    let Method::Subscribe(request) = &commands[1].method else {
        panic!("{commands:?}")
    };
    assert_eq!(
        (request.channel.as_str(), request.recover, request.offset),
        ("news", true, 3)
    );
    assert_eq!(commands[1].id, 2);
}

#[test]
fn an_empty_object_is_a_pong() {
    assert_eq!(
        one("{}"),
        Ok(Command {
            id: 0,
            method: Method::Pong
        })
    );
}

#[test]
fn what_is_no_command_is_malformed() {
    for text in [
        "",
        "\n\n",
        "null",
        "[]",
        "7",
        "{",
        "\u{0}",
        r#"{"id":1}"#,
        r#"{"id":1,"unknown":{}}"#,
        r#"{"connect":{}}"#,
        r#"{"id":0,"subscribe":{"channel":"a"}}"#,
        r#"{"id":-1,"connect":{}}"#,
        r#"{"id":4294967296,"connect":{}}"#,
        r#"{"id":1,"connect":{},"subscribe":{"channel":"a"}}"#,
        r#"{"id":1,"connect":[]}"#,
        r#"{"id":1,"connect":{"token":7}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","offset":-1}}"#,
        r#"{"id":1,"connect":{}} {"id":2}"#,
    ] {
        assert_eq!(one(text), Err(Malformed), "{text}");
    }
}

#[test]
fn what_comes_after_a_malformed_command_is_not_read() {
    let commands = Codec::Json.decode(b"{\"id\":1,\"ping\":{}}\ngarbage\n{\"id\":2,\"ping\":{}}");
    assert_eq!(
        commands,
        [
            Ok(Command {
                id: 1,
                method: Method::Ping
            }),
            Err(Malformed)
        ]
    );
}

#[test]
fn fields_of_a_later_protocol_are_ignored() {
    assert!(one(r#"{"id":1,"connect":{"profile":"x","dict":{"id":3},"subs":{"a":{"recover":true}}}}"#).is_ok());
}

#[test]
fn replies_leave_zero_values_out() {
    assert_eq!(encoded(&Reply::Ping), "{}");
    assert_eq!(encoded(&Reply::Done(3, Outcome::Publish)), r#"{"id":3,"publish":{}}"#);
    assert_eq!(
        encoded(&Reply::Refused(4, ErrorCode::UnknownChannel.into())),
        r#"{"id":4,"error":{"code":102,"message":"unknown channel"}}"#
    );
    assert_eq!(
        encoded(&Reply::Refused(4, ErrorCode::Internal.into())),
        r#"{"id":4,"error":{"code":100,"message":"internal server error","temporary":true}}"#
    );
    assert_eq!(
        encoded(&Reply::Done(5, Outcome::Subscribe(SubscribeResult::default()))),
        r#"{"id":5,"subscribe":{}}"#
    );
    let push = Push::Unsubscribe {
        channel: "a".into(),
        code: UnsubscribeCode::InsufficientState,
    };
    assert_eq!(
        encoded(&Reply::Push(push)),
        r#"{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#
    );
}

#[test]
fn data_is_embedded_as_it_came() {
    let Ok(Command {
        method: Method::Publish(request),
        ..
    }) = one(r#"{"id":1,"publish":{"channel":"a","data":{"n": 1.50}}}"#)
    else {
        panic!("not a publish");
    };
    let publication = Publication {
        data: request.data,
        offset: 2,
        ..Default::default()
    };
    let push = Push::Publication {
        channel: "a\"b".into(),
        publication,
    };
    assert_eq!(
        encoded(&Reply::Push(push)),
        r#"{"push":{"channel":"a\"b","pub":{"data":{"n": 1.50},"offset":2}}}"#
    );
}

#[test]
fn several_replies_share_a_frame_and_a_failed_one_leaves_no_trace() {
    let mut frame = Vec::new();
    encode(&Reply::Done(1, Outcome::Publish), &mut frame).unwrap();
    let bad = Publication {
        data: Payload::default(),
        ..Default::default()
    };
    let push = Reply::Push(Push::Publication {
        channel: "a".into(),
        publication: bad,
    });
    assert!(encode(&push, &mut frame).is_err());
    encode(&Reply::Ping, &mut frame).unwrap();
    assert_eq!(frame, b"{\"id\":1,\"publish\":{}}\n{}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let commands = Codec::Json.decode(&bytes);
        prop_assert!(!commands.is_empty());
    }
}
