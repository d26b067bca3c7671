//! One trace from the client's request to the hook that hears of it and the frame that shows it, with a collector and
//! without.

use bucket::Bucket;
use end_to_end::content::Content;
use end_to_end::receiver::Receiver;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::watch::Watcher;
use end_to_end::wire::Request;
use fixture_redis::Redis;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use tempfile::TempDir;

/// Trace id and parent span id of the example in W3C Trace Context, sampled.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

/// The spans of the client's trace that a collector has.
fn of_trace(collector: &Receiver) -> Vec<Span> {
    let mut spans = collector.spans();
    spans.retain(|span| id(&span.trace_id) == TRACE);
    spans
}

fn id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends all of an upload in a PATCH that carries the client's trace.
async fn patch_in_trace(client: &Client, upload: &Upload) {
    let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
    let patch = Request::patch(&upload.location, 0).header("traceparent", traceparent);
    let bytes = upload.content.bytes(0..upload.content.length);
    let response = client.ask(upload, &patch.body(bytes)).await;
    assert_eq!(response.status, 204, "{response:?}");
}

/// An upload in one PATCH that carries the client's trace, with a hook before and one after its end.
async fn upload_with_trace(environment: Vec<(String, String)>) -> (Server, Receiver, Upload) {
    let hooks = Receiver::start().await;
    let lines = [
        "hooks:".to_owned(),
        format!("  url: {}/hook", hooks.url()),
        "  events: [pre-finish, post-finish]".to_owned(),
    ];
    let settings = Settings::upload(&lines.each_ref().map(String::as_str));
    let server = Server::with(Settings {
        environment,
        ..settings
    })
    .await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 100_000)).await;
    patch_in_trace(&client, &upload).await;
    eventually(SOON, "both hooks to be called", async || {
        (hooks.received().len() >= 2).then_some(())
    })
    .await;
    (server, hooks, upload)
}

#[tokio::test]
async fn a_request_its_commits_and_its_hooks_are_one_trace_at_the_collector() {
    let collector = Receiver::start().await;
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.url())];
    let (mut server, hooks, upload) = upload_with_trace(environment).await;
    // What has not been sent is sent when the process goes down.
    server.signal(Signal::TERM);
    assert!(server.ended(SOON).await.success());

    let spans = of_trace(&collector);
    let named = |name: &str| {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no span {name:?} in {spans:#?}"))
    };
    let request = named("PATCH /files/{tenant}/{id}/{key}");
    assert_eq!(id(&request.parent_span_id), CLIENT_SPAN);
    for step in ["store bytes", "commit", "pre-finish", "post-finish"] {
        named(step);
    }
    assert_eq!(named("store bytes").parent_span_id, request.span_id);
    for (document, traceparent) in hooks.documents() {
        let kind = document["Type"].as_str().expect("a hook has a type");
        let expected = format!("00-{TRACE}-{}-01", id(&named(kind).span_id));
        assert_eq!(traceparent, Some(expected), "{kind}");
    }
    let text = format!("{:?}", collector.spans());
    let key = upload.location.rsplit('/').next().expect("a location has a key");
    assert!(!text.contains(key), "a span holds the right to write");
}

#[tokio::test]
async fn without_a_collector_the_clients_trace_reaches_the_hooks_as_it_came() {
    let (_server, hooks, _) = upload_with_trace(Vec::new()).await;
    for (document, traceparent) in hooks.documents() {
        assert_eq!(traceparent, Some(format!("00-{TRACE}-{CLIENT_SPAN}-01")), "{document}");
    }
}

/// One collector a process, so that it is known who has made a span.
#[tokio::test]
async fn a_request_and_the_frame_that_shows_it_at_another_process_are_one_trace() {
    let (redis, data) = (
        Redis::start().await,
        TempDir::new().expect("a temporary folder can be made"),
    );
    let collectors = [Receiver::start().await, Receiver::start().await];
    let mut servers = Vec::new();
    for collector in &collectors {
        let settings = Settings {
            config: format!("store:\n  redis:\n    url: {}\n", redis.url()),
            data: Some(data.path().to_owned()),
            environment: vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.url())],
            ..Settings::default()
        };
        servers.push(Server::with(settings).await);
    }
    let [sends, watches] = servers.as_slice() else {
        panic!("two were started")
    };
    let client = Client::of(sends);
    let upload = client.create(Content::new(1, 100_000)).await;
    let watcher = Watcher::plain(&client.at(watches), &upload).await;
    watcher.sees("the present value", |value| value["progress"] == 0).await;
    patch_in_trace(&client, &upload).await;
    watcher.sees("the last value", |value| value["progress"] == 100).await;
    for server in &mut servers {
        server.signal(Signal::TERM);
        assert!(server.ended(SOON).await.success());
    }

    let [sent, shown] = collectors.each_ref().map(of_trace);
    let request = sent
        .iter()
        .find(|span| span.name == "PATCH /files/{tenant}/{id}/{key}")
        .expect("the request's span");
    let push = shown.iter().find(|span| span.name == "push").expect("the frame's span");
    assert_eq!(push.parent_span_id, request.span_id);
    assert!(push.end_time_unix_nano >= request.start_time_unix_nano);
}

#[tokio::test]
async fn the_requests_to_the_object_store_and_to_redis_are_part_of_the_clients_trace() {
    const LENGTH: u64 = 9 * 1024 * 1024;
    let (collector, bucket, redis) = (Receiver::start().await, Bucket::start(), Redis::start().await);
    let store = format!("store:\n  redis:\n    url: {}\n", redis.url());
    let (settings, _keys) = crate::bucket::settings(&bucket, "", &store);
    let mut server = Server::with(Settings {
        environment: vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.url())],
        ..settings
    })
    .await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(2, LENGTH)).await;
    let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
    let patch = Request::patch(&upload.location, 0).header("traceparent", traceparent);
    let response = client.ask(&upload, &patch.body(upload.content.whole())).await;
    assert_eq!(response.status, 204, "{response:?}");
    server.signal(Signal::TERM);
    assert!(server.ended(SOON).await.success());

    let spans = collector.spans();
    let id = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of_trace: Vec<_> = spans.iter().filter(|span| id(&span.trace_id) == TRACE).collect();
    let count = |name: &str| of_trace.iter().filter(|span| span.name == name).count();
    // Two parts, the object that they become, and the commits with their reads.
    assert!(count("UploadPart") >= 2, "{of_trace:#?}");
    for name in ["CreateMultipartUpload", "CompleteMultipartUpload", "read", "write"] {
        assert!(count(name) >= 1, "no span {name:?} in {of_trace:#?}");
    }
    // Each is part of a step that is itself there: nothing hangs in the air.
    let known = |parent: &[u8]| id(parent) == CLIENT_SPAN || of_trace.iter().any(|span| span.span_id == parent);
    assert!(of_trace.iter().all(|span| known(&span.parent_span_id)));
}
