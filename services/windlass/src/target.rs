//! The server that a client command speaks to, and the plain requests to it.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::Deserialize;

use crate::retry;

/// How much of an error's body is read for its words, bytes.
const WORDS_BYTES: usize = 64 * 1024;

/// How much of them is shown, characters, when they are not of our own shape.
const WORDS_SHOWN: usize = 300;

/// Where to, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// The server; a URL with a path names a tus endpoint itself, such as https://example.com/files/
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = parse_url)]
    pub to: Url,

    /// Bearer token, if the server asks for one; better in the environment, where other users cannot read it
    #[arg(long, value_name = "TOKEN", env = "WINDLASS_TOKEN", hide_env_values = true, value_parser = parse_token)]
    pub token: Option<HeaderValue>,
}

/// A server and the connections to it. Clones share them.
#[derive(Debug, Clone)]
pub struct Target {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

/// A request without success.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// The server's stable code, or one of ours in place of an answer.
    pub code: String,
    /// The server's own words, or ours.
    pub message: String,
    /// How long it asked to wait.
    pub retry_after: Option<Duration>,
    /// Whether trying again cannot change it, though there was no answer that says so.
    pub lasting: bool,
}

impl Failure {
    /// A failure without an answer that may pass.
    pub fn network(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: None,
            code: code.to_owned(),
            message: message.into(),
            retry_after: None,
            lasting: false,
        }
    }

    /// A failure that trying again cannot change.
    pub fn lasting(code: &str, message: impl Into<String>) -> Self {
        Self {
            lasting: true,
            ..Self::network(code, message)
        }
    }

    /// The failure as the retry policy knows it.
    #[must_use]
    pub fn kind(&self) -> retry::Failure {
        match self.status {
            Some(status) => retry::Failure::Status(status, self.retry_after),
            None if self.lasting => retry::Failure::Lasting,
            None => retry::Failure::Network,
        }
    }
}

impl Target {
    /// The server of these flags. `connect` bounds how long a connection may take to be made.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(flags: &Flags, connect: Duration) -> Result<Self, reqwest::Error> {
        let mut client = Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            // A redirected PATCH would need its body again, and a token must not follow to another server.
            .redirect(Policy::none());
        if is_loopback(&flags.to) {
            // A proxy from the environment cannot reach this machine's own loopback.
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            url: flags.to.clone(),
            authorization: flags.token.clone(),
        })
    }

    /// The server's root, for saying whom we speak to and for remembering it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where uploads are created.
    #[must_use]
    pub fn files(&self) -> Url {
        if matches!(self.url.path(), "" | "/") {
            self.at("/files/")
        } else {
            self.url.clone()
        }
    }

    /// A path of the server.
    #[must_use]
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(None);
        url
    }

    /// A request, with the token if it goes to this server and not where a `Location` points elsewhere.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let ours = url.origin() == self.url.origin();
        let request = self.client.request(method, url);
        match &self.authorization {
            Some(value) if ours => request.header(header::AUTHORIZATION, value.clone()),
            _ => request,
        }
    }

    /// Sends a request without a body to speak of, and waits for the head of the answer.
    ///
    /// # Errors
    /// Whatever is not a 2xx or 304 in time.
    pub async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Response, Failure> {
        match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => judge(response, limit).await,
            Ok(Err(error)) => Err(describe(&error)),
            Err(_) => Err(Failure::network(
                "no_answer",
                format!("no answer within {}", crate::duration::show(limit)),
            )),
        }
    }
}

/// Takes a good answer, and the words of another.
///
/// # Errors
/// Whatever is not a 2xx or 304.
pub async fn judge(response: Response, limit: Duration) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() || status == http::StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let headers = response.headers();
    let retry_after = retry_after(headers, SystemTime::now());
    let location = headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let words = tokio::time::timeout(limit, read_words(response))
        .await
        .unwrap_or_default();
    let (code, mut message) = read_problem(&words, status);
    if let (true, Some(location)) = (status.is_redirection(), location) {
        message = format!("the server says to go to {location}; give that to --to if you trust it");
    }
    Err(Failure {
        status: Some(status.as_u16()),
        code,
        message,
        retry_after,
        lasting: false,
    })
}

/// A whole number in a header.
#[must_use]
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Why a request brought no answer: the last cause, which is what a person can act on. Never the URL, which may hold
/// a key.
#[must_use]
pub fn describe(error: &reqwest::Error) -> Failure {
    let mut root = std::error::Error::source(error);
    while let Some(deeper) = root.and_then(std::error::Error::source) {
        root = Some(deeper);
    }
    let (code, what) = if error.is_connect() {
        ("no_connection", "cannot connect")
    } else {
        ("connection_lost", "connection lost")
    };
    let message = root.map_or_else(|| what.to_owned(), |root| format!("{what}: {root}"));
    Failure::network(code, message)
}

/// RFC 9110 section 10.2.3: seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(
            httpdate::parse_http_date(text)
                .ok()?
                .duration_since(now)
                .unwrap_or_default(),
        ),
    }
}

async fn read_words(mut response: Response) -> Vec<u8> {
    let mut words = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        let left = WORDS_BYTES - words.len();
        words.extend_from_slice(&piece[..piece.len().min(left)]);
        if words.len() == WORDS_BYTES {
            break;
        }
    }
    words
}

/// Code and words of an error: a problem (RFC 9457), any text, or the status alone.
fn read_problem(body: &[u8], status: http::StatusCode) -> (String, String) {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        detail: Option<String>,
    }
    let phrase = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or(""))
        .trim()
        .to_owned();
    let (code, words) = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => (problem.code, problem.detail.or(problem.title)),
        Err(_) => (None, Some(String::from_utf8_lossy(body).into_owned())),
    };
    let words = words.map(|words| tidy(&words)).filter(|words| !words.is_empty());
    let code = code.map_or_else(|| format!("http_{}", status.as_u16()), |code| tidy(&code));
    (
        code,
        words.map_or_else(|| phrase.clone(), |words| format!("{words} ({phrase})")),
    )
}

/// A server's words on one line of ours: no control characters, which a terminal would obey.
fn tidy(words: &str) -> String {
    let clean: String = words
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match clean.char_indices().nth(WORDS_SHOWN) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

/// Whether the URL can only mean this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `http://…`, `https://…`, or `HOST:PORT` for http.
fn parse_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&whole).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("expected a URL such as http://127.0.0.1:8080".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name in the URL is not used; give a token by WINDLASS_TOKEN".to_owned());
    }
    Ok(url)
}

fn parse_token(text: &str) -> Result<HeaderValue, String> {
    let token = text.trim();
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = visible
        .then(|| HeaderValue::try_from(format!("Bearer {token}")).ok())
        .flatten();
    let mut value = value.ok_or_else(|| "a token is visible ASCII without spaces".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn an_error_is_told_in_the_servers_own_words() {
        let words = |body: &str| read_problem(body.as_bytes(), StatusCode::CONFLICT);
        let problem = r#"{"title":"T","code":"paused","detail":"the owner\npaused it"}"#;
        assert_eq!(
            words(problem),
            ("paused".into(), "the owner paused it (409 Conflict)".into())
        );
        assert_eq!(words(r#"{"title":"T"}"#).1, "T (409 Conflict)");
        assert_eq!(words("mismatched offset\n").1, "mismatched offset (409 Conflict)");
        assert_eq!(words(""), ("http_409".into(), "409 Conflict".into()));
        let (_, hostile) = words(&format!("\u{1b}[2J{}", "é".repeat(1_000)));
        assert!(!hostile.contains('\u{1b}') && hostile.chars().count() < WORDS_SHOWN + 30);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::try_from(text).unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("-1"), None);
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn a_server_is_named_by_url_or_host() {
        assert_eq!(parse_url("localhost:1").unwrap().as_str(), "http://localhost:1/");
        assert!(is_loopback(&parse_url("http://[::1]:8080").unwrap()));
        assert!(is_loopback(&parse_url("http://127.3.2.1").unwrap()));
        assert!(!is_loopback(&parse_url("http://127.0.0.1.example").unwrap()));
        for wrong in ["", "ftp://x", "http://", "http://u:p@x", "://"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_in_the_url_is_the_endpoint_itself() {
        let target = |to: &str| {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let flags = Flags {
                to: parse_url(to).unwrap(),
                token: None,
            };
            Target::new(&flags, Duration::from_secs(1)).unwrap()
        };
        assert_eq!(target("http://x:1").files().as_str(), "http://x:1/files/");
        assert_eq!(target("https://x/tus/").files().as_str(), "https://x/tus/");
        assert_eq!(target("https://x/tus/").at("/tasks/y").as_str(), "https://x/tasks/y");
    }

    #[test]
    fn a_token_is_never_shown() {
        let value = parse_token(" abc.def.ghi\n").unwrap();
        assert_eq!(value, "Bearer abc.def.ghi");
        assert!(!format!("{value:?}").contains("abc"));
        assert!(parse_token("a b").is_err() && parse_token("").is_err());
    }
}
