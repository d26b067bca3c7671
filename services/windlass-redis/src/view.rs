//! Which server has which slots, as a server of the cluster tells it.

use std::fmt;

use redis::Value;

use crate::error::Error;
use crate::slot::{Slot, Slots};

/// Where a server of a cluster listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// `host:port`, as a server writes it: without a host it is the server's own.
    pub(crate) fn read(text: &str, own: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            host: if is_unsaid(host) {
                own.host.clone()
            } else {
                host.to_owned()
            },
            port: port.parse().ok()?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = self.host.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// Whether a server says that it knows no name of its own: whoever asks knows one, for it has reached it.
fn is_unsaid(host: &str) -> bool {
    matches!(host, "" | "?")
}

/// A cluster as one of its servers sees it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Grows with each change of hands.
    pub(crate) epoch: u64,
    /// Whether the server sees all slots served; one that is cut off does not.
    pub(crate) is_whole: bool,
    /// The primaries and their slots, also those without any.
    pub(crate) primaries: Vec<(Address, Slots)>,
}

impl View {
    /// Reads what `own` answers to `CLUSTER INFO` and `CLUSTER SHARDS`.
    pub(crate) fn read(info: &Value, shards: Value, own: &Address, tls: bool) -> Result<Self, Error> {
        let info: String = redis::from_redis_value_ref(info).map_err(|_| Error::Read)?;
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        let Value::Array(shards) = shards else {
            return Err(Error::Read);
        };
        let mut primaries = Vec::new();
        for shard in shards {
            let slots = read_slots(item(&shard, "slots").ok_or(Error::Read)?)?;
            let Some(Value::Array(nodes)) = item(&shard, "nodes") else {
                return Err(Error::Read);
            };
            for node in nodes {
                let is_primary = text(node, "role").as_deref() == Some("master");
                let is_of_use = text(node, "health").as_deref() == Some("online") || !slots.is_empty();
                if is_primary
                    && is_of_use
                    && let Some(address) = read_address(node, own, tls)
                {
                    primaries.push((address, slots.clone()));
                }
            }
        }
        Ok(Self {
            epoch: field("cluster_current_epoch").parse().map_err(|_| Error::Read)?,
            is_whole: field("cluster_state") == "ok",
            primaries,
        })
    }
}

fn read_slots(ranges: &Value) -> Result<Slots, Error> {
    let bounds: Vec<u16> = redis::from_redis_value_ref(ranges).map_err(|_| Error::Read)?;
    let mut slots = Slots::none();
    for range in bounds.chunks_exact(2) {
        (range[0]..=range[1])
            .filter_map(Slot::numbered)
            .for_each(|slot| slots.insert(slot));
    }
    Ok(slots)
}

fn read_address(node: &Value, own: &Address, tls: bool) -> Option<Address> {
    let port = item(node, if tls { "tls-port" } else { "port" })?;
    let host = text(node, "endpoint").filter(|host| !is_unsaid(host));
    Some(Address {
        host: host.unwrap_or_else(|| own.host.clone()),
        port: redis::from_redis_value_ref(port).ok()?,
    })
}

/// A field of a map.
fn item<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Map(fields) = map else { return None };
    let is_named = |key: &Value| matches!(key, Value::BulkString(key) if key == name.as_bytes());
    fields.iter().find_map(|(key, value)| is_named(key).then_some(value))
}

fn text(map: &Value, name: &str) -> Option<String> {
    redis::from_redis_value_ref(item(map, name)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn map(fields: Vec<(&str, Value)>) -> Value {
        Value::Map(fields.into_iter().map(|(name, value)| (word(name), value)).collect())
    }

    fn node(endpoint: Value, port: i64, role: &str, health: &str) -> Value {
        map(vec![
            ("id", word("e10b")),
            ("port", Value::Int(port)),
            ("endpoint", endpoint),
            ("role", word(role)),
            ("health", word(health)),
        ])
    }

    fn shard(ranges: &[i64], nodes: Vec<Value>) -> Value {
        let ranges = ranges.iter().map(|bound| Value::Int(*bound)).collect();
        map(vec![("slots", Value::Array(ranges)), ("nodes", Value::Array(nodes))])
    }

    #[test]
    fn a_view_has_the_primaries_with_their_slots_and_none_that_failed_and_has_none() {
        let own = Address {
            host: "redis-0".to_owned(),
            port: 7000,
        };
        let info = word("cluster_state:ok\r\ncluster_current_epoch:7\r\n");
        let shards = Value::Array(vec![
            shard(
                &[0, 99, 200, 200],
                vec![
                    node(Value::Nil, 7000, "master", "online"),
                    node(word("b"), 7001, "replica", "online"),
                ],
            ),
            shard(&[], vec![node(word("c"), 7002, "master", "online")]),
            shard(&[], vec![node(word("d"), 7003, "master", "fail")]),
            shard(&[100, 199], vec![node(word("?"), 7004, "master", "fail")]),
        ]);
        let view = View::read(&info, shards, &own, false).unwrap();
        let seen: Vec<_> = view
            .primaries
            .iter()
            .map(|(address, slots)| (address.to_string(), slots.len()))
            .collect();
        assert_eq!((view.epoch, view.is_whole), (7, true));
        assert_eq!(
            seen,
            [
                ("redis-0:7000".to_owned(), 101),
                ("c:7002".to_owned(), 0),
                ("redis-0:7004".to_owned(), 100)
            ]
        );
        assert!(View::read(&info, Value::Nil, &own, false).is_err());
        assert!(View::read(&word("cluster_state:ok"), Value::Array(Vec::new()), &own, false).is_err());
    }

    #[test]
    fn an_address_without_a_host_is_the_servers_that_says_it() {
        let own = Address {
            host: "here".to_owned(),
            port: 1,
        };
        let read = |text| Address::read(text, &own).map(|address| address.to_string());
        assert_eq!(read(":7000").as_deref(), Some("here:7000"));
        assert_eq!(read("10.0.0.1:7000").as_deref(), Some("10.0.0.1:7000"));
        assert_eq!(read("[::1]:7000").as_deref(), Some("[::1]:7000"));
        assert_eq!(read("nowhere"), None);
    }
}
