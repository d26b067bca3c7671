use super::*;
use http::HeaderValue;
use proptest::prelude::*;

fn guard(reach: Reach, allowed: &[&str]) -> Guard {
    Guard::new(
        reach,
        allowed.iter().map(|text| text.parse().unwrap()),
        Metrics::default(),
    )
}

fn check(guard: &Guard, host: &[&str], origin: &[&str]) -> Result<(), Refusal> {
    let mut headers = HeaderMap::new();
    for value in host {
        headers.append(header::HOST, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    for value in origin {
        headers.append(header::ORIGIN, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    guard.check(&Uri::from_static("/files"), &headers)
}

#[test]
fn a_loopback_listener_answers_to_loopback_hosts_only() {
    let guard = guard(Reach::Loopback, &[]);
    for host in [
        "localhost",
        "LocalHost:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.255.3.4:65535",
        "[::1]",
        "[::1]:80",
    ] {
        assert_eq!(check(&guard, &[host], &[]), Ok(()), "{host}");
    }
    for host in [
        "",
        ":",
        ":80",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.1",
        "0127.0.0.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "localhost.",
        "[::]",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:",
        "localhost:",
        "localhost:x",
        "localhost:+80",
        "localhost:65536",
        "a@localhost",
        "localhost@evil",
        "local host",
        "localhost,evil",
        "localhost/evil",
        "[::ffff:127.0.0.1]",
        "127.0.0.1:80:80",
        "löcalhost",
    ] {
        // "localhost:" is what no client sends, and "[::1]:" the same.
        assert_eq!(check(&guard, &[host], &[]), Err(Refusal::Host), "{host}");
    }
    assert_eq!(check(&guard, &[], &[]), Err(Refusal::Host), "no Host");
    assert_eq!(
        check(&guard, &["localhost", "localhost"], &[]),
        Err(Refusal::Host),
        "two Hosts"
    );
}

#[test]
fn the_target_of_a_request_cannot_contradict_its_host() {
    let guard = guard(Reach::Loopback, &[]);
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("localhost:1"));
    assert_eq!(guard.check(&Uri::from_static("http://localhost:1/"), &headers), Ok(()));
    assert_eq!(
        guard.check(&Uri::from_static("http://evil.example/"), &headers),
        Err(Refusal::Host)
    );
    assert_eq!(
        guard.check(&Uri::from_static("http://evil.example/"), &HeaderMap::new()),
        Err(Refusal::Host)
    );
}

#[test]
fn an_origin_is_absent_or_our_own_or_allowed() {
    let guard = guard(Reach::Loopback, &["https://app.example", "http://localhost:3000"]);
    let host = ["localhost:8080"];
    for origin in [
        "http://localhost:8080",
        "https://app.example",
        "https://app.example:443",
        "http://localhost:3000",
    ] {
        assert_eq!(check(&guard, &host, &[origin]), Ok(()), "{origin}");
    }
    for origin in [
        "null",
        "",
        "*",
        "https://localhost:8080",
        "http://localhost",
        "http://localhost:8081",
        "http://127.0.0.1:8080",
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil",
        "https://app.example/",
        "https://evil@app.example",
        "file://",
        "https://",
        "http://localhost:8080 https://app.example",
    ] {
        assert_eq!(check(&guard, &host, &[origin]), Err(Refusal::Origin), "{origin}");
    }
    let twice = ["https://app.example", "https://app.example"];
    assert_eq!(check(&guard, &host, &twice), Err(Refusal::Origin), "two Origins");
    assert_eq!(
        check(&guard, &["localhost"], &["http://localhost"]),
        Ok(()),
        "default port"
    );
    assert_eq!(
        check(&guard, &["localhost:80"], &["http://localhost"]),
        Ok(()),
        "default port, written"
    );
}

#[test]
fn a_network_listener_takes_any_host_and_its_own_origin_of_either_scheme() {
    let guard = guard(Reach::Network, &["https://app.example"]);
    assert_eq!(check(&guard, &["up.example"], &[]), Ok(()));
    assert_eq!(check(&guard, &["up.example"], &["https://up.example"]), Ok(()));
    assert_eq!(check(&guard, &["up.example"], &["http://up.example"]), Ok(()));
    assert_eq!(check(&guard, &["up.example"], &["https://app.example"]), Ok(()));
    assert_eq!(
        check(&guard, &["up.example"], &["https://evil.example"]),
        Err(Refusal::Origin)
    );
    assert_eq!(check(&guard, &[], &["https://evil.example"]), Err(Refusal::Origin));
    assert_eq!(check(&guard, &[], &[]), Ok(()));
}

#[test]
fn a_pattern_allows_pages_one_label_below_a_domain_and_no_others() {
    let guard = guard(
        Reach::Network,
        &["https://*.example.com", "https://*.dev.example.org:8443"],
    );
    for origin in [
        "https://app.example.com",
        "https://a-b.example.com:443",
        "https://x.dev.example.org:8443",
    ] {
        assert_eq!(check(&guard, &["up.example"], &[origin]), Ok(()), "{origin}");
    }
    for origin in [
        "http://app.example.com",
        "https://example.com",
        "https://.example.com",
        "https://a.b.example.com",
        "https://evilexample.com",
        "https://app.example.com.evil",
        "https://app.example.com:444",
        "https://x.dev.example.org",
        "https://*.example.com",
        "null",
    ] {
        assert_eq!(
            check(&guard, &["up.example"], &[origin]),
            Err(Refusal::Origin),
            "{origin}"
        );
    }
}

#[test]
fn patterns_that_would_allow_strangers_are_refused() {
    for text in [
        "*",
        "https://*",
        "https://*.com",
        "https://*.",
        "https://*.com.",
        "https://*..com",
        "https://*.0.0.1",
        "https://*.[::1]",
        "http://*.example.com",
        "https://app*.example.com",
        "https://*.*.example.com",
        "https://app.*.com",
        "https://*.example.com/",
        "null",
    ] {
        assert!(text.parse::<OriginPattern>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_host_but_a_loopback_name_ever_passes(host in "[ -~]{0,40}") {
        let passes = check(&guard(Reach::Loopback, &[]), &[host.as_str()], &[]).is_ok();
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_ascii_lowercase();
        let whole = host.to_ascii_lowercase();
        let loopback = |name: &str| name == "localhost" || name == "[::1]"
            || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
        prop_assert!(!passes || loopback(&name) || loopback(&whole));
    }

    #[test]
    fn an_origin_reads_back_as_itself(host in "[a-z0-9]{1,12}(\\.[a-z0-9]{1,6}){0,3}", port: u16, secure: bool) {
        let text = format!("http{}://{host}:{port}", if secure { "s" } else { "" });
        let origin: Origin = text.parse().unwrap();
        prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
    }

    #[test]
    fn no_foreign_origin_passes(origin in "https?://[a-z]{1,10}(\\.[a-z]{1,5}){0,2}(:[0-9]{1,5})?") {
        let guard = guard(Reach::Loopback, &[]);
        let own = origin == "http://localhost:8080";
        prop_assert_eq!(check(&guard, &["localhost:8080"], &[origin.as_str()]).is_ok(), own);
    }
}
