//! What all nodes are asked: `channels`, `connections`, `info`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_task::Tenant;

use super::{Api, Error, request};
use crate::figures::Figures;

/// The version that is told.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A question to every node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Which channels have subscribers.
    Channels { tenant: Tenant, pattern: String },
    /// Which connections there are; of all users when `user` is empty.
    Connections { tenant: Tenant, user: String },
    /// How it is.
    Info { tenant: Tenant },
    /// How all of it is, for whoever runs it.
    Figures,
}

/// What one node answers.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) channels: BTreeMap<String, ChannelInfo>,
    pub(crate) connections: BTreeMap<String, ConnectionInfo>,
    pub(crate) node: Option<NodeInfo>,
    pub(crate) figures: Option<Box<Figures>>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChannelInfo {
    pub(crate) num_clients: usize,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionInfo {
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) app_name: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) app_version: String,
    pub(crate) transport: String,
    pub(crate) protocol: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) user: String,
    pub(crate) state: ConnectionState,
    pub(crate) connected_at_ms: u64,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionState {
    pub(crate) channels: BTreeMap<String, ChannelState>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChannelState {}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) num_clients: usize,
    pub(crate) num_users: usize,
    pub(crate) num_subs: usize,
    pub(crate) num_channels: usize,
    pub(crate) uptime: u64,
}

impl NodeInfo {
    pub(crate) fn version() -> String {
        format!("windlass {VERSION}")
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ChannelsResult {
    channels: BTreeMap<String, ChannelInfo>,
}

#[derive(Debug, Serialize)]
pub(super) struct ConnectionsResult {
    connections: BTreeMap<String, ConnectionInfo>,
}

#[derive(Debug, Serialize)]
pub(super) struct InfoResult {
    nodes: Vec<NodeInfo>,
}

impl Api {
    pub(super) async fn channels(&self, request: request::Channels) -> Result<ChannelsResult, Error> {
        let question = Question::Channels {
            tenant: self.tenant.clone(),
            pattern: request.pattern,
        };
        let mut channels: BTreeMap<String, ChannelInfo> = BTreeMap::new();
        for answer in self.ask(&question).await? {
            for (name, info) in answer.channels {
                channels.entry(name).or_default().num_clients += info.num_clients;
            }
        }
        Ok(ChannelsResult { channels })
    }

    pub(super) async fn connections(&self, request: request::Connections) -> Result<ConnectionsResult, Error> {
        let question = Question::Connections {
            tenant: self.tenant.clone(),
            user: request.user,
        };
        let answers = self.ask(&question).await?;
        Ok(ConnectionsResult {
            connections: answers.into_iter().flat_map(|answer| answer.connections).collect(),
        })
    }

    pub(super) async fn info(&self) -> Result<InfoResult, Error> {
        let question = Question::Info {
            tenant: self.tenant.clone(),
        };
        let answers = self.ask(&question).await?;
        Ok(InfoResult {
            nodes: answers.into_iter().filter_map(|answer| answer.node).collect(),
        })
    }

    async fn ask(&self, question: &Question) -> Result<Vec<Answer>, Error> {
        Ok(self.push.ask(question).await?)
    }
}
