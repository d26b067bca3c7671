//! The page: its files are in the binary, and it may load nothing else.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Name, media type, content of each file in `page/`.
static FILES: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Scripts and styles of our own only, nothing inline, no form, no frame. `connect-src 'self'` includes WebSockets to
/// the same host and port (CSP Level 3, section 6.7.2.8).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file with what does not change from answer to answer.
struct File {
    name: &'static str,
    media_type: HeaderValue,
    tag: HeaderValue,
    content: &'static [u8],
}

static TABLE: LazyLock<Vec<File>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|&(name, media_type, content)| {
            let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(content)[..18]);
            let tag = HeaderValue::try_from(format!("\"{digest}\"")).expect("base64 is visible ASCII");
            File {
                name,
                media_type: HeaderValue::from_static(media_type),
                tag,
                content,
            }
        })
        .collect()
});

/// `/` and `/page/<file>`.
pub(crate) fn router() -> Router {
    let serve = |file: &'static File| get(move |headers: HeaderMap| async move { answer(file, &headers) });
    TABLE.iter().fold(Router::new(), |router, file| match file.name {
        "index.html" => router.route("/", serve(file)),
        name => router.route(&format!("/page/{name}"), serve(file)),
    })
}

fn answer(file: &'static File, headers: &HeaderMap) -> Response {
    let fixed: [(HeaderName, HeaderValue); 6] = [
        (header::ETAG, file.tag.clone()),
        // Ask every time: page and server are one binary, so a stale page could speak to a newer server.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    if is_known(headers, &file.tag) {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    (fixed, [(header::CONTENT_TYPE, file.media_type.clone())], file.content).into_response()
}

/// Whether `If-None-Match` names the tag (RFC 9110 section 13.1.2, weak comparison).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tag = tag.as_bytes();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> &'static File {
        TABLE.iter().find(|file| file.name == name).unwrap()
    }

    #[test]
    fn every_file_of_the_page_is_there_and_nothing_of_its_tests() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let on_disk = std::fs::read_dir(page).unwrap().map(|entry| entry.unwrap());
        let on_disk = on_disk.filter(|entry| entry.file_type().unwrap().is_file()).count();
        assert!(TABLE.len() <= on_disk && TABLE.len() > 5, "{}", TABLE.len());
        assert!(TABLE.iter().all(|file| !file.name.contains("test")));
    }

    #[test]
    fn whatever_the_page_refers_to_is_served() {
        let known: Vec<String> = TABLE.iter().map(|file| format!("/page/{}", file.name)).collect();
        for file in TABLE.iter() {
            let text = std::str::from_utf8(file.content).unwrap();
            for start in text.match_indices("/page/").map(|(start, _)| start) {
                let rest = &text[start..];
                let end = rest.find(['"', '\'', '`', ')', ' ']).unwrap_or(rest.len());
                assert!(
                    known.iter().any(|path| path == &rest[..end]),
                    "{} refers to {}",
                    file.name,
                    &rest[..end]
                );
            }
        }
    }

    #[test]
    fn an_answer_is_strict_and_a_known_one_is_not_sent_again() {
        let index = file("index.html");
        let response = answer(index, &HeaderMap::new());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(
            response.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none';")
        );
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\" , {tag}"),
            "*".to_owned(),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(known).unwrap())]);
            assert_eq!(answer(index, &headers).status(), 304);
        }
        let other = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""))]);
        assert_eq!(answer(index, &other).status(), 200);
    }
}
