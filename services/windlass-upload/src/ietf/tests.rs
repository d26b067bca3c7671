use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use windlass_task::fixture;

use super::*;
use crate::digest::Algorithm;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

fn read(method: Method, names_upload: bool, pairs: &[(&str, &str)]) -> Result<Command, Rejection> {
    let headers = headers(pairs);
    parse(
        Head {
            method: &method,
            headers: &headers,
            names_upload,
        },
        Row::of(&headers),
        Some(1_000),
    )
}

fn record(length: Option<u64>, received: u64) -> Record {
    let mut record = fixture::record(Protocol::Ietf, length);
    record.received = received;
    record
}

#[test]
fn each_version_has_its_row_and_unknown_ones_are_served_as_the_rfc() {
    let row = |version: &str| *Row::of(&headers(&[("upload-draft-interop-version", version)]));
    for version in 3..=9_u8 {
        assert_eq!(row(&version.to_string()).interop, Some(version));
    }
    for unknown in ["2", "10", "-3", "\"6\"", "6.0", "x"] {
        assert_eq!(row(unknown).interop, None, "{unknown}");
    }
    assert_eq!(Row::of(&HeaderMap::new()).interop, None);
    assert!(row("3").inverted && !row("4").inverted);
    assert!(!row("5").typed_append && row("6").typed_append);
    assert_eq!(
        (row("5").lifetime_limit, row("6").lifetime_limit),
        (None, Some("expires"))
    );
    assert_eq!(
        (row("7").lifetime_limit, row("9").lifetime_limit),
        (Some("max-age"), Some("max-age"))
    );
}

#[test]
fn a_creation_is_read_by_its_versions_field() {
    let create = |pairs: &[(&str, &str)]| read(Method::POST, false, pairs);
    let expected = |complete, length| {
        Ok(Command::Create(Create {
            complete,
            length,
            metadata: Metadata::default(),
            digests: Digests::default(),
        }))
    };
    let six = ("upload-draft-interop-version", "6");
    let three = ("upload-draft-interop-version", "3");
    assert_eq!(
        create(&[six, ("upload-complete", "?1"), ("content-length", "7")]),
        expected(true, Some(7))
    );
    assert_eq!(
        create(&[six, ("upload-complete", "?0"), ("content-length", "7")]),
        expected(false, None)
    );
    assert_eq!(
        create(&[three, ("upload-incomplete", "?1"), ("content-length", "7")]),
        expected(false, None)
    );
    assert_eq!(
        create(&[three, ("upload-incomplete", "?0"), ("content-length", "7")]),
        expected(true, Some(7))
    );
    assert_eq!(
        create(&[("upload-complete", "?0"), ("upload-length", "9")]),
        expected(false, Some(9))
    );
    // A field that cannot be read is as none (RFC 9651 section 2.2).
    assert_eq!(
        create(&[("upload-complete", "?0"), ("upload-length", "nine")]),
        expected(false, None)
    );
    for bad in [
        vec![six],
        vec![six, ("upload-complete", "true")],
        vec![three, ("upload-complete", "?1")],
    ] {
        assert!(matches!(create(&bad), Err(Rejection::Field { .. })), "{bad:?}");
    }
    let contradiction = [
        six,
        ("upload-complete", "?1"),
        ("content-length", "7"),
        ("upload-length", "8"),
    ];
    assert_eq!(create(&contradiction), Err(Rejection::Length));
    assert_eq!(
        create(&[six, ("upload-complete", "?0"), ("upload-length", "1001")]),
        Err(Rejection::MaxSize { limit: 1_000 })
    );
    assert_eq!(
        read(Method::TRACE, false, &[("upload-complete", "?1")]),
        Err(Rejection::Method)
    );
}

#[test]
fn an_append_needs_what_its_version_demands() {
    let append = |version: &str, pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.push(("upload-draft-interop-version", version));
        read(Method::PATCH, true, &pairs)
    };
    let offset = ("upload-offset", "3");
    let typed = ("content-type", CONTENT_TYPE);
    assert_eq!(
        append("6", &[offset, ("upload-complete", "?1")]),
        Err(Rejection::ContentType)
    );
    assert!(matches!(
        append("6", &[offset, typed]),
        Err(Rejection::Field {
            name: "Upload-Complete",
            ..
        })
    ));
    assert!(matches!(
        append("9", &[typed, ("upload-complete", "?1")]),
        Err(Rejection::Field {
            name: "Upload-Offset",
            ..
        })
    ));
    assert!(matches!(
        append("9", &[typed, ("upload-complete", "?1"), ("upload-offset", "-1")]),
        Err(Rejection::Field { .. })
    ));
    for (version, complete) in [("3", true), ("5", true)] {
        match append(version, &[offset]) {
            Ok(Command::Append(append)) => assert_eq!((append.offset, append.complete), (3, complete)),
            other => panic!("{version}: {other:?}"),
        }
    }
}

#[test]
fn names_and_digests_are_read_from_their_own_fields() {
    assert_eq!(
        fields::filename("inline; filename=\"a \\\"b\\\"; c.txt\""),
        Some("a \"b\"; c.txt".into())
    );
    assert_eq!(
        fields::filename("attachment; filename=x; filename*=utf-8'en'%e2%82%ac.txt"),
        Some("€.txt".into())
    );
    assert_eq!(
        fields::filename("attachment; filename=x; filename*=utf-8''%e2%8"),
        Some("x".into())
    );
    assert_eq!(fields::filename("attachment; filename*=iso-8859-1''a"), None);
    let sha256 = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let found = fields::digests(sha256.as_bytes()).unwrap();
    assert_eq!((found.len(), found[0].algorithm), (1, Algorithm::Sha256));
    assert_eq!(fields::digests(b"unixsum=:AAAA:").unwrap(), []);
    assert_eq!(fields::digests(b"sha-256=:AAAA:"), None);
    assert_eq!(fields::digests(b"sha-256=1"), None);
    let wants = |value: &str| fields::wants_sha256(&headers(&[("w", value)]), &HeaderName::from_static("w"));
    assert!(wants("sha-512=3, sha-256=10") && !wants("sha-256=0") && !wants("sha-512=1"));
}

#[test]
fn an_append_is_taken_where_the_upload_stands_and_a_lost_completion_is_repeated() {
    let append = |offset, complete, length, content_length| Append {
        offset,
        complete,
        length,
        content_length,
        digests: Digests::default(),
    };
    let open = record(Some(10), 4);
    let take = |declare, room| Ok(Admitted::Take(Admission { skip: 0, declare, room }));
    assert_eq!(
        admit_append(&open, &append(4, true, None, Some(6)), None),
        take(None, Some(6))
    );
    assert_eq!(
        admit_append(&open, &append(4, false, None, None), None),
        take(None, Some(6))
    );
    assert_eq!(
        admit_append(&open, &append(3, true, None, Some(7)), None),
        Err(Rejection::Offset {
            expected: 4,
            provided: 3
        })
    );
    // The last body must end where the length is; no body may end beyond it.
    assert_eq!(
        admit_append(&open, &append(4, true, None, Some(5)), None),
        Err(Rejection::Length)
    );
    assert_eq!(
        admit_append(&open, &append(4, false, None, Some(7)), None),
        Err(Rejection::Length)
    );
    assert_eq!(
        admit_append(&open, &append(4, false, Some(11), None), None),
        Err(Rejection::Length)
    );
    let deferred = record(None, 4);
    assert_eq!(
        admit_append(&deferred, &append(4, true, None, Some(5)), Some(20)),
        take(Some(9), Some(5))
    );
    assert_eq!(
        admit_append(&deferred, &append(4, false, Some(3), None), None),
        Err(Rejection::Length)
    );
    assert_eq!(
        admit_append(&deferred, &append(4, false, None, Some(30)), Some(20)),
        Err(Rejection::MaxSize { limit: 20 })
    );

    let mut done = record(Some(10), 10);
    (done.status, done.finish) = (Status::Completed, Finish::Accepted);
    assert_eq!(
        admit_append(&done, &append(10, true, None, Some(0)), None),
        Ok(Admitted::Replay)
    );
    assert_eq!(
        admit_append(&done, &append(4, true, None, Some(6)), None),
        Err(Rejection::Completed)
    );
    let mut pending = record(Some(10), 10);
    pending.finish = Finish::VerdictPending;
    assert_eq!(
        pending.offset(),
        10,
        "every byte is shown, the verdict is what is missing"
    );
    assert_eq!(
        admit_append(&pending, &append(10, true, None, Some(0)), None),
        take(None, Some(0))
    );
}

proptest! {
    #[test]
    fn what_is_admitted_fits_the_upload(
        length in prop::option::of(0_u64..60),
        received in 0_u64..60,
        offset in 0_u64..60,
        complete: bool,
        said in prop::option::of(0_u64..60),
        content_length in prop::option::of(0_u64..60),
        max_size in prop::option::of(0_u64..60),
    ) {
        let record = record(length, received.min(length.unwrap_or(u64::MAX)));
        let append = Append { offset, complete, length: said, content_length, digests: Digests::default() };
        if let Ok(Admitted::Take(admission)) = admit_append(&record, &append, max_size) {
            prop_assert_eq!(offset, record.received);
            let length = record.length.or(admission.declare);
            prop_assert!(length.is_none_or(|length| length >= record.received));
            if let Some(body) = content_length {
                prop_assert!(length.is_none_or(|length| offset + body <= length));
                prop_assert!(admission.room.is_none_or(|room| body <= room));
                prop_assert!(!complete || length == Some(offset + body));
            }
        }
    }

    #[test]
    fn no_head_makes_the_parser_panic(
        method in prop::sample::select(vec!["POST", "PUT", "HEAD", "PATCH", "DELETE", "GET"]),
        names_upload: bool,
        pairs in prop::collection::vec((
            prop::sample::select(vec![
                "upload-complete", "upload-incomplete", "upload-draft-interop-version", "upload-offset", "upload-length",
                "content-length", "content-type", "content-disposition", "content-digest", "repr-digest", "want-repr-digest",
            ]),
            prop_oneof![
                prop::sample::select(vec!["?1", "?0", "3", "6", "9", CONTENT_TYPE, "a; filename*=utf-8''%", "sha-256=:AA==:"])
                    .prop_map(str::to_owned),
                "[ -~]{0,20}",
            ],
        ), 0..8),
    ) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if let Err(rejection) = read(method.parse().unwrap(), names_upload, &pairs) {
            prop_assert!(rejection.status().0.is_client_error());
        }
    }
}
