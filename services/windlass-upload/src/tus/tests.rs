use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use windlass_task::{Protocol, fixture};

use super::*;

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

fn read(method: Method, names_upload: bool, has_body: bool, pairs: &[(&str, &str)]) -> Result<Command, Rejection> {
    let mut pairs = pairs.to_vec();
    pairs.push(("tus-resumable", "1.0.0"));
    parse(
        Head {
            method: &method,
            headers: &headers(&pairs),
            names_upload,
            has_body,
        },
        Some(1_000),
    )
}

fn record(length: Option<u64>) -> Record {
    fixture::record(Protocol::Tus, length)
}

#[test]
fn each_request_is_read_as_the_protocol_means_it() {
    let create = |pairs: &[(&str, &str)], body| read(Method::POST, false, body, pairs);
    let created = Command::Create(Create {
        length: Some(7),
        metadata: Metadata::default(),
        with_body: false,
        checksum: None,
        concat: None,
    });
    assert_eq!(create(&[("upload-length", "7")], false), Ok(created));
    let deferred = Command::Create(Create {
        length: None,
        metadata: Metadata::default(),
        with_body: true,
        checksum: None,
        concat: None,
    });
    assert_eq!(
        create(&[("upload-defer-length", "1"), ("content-type", CONTENT_TYPE)], true),
        Ok(deferred)
    );
    assert_eq!(read(Method::HEAD, true, false, &[]), Ok(Command::Retrieve));
    assert_eq!(read(Method::DELETE, true, false, &[]), Ok(Command::Terminate));
    let append = Append {
        offset: 3,
        length: Some(9),
        content_length: Some(2),
        checksum: None,
    };
    let pairs = [
        ("upload-offset", "3"),
        ("upload-length", "9"),
        ("content-length", "2"),
        ("content-type", CONTENT_TYPE),
    ];
    assert_eq!(read(Method::PATCH, true, true, &pairs), Ok(Command::Append(append)));
}

#[test]
fn every_bad_head_gets_its_own_status() {
    let status = |result: Result<Command, Rejection>| result.unwrap_err().status().0.as_u16();
    let body = ("content-type", CONTENT_TYPE);
    for (expected, method, names_upload, has_body, pairs) in [
        (400, Method::POST, false, false, vec![]),
        (
            400,
            Method::POST,
            false,
            false,
            vec![("upload-length", "1"), ("upload-defer-length", "1")],
        ),
        (400, Method::POST, false, false, vec![("upload-defer-length", "2")]),
        (400, Method::POST, false, false, vec![("upload-length", "-1")]),
        (400, Method::POST, false, false, vec![("upload-length", "+1")]),
        (400, Method::POST, false, false, vec![("upload-length", "1.0")]),
        (400, Method::POST, false, false, vec![("upload-length", "")]),
        (
            400,
            Method::POST,
            false,
            false,
            vec![("upload-length", "9223372036854775808")],
        ),
        (
            400,
            Method::POST,
            false,
            false,
            vec![("upload-length", "1"), ("upload-length", "1")],
        ),
        (
            400,
            Method::POST,
            false,
            false,
            vec![("upload-length", "1"), ("upload-metadata", "a b c")],
        ),
        (413, Method::POST, false, false, vec![("upload-length", "1001")]),
        (
            413,
            Method::POST,
            false,
            true,
            vec![("upload-length", "1"), ("content-length", "2"), body],
        ),
        (
            415,
            Method::POST,
            false,
            true,
            vec![("upload-length", "1"), ("content-type", "text/plain")],
        ),
        (415, Method::PATCH, true, true, vec![("upload-offset", "0")]),
        (
            415,
            Method::PATCH,
            true,
            true,
            vec![("upload-offset", "0"), ("content-type", "application/json")],
        ),
        (400, Method::PATCH, true, true, vec![body]),
        (400, Method::PATCH, true, true, vec![body, ("upload-offset", "x")]),
        (405, Method::PUT, true, true, vec![]),
        (405, Method::PATCH, false, true, vec![body, ("upload-offset", "0")]),
        (405, Method::POST, true, false, vec![("upload-length", "1")]),
    ] {
        assert_eq!(
            status(read(method.clone(), names_upload, has_body, &pairs)),
            expected,
            "{method} {pairs:?}"
        );
    }
    for version in [
        vec![],
        vec![("tus-resumable", "0.2.2")],
        vec![("tus-resumable", "1.0.0x")],
    ] {
        let head = Head {
            method: &Method::HEAD,
            headers: &headers(&version),
            names_upload: true,
            has_body: false,
        };
        assert_eq!(status(parse(head, None)), 412);
    }
    let head = Head {
        method: &Method::OPTIONS,
        headers: &HeaderMap::new(),
        names_upload: true,
        has_body: false,
    };
    assert_eq!(parse(head, None), Ok(Command::Describe));
}

#[test]
fn an_append_is_admitted_only_where_the_upload_stands() {
    let mut record = record(Some(10));
    record.received = 4;
    let append = |offset, length, content_length| Append {
        checksum: None,
        offset,
        length,
        content_length,
    };
    let admit = |append| admit_append(&record, &append, None);
    assert_eq!(
        admit(append(4, None, Some(6))),
        Ok(Admission {
            skip: 0,
            declare: None,
            room: Some(6)
        })
    );
    assert_eq!(
        admit(append(3, None, None)),
        Err(Rejection::Offset {
            expected: 4,
            provided: 3
        })
    );
    assert_eq!(
        admit(append(5, None, None)),
        Err(Rejection::Offset {
            expected: 4,
            provided: 5
        })
    );
    assert_eq!(
        admit(append(4, None, Some(7))),
        Err(Rejection::BeyondLength { length: 10 })
    );
    assert_eq!(
        admit(append(4, Some(11), None)),
        Err(Rejection::Length { known: Some(10) })
    );
    assert_eq!(
        admit(append(4, Some(10), None)),
        Ok(Admission {
            skip: 0,
            declare: None,
            room: Some(6)
        })
    );
}

#[test]
fn the_byte_that_was_held_back_is_read_over() {
    let mut record = record(Some(10));
    (record.received, record.withheld, record.finish) = (10, 1, Finish::VerdictPending);
    let append = Append {
        offset: 9,
        length: None,
        content_length: Some(1),
        checksum: None,
    };
    assert_eq!(
        admit_append(&record, &append, None),
        Ok(Admission {
            skip: 1,
            declare: None,
            room: Some(1)
        })
    );
}

#[test]
fn a_deferred_length_is_declared_once_and_not_below_what_is_there() {
    let mut record = record(None);
    record.received = 5;
    let append = |length, content_length| Append {
        checksum: None,
        offset: 5,
        length,
        content_length,
    };
    let admit = |append, max| admit_append(&record, &append, max);
    assert_eq!(
        admit(append(Some(8), Some(3)), None),
        Ok(Admission {
            skip: 0,
            declare: Some(8),
            room: Some(3)
        })
    );
    assert_eq!(
        admit(append(Some(4), Some(3)), None),
        Err(Rejection::Length { known: None })
    );
    assert_eq!(
        admit(append(None, Some(3)), Some(7)),
        Err(Rejection::MaxSize { limit: 7 })
    );
    assert_eq!(
        admit(append(None, None), Some(7)),
        Ok(Admission {
            skip: 0,
            declare: None,
            room: Some(2)
        })
    );
}

fn any_header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "tus-resumable",
        "upload-length",
        "upload-offset",
        "upload-defer-length",
        "upload-metadata",
        "content-type",
        "content-length",
        "x-other",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "1.0.0",
            "0",
            "1",
            "5",
            "1000",
            CONTENT_TYPE,
            "a YQ==",
            "18446744073709551616"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![Just(b'\t'), 32_u8..=126, 128_u8..=255], 0..20),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    #[test]
    fn whatever_the_head_says_what_is_admitted_fits_the_upload(
        method in prop::sample::select(vec!["POST", "HEAD", "PATCH", "DELETE", "OPTIONS", "PUT", "BREW"]),
        names_upload: bool,
        has_body: bool,
        pairs in prop::collection::vec(any_header(), 0..8),
        length in prop::option::of(0_u64..1_500),
        received in 0_u64..1_500,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let method: Method = method.parse().unwrap();
        let command = parse(Head { method: &method, headers: &headers, names_upload, has_body }, Some(1_000));
        let mut record = record(length);
        record.received = received.min(length.unwrap_or(u64::MAX));
        if let Ok(Command::Append(append)) = command
            && let Ok(admission) = admit_append(&record, &append, Some(1_000))
        {
            prop_assert_eq!(append.offset, record.offset());
            let end = append.offset + admission.room.unwrap();
            prop_assert!(record.length.or(admission.declare).is_none_or(|length| end <= length));
            prop_assert!(append.content_length.is_none_or(|body| record.length.is_none() || body <= admission.room.unwrap()));
        }
    }
}
