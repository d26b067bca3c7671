//! The `Host` of a request, read strictly.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Uri, header};

/// A host with an optional port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Reads `host[:port]`; anything else, such as user information or an empty name, is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, after) = rest.split_once(']')?;
                inner.parse::<Ipv6Addr>().ok()?;
                (&text[..inner.len() + 2], after)
            }
            None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !(name.starts_with('[') || name.bytes().all(legal)) {
            return None;
        }
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None if port.is_empty() => None,
            None => return None,
        };
        Some(Self {
            name: name.to_ascii_lowercase(),
            port,
        })
    }

    /// Whether it is `localhost`, an address of 127.0.0.0/8 in its full dotted form, or `[::1]`.
    pub(super) fn is_loopback(&self) -> bool {
        self.name == "localhost"
            || self.name == "[::1]"
            || self.name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The port, where `default` stands for an absent one.
    pub(super) fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }
}

/// The host that a request names: the target's authority or the `Host` header. None when neither is there, when the
/// header is there twice, or when both are there and differ.
pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    let mut values = headers.get_all(header::HOST).iter();
    let header = match (values.next(), values.next()) {
        (Some(value), None) => Some(Host::parse(value.to_str().ok()?)?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    let target = match uri.authority() {
        Some(authority) => Some(Host::parse(authority.as_str())?),
        None => None,
    };
    match (target, header) {
        (Some(target), Some(header)) => (target == header).then_some(target),
        (target, header) => target.or(header),
    }
}
