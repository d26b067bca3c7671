//! What becomes of each option of Centrifugo 6: one table for the document, one for channels.

use serde_json::Value;

use super::{Error, duration, wrong};

/// What becomes of an option that is set.
pub(super) enum Fate {
    /// It is taken.
    Becomes(Place),
    /// It is so here anyway.
    Fine,
    /// It cannot be another here; another is not taken.
    Fixed(&'static str),
    /// It cannot be another here, and another would give a name other rights: the configuration is not taken with it.
    Required(&'static str),
    /// It is not taken; what to do instead.
    Instead(&'static str),
    /// The configuration is not taken with it; why.
    Refused(&'static str),
    /// Nothing is known of it.
    Unknown,
}

/// Where an option goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Below `push`, or the name of a channel's option.
    pub(super) path: &'static str,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    Duration,
    Count,
    Switch,
    Text,
    Texts,
}

const fn to(path: &'static str, shape: Shape) -> Fate {
    Fate::Becomes(Place { path, shape })
}

/// What becomes of the option at `path`, but for keys, origins and channels.
pub(super) fn fate(option: &str) -> Fate {
    match option {
        "client.ping_interval" => to("heartbeat.interval", Shape::Duration),
        "client.stale_close_delay" => to("connection.staleAfter", Shape::Duration),
        "client.channel_limit" => to("connection.channels", Shape::Count),
        "client.queue_max_size" => to("connection.queueBytes", Shape::Count),
        "client.allow_anonymous_connect_without_token" => to("anonymous", Shape::Switch),
        "websocket.compression" => to("connection.compression", Shape::Switch),
        "websocket.compression_min_size" | "websocket.compression_level" => Fate::Instead("each has one value here"),
        "client.connection_limit" => to("limits.connections", Shape::Count),
        "client.user_connection_limit" => to("limits.connectionsPerUser", Shape::Count),
        "client.connection_rate_limit" => to("limits.handshakes.count", Shape::Count),
        "websocket.message_size_limit" => to("connection.messageBytes", Shape::Count),

        "client.pong_timeout" => Fate::Instead("push.heartbeat.readDeadline says when a silent client is given up"),
        "client.disallow_anonymous_connection_tokens"
        | "sse.enabled"
        | "http_stream.enabled"
        | "http_api.external"
        | "prometheus.enabled" => Fate::Fine,
        "client.insecure" | "client.insecure_skip_token_signature_verify" => {
            Fate::Refused("clients without tokens are served on a loopback address only; configure client.token")
        }
        "http_api.insecure" | "admin.insecure" => {
            Fate::Refused("the API is never open to everybody; set a key and leave this out")
        }
        "client.user_id_http_header" => Fate::Refused("a header is no proof of who calls; use tokens"),
        "client.token.audience_regex" | "client.token.issuer_regex" => {
            Fate::Refused("tokens are compared with exact values; set audience or issuer instead")
        }
        "client.token.user_id_claim" => Fate::Refused("the user is the claim `sub`"),
        "channel.private_prefix" => Fate::Required("$"),
        "channel.namespace_boundary" => Fate::Required(":"),
        "channel.user_boundary" => Fate::Required("#"),
        "channel.user_separator" => Fate::Required(","),
        "rpc.namespace_boundary" => Fate::Required(":"),
        "channel.max_length" => Fate::Fixed("255"),
        "websocket.handler_prefix" => Fate::Fixed("/connection/websocket"),
        "sse.handler_prefix" => Fate::Fixed("/connection/sse"),
        "http_stream.handler_prefix" => Fate::Fixed("/connection/http_stream"),
        "emulation.handler_prefix" => Fate::Fixed("/emulation"),
        "http_api.handler_prefix" => Fate::Fixed("/api"),
        "prometheus.handler_prefix" => Fate::Fixed("/metrics"),
        "engine.type" | "broker.type" | "presence_manager.type" => Fate::Fixed("memory"),
        "health.enabled" | "health.handler_prefix" => Fate::Instead("/healthz and /readyz answer"),
        option => by_section(option),
    }
}

/// Options that have the same fate with all of their section.
fn by_section(option: &str) -> Fate {
    let (section, _) = option.split_once('.').unwrap_or((option, ""));
    if option.starts_with("client.rate_limit.") {
        return Fate::Instead("push.limits.commands and push.limits.errors bound each connection");
    }
    if option.starts_with("client.subscription_token.") {
        return Fate::Refused("subscription tokens are verified by the keys of client.token; leave this out");
    }
    match section {
        "http_server" => Fate::Instead("--listen, --admin-listen and listener.tls say where and how to serve"),
        "log" => Fate::Instead("--log-format and WINDLASS_LOG say what is logged"),
        "engine" | "broker" | "presence_manager" => Fate::Instead("state is in memory"),
        "grpc_api" | "uni_grpc" => Fate::Instead("there is no gRPC; /api takes the same calls"),
        "uni_websocket" | "uni_sse" | "uni_http_stream" => {
            Fate::Instead("one-way transports are not spoken; use /connection/*")
        }
        "webtransport" => Fate::Instead("WebTransport is not spoken; use /connection/websocket"),
        "consumers" => Fate::Instead("nothing is consumed from queues; publish by /api"),
        "admin" => Fate::Instead("/admin/push on --admin-listen is the page"),
        "swagger" | "debug" | "dev" => Fate::Instead("there is no such page"),
        "opentelemetry" | "graphite" => Fate::Instead("/metrics has the figures"),
        "shutdown" => Fate::Instead("push.drain says how clients are asked to leave"),
        "usage_stats" | "pid_file" | "node" => Fate::Instead("nothing is needed"),
        "map_broker" => Fate::Instead("map subscriptions are not offered"),
        "client" | "channel" | "websocket" | "sse" | "http_stream" | "emulation" | "http_api" | "rpc" | "proxies" => {
            Fate::Instead("it has no counterpart here")
        }
        _ => Fate::Unknown,
    }
}

/// What becomes of a channel's option: most have the same names here.
pub(super) fn of_channel(option: &str) -> Fate {
    match CHANNEL_OPTIONS.iter().find(|place| place.path == option) {
        Some(place) => Fate::Becomes(*place),
        None => match option {
            "history_meta_ttl" => Fate::Instead("push.historyMetaTtl says it for all channels; a day when absent"),
            "subscribe_stream_proxy_enabled" | "subscribe_stream_proxy_bidirectional" => {
                Fate::Refused("subscription streams are not offered")
            }
            // Without the switch it says nothing.
            "subscribe_stream_proxy_name" => Fate::Fine,
            "subscription_types" | "map" => Fate::Refused("map subscriptions are not offered"),
            _ => Fate::Unknown,
        },
    }
}

const fn channel(path: &'static str, shape: Shape) -> Place {
    Place { path, shape }
}

/// [`ChannelOptions`](crate::config::ChannelOptions), by name.
const CHANNEL_OPTIONS: [Place; 34] = [
    channel("allow_subscribe_for_client", Shape::Switch),
    channel("allow_subscribe_for_anonymous", Shape::Switch),
    channel("allow_publish_for_client", Shape::Switch),
    channel("allow_publish_for_subscriber", Shape::Switch),
    channel("allow_publish_for_anonymous", Shape::Switch),
    channel("allow_history_for_client", Shape::Switch),
    channel("allow_history_for_subscriber", Shape::Switch),
    channel("allow_history_for_anonymous", Shape::Switch),
    channel("presence", Shape::Switch),
    channel("allow_presence_for_client", Shape::Switch),
    channel("allow_presence_for_subscriber", Shape::Switch),
    channel("allow_presence_for_anonymous", Shape::Switch),
    channel("join_leave", Shape::Switch),
    channel("force_push_join_leave", Shape::Switch),
    channel("history_size", Shape::Count),
    channel("history_ttl", Shape::Duration),
    channel("force_positioning", Shape::Switch),
    channel("allow_positioning", Shape::Switch),
    channel("force_recovery", Shape::Switch),
    channel("allow_recovery", Shape::Switch),
    channel("force_recovery_mode", Shape::Text),
    channel("allowed_delta_types", Shape::Texts),
    channel("delta_publish", Shape::Switch),
    channel("allow_user_limited_channels", Shape::Switch),
    channel("channel_regex", Shape::Text),
    channel("publication_data_format", Shape::Text),
    channel("subscribe_proxy_enabled", Shape::Switch),
    channel("subscribe_proxy_name", Shape::Text),
    channel("publish_proxy_enabled", Shape::Switch),
    channel("publish_proxy_name", Shape::Text),
    channel("sub_refresh_proxy_enabled", Shape::Switch),
    channel("sub_refresh_proxy_name", Shape::Text),
    channel("unsubscribe_proxy_enabled", Shape::Switch),
    channel("unsubscribe_proxy_name", Shape::Text),
];

/// What becomes of a proxy's option.
pub(super) fn of_proxy(option: &str) -> Fate {
    match option {
        "name" => to("name", Shape::Text),
        "enabled" => to("enabled", Shape::Switch),
        "endpoint" => to("endpoint", Shape::Text),
        "timeout" => to("timeout", Shape::Duration),
        "binary_encoding" => to("binary_encoding", Shape::Switch),
        "include_connection_meta" => to("include_connection_meta", Shape::Switch),
        _ => Fate::Unknown,
    }
}

/// What becomes of an option of a proxy's TLS.
pub(super) fn of_proxy_tls(option: &str) -> Fate {
    match option {
        "enabled" => to("enabled", Shape::Switch),
        "server_ca_pem" => to("server_ca_pem", Shape::Text),
        "insecure_skip_verify" => Fate::Refused("a backend's certificate is always verified; set server_ca_pem"),
        "cert_pem" | "key_pem" => Fate::Refused("no certificate is shown to a backend; use static_headers"),
        "server_name" => Fate::Refused("a backend is verified by the name in its endpoint"),
        _ => Fate::Unknown,
    }
}

/// What becomes of an option of methods.
pub(super) fn of_rpc(option: &str) -> Fate {
    match option {
        "name" => to("name", Shape::Text),
        "proxy_enabled" => to("proxy_enabled", Shape::Switch),
        "proxy_name" => to("proxy_name", Shape::Text),
        _ => Fate::Unknown,
    }
}

/// The names of [`CHANNEL_OPTIONS`].
#[cfg(test)]
pub(super) fn channel_options() -> impl Iterator<Item = &'static str> {
    CHANNEL_OPTIONS.iter().map(|place| place.path)
}

/// Whether a value is what a fixed option has.
pub(super) fn is(fixed: &str, value: &Value) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text == fixed
}

/// The value as our files have it.
pub(super) fn convert(option: &str, place: Place, value: &Value) -> Result<Value, Error> {
    match place.shape {
        Shape::Duration => {
            let duration = value.as_str().and_then(duration::parse);
            let duration = duration.ok_or_else(|| wrong(option, "a duration, as 25s"))?;
            Ok(duration::ours(duration).into())
        }
        Shape::Count if value.as_u64().is_some() => Ok(value.clone()),
        Shape::Count => Err(wrong(option, "a whole number, not negative")),
        Shape::Switch if value.is_boolean() => Ok(value.clone()),
        Shape::Switch => Err(wrong(option, "true or false")),
        Shape::Text if value.is_string() => Ok(value.clone()),
        Shape::Text => Err(wrong(option, "a text")),
        Shape::Texts => match value.as_array() {
            Some(list) if list.iter().all(Value::is_string) => Ok(value.clone()),
            Some(_) | None => Err(wrong(option, "a list of texts")),
        },
    }
}
