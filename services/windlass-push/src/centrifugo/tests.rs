use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::ChannelOptions;

fn translated(document: Value) -> Translated {
    translate(&document).expect("it can be taken over")
}

fn refused(document: Value) -> String {
    translate(&document).expect_err("it cannot be taken over").to_string()
}

#[test]
fn what_has_a_counterpart_is_taken() {
    let taken = translated(json!({
        "client": {
            "allowed_origins": ["https://app.example.org", "https://*.example.com"],
            "token": {"hmac_secret_key": "0123456789abcdef0123456789abcdef", "issuer": "us", "audience": "push"},
            "ping_interval": "12s",
            "stale_close_delay": "1m30s",
            "channel_limit": 7,
            "connection_limit": 9,
            "user_connection_limit": 3,
            "connection_rate_limit": 100,
            "queue_max_size": 4096,
            "allow_anonymous_connect_without_token": true
        },
        "websocket": {"message_size_limit": 1000},
        "http_api": {"key": "an API key of some length", "handler_prefix": "/api"},
        "channel": {
            "without_namespace": {"presence": true, "allow_subscribe_for_client": true},
            "namespaces": [
                {"name": "chat", "history_size": 10, "history_ttl": "300s", "force_recovery": true, "join_leave": true},
                {"name": "price", "history_size": 1, "history_ttl": "1h", "force_recovery": true, "force_recovery_mode": "cache"}
            ]
        }
    }));
    assert_eq!(taken.notes, []);
    assert_eq!(
        taken.keys,
        Some(Keys::Hmac("0123456789abcdef0123456789abcdef".to_owned()))
    );
    assert_eq!(
        (taken.issuer.as_deref(), taken.audience.as_deref()),
        (Some("us"), Some("push"))
    );
    let origins = ["https://app.example.org", "https://*.example.com"];
    assert_eq!(taken.origins, origins.map(|origin| origin.parse().expect("an origin")));
    let config = taken.config().expect("it is a configuration of ours");
    assert_eq!(
        config.heartbeat.interval.expect("it was set").0,
        Duration::from_secs(12)
    );
    assert_eq!(
        config.connection.stale_after.expect("it was set").0,
        Duration::from_secs(90)
    );
    let connection = &config.connection;
    assert_eq!(
        (connection.channels, connection.queue_bytes, connection.message_bytes),
        (Some(7), Some(4096), Some(1000))
    );
    assert!(config.anonymous);
    let limits = config.limits;
    assert_eq!((limits.connections, limits.connections_per_user), (Some(9), Some(3)));
    assert_eq!(limits.handshakes, crate::limits::Rate::new(100, Duration::from_secs(1)));
    assert_eq!(config.api_key.expect("it was set").0, "an API key of some length");
    let plain = config.channels.expect("it was set");
    assert!(plain.presence && plain.allow_subscribe_for_client && !plain.allow_publish_for_client);
    let names: Vec<&str> = config
        .namespaces
        .iter()
        .map(|namespace| namespace.name.as_str())
        .collect();
    assert_eq!(names, ["chat", "price"]);
    assert_eq!(
        config.namespaces[0].options.0.history_ttl.expect("it was set").0,
        Duration::from_secs(300)
    );
}

#[test]
fn what_is_not_taken_is_told_with_its_path_and_what_is_off_is_not() {
    let taken = translated(json!({
        "client": {"pong_timeout": "8s", "connect_include_server_time": false},
        "http_server": {"port": "8000"},
        "engine": {"type": "redis", "redis": {"address": "redis:6379"}},
        "channel": {"namespaces": [{"name": "chat", "history_meta_ttl": "24h", "shiny": 1}]},
        "uni_sse": {"enabled": false},
        "websocket": {"handler_prefix": "/ws", "compression": false},
        "sse": {"enabled": true},
        "colour": "red"
    }));
    let mut options: Vec<&str> = taken.notes.iter().map(|note| note.option.as_str()).collect();
    options.sort_unstable();
    assert_eq!(
        options,
        [
            "channel.namespaces[chat].history_meta_ttl",
            "channel.namespaces[chat].shiny",
            "client.pong_timeout",
            "colour",
            "engine.redis.address",
            "engine.type",
            "http_server.port",
            "websocket.handler_prefix",
        ]
    );
    assert!(taken.notes.iter().all(|note| !note.advice.is_empty()));
}

#[test]
fn defaults_that_are_written_out_are_no_news() {
    let taken = translated(json!({
        "channel": {"max_length": 255, "private_prefix": "$", "namespace_boundary": ":", "user_boundary": "#", "user_separator": ","},
        "engine": {"type": "memory"},
        "http_api": {"handler_prefix": "/api"},
        "client": {"token": {"hmac_secret_key": ""}}
    }));
    assert_eq!((taken.notes, taken.keys), (vec![], None));
}

#[test]
fn what_would_be_less_safe_if_passed_over_is_refused() {
    for (document, option) in [
        (json!({"client": {"insecure": true}}), "client.insecure: "),
        (json!({"http_api": {"insecure": true}}), "http_api.insecure: "),
        (
            json!({"client": {"insecure_skip_token_signature_verify": true}}),
            "client.insecure_skip_token_signature_verify: ",
        ),
        (
            json!({"client": {"user_id_http_header": "X-User"}}),
            "client.user_id_http_header: ",
        ),
        (
            json!({"client": {"token": {"issuer_regex": ".*"}}}),
            "client.token.issuer_regex: ",
        ),
        (
            json!({"client": {"subscription_token": {"enabled": true}}}),
            "client.subscription_token.enabled: ",
        ),
        (json!({"channel": {"private_prefix": "%"}}), "channel.private_prefix: "),
        (
            json!({"channel": {"namespaces": [{"name": "chat", "subscribe_stream_proxy_enabled": true}]}}),
            "channel.namespaces[chat].subscribe_stream_proxy_enabled: ",
        ),
        (
            json!({"client": {"proxy": {"connect": {"enabled": true, "endpoint": "grpc://backend:9000"}}}}),
            "client.proxy.connect.endpoint: ",
        ),
        (
            json!({"rpc": {"proxy": {"http": {"tls": {"enabled": true, "insecure_skip_verify": true}}}}}),
            "rpc.proxy.http.tls.insecure_skip_verify: ",
        ),
        (json!({"rpc": {"namespace_boundary": "/"}}), "rpc.namespace_boundary: "),
    ] {
        let message = refused(document);
        assert!(message.starts_with(option), "{message}");
    }
    let two = refused(json!({"client": {"token": {"hmac_secret_key": "a", "jwks_public_endpoint": "https://x"}}}));
    assert!(two.starts_with("client.token has several keys"), "{two}");
}

#[test]
fn values_of_another_type_are_refused_by_their_path() {
    for (document, expected) in [
        (
            json!({"client": {"ping_interval": "soon"}}),
            "client.ping_interval must be a duration, as 25s",
        ),
        (
            json!({"client": {"channel_limit": -1}}),
            "client.channel_limit must be a whole number, not negative",
        ),
        (
            json!({"channel": {"without_namespace": {"presence": "yes"}}}),
            "channel.without_namespace.presence must be true or false",
        ),
        (
            json!({"channel": {"namespaces": [{"presence": true}]}}),
            "channel.namespaces must be a list of mappings, each with a name",
        ),
        (
            json!({"client": {"allowed_origins": "*"}}),
            "client.allowed_origins must be a list of origins",
        ),
        (json!([]), "not a Centrifugo configuration: the document is no mapping"),
    ] {
        assert_eq!(refused(document), expected);
    }
}

#[test]
fn every_option_of_channels_that_is_taken_is_one_of_ours() {
    for place in options::channel_options() {
        let value = match place {
            "history_size" => json!(1),
            "history_ttl" => json!("1s"),
            "force_recovery_mode" => json!("cache"),
            "channel_regex" => json!("^a$"),
            "allowed_delta_types" => json!(["fossil"]),
            "publication_data_format" => json!("json_object"),
            name if name.ends_with("_proxy_name") => json!("one"),
            _ => json!(true),
        };
        let read: Result<ChannelOptions, _> = serde_json::from_value(json!({ place: value }));
        assert!(read.is_ok(), "{place}: {read:?}");
        assert_ne!(read.unwrap(), ChannelOptions::default(), "{place}");
    }
}

#[test]
fn no_secret_is_shown() {
    let token = json!({"hmac_secret_key": "very secret indeed"});
    let proxy = json!({"endpoint": "http://backend/?key=secret indeed"});
    let taken = translated(
        json!({"client": {"token": token}, "http_api": {"key": "secret indeed, too"}, "rpc": {"proxy": proxy}}),
    );
    assert!(!format!("{taken:?}").contains("secret indeed"));
}

#[test]
fn proxies_to_a_backend_are_taken_as_they_are() {
    let off = json!({"enabled": false, "cert_pem": "", "insecure_skip_verify": false});
    let taken = translated(json!({
        "client": {"proxy": {
            "connect": {
                "enabled": true, "endpoint": "https://backend/connect", "timeout": "1m0s", "http_headers": ["Cookie"],
                "emulated_headers": ["Authorization"], "grpc_metadata": [], "binary_encoding": false,
                "include_connection_meta": false, "grpc": {"tls": off, "compression": false},
                "http": {"tls": off, "static_headers": {"X-Key": "sesame"}, "status_to_code_transforms": [
                    {"status_code": 404, "to_error": {"code": 404, "message": "gone", "temporary": false},
                     "to_disconnect": {"code": 0, "reason": ""}}
                ]}
            },
            "refresh": {"enabled": false, "endpoint": "", "timeout": "1s"}
        }},
        "channel": {
            "proxy": {"subscribe": {"endpoint": "http://backend/subscribe", "timeout": "3s"}},
            "namespaces": [{"name": "chat", "subscribe_proxy_enabled": true, "subscribe_proxy_name": "default",
                            "publish_proxy_enabled": true, "publish_proxy_name": "one"}]
        },
        "rpc": {
            "proxy": {"endpoint": "http://backend/rpc", "timeout": "3s"},
            "without_namespace": {"proxy_enabled": true, "proxy_name": "default"},
            "namespaces": [{"name": "sun", "proxy_enabled": true, "proxy_name": "one"}],
            "namespace_boundary": ":",
            "ping": {"enabled": false, "method": ""}
        },
        "proxies": [{"name": "one", "endpoint": "http://one/", "timeout": "500ms", "include_connection_meta": true}]
    }));
    assert_eq!(taken.notes, []);
    let config = taken.config().expect("it is a configuration of ours");
    let connect = &config.client.proxy.connect.as_ref().expect("it was set").proxy.0;
    assert_eq!(connect.timeout.expect("it was set").0, Duration::from_secs(60));
    assert_eq!(connect.http.static_headers["X-Key"].0, "sesame");
    assert_eq!(connect.http.status_to_code_transforms[0].to_disconnect, None);
    assert!(config.proxies[0].proxy.0.include_connection_meta);
    assert_eq!(config.rpc.namespaces[0].proxy_name.as_deref(), Some("one"));
    // A minute is longer than a call may take here: that is said, not changed.
    let error = crate::Settings::validate(&config, false).expect_err("it is too long");
    assert!(
        error.to_string().starts_with("push.client.proxy.connect: timeout"),
        "{error}"
    );
}
