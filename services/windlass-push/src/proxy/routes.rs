//! Which backend is asked what: the validated configuration of all proxies.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, Url};
use tokio::sync::Semaphore;

use super::config::{ChannelSection, ClientSection, NamedProxy, ProxyConfig, RpcSection, Switched, TlsConfig};
use super::{DEFAULT, IN_FLIGHT, Kind, Proxy, Shared, TIMEOUT, TIMEOUT_MAX};
use crate::config::{ChannelOptions, Channels, Error};

/// Ends the namespace in a method's name.
const NAMESPACE_BOUNDARY: char = ':';

/// Headers that a call has of its own, or that concern one connection only (RFC 9110 section 7.6.1).
const OWN_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// All proxies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proxies {
    defaults: HashMap<Kind, Shared>,
    named: HashMap<String, Shared>,
    rpc: Methods,
    /// Headers of requests that any of them wants.
    http_headers: Vec<HeaderName>,
    /// Headers by the client's word that any of them wants.
    emulated_headers: Vec<HeaderName>,
}

/// The name of the proxy that is called for methods.
#[derive(Debug, Clone, Default, PartialEq)]
struct Methods {
    /// Whether anything is said of methods.
    any: bool,
    plain: Option<String>,
    namespaces: HashMap<String, Option<String>>,
}

/// What becomes of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcRoute<'a> {
    /// The proxy of this name is called.
    Proxy(&'a str),
    /// Its namespace has no proxy, or there is none at all.
    Off,
    /// There is no such namespace.
    Unknown,
}

impl Proxies {
    /// Checks what was configured; `channels` has the names that channels' options refer to.
    ///
    /// # Errors
    /// Which part makes no sense, and why.
    pub fn validate(
        client: &ClientSection,
        channel: &ChannelSection,
        rpc: &RpcSection,
        named: &[NamedProxy],
        channels: &Channels,
    ) -> Result<Self, Error> {
        let mut workshop = Workshop::default();
        let switched = |proxy: &Option<Switched>| {
            let proxy = proxy.as_ref().filter(|proxy| proxy.enabled)?;
            Some(proxy.proxy.0.clone())
        };
        let written = [
            (Kind::Connect, switched(&client.proxy.connect)),
            (Kind::Refresh, switched(&client.proxy.refresh)),
            (Kind::Disconnect, switched(&client.proxy.disconnect)),
            (Kind::Subscribe, channel.proxy.subscribe.clone()),
            (Kind::Publish, channel.proxy.publish.clone()),
            (Kind::SubRefresh, channel.proxy.sub_refresh.clone()),
            (Kind::Unsubscribe, channel.proxy.unsubscribe.clone()),
            (Kind::Rpc, rpc.proxy.clone()),
        ];
        let mut proxies = Self::default();
        for (kind, config) in written {
            // As with Centrifugo, a section without an endpoint is as none.
            let Some(config) = config.filter(|config| kind.is_of_clients() || !config.endpoint.0.is_empty()) else {
                continue;
            };
            let proxy = workshop.build(kind.section(), config)?;
            proxies.defaults.insert(kind, proxy);
        }
        for NamedProxy { name, proxy } in named {
            if name == DEFAULT || !is_name(name) {
                let reason = "a name has at least two of A-Z a-z 0-9 - _ and the dot, and is not `default`";
                return Err(Error::new("proxies", reason));
            }
            let proxy = workshop.build("proxies", proxy.0.clone())?;
            if proxies.named.insert(name.clone(), proxy).is_some() {
                return Err(Error::new("proxies", "a name stands twice"));
            }
        }
        proxies.rpc = Methods::validate(rpc)?;
        proxies.check_names(channels)?;
        let all = proxies.defaults.values().chain(proxies.named.values());
        for proxy in all {
            merge(&mut proxies.http_headers, &proxy.http_headers);
            merge(&mut proxies.emulated_headers, &proxy.emulated_headers);
        }
        Ok(proxies)
    }

    /// The proxy of a kind by its name.
    #[must_use]
    pub fn find(&self, kind: Kind, name: &str) -> Option<&Proxy> {
        let proxy = if name == DEFAULT {
            self.defaults.get(&kind)
        } else {
            self.named.get(name)
        };
        proxy.map(|proxy| &**proxy)
    }

    /// Whether there is one for what concerns whole connections.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.defaults.contains_key(&kind)
    }

    /// What becomes of the method of this name.
    #[must_use]
    pub fn rpc(&self, method: &str) -> RpcRoute<'_> {
        if !self.rpc.any {
            return RpcRoute::Off;
        }
        let proxy = match method.split_once(NAMESPACE_BOUNDARY) {
            Some((namespace, _)) => match self.rpc.namespaces.get(namespace) {
                Some(proxy) => proxy,
                None => return RpcRoute::Unknown,
            },
            None => &self.rpc.plain,
        };
        proxy.as_deref().map_or(RpcRoute::Off, RpcRoute::Proxy)
    }

    /// Of a request's headers those that any proxy wants; `None` without any, which costs nothing.
    #[must_use]
    pub fn wanted_headers(&self, headers: &HeaderMap) -> Option<Box<HeaderMap>> {
        let mut wanted = HeaderMap::new();
        for name in &self.http_headers {
            for value in headers.get_all(name) {
                wanted.append(name, value.clone());
            }
        }
        (!wanted.is_empty()).then(|| Box::new(wanted))
    }

    /// Of the headers that a client names those that any proxy wants and that can be sent.
    pub(crate) fn wanted_emulated<'a>(
        &self,
        headers: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Option<Box<HeaderMap>> {
        let mut wanted = HeaderMap::new();
        for (name, value) in headers {
            let wants = |wanted: &&HeaderName| wanted.as_str().eq_ignore_ascii_case(name);
            if let Some(name) = self.emulated_headers.iter().find(wants)
                && let Ok(value) = HeaderValue::from_str(value)
            {
                wanted.insert(name, value);
            }
        }
        (!wanted.is_empty()).then(|| Box::new(wanted))
    }

    /// Whatever is on must lead somewhere.
    fn check_names(&self, channels: &Channels) -> Result<(), Error> {
        for options in channels.each() {
            for kind in [Kind::Subscribe, Kind::Publish, Kind::SubRefresh, Kind::Unsubscribe] {
                if let Some(name) = options.proxy(kind)
                    && self.find(kind, name).is_none()
                {
                    return Err(Error::new(
                        kind.section(),
                        "a channel's options turn it on: set its endpoint, or name one of push.proxies",
                    ));
                }
            }
        }
        let methods = self.rpc.namespaces.values().chain([&self.rpc.plain]);
        for name in methods.flatten() {
            if self.find(Kind::Rpc, name).is_none() {
                return Err(Error::new(
                    Kind::Rpc.section(),
                    "methods' options turn it on: set its endpoint, or name one of push.proxies",
                ));
            }
        }
        Ok(())
    }
}

impl Kind {
    /// Whether it has a switch of its own.
    fn is_of_clients(self) -> bool {
        matches!(self, Self::Connect | Self::Refresh | Self::Disconnect)
    }
}

impl ChannelOptions {
    /// The name of the proxy that has a say in a channel.
    #[must_use]
    pub fn proxy(&self, kind: Kind) -> Option<&str> {
        let (enabled, name) = match kind {
            Kind::Subscribe => (self.subscribe_proxy_enabled, &self.subscribe_proxy_name),
            Kind::Publish => (self.publish_proxy_enabled, &self.publish_proxy_name),
            Kind::SubRefresh => (self.sub_refresh_proxy_enabled, &self.sub_refresh_proxy_name),
            Kind::Unsubscribe => (self.unsubscribe_proxy_enabled, &self.unsubscribe_proxy_name),
            Kind::Connect | Kind::Refresh | Kind::Disconnect | Kind::Rpc => return None,
        };
        enabled.then(|| name.as_deref().unwrap_or(DEFAULT))
    }
}

impl Methods {
    fn validate(rpc: &RpcSection) -> Result<Self, Error> {
        let route =
            |enabled: bool, name: &Option<String>| enabled.then(|| name.clone().unwrap_or_else(|| DEFAULT.to_owned()));
        let plain = &rpc.without_namespace;
        let plain = route(plain.proxy_enabled, &plain.proxy_name);
        let mut namespaces = HashMap::new();
        for namespace in &rpc.namespaces {
            if !is_name(&namespace.name) {
                let reason = "a name has at least two of A-Z a-z 0-9 - _ and the dot";
                return Err(Error::new("rpc.namespaces", reason));
            }
            let proxy = route(namespace.proxy_enabled, &namespace.proxy_name);
            if namespaces.insert(namespace.name.clone(), proxy).is_some() {
                return Err(Error::new("rpc.namespaces", "a name stands twice"));
            }
        }
        Ok(Self {
            any: plain.is_some() || !namespaces.is_empty(),
            plain,
            namespaces,
        })
    }
}

/// Makes proxies; those that trust the same certificates share their connections.
#[derive(Default)]
struct Workshop {
    clients: HashMap<String, Client>,
}

impl Workshop {
    fn build(&mut self, section: &'static str, config: ProxyConfig) -> Result<Shared, Error> {
        let wrong = |reason| Error::new(section, reason);
        if config.endpoint.0.starts_with("grpc://") {
            return Err(wrong("gRPC is not spoken: endpoint must be an http:// or https:// URL"));
        }
        let url = Url::parse(&config.endpoint.0).ok();
        let url = url
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| wrong("endpoint must be an http:// or https:// URL"))?;
        let timeout = config.timeout.map_or(TIMEOUT, |time| time.0);
        if timeout.is_zero() || config.max_in_flight == Some(0) || config.max_response_bytes == Some(0) {
            return Err(wrong("timeout, max_in_flight and max_response_bytes must not be zero"));
        }
        if timeout > TIMEOUT_MAX {
            return Err(wrong(
                "timeout must be at most 30s: its connection is not read meanwhile",
            ));
        }
        for transform in &config.http.status_to_code_transforms {
            let (error, disconnect) = (transform.to_error.clone(), transform.to_disconnect.clone());
            let says = error.and_then(|error| error.denial()).is_some()
                || disconnect.and_then(|disconnect| disconnect.denial()).is_some();
            if !says {
                return Err(wrong(
                    "a transform needs a to_error with a code, or a to_disconnect with a code from 3000 to 4999 and a short reason",
                ));
            }
        }
        let name = |name: &String| {
            let name: HeaderName = name.parse().map_err(|_| wrong("a header's name is none"))?;
            if OWN_HEADERS.contains(&name) {
                return Err(wrong(
                    "a header that the call itself has, such as Host, cannot be passed on",
                ));
            }
            Ok(name)
        };
        let names = |list: &[String]| list.iter().map(name).collect::<Result<Vec<_>, _>>();
        let mut static_headers = HeaderMap::new();
        for (key, value) in &config.http.static_headers {
            let mut value = HeaderValue::from_str(&value.0).map_err(|_| wrong("a static header's value cannot be"))?;
            value.set_sensitive(true);
            static_headers.insert(name(key)?, value);
        }
        Ok(Arc::new(Proxy {
            client: self.client(section, &config.http.tls)?,
            url,
            timeout,
            static_headers,
            http_headers: names(&config.http_headers)?,
            emulated_headers: names(&config.emulated_headers)?,
            permits: Semaphore::new(config.max_in_flight.unwrap_or(IN_FLIGHT).min(Semaphore::MAX_PERMITS)),
            config,
        }))
    }

    fn client(&mut self, section: &'static str, tls: &TlsConfig) -> Result<Client, Error> {
        let wrong = |reason| Error::new(section, reason);
        let trusted = if tls.enabled { tls.server_ca_pem.as_str() } else { "" };
        if let Some(client) = self.clients.get(trusted) {
            return Ok(client.clone());
        }
        // The one provider of the process; that somebody has set it before is as good.
        windlass_serve::tls::install_provider();
        let mut builder = Client::builder()
            // A redirected POST would go to a place that nobody configured, and proxies of the environment as well.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(IN_FLIGHT);
        if !trusted.is_empty() {
            let pem = if trusted.contains("-----BEGIN") {
                trusted.as_bytes().to_vec()
            } else {
                std::fs::read(Path::new(trusted)).map_err(|_| wrong("http.tls.server_ca_pem cannot be read"))?
            };
            let roots = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| wrong("http.tls.server_ca_pem has no certificates"))?;
            builder = builder.tls_certs_only(roots);
        }
        let client = builder
            .build()
            .map_err(|_| wrong("the HTTP client cannot be made, or not trust http.tls.server_ca_pem"))?;
        self.clients.insert(trusted.to_owned(), client.clone());
        Ok(client)
    }
}

fn is_name(name: &str) -> bool {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() >= 2 && name.chars().all(ordinary)
}

fn merge(all: &mut Vec<HeaderName>, more: &[HeaderName]) {
    for name in more {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
}
