//! Traces: W3C Trace Context in and out, and OTLP to the collector that the standard variables name.
//!
//! A request's trace begins at the client's `traceparent`, if it sent one, and goes on in whatever the request causes:
//! commits, their events, calls of hooks and of an object store. Without a collector nothing is recorded, and what the
//! client sent is handed on as it is.
//!
//! Spans of a trace have the target [`TARGET`] and are none of the log's: made by [`crate::step!`], they cost nothing while
//! nobody collects. No span holds a token, a payload or a raw path.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Instrument as _, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans that are part of a trace; the log's filter does not let them through.
pub const TARGET: &str = windlass_task::TRACE;

/// Any of these names the collector (OpenTelemetry, "OTLP exporter configuration").
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The standard's switch for all of it.
const DISABLED: &str = "OTEL_SDK_DISABLED";

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The length of a `traceparent` of version 00 (W3C Trace Context section 3.2): `00-<32>-<16>-<2>`.
const TRACEPARENT_BYTES: usize = 55;

/// How long a process that goes down waits for the collector to take its last spans.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// A collector answers in a few bytes; one that sends more is not one.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

tokio::task_local! {
    /// What the client sent, for a process that records nothing of its own.
    static RECEIVED: HeaderValue;
}

/// A span of the trace in hand: [`tracing::debug_span!`] with the target of traces.
#[macro_export]
macro_rules! step {
    ($name:literal $($fields:tt)*) => {
        ::tracing::debug_span!(target: $crate::trace::TARGET, $name $($fields)*)
    };
}

/// The layer that records spans and sends them to the collector; `None` where no collector is named or it cannot be.
pub(crate) fn layer<S>() -> Result<Option<impl Layer<S> + Send + Sync>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !ENDPOINTS.iter().any(is_set) || std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let collector = Collector::new()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(collector)
        .build()
        .map_err(|error| error.to_string())?;
    // Sampling, batches and resource attributes are those of the standard's variables.
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource())
        .build();
    let provider = PROVIDER.get_or_init(|| provider);
    let recording = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("windlass"))
        .with_location(false)
        .with_threads(false)
        .with_target(false);
    Ok(Some(recording.with_filter(tracing_subscriber::filter::filter_fn(
        |metadata| metadata.is_span() && metadata.target() == TARGET,
    ))))
}

/// `service.name` is the program's unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says another.
fn resource() -> Resource {
    let builder = Resource::builder();
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|text| text.contains("service.name="));
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_name()?.to_str());
    match program {
        Some(name) if !named => builder.with_service_name(name.to_owned()).build(),
        _ => builder.build(),
    }
}

/// Sends what has not been sent, for a short while; of a process that goes down.
pub(crate) async fn flush() {
    if let Some(provider) = PROVIDER.get() {
        let flushing = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FLUSH_WITHIN));
        if let Ok(Err(error)) = flushing.await {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// The span of a request (HTTP semantic conventions, server), as part of the client's trace.
pub(crate) fn of_request(method: &Method, route: &str, headers: &HeaderMap) -> Span {
    let span = step!(
        "request",
        otel.kind = "server",
        otel.name = format_args!("{method} {route}"),
        http.request.method = %method,
        http.route = route,
    );
    if !span.is_disabled() {
        // It fails on a span that nobody records.
        let _ = span
            .set_parent(TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers)));
    }
    span
}

/// Notes how a request was answered; from 500 on it is an error of the server.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    if !span.is_disabled() {
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.set_status(Status::error(String::new()));
        }
    }
}

/// The client's `traceparent`, if it is one.
pub(crate) fn received(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(TRACEPARENT).filter(|value| is_traceparent(value)).cloned()
}

/// Runs the handling of a request inside its trace.
pub(crate) async fn within<T>(span: Span, received: Option<HeaderValue>, handling: impl Future<Output = T>) -> T {
    match received {
        Some(value) => RECEIVED.scope(value, handling.instrument(span)).await,
        None => handling.instrument(span).await,
    }
}

/// The same work, still part of the present trace when it runs as a task of its own.
pub fn carry<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let (span, received) = (Span::current(), RECEIVED.try_with(Clone::clone).ok());
    async move {
        match received {
            Some(value) => RECEIVED.scope(value, work).await,
            None => work.await,
        }
    }
    .instrument(span)
}

/// The `traceparent` (W3C Trace Context) of what runs now, for an event or a record; `None` outside any trace.
#[must_use]
pub fn traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    headers.get(TRACEPARENT)?.to_str().ok().map(str::to_owned)
}

/// Adds the trace of what runs now to an outgoing request; nothing outside any trace.
pub fn inject(headers: &mut HeaderMap) {
    let present = Context::current();
    if present.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&present, &mut HeaderInjector(headers));
    } else if let Ok(received) = RECEIVED.try_with(Clone::clone) {
        headers.insert(TRACEPARENT, received);
    }
}

/// Makes `span` part of the trace that an event was made in.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    let Some(value) = traceparent.and_then(|text| HeaderValue::from_str(text).ok()) else {
        return;
    };
    if !span.is_disabled() {
        let headers = HeaderMap::from_iter([(TRACEPARENT, value)]);
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(&headers));
        // It fails on a span that nobody records.
        let _ = span.set_parent(parent);
    }
}

/// Adds the trace that an event was made in to a request of its delivery: that of `span` where it is recorded, else as
/// the event has it.
pub fn hand_on(span: &Span, traceparent: Option<&str>, headers: &mut HeaderMap) {
    let recorded = span.context();
    if recorded.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&recorded, &mut HeaderInjector(headers));
    } else if let Some(value) = traceparent.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}

/// Whether it is a `traceparent` of version 00, well formed: what is handed on unread must be nothing else.
fn is_traceparent(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    bytes.len() == TRACEPARENT_BYTES
        && bytes.starts_with(b"00-")
        && bytes[35] == b'-'
        && bytes[52] == b'-'
        && [&bytes[3..35], &bytes[36..52], &bytes[53..]].into_iter().all(is_hex)
        && [&bytes[3..35], &bytes[36..52]]
            .into_iter()
            .all(|id| id.iter().any(|byte| *byte != b'0'))
}

/// The way to the collector. The exporter runs on a thread of its own without a runtime, so it has one here.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn new() -> Result<Self, String> {
        crate::tls::install_provider();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT)
            .build()
            .map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, runtime })
    }

    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let sending = self
            .client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers);
        // The endpoint may hold a secret, and errors are logged.
        let plain = |error: reqwest::Error| error.without_url();
        let mut answer = sending.body(body).send().await.map_err(plain)?;
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(plain)? {
            if text.len() + chunk.len() > ANSWER_BYTES_MAX {
                break;
            }
            text.extend_from_slice(&chunk);
        }
        *response.body_mut() = text.into();
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        Ok(self.runtime.block_on(self.send(request))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_handed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let is = |text: &str| is_traceparent(&HeaderValue::from_str(text).unwrap());
        assert!(is(good));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn without_a_collector_the_clients_trace_is_handed_on_as_it_came() {
        let value = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let headers = HeaderMap::from_iter([(TRACEPARENT, value.clone())]);
        let seen = within(Span::none(), received(&headers), async {
            let apart = tokio::spawn(carry(async { traceparent() }));
            (traceparent(), apart.await.unwrap())
        })
        .await;
        let expected = Some(value.to_str().unwrap().to_owned());
        assert_eq!(seen, (expected.clone(), expected));
        assert_eq!(traceparent(), None);
    }
}
