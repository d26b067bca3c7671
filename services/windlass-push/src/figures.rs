//! What a node tells of itself to whoever runs the service: not one tenant's share, as `/api` does, but all of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many of the channels with the most subscribers are named.
pub(crate) const BUSIEST: usize = 20;

/// One node, now. What is counted is counted since its start; a rate is the difference of two looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Figures {
    /// Which node it is; a process that starts again is another one.
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) uptime_seconds: u64,
    /// Open connections, by transport.
    pub(crate) connections: BTreeMap<String, i64>,
    /// Users of the Centrifuge protocol, of all tenants.
    pub(crate) users: usize,
    pub(crate) subscriptions: i64,
    /// Channels with subscribers here.
    pub(crate) channels: usize,
    /// Those with the most, most first.
    pub(crate) busiest: Vec<Busy>,
    /// Publications that were brought here.
    pub(crate) publications: u64,
    /// What became of them in connections' queues.
    pub(crate) deliveries: u64,
    /// Deliveries that took the place of an older value.
    pub(crate) conflated: u64,
    /// Subscriptions that were ended because they did not fit.
    pub(crate) overflowed: u64,
    pub(crate) recovered: u64,
    pub(crate) unrecovered: u64,
    /// Closed connections, by close code.
    pub(crate) closed: BTreeMap<u16, Ended>,
    /// How long ago a publication of this node's to itself came; absent within one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe_age_seconds: Option<f64>,
    /// Bytes that wait for clients.
    pub(crate) queue_bytes: usize,
    /// Those that wait for the one that is furthest behind.
    pub(crate) longest_queue_bytes: usize,
}

/// A channel and its subscribers on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Busy {
    pub(crate) tenant: String,
    pub(crate) channel: String,
    pub(crate) subscribers: usize,
}

/// How often connections were closed with one code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ended {
    pub(crate) count: u64,
    /// What clients were told when it was first used.
    pub(crate) reason: String,
}
