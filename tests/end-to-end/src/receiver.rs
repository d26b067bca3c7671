//! A receiver of POSTs on loopback: of a hook's calls, or of the spans that an OpenTelemetry collector gets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// More than any test sends in one request.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What was received in one request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path.
    pub path: String,
    /// The `traceparent`, if there was one.
    pub traceparent: Option<String>,
    /// The `Idempotency-Key`, if there was one.
    pub idempotency_key: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Receives until it is dropped, and answers each request with 200 and no body.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// A receiver on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let router = Router::new().fallback(take).with_state(Arc::clone(&received));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a listener accepts");
        });
        Self {
            address,
            received,
            serving,
        }
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that was received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// All spans so far, of OTLP requests.
    ///
    /// # Panics
    /// When a request is none.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let received = self.received();
        let requests = received.iter().filter(|request| request.path == "/v1/traces");
        let requests = requests.map(|request| {
            ExportTraceServiceRequest::decode(&*request.body).expect("a collector is sent spans as protobuf")
        });
        requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    /// All bodies so far, as JSON.
    ///
    /// # Panics
    /// When one is none.
    #[must_use]
    pub fn documents(&self) -> Vec<(Value, Option<String>)> {
        let read = |request: Received| {
            let document = serde_json::from_slice(&request.body).expect("a hook is sent JSON");
            (document, request.traceparent)
        };
        self.received().into_iter().map(read).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(received): State<Arc<Mutex<Vec<Received>>>>, request: Request<Body>) {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    if let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await {
        lock(&received).push(Received {
            path: parts.uri.path().to_owned(),
            traceparent: header("traceparent"),
            idempotency_key: header("idempotency-key"),
            body: body.into(),
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
