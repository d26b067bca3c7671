use super::*;
use proptest::prelude::*;
use windlass_task::{Right, Rights};

const SECRET: &[u8] = b"an-example-of-a-link-secret-0123";
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// The signature as the document tells another language to make it.
fn signature(signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn verify(target: &str) -> Result<Option<Link>, LinkError> {
    LinkKey::new(SECRET).verify(&target.parse().unwrap(), NOW)
}

fn good() -> String {
    let sig = signature("windlass-link-1\ncreate\nacme\nann\n1800000900\n1000\nx7");
    format!("/files/?exp=1800000900&id=x7&max=1000&sub=ann&tenant=acme&sig={sig}")
}

#[test]
fn a_link_permits_one_bounded_upload_and_then_that_upload_only() {
    let link = verify(&good()).unwrap().unwrap();
    assert_eq!(link.principal.tenant.as_str(), "acme");
    assert_eq!(link.principal.owner.as_str(), "ann");
    assert!(link.principal.may(Right::Upload) && !link.principal.may(Right::Watch));
    assert_eq!(
        (link.max_bytes, link.expires),
        (Some(1000), Some(UnixMillis(1_800_000_900_000)))
    );
    assert_eq!(
        link.once,
        verify(&good()).unwrap().unwrap().once,
        "the same at each use"
    );
    let query = link.query_for("local-1");
    let after = verify(&format!("/files/acme/local-1?{query}")).unwrap().unwrap();
    assert_eq!(
        (after.principal.clone(), after.max_bytes),
        (link.principal.clone(), Some(1000))
    );
    assert_eq!((after.expires, after.once), (None, None));
    for other in ["/files/acme/local-2", "/files/other/local-1", "/files", "/files/"] {
        assert!(verify(&format!("{other}?{query}&exp=1800000900")).is_err(), "{other}");
    }
    for elsewhere in [
        "/files/acme/local-1/key",
        "/tasks/local-1",
        "/tasks",
        "/events/local-1",
        "/filesx",
        "/",
    ] {
        assert_eq!(verify(&format!("{elsewhere}?{query}")), Ok(None), "{elsewhere}");
    }
    let creation = good();
    let (_, query) = creation.split_once('?').unwrap();
    assert!(verify(&format!("/files/acme/local-1?{query}")).is_err());
}

#[test]
fn what_is_optional_may_be_missing_and_what_is_not_signed_may_be_there() {
    let sig = signature("windlass-link-1\ncreate\ndefault\nann lee\n1800000900\n\n");
    for query in [
        format!("exp=1800000900&sub=ann%20lee&sig={sig}"),
        format!("sig={sig}&sub=ann+lee&exp=1800000900&utm_source=mail"),
        format!("exp=1800000900&sub=ann%20lee&tenant=default&max=&id=&sig={sig}"),
    ] {
        let link = verify(&format!("/files?{query}")).unwrap().unwrap();
        assert_eq!(
            (link.principal.owner.as_str(), link.max_bytes),
            ("ann lee", None),
            "{query}"
        );
        let after = format!("/files/default/x?{}", link.query_for("x"));
        assert_eq!(verify(&after).unwrap().unwrap().principal, link.principal);
    }
    assert_eq!(verify("/files"), Ok(None));
    assert_eq!(
        verify("/files?exp=1&sub=ann"),
        Ok(None),
        "without a signature it is no link"
    );
}

#[test]
fn a_link_is_good_until_its_end_and_no_parameter_can_be_changed() {
    let link = LinkKey::new(SECRET);
    let at = |millis| {
        link.verify(&good().parse().unwrap(), UnixMillis(millis))
            .map(|link| link.is_some())
    };
    assert_eq!(at(1_800_000_899_999), Ok(true));
    assert_eq!(at(1_800_000_900_000), Err(LinkError::Expired));
    for (from, to) in [
        ("exp=1800000900", "exp=1800000901"),
        ("exp=1800000900", "exp="),
        ("exp=1800000900", "exp=01800000900"),
        ("exp=1800000900&", ""),
        ("id=x7", "id=x8"),
        ("id=x7", "id=x%0A7"),
        ("id=x7&", ""),
        ("max=1000", "max=10000"),
        ("max=1000", "max=%2B1000"),
        ("max=1000&", ""),
        ("sub=ann", "sub=bob"),
        ("sub=ann", "sub=ann&sub=ann"),
        ("sub=ann", "sub=acme%0Aann"),
        ("sub=ann&", ""),
        ("tenant=acme", "tenant=other"),
        ("tenant=acme&", ""),
        ("sig=", "sig=&sig="),
        ("sig=", "sig=%"),
    ] {
        let changed = good().replace(from, to);
        assert!(matches!(verify(&changed), Err(LinkError::Invalid(_))), "{changed}");
    }
    let other = LinkKey::new(b"another-secret-0123456789abcdef!");
    assert!(other.verify(&good().parse().unwrap(), NOW).is_err());
}

/// `docs/uploading.md` has a link with its secret: whoever writes a signer compares with it.
#[test]
fn the_example_of_the_document_is_a_good_link() {
    let page = include_str!("../../../../../docs/uploading.md");
    let line = |start: &str| page.lines().find_map(|line| line.strip_prefix(start)).unwrap().trim();
    let key = LinkKey::new(line("secret     ").as_bytes());
    let target: Uri = line("target     ").parse().unwrap();
    let link = key.verify(&target, NOW).unwrap().unwrap();
    assert_eq!(
        (link.principal.owner.as_str(), link.max_bytes),
        ("ann", Some(104_857_600))
    );
    assert_eq!(link.principal.tenant.as_str(), "acme");
    let signed = line("signed     ").replace("\\n", "\n");
    let mut mac = Hmac::<Sha256>::new_from_slice(line("secret     ").as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let sig = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    assert!(
        target.query().unwrap().ends_with(&format!("sig={sig}")),
        "should be {sig}"
    );
    assert_ne!(link.principal.rights, Rights::NONE);
}

proptest! {
    #[test]
    fn no_query_is_a_link_by_chance_and_none_panics(query in "[ -~&&[^#]]{0,80}") {
        if let Ok(target) = format!("/files?sig={query}").parse::<Uri>() {
            prop_assert!(LinkKey::new(SECRET).verify(&target, NOW).is_err());
        }
    }
}
