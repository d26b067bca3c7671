//! A proxy before a store that does harm to chosen requests, or refuses what Alibaba OSS refuses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::real::Kind;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is passed on and answered.
    Pass,
    /// The connection closes; it was not carried out.
    LoseBefore,
    /// It is carried out; the connection closes instead of an answer.
    LoseAfter,
    /// No answer ever comes; it was not carried out.
    HangBefore,
    /// It is carried out; no answer ever comes.
    HangAfter,
    /// It is refused with this status and code.
    Refuse(u16, &'static str),
    /// It is carried out, and answered with this status and code.
    RefuseAfter(u16, &'static str),
    /// It is answered as if it were done, and is carried out once somebody has looked in vain for the object.
    Promise,
    /// It is carried out; half of the answer's body comes, then the connection closes.
    Cut,
    /// It is carried out; half of the answer's body comes, and nothing more ever.
    Stall,
}

type Judge = dyn Fn(&Asked) -> Fate + Send + Sync;

/// A request as it is judged.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) operation: &'static str,
    pub(super) head: http::request::Parts,
    pub(super) body: Bytes,
}

/// A listening proxy.
pub(super) struct Proxy {
    address: SocketAddr,
    /// Told when a request begins to hang.
    pub(super) hanging: Arc<Notify>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(super) async fn start(
        target: SocketAddr,
        kind: Kind,
        judge: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let judge: Arc<Judge> = Arc::new(judge);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let hanging = Arc::new(Notify::new());
        let signals = Signals {
            hangs: Arc::clone(&hanging),
            looked: Arc::default(),
        };
        let accepting = async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (judge, client, signals) = (Arc::clone(&judge), client.clone(), signals.clone());
                let service = service_fn(move |request| {
                    let (judge, client, signals) = (Arc::clone(&judge), client.clone(), signals.clone());
                    answer(request, (target, kind), judge, client, signals)
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        };
        Self {
            address,
            hanging,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn virtual_endpoint(&self) -> String {
        format!("http://s3.localhost:{}", self.address.port())
    }
}

/// What requests tell of.
#[derive(Clone)]
struct Signals {
    /// That one began to hang.
    hangs: Arc<Notify>,
    /// That one was answered that looked for an object.
    looked: Arc<Notify>,
}

type Answer = UnsyncBoxBody<Bytes, std::io::Error>;

/// Answers a request; an error closes its connection.
async fn answer(
    request: Request<Incoming>,
    (target, kind): (SocketAddr, Kind),
    judge: Arc<Judge>,
    client: reqwest::Client,
    Signals { hangs, looked }: Signals,
) -> Result<Response<Answer>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let asked = Asked {
        operation: match kind {
            Kind::S3 => of_s3(&head),
            Kind::Gcs => of_gcs(&head),
            Kind::Azure => of_azure(&head),
        },
        head,
        body,
    };
    let fate = judge(&asked);
    match fate {
        Fate::LoseBefore => return Err(std::io::Error::other("lost")),
        Fate::HangBefore => {
            hangs.notify_one();
            std::future::pending().await
        }
        Fate::Refuse(status, code) => return Ok(refusal(status, code).map(whole)),
        Fate::Promise => {
            tokio::spawn(async move {
                looked.notified().await;
                pass_on(asked, target, client).await
            });
            return Ok(Response::new(whole("<Done/>".into())));
        }
        Fate::Pass | Fate::LoseAfter | Fate::HangAfter | Fate::RefuseAfter(..) | Fate::Cut | Fate::Stall => {}
    }
    let looks = asked.head.method == http::Method::HEAD;
    let answered = pass_on(asked, target, client).await?;
    if looks {
        looked.notify_waiters();
    }
    match fate {
        Fate::LoseAfter => Err(std::io::Error::other("lost")),
        Fate::HangAfter => {
            hangs.notify_one();
            std::future::pending().await
        }
        Fate::RefuseAfter(status, code) => Ok(refusal(status, code).map(whole)),
        Fate::Cut => Ok(answered.map(|body| half(&body, std::future::ready(())))),
        Fate::Stall => Ok(answered.map(|body| half(&body, std::future::pending()))),
        Fate::Pass | Fate::LoseBefore | Fate::HangBefore | Fate::Refuse(..) | Fate::Promise => Ok(answered.map(whole)),
    }
}

fn whole(body: Bytes) -> Answer {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The first half of a body, which goes out; once `end` has come, the connection breaks.
fn half(body: &Bytes, end: impl Future<Output = ()> + Send + 'static) -> Answer {
    let first = stream::iter([Ok(body.slice(..body.len() / 2))]);
    let broken = stream::once(async {
        // Whoever waits for more writes what there is.
        tokio::task::yield_now().await;
        end.await;
        Err(std::io::Error::other("cut"))
    });
    StreamBody::new(first.chain(broken).map_ok(Frame::data)).boxed_unsync()
}

async fn pass_on(asked: Asked, target: SocketAddr, client: reqwest::Client) -> Result<Response<Bytes>, std::io::Error> {
    let path = asked.head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = asked.head.headers;
    let creates = headers.contains_key("x-oss-forbid-overwrite");
    if creates {
        // Not signed, so the server takes it; OSS knows only its own.
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    let sent = client
        .request(asked.head.method, format!("http://{target}{path}"))
        .headers(headers)
        .body(asked.body)
        .send();
    let response = sent.await.map_err(std::io::Error::other)?;
    let (status, headers) = (response.status(), response.headers().clone());
    if creates && status == StatusCode::PRECONDITION_FAILED {
        return Ok(refusal(409, "FileAlreadyExists"));
    }
    let body = response.bytes().await.map_err(std::io::Error::other)?;
    let mut answered = Response::new(body);
    *answered.status_mut() = status;
    *answered.headers_mut() = headers;
    answered.headers_mut().remove(header::TRANSFER_ENCODING);
    Ok(answered)
}

fn refusal(status: u16, code: &str) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>harm</Message></Error>");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Whether a query has a pair with this name, and this value if it matters.
fn has(head: &http::request::Parts, name: &str, value: Option<&str>) -> bool {
    let pairs = head.uri.query().unwrap_or_default().split('&');
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .any(|(of, is)| of == name && value.is_none_or(|value| is == value))
}

/// The requests of Google Cloud Storage's JSON API.
fn of_gcs(head: &http::request::Parts) -> &'static str {
    match head.method.as_str() {
        "POST" if head.uri.path().ends_with("/compose") => "ObjectsCompose",
        "POST" => "ObjectsInsert",
        "DELETE" => "ObjectsDelete",
        _ if head.uri.path().ends_with("/o") => "ObjectsList",
        _ if has(head, "alt", Some("media")) => "ObjectsGetMedia",
        _ => "ObjectsGet",
    }
}

/// The requests of Azure Blob Storage.
fn of_azure(head: &http::request::Parts) -> &'static str {
    let comp = |value: &str| has(head, "comp", Some(value));
    match head.method.as_str() {
        "PUT" if comp("block") => "PutBlock",
        "PUT" if comp("blocklist") => "PutBlockList",
        "PUT" => "PutBlob",
        "DELETE" => "DeleteBlob",
        "HEAD" => "GetBlobProperties",
        _ if comp("blocklist") => "GetBlockList",
        _ if comp("list") => "ListBlobs",
        _ => "GetBlob",
    }
}

/// The requests of S3.
fn of_s3(head: &http::request::Parts) -> &'static str {
    let has = |name: &str| has(head, name, None);
    match head.method.as_str() {
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" => "CompleteMultipartUpload",
        "PUT" if head.headers.contains_key("x-amz-copy-source") => "UploadPartCopy",
        "PUT" if has("partNumber") => "UploadPart",
        "PUT" => "PutObject",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        "HEAD" => "HeadObject",
        "GET" if has("uploadId") => "ListParts",
        "GET" if has("uploads") => "ListMultipartUploads",
        "GET" if has("list-type") => "ListObjectsV2",
        _ => "GetObject",
    }
}

/// What Alibaba OSS refuses of S3's protocol: a bucket in the path, bodies in signed chunks, `If-None-Match` on a PUT, and
/// a part below 100 KB that is not the last.
pub(super) fn refused_by_oss() -> impl Fn(&Asked) -> Fate + Send + Sync {
    let small: Mutex<BTreeSet<String>> = Mutex::default();
    move |asked| {
        let field = |name: &str| {
            let value = asked.head.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        let number = |text: &str| text.split(['&', '<']).next().unwrap_or_default().to_owned();
        let in_host = field("host").starts_with(&format!("{}.", bucket::NAME));
        let chunked = field("content-encoding").contains("aws-chunked")
            || field("x-amz-content-sha256").starts_with("STREAMING-")
            || !field("x-amz-trailer").is_empty();
        if asked.operation == "UploadPart" && asked.body.len() < 100 * 1024 {
            let query = asked.head.uri.query().unwrap_or_default();
            let sent = query.split("partNumber=").nth(1).map(number);
            small.lock().unwrap().extend(sent);
        }
        let named = String::from_utf8_lossy(&asked.body);
        let mut completed: Vec<String> = named.split("<PartNumber>").skip(1).map(number).collect();
        completed.pop();
        if !in_host {
            Fate::Refuse(403, "SecondLevelDomainForbidden")
        } else if chunked {
            Fate::Refuse(400, "InvalidArgument")
        } else if asked.head.headers.contains_key(header::IF_NONE_MATCH) {
            Fate::Refuse(501, "NotImplemented")
        } else if asked.operation == "CompleteMultipartUpload"
            && completed.iter().any(|part| small.lock().unwrap().contains(part))
        {
            Fate::Refuse(400, "EntityTooSmall")
        } else {
            Fate::Pass
        }
    }
}
