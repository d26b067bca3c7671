//! What the serve layer counts. Labels are bounded: route templates, never paths; known methods; status classes.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of one process's listeners. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: Gauge,
    accepted: Counter,
    accept_errors: Counter,
    full: Counter,
    received: Counter,
    sent: Counter,
    requests: Family<RequestLabels, Counter>,
    auth_failures: Family<FailureLabels, Counter>,
    refused: Family<FailureLabels, Counter>,
    jwks_reads: Family<OutcomeLabels, Counter>,
    handshakes: Family<OutcomeLabels, Counter>,
    certificate_reloads: Family<OutcomeLabels, Counter>,
    certificate_refused: Gauge,
    certificate_end: Gauge,
    http2_windows: Gauge,
    http2_full: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Cow<'static, str>,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Metrics {
    /// Metrics that `registry` will show.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let inner = &metrics.inner;
        registry.register(
            "connections",
            "Connections that are open now, upgraded ones included",
            inner.open.clone(),
        );
        registry.register("connections_accepted", "Connections accepted", inner.accepted.clone());
        registry.register(
            "accept_errors",
            "Failed accepts, such as those for want of a file descriptor",
            inner.accept_errors.clone(),
        );
        registry.register(
            "connections_full",
            "Times that accepting paused because the connection limit was reached",
            inner.full.clone(),
        );
        registry.register("received_bytes", "Bytes read from clients", inner.received.clone());
        registry.register("sent_bytes", "Bytes written to clients", inner.sent.clone());
        registry.register(
            "http_requests",
            "Requests answered, by method, route template and status class",
            inner.requests.clone(),
        );
        registry.register(
            "auth_failures",
            "Requests whose token was missing or refused, by error code",
            inner.auth_failures.clone(),
        );
        registry.register(
            "guard_refusals",
            "Requests refused for their Host or Origin, by error code",
            inner.refused.clone(),
        );
        registry.register(
            "jwks_reads",
            "Readings of the key set that verifies tokens; while they fail the last good one is used",
            inner.jwks_reads.clone(),
        );
        registry.register(
            "tls_handshakes",
            "TLS handshakes, by how they ended",
            inner.handshakes.clone(),
        );
        registry.register(
            "tls_certificate_reloads",
            "New certificates and keys found in the files, by whether they could be used",
            inner.certificate_reloads.clone(),
        );
        registry.register(
            "tls_certificate_refused",
            "1 while the files hold a certificate and key that cannot be used and the old ones are shown",
            inner.certificate_refused.clone(),
        );
        registry.register(
            "tls_certificate_not_after_seconds",
            "When the certificate that is shown ends, seconds since the Unix epoch; 0 without TLS",
            inner.certificate_end.clone(),
        );
        registry.register(
            "http2_window_bytes",
            "Windows granted to the HTTP/2 connections that are open: the most that they can have unread",
            inner.http2_windows.clone(),
        );
        registry.register(
            "http2_full",
            "Connections that were not given HTTP/2 because listener.http2.memoryBytes is granted",
            inner.http2_full.clone(),
        );
        metrics
    }

    pub(crate) fn accepted(&self) {
        self.inner.accepted.inc();
    }

    pub(crate) fn accept_failed(&self) {
        self.inner.accept_errors.inc();
    }

    pub(crate) fn full(&self) {
        self.inner.full.inc();
    }

    pub(crate) fn connection_opened(&self) {
        self.inner.open.inc();
    }

    pub(crate) fn connection_closed(&self) {
        self.inner.open.dec();
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.inner.received.inc_by(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.inner.sent.inc_by(bytes as u64);
    }

    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode) {
        let labels = RequestLabels {
            method: method_label(method),
            route: Cow::Owned(route.to_owned()),
            status: class(status),
        };
        self.inner.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn auth_failed(&self, code: &'static str) {
        self.inner.auth_failures.get_or_create(&FailureLabels { code }).inc();
    }

    pub(crate) fn jwks_read(&self, good: bool) {
        self.inner.jwks_reads.get_or_create(&outcome(good)).inc();
    }

    pub(crate) fn handshake(&self, outcome: &'static str) {
        self.inner.handshakes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn certificate_reload(&self, good: bool) {
        self.inner.certificate_reloads.get_or_create(&outcome(good)).inc();
    }

    pub(crate) fn certificate_refused(&self, refused: bool) {
        self.inner.certificate_refused.set(refused.into());
    }

    pub(crate) fn certificate(&self, not_after: Option<i64>) {
        self.inner.certificate_end.set(not_after.unwrap_or_default());
    }

    pub(crate) fn http2_window(&self, bytes: i64) {
        self.inner.http2_windows.inc_by(bytes);
    }

    pub(crate) fn http2_full(&self) {
        self.inner.http2_full.inc();
    }

    pub(crate) fn guard_refused(&self, code: &'static str) {
        self.inner.refused.get_or_create(&FailureLabels { code }).inc();
    }
}

fn outcome(good: bool) -> OutcomeLabels {
    OutcomeLabels {
        outcome: if good { "ok" } else { "failed" },
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        // A client can make up methods; each would be a time series of its own.
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
