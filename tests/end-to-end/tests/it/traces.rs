//! One trace from the client's request to the hook that hears of it, with a collector and without.

use end_to_end::content::Content;
use end_to_end::receiver::Receiver;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::Request;
use rustix::process::Signal;

/// Trace id and parent span id of the example in W3C Trace Context, sampled.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

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
    let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
    let patch = Request::patch(&upload.location, 0).header("traceparent", traceparent);
    let response = client.ask(&upload, &patch.body(upload.content.bytes(0..100_000))).await;
    assert_eq!(response.status, 204, "{response:?}");
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

    let spans = collector.spans();
    let id = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of_trace: Vec<_> = spans.iter().filter(|span| id(&span.trace_id) == TRACE).collect();
    let named = |name: &str| {
        let found = of_trace.iter().find(|span| span.name == name);
        *found.unwrap_or_else(|| panic!("no span {name:?} in {of_trace:#?}"))
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
    let text = format!("{spans:?}");
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
