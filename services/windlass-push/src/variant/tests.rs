use super::*;
use crate::centrifuge::codec::Codec;
use crate::centrifuge::dialect::Carrier;
use crate::payload::Payload;
use crate::position::{StreamEpoch, StreamPosition};

const JSON: Dialect = Dialect::websocket(Codec::Json);
const PROTOBUF: Dialect = Dialect::websocket(Codec::Protobuf);

fn publication(before: Option<&str>, data: &str) -> Publication {
    let payload = |json: &str| Payload::from_json(serde_json::from_str(json).unwrap());
    let message = Message {
        data: payload(data),
        info: None,
        tags: None,
        position: Some(StreamPosition {
            offset: 7,
            epoch: StreamEpoch(1),
        }),
    };
    Publication::Message {
        message,
        before: before.map(payload),
    }
}

fn frame(publication: &Publication, variant: Variant) -> Frame {
    let channel = ChannelKey::new(&windlass_task::Tenant::default_tenant(), "a");
    Forms::of(&channel, publication).frame(variant).unwrap()
}

/// The text of a short frame.
fn text(frame: &Bytes) -> &str {
    std::str::from_utf8(&frame[2..]).unwrap()
}

#[test]
fn each_variant_has_a_place_of_its_own() {
    let carriers = [
        JSON,
        PROTOBUF,
        Dialect {
            carrier: Carrier::Stream,
            ..JSON
        },
        Dialect {
            carrier: Carrier::Stream,
            ..PROTOBUF
        },
        Dialect {
            carrier: Carrier::Events,
            ..JSON
        },
        Dialect {
            carrier: Carrier::Deflated,
            ..JSON
        },
        Dialect {
            carrier: Carrier::Deflated,
            ..PROTOBUF
        },
    ];
    let centrifuge = carriers.iter().copied().map(Variant::Centrifuge);
    let deltas = carriers.iter().copied().map(Variant::Deltas);
    let places: Vec<_> = centrifuge
        .chain(deltas)
        .chain([Variant::Plain, Variant::Events])
        .map(Variant::index)
        .collect();
    assert_eq!(places, (0..Variant::COUNT).collect::<Vec<_>>());
}

#[test]
fn who_takes_deltas_in_json_gets_texts() {
    let before = r#"{"title":"something that stays","n":1}"#;
    let after = r#"{"title":"something that stays","n":2}"#;
    let both = frame(&publication(Some(before), after), Variant::Deltas(JSON));
    assert_eq!(
        text(&both.clone().into_whole()),
        r#"{"push":{"channel":"a","pub":{"data":"{\"title\":\"something that stays\",\"n\":2}","offset":7}}}"#
    );
    assert_eq!(
        text(&both.into_next()),
        r#"{"push":{"channel":"a","pub":{"data":"b\n_@0,2:2}1ZkpAy;","offset":7,"delta":true}}}"#
    );
    let alone = frame(&publication(None, after), Variant::Deltas(JSON));
    assert!(matches!(alone, Frame::Whole(_)));
    assert!(text(&alone.into_whole()).contains(r#""data":"{\"title\""#));
    let short = frame(&publication(Some("[1]"), "[2]"), Variant::Deltas(JSON));
    assert!(matches!(short, Frame::Whole(_)), "a delta would be longer");
}

#[test]
fn who_takes_deltas_in_protobuf_gets_bytes() {
    let (before, after) = (
        format!("[1,{}]", "0,".repeat(40) + "0"),
        format!("[2,{}]", "0,".repeat(40) + "0"),
    );
    let publication = publication(Some(&before), &after);
    let both = frame(&publication, Variant::Deltas(PROTOBUF));
    let plain = frame(&publication, Variant::Centrifuge(PROTOBUF)).into_whole();
    assert_eq!(
        both.clone().into_whole(),
        plain,
        "what is whole is the same for everybody"
    );
    let delta = both.into_next();
    // The last field says that it is a delta.
    assert!(delta.len() < plain.len() && delta.ends_with(&[8 << 3, 1]), "{delta:x?}");
}

#[test]
fn a_form_is_made_once() {
    let publication = publication(None, "[1]");
    let channel = ChannelKey::new(&windlass_task::Tenant::default_tenant(), "a");
    let mut forms = Forms::of(&channel, &publication);
    let bytes = |frame: Option<Frame>| frame.unwrap().into_whole().as_ptr();
    let first = bytes(forms.frame(Variant::Deltas(JSON)));
    assert_eq!(bytes(forms.frame(Variant::Deltas(JSON))), first);
    assert!(forms.frame(Variant::Events).is_none(), "it is no task");
}
