//! The proxies to a backend as they are written, by the names that Centrifugo gives them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_serve::config::Time;

/// `push.client`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSection {
    /// What concerns connections.
    pub proxy: ClientProxies,
}

/// `push.client.proxy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientProxies {
    /// Asked who a client is that shows no token.
    pub connect: Option<Switched>,
    /// Asked whether a connection that ends may go on.
    pub refresh: Option<Switched>,
    /// Told that a connection has ended.
    pub disconnect: Option<Switched>,
}

/// `push.channel`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSection {
    /// What concerns channels whose options name no other proxy.
    pub proxy: ChannelProxies,
}

/// `push.channel.proxy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelProxies {
    /// Asked whether a client may subscribe.
    pub subscribe: Option<ProxyConfig>,
    /// Asked whether a client may publish, and what.
    pub publish: Option<ProxyConfig>,
    /// Asked whether a subscription that ends may go on.
    pub sub_refresh: Option<ProxyConfig>,
    /// Told that a subscription has ended.
    pub unsubscribe: Option<ProxyConfig>,
}

/// `push.rpc`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcSection {
    /// Called where the options name no other proxy.
    pub proxy: Option<ProxyConfig>,
    /// The options of methods without a namespace.
    pub without_namespace: RpcOptions,
    /// The options of methods whose names begin with a namespace and a colon.
    pub namespaces: Vec<RpcNamespace>,
}

/// What becomes of a method.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcOptions {
    /// A backend is called.
    pub proxy_enabled: bool,
    /// Which; `default` when absent.
    pub proxy_name: Option<String>,
}

/// The options of methods whose names begin with `<name>:`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcNamespace {
    /// The name.
    pub name: String,
    /// A backend is called.
    #[serde(default)]
    pub proxy_enabled: bool,
    /// Which; `default` when absent.
    #[serde(default)]
    pub proxy_name: Option<String>,
}

/// A proxy that is there and may be off.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Switched {
    /// Whether it is on.
    #[serde(default)]
    pub enabled: bool,
    /// The proxy.
    #[serde(flatten)]
    pub proxy: Strict,
}

/// A proxy that options refer to by its name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NamedProxy {
    /// The name.
    pub name: String,
    /// The proxy.
    #[serde(flatten)]
    pub proxy: Strict,
}

/// [`ProxyConfig`] beside another key: unknown keys are refused here, which a flattened reader cannot do itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Strict(pub ProxyConfig);

impl TryFrom<Map<String, Value>> for Strict {
    type Error = serde_json::Error;

    fn try_from(map: Map<String, Value>) -> Result<Self, serde_json::Error> {
        serde_json::from_value(map.into()).map(Self)
    }
}

/// Where a backend is, and how it is called.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// An `http://` or `https://` URL.
    pub endpoint: Hidden,
    /// How long one call may take with all waiting for it; 1 s when absent.
    pub timeout: Option<Time>,
    /// Headers of the request that opened the connection which are copied to the call.
    pub http_headers: Vec<String>,
    /// Headers that the client names in its connect command which are copied to the call. The client chooses their
    /// values, so the backend must not trust them by their names.
    pub emulated_headers: Vec<String>,
    /// Data goes as base64, whatever it is.
    pub binary_encoding: bool,
    /// The connection's `meta` goes with the call.
    pub include_connection_meta: bool,
    /// What concerns HTTP.
    pub http: HttpConfig,
    /// Calls at once; 256 when absent. A further one waits for half of `timeout`. Centrifugo has no such bound.
    pub max_in_flight: Option<usize>,
    /// The largest answer that is read, bytes; 64 KiB when absent. Centrifugo has no such bound.
    pub max_response_bytes: Option<usize>,
}

/// What concerns HTTP.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Headers of every call, unless `http_headers` or `emulated_headers` bring another value.
    pub static_headers: BTreeMap<String, Hidden>,
    /// What a status other than 200 says.
    pub status_to_code_transforms: Vec<Transform>,
    /// What concerns an `https://` URL.
    pub tls: TlsConfig,
}

/// Whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Whether the rest counts.
    pub enabled: bool,
    /// Certificates to trust instead of the system's: PEM, or the path of a file with it.
    pub server_ca_pem: String,
}

/// What a status says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// The status.
    pub status_code: u16,
    /// The command is refused.
    #[serde(default)]
    pub to_error: Option<WrittenError>,
    /// The connection is closed.
    #[serde(default)]
    pub to_disconnect: Option<WrittenDisconnect>,
}

/// An error in a backend's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WrittenError {
    /// The number.
    pub code: u32,
    /// The words.
    pub message: String,
    /// Whether trying again may help.
    pub temporary: bool,
}

/// A disconnect in a backend's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WrittenDisconnect {
    /// The number.
    pub code: u32,
    /// The words.
    pub reason: String,
}

/// A text that may hold a secret: it is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}
