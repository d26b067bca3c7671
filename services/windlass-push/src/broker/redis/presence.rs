//! Who is in which channel. What this node has said is remembered here too, so that a Redis that forgot it is told again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use tokio::sync::RwLock;
use windlass_redis::{Call, Client, Value, cmd};

use super::nodes::Nodes;
use super::streams::{read, unreachable};
use super::{keys, wire};
use crate::broker::memory::lock;
use crate::broker::{Error, PresenceCount};
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};

/// How many entries are told again at once: a pipeline of some 100 KiB.
const BATCH: usize = 512;

type Place = (ChannelKey, ClientId);

/// The presence of this node's connections, and a view of everybody's.
#[derive(Debug)]
pub(super) struct Presence {
    client: Client,
    /// As Redis is to have it: `None` for what is to go and has perhaps not.
    own: Mutex<HashMap<Place, Option<Vec<u8>>>>,
    /// Shared by single changes; held alone while a batch is told again, so that it does not overtake one of them.
    telling: RwLock<()>,
}

impl Presence {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            own: Mutex::default(),
            telling: RwLock::default(),
        }
    }

    pub(super) async fn add(
        &self,
        nodes: &Nodes,
        channel: &ChannelKey,
        client: ClientId,
        info: &ClientInfo,
    ) -> Result<(), Error> {
        let value = entry(nodes, info);
        let place = (channel.clone(), client);
        let _shared = self.telling.read().await;
        let call = put(&place, &value);
        lock(&self.own).insert(place, Some(value));
        self.client.run(&call).await.map_err(|error| unreachable(&error))?;
        Ok(())
    }

    pub(super) async fn remove(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        let place = (channel.clone(), client);
        let _shared = self.telling.read().await;
        lock(&self.own).insert(place.clone(), None);
        self.client
            .run(&take(&place))
            .await
            .map_err(|error| unreachable(&error))?;
        lock(&self.own).remove(&place);
        Ok(())
    }

    /// Tells all of it again: to a Redis that may have forgotten, or not have heard.
    pub(super) async fn tell_again(&self) -> Result<(), Error> {
        let places: Vec<Place> = lock(&self.own).keys().cloned().collect();
        for batch in places.chunks(BATCH) {
            let _alone = self.telling.write().await;
            let mut gone = Vec::new();
            let mut calls = Vec::with_capacity(batch.len());
            for place in batch {
                // As it is by now.
                match lock(&self.own).get(place) {
                    Some(Some(value)) => calls.push(put(place, value)),
                    Some(None) => {
                        calls.push(take(place));
                        gone.push(place);
                    }
                    None => {}
                }
            }
            for answer in self.client.run_all(&calls).await.map_err(|error| unreachable(&error))? {
                answer.map_err(|error| unreachable(&error))?;
            }
            for place in gone {
                lock(&self.own).remove(place);
            }
        }
        Ok(())
    }

    /// Who is in a channel: only on nodes that live.
    pub(super) async fn list(&self, nodes: &Nodes, channel: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
        let mut command = cmd("HGETALL");
        let calls = [command.arg(keys::presence(channel)).take().into(), Nodes::question()];
        let answers = self.client.run_all(&calls).await.map_err(|error| unreachable(&error))?;
        let [entries, living]: [Result<Value, windlass_redis::Error>; 2] =
            answers.try_into().map_err(|_| Error::Unreachable)?;
        let entries: BTreeMap<String, Vec<u8>> = read(entries.map_err(|error| unreachable(&error))?)?;
        let living = nodes.understand(living)?;
        let present = entries.into_values().filter_map(|value| {
            let (node, info) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
            let node = std::str::from_utf8(node).ok()?.parse().ok()?;
            living.has(node).then(|| wire::info(&info[1..]))?
        });
        Ok(present.collect())
    }

    pub(super) async fn count(&self, nodes: &Nodes, channel: &ChannelKey) -> Result<PresenceCount, Error> {
        let present = self.list(nodes, channel).await?;
        let users: BTreeSet<&str> = present.iter().map(|info| info.user.as_str()).collect();
        Ok(PresenceCount {
            clients: present.len(),
            users: users.len(),
        })
    }
}

/// The node that has the connection, and what others see of that.
fn entry(nodes: &Nodes, info: &ClientInfo) -> Vec<u8> {
    let mut value = format!("{} ", nodes.node()).into_bytes();
    wire::write_info(&mut value, info);
    value
}

fn put((channel, client): &Place, value: &[u8]) -> Call {
    let mut command = cmd("HSET");
    command.arg(keys::presence(channel)).arg(client.to_string()).arg(value);
    command.into()
}

fn take((channel, client): &Place) -> Call {
    let mut command = cmd("HDEL");
    command.arg(keys::presence(channel)).arg(client.to_string());
    command.into()
}
