use super::*;
use crate::centrifuge::codec::Codec;
use crate::centrifuge::command::Method;
use crate::centrifuge::reply::{HistoryResult, Outcome, PresenceResult, Publication, Push};
use crate::client::ClientInfo;
use crate::codes::{Disconnect, ErrorCode, UnsubscribeCode};
use crate::payload::Payload;
use proptest::prelude::*;

/// A message of these fields, each a key and a delimited value, or a number.
fn delimited(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer);
    let mut out = Vec::new();
    writer.append_delimited(&mut out);
    out
}

fn encoded(reply: &Reply) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(reply, &mut frame);
    frame
}

#[test]
fn several_commands_of_a_frame_are_read_as_their_json_is() {
    let frame = [
        delimited(|command| {
            command.number(1, 1_u32);
            command.message(4, |request| {
                request.bytes(1, "token");
                request.bytes(2, "{}");
                request.message(3, |entry| {
                    entry.bytes(1, "news");
                    entry.message(2, |subscription| {
                        subscription.flag(3, true);
                        subscription.bytes(6, "e");
                        subscription.number(7, 300_u64);
                    });
                });
                request.bytes(4, "js");
                request.bytes(5, "1");
                request.message(6, |entry| {
                    entry.bytes(1, "a");
                    entry.bytes(2, "b");
                });
            });
        }),
        delimited(|command| {
            command.number(1, 2_u32);
            command.message(5, |request| {
                request.bytes(1, "chat");
                request.flag(9, true);
                request.flag(10, true);
                request.flag(11, true);
                request.bytes(12, "fossil");
                request.number(14, 1_u64);
            });
        }),
        delimited(|command| {
            command.number(1, 3_u32);
            command.message(10, |request| {
                request.bytes(1, "chat");
                request.number(7, u64::MAX);
                request.message(8, |since| {
                    since.number(1, 4_u64);
                    since.bytes(2, "e");
                });
                request.flag(9, true);
            });
        }),
        delimited(|command| command.message(12, |request| request.bytes(1, "[1]"))),
        delimited(|_| {}),
    ];
    let text = concat!(
        r#"{"id":1,"connect":{"token":"token","data":{},"name":"js","version":"1","headers":{"a":"b"},"#,
        r#""subs":{"news":{"recover":true,"epoch":"e","offset":300}}}}"#,
        "\n",
        r#"{"id":2,"subscribe":{"channel":"chat","positioned":true,"recoverable":true,"join_leave":true,"#,
        r#""delta":"fossil","flag":1}}"#,
        "\n",
        r#"{"id":3,"history":{"channel":"chat","limit":-1,"since":{"offset":4,"epoch":"e"},"reverse":true}}"#,
        "\n",
        r#"{"send":{"data":[1]}}"#,
        "\n{}",
    );
    assert_eq!(
        Codec::Protobuf.decode(&frame.concat()),
        Codec::Json.decode(text.as_bytes())
    );
}

#[test]
fn each_method_has_its_field() {
    type IsIt = fn(&Method) -> bool;
    let table: [(u32, IsIt); 9] = [
        (6, |method| matches!(method, Method::Unsubscribe(_))),
        (7, |method| matches!(method, Method::Publish(_))),
        (8, |method| matches!(method, Method::Presence(_))),
        (9, |method| matches!(method, Method::PresenceStats(_))),
        (11, |method| matches!(method, Method::Ping)),
        (12, |method| matches!(method, Method::Send(_))),
        (13, |method| matches!(method, Method::Rpc(_))),
        (14, |method| matches!(method, Method::Refresh(_))),
        (15, |method| matches!(method, Method::SubRefresh(_))),
    ];
    for (field, is_it) in table {
        let frame = delimited(|command| {
            command.number(1, 7_u32);
            command.message(field, |_| {});
        });
        let commands = Codec::Protobuf.decode(&frame);
        assert!(
            matches!(&commands[..], [Ok(command)] if command.id == 7 && is_it(&command.method)),
            "{field} {commands:?}"
        );
    }
}

#[test]
fn what_is_no_command_is_malformed() {
    let without_id = delimited(|command| command.message(4, |_| {}));
    let two = delimited(|command| {
        command.number(1, 1_u32);
        command.message(4, |_| {});
        command.message(5, |_| {});
    });
    let no_text = delimited(|command| {
        command.number(1, 1_u32);
        command.message(5, |request| request.bytes(1, [0xFF]));
    });
    let number_for_text = delimited(|command| {
        command.number(1, 1_u32);
        command.message(5, |request| request.number(1, 5_u32));
    });
    let only_id = delimited(|command| command.number(1, 1_u32));
    for frame in [
        &[][..],
        &[5],
        &[1, 0x0B],
        &without_id,
        &two,
        &no_text,
        &number_for_text,
        &only_id,
    ] {
        assert_eq!(Codec::Protobuf.decode(frame), [Err(Malformed)], "{frame:x?}");
    }
}

#[test]
fn replies_leave_zero_values_out() {
    assert_eq!(encoded(&Reply::Ping), [0]);
    assert_eq!(encoded(&Reply::Done(3, Outcome::Publish)), [4, 0x08, 3, 0x42, 0]);
    let refused = encoded(&Reply::Refused(4, ErrorCode::UnknownChannel.into()));
    assert_eq!(refused[..6], [23, 0x08, 4, 0x12, 19, 0x08]);
    assert!(refused.ends_with(b"unknown channel"));
}

#[test]
fn pushes_name_their_channel() {
    let info = ClientInfo {
        user: "ada".into(),
        client: "c".into(),
        conn_info: Payload::from_bytes(b"{}"),
        ..ClientInfo::default()
    };
    let publication = Publication {
        data: Payload::from_bytes(b"[1]"),
        info: Some(info.clone()),
        offset: 300,
        tags: [("status".to_owned(), "up".to_owned())].into(),
        delta: true,
    };
    let channel = || "ab".to_owned();
    let pushes = [
        Push::Publication {
            channel: channel(),
            publication,
        },
        Push::Join {
            channel: channel(),
            info: info.clone(),
        },
        Push::Leave {
            channel: channel(),
            info,
        },
        Push::Unsubscribe {
            channel: channel(),
            code: UnsubscribeCode::Server,
        },
        Push::Disconnect(Disconnect::Shutdown),
    ];
    for push in pushes {
        let frame = encoded(&Reply::Push(push.clone()));
        let mut reader = Reader::new(&frame);
        let mut reader = Reader::new(reader.delimited().unwrap());
        let (field, value) = reader.field().unwrap().unwrap();
        assert_eq!(field, 4, "{push:?}");
        let mut fields = value.message().unwrap();
        let mut numbers = Vec::new();
        while let Some((number, _)) = fields.field().unwrap() {
            numbers.push(number);
        }
        let expected: &[u32] = match push {
            Push::Publication { .. } => &[2, 4],
            Push::Join { .. } => &[2, 5],
            Push::Leave { .. } => &[2, 6],
            Push::Unsubscribe { .. } => &[2, 7],
            Push::Subscribe { .. } => &[2, 9],
            Push::Disconnect(_) => &[11],
            Push::Refresh { .. } => &[12],
        };
        assert_eq!(numbers, expected, "{push:?}");
    }
}

#[test]
fn an_entry_of_a_map_is_a_message_of_key_and_value() {
    let presence = [("c".to_owned(), ClientInfo::default())].into();
    assert_eq!(
        encoded(&Reply::Done(1, Outcome::Presence(PresenceResult { presence }))),
        [11, 0x08, 1, 0x4A, 7, 0x0A, 5, 0x0A, 1, b'c', 0x12, 0]
    );
    let history = HistoryResult {
        publications: vec![Publication::default()],
        epoch: "e".into(),
        offset: 300,
    };
    assert_eq!(
        encoded(&Reply::Done(1, Outcome::History(history))),
        [12, 0x08, 1, 0x5A, 8, 0x0A, 0, 0x12, 1, b'e', 0x18, 0xAC, 2]
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let commands = Codec::Protobuf.decode(&bytes);
        prop_assert!(!commands.is_empty());
        let _ = decode_emulation(&bytes);
    }
}
