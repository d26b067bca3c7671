use serde_json::{Value, json};

use super::*;
use crate::codes::{Disconnect, Refusal};
use crate::config::{Config, Settings};
use crate::payload::Payload;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn settings(config: Value) -> Result<Settings, String> {
    let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    Settings::validate(&config, false).map_err(|error| error.to_string())
}

fn ask(question: Question) -> Ask {
    Ask {
        about: About::Command,
        proxy: DEFAULT.to_owned(),
        user: "ann".into(),
        meta: Payload::of(&json!({"m": 1})).unwrap(),
        question,
    }
}

fn asker() -> Asker<'static> {
    Asker {
        client: "00000000-0000-4000-8000-000000000000".parse().unwrap(),
        transport: "websocket",
        protocol: "json",
        headers: None,
        emulated: None,
    }
}

fn written(question: Question, encoding: Encoding, with_meta: bool) -> Option<Value> {
    let ask = ask(question);
    let request = Request::of_question(&ask, &asker(), encoding, with_meta)?;
    Some(serde_json::to_value(request).unwrap())
}

fn rpc(data: Payload) -> Question {
    let method = "price".to_owned();
    Question::Rpc { method, data }
}

#[test]
fn a_question_is_written_as_centrifugo_writes_it() {
    let client = "00000000-0000-4000-8000-000000000000";
    let data = Payload::of(&json!({"a": [1, 2.50]})).unwrap();
    let base = |more: Value| {
        let mut whole = json!({"client": client, "transport": "websocket", "protocol": "json", "encoding": "json"});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let channel = "chat:a".to_owned();
    for (question, expected) in [
        (
            Question::Connect {
                name: "js".into(),
                version: String::new(),
                data: data.clone(),
            },
            json!({"name": "js", "data": {"a": [1, 2.50]}}),
        ),
        (Question::Refresh, json!({"user": "ann", "meta": {"m": 1}})),
        (
            Question::Publish {
                channel: channel.clone(),
                data: data.clone(),
            },
            json!({"user": "ann", "meta": {"m": 1}, "channel": "chat:a", "data": {"a": [1, 2.50]}}),
        ),
        (
            Question::SubRefresh { channel },
            json!({"user": "ann", "meta": {"m": 1}, "channel": "chat:a"}),
        ),
        (
            rpc(Payload::default()),
            json!({"user": "ann", "meta": {"m": 1}, "method": "price"}),
        ),
    ] {
        assert_eq!(written(question, Encoding::Json, true), Some(base(expected)));
    }
    let binary = written(rpc(Payload::from_bytes(&[0, 255])), Encoding::Binary, false).unwrap();
    assert_eq!(
        (&binary["encoding"], &binary["b64data"], &binary["meta"]),
        (&json!("binary"), &json!("AP8="), &Value::Null)
    );
    assert_eq!(
        written(rpc(Payload::from_bytes(&[0, 255])), Encoding::Json, false),
        None
    );
}

#[test]
fn an_event_says_who_and_why() {
    let event = Event::Disconnect {
        code: 3012,
        reason: "no pong".into(),
    };
    let asker = asker();
    let request = Request::of_event(&event, "ann", &asker, Encoding::Json);
    let told = serde_json::to_value(request).unwrap();
    assert_eq!(
        (&told["user"], &told["code"], &told["reason"]),
        (&json!("ann"), &json!(3012), &json!("no pong"))
    );
}

#[test]
fn an_answer_is_yes_or_no_or_nothing_that_counts() {
    let read = |question: &Question, text: &str| wire::read_answer(question, text.as_bytes(), NOW);
    let rpc = rpc(Payload::default());
    // Digit by digit as it was written.
    let answer = read(
        &rpc,
        r#"{"result":{"data":{"b":1.50,"a":12345678901234567890123}},"other":1}"#,
    );
    let data = Payload::from_bytes(br#"{"b":1.50,"a":12345678901234567890123}"#);
    assert_eq!(answer.unwrap(), Ok(Answer::Rpc(data)));
    assert_eq!(
        read(&rpc, r#"{"result":{"b64data":"AP8="}}"#).unwrap(),
        Ok(Answer::Rpc(Payload::from_bytes(&[0, 255])))
    );

    let Err(Denial::Refused(Refusal::Custom(error))) = read(
        &rpc,
        r#"{"result":{},"error":{"code":1000,"message":"m","temporary":true}}"#,
    )
    .unwrap() else {
        panic!("an error is an error whatever else is there");
    };
    assert_eq!((error.code, error.message.as_str(), error.temporary), (1000, "m", true));
    let Err(Denial::Disconnected(Disconnect::Custom(disconnect))) =
        read(&rpc, r#"{"error":{"code":1},"disconnect":{"code":4501,"reason":"r"}}"#).unwrap()
    else {
        panic!("a disconnect goes before an error");
    };
    assert_eq!(Disconnect::Custom(disconnect).parts(), (4501, "r"));

    let too_long = format!(r#"{{"disconnect":{{"code":4501,"reason":"{}"}}}}"#, "x".repeat(124));
    for nothing in [
        "",
        "no",
        "[]",
        "{}",
        r#"{"result":null}"#,
        r#"{"result":[]}"#,
        r#"{"result":{"b64data":"!"}}"#,
        r#"{"error":{}}"#,
        r#"{"disconnect":{"code":1}}"#,
        &too_long,
    ] {
        assert!(read(&rpc, nothing).is_err(), "{nothing}");
    }
}

#[test]
fn a_backend_says_who_a_client_is_and_what_it_is_given() {
    let question = Question::Connect {
        name: String::new(),
        version: String::new(),
        data: Payload::default(),
    };
    let read = |text: &str| match wire::read_answer(&question, text.as_bytes(), NOW) {
        Ok(Ok(Answer::Connect(identity))) => Some(identity),
        _ => None,
    };
    let identity = read(
        r#"{"result":{"user":"56","expire_at":1060,"info":{"n":1},"data":[2],"meta":{"role":"x"},
            "channels":["news"],"subs":{"chat":{"data":3,"override":{"presence":{"value":true}}}}}}"#,
    )
    .unwrap();
    assert_eq!((identity.principal.owner.as_str(), identity.anonymous), ("56", false));
    assert_eq!(identity.expires_in, Some(Duration::from_secs(60)));
    let welcome = &identity.welcome;
    assert_eq!(welcome.meta.bytes(), br#"{"role":"x"}"#);
    assert_eq!(welcome.data.bytes(), b"[2]");
    let channels: Vec<_> = welcome.subscriptions.iter().map(|sub| sub.channel.as_str()).collect();
    assert_eq!(channels, ["news", "chat"]);

    let nobody = read(r#"{"result":{"user":"","expire_at":0}}"#).unwrap();
    assert_eq!((nobody.anonymous, nobody.expires_in), (true, None));
    assert!(read(r#"{"result":{"user":7}}"#).is_none());
    assert!(read(r#"{"result":{"subs":{"chat":{"b64info":"!"}}}}"#).is_none());
}

#[test]
fn what_is_on_must_lead_somewhere_and_secrets_are_not_printed() {
    let endpoint = "http://user:password@backend/";
    let good = json!({
        "client": {"proxy": {"connect": {
            "enabled": true, "endpoint": endpoint, "http_headers": ["Cookie"], "emulated_headers": ["Authorization"],
            "http": {"static_headers": {"X-Key": "sesame"}, "status_to_code_transforms": [
                {"status_code": 404, "to_error": {"code": 404, "message": "gone"}},
                {"status_code": 403, "to_disconnect": {"code": 4403, "reason": "no"}}
            ]}
        }}},
        "namespaces": [{"name": "chat", "subscribe_proxy_enabled": true, "subscribe_proxy_name": "one"}],
        "proxies": [{"name": "one", "endpoint": "https://backend/"}]
    });
    let settings_of_good = settings(good).unwrap();
    let printed = format!("{settings_of_good:?}");
    assert!(
        !printed.contains("sesame") && !printed.contains("password"),
        "{printed}"
    );
    let proxies = &settings_of_good.proxies;
    assert!(proxies.has(Kind::Connect) && !proxies.has(Kind::Refresh));
    let headers = [("cookie", "c"), ("x-other", "o"), ("authorization", "a")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    let wanted = proxies.wanted_headers(&headers.into_iter().collect()).unwrap();
    assert_eq!(wanted.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["cookie"]);

    let proxy = |more: Value| {
        let mut proxy = json!({"enabled": true, "endpoint": "http://backend/"});
        proxy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"client": {"proxy": {"refresh": proxy}}})
    };
    for bad in [
        proxy(json!({"endpoint": "grpc://backend:9000"})),
        proxy(json!({"endpoint": ""})),
        proxy(json!({"endpiont": "http://backend/"})),
        proxy(json!({"timeout": "0s"})),
        proxy(json!({"timeout": "31s"})),
        proxy(json!({"max_in_flight": 0})),
        proxy(json!({"http_headers": ["Host"]})),
        proxy(json!({"http_headers": ["a b"]})),
        proxy(json!({"http": {"static_headers": {"X": "a\nb"}}})),
        proxy(json!({"http": {"status_to_code_transforms": [{"status_code": 404}]}})),
        proxy(json!({"http": {"tls": {"enabled": true, "server_ca_pem": "/nowhere"}}})),
        json!({"channels": {"publish_proxy_enabled": true}}),
        json!({"channels": {"publish_proxy_enabled": true, "publish_proxy_name": "one"}}),
        json!({"rpc": {"without_namespace": {"proxy_enabled": true}}}),
        json!({"rpc": {"namespaces": [{"name": "a"}]}}),
        json!({"proxies": [{"name": "default", "endpoint": "http://backend/"}]}),
        json!({"proxies": [{"name": "aa", "endpoint": "http://a/"}, {"name": "aa", "endpoint": "http://a/"}]}),
    ] {
        assert!(settings(bad.clone()).is_err(), "{bad}");
    }
    assert!(settings(json!({"client": {"proxy": {"connect": {"enabled": false, "endpoint": ""}}}})).is_ok());
}

#[test]
fn the_example_of_the_documentation_is_a_configuration() {
    let page = include_str!("../../../../docs/proxies.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windlass.yaml");
    std::fs::write(&path, example).unwrap();
    let file = crate::file::File::read(Some(&path), None).unwrap();
    let settings = Settings::validate(&file.push.unwrap(), false).unwrap();
    assert!(settings.proxies.has(Kind::Connect) && !settings.proxies.has(Kind::Refresh));
    assert_eq!(settings.proxies.rpc("sun:x"), RpcRoute::Proxy("other"));
}
