//! What is wanted, and who of the servers' keepers has seen to it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Kind;
use crate::view::Address;

/// A channel and how it is subscribed to.
type Channel = (Arc<str>, Kind);

#[derive(Debug)]
pub(super) struct Wanted {
    state: Mutex<State>,
    /// Counts the changes.
    wishes: watch::Sender<u64>,
    /// Up to which change, and by which map, a server's channels stand; none while it has no connection.
    standing: watch::Sender<HashMap<Address, (u64, u64)>>,
}

#[derive(Debug, Default)]
struct State {
    channels: HashSet<Channel>,
    /// What changed since a server's keeper has looked; none before it has looked at everything.
    inboxes: HashMap<Address, HashSet<Channel>>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wishes: watch::Sender::new(0),
            standing: watch::Sender::new(HashMap::new()),
        }
    }
}

impl Wanted {
    pub(super) fn add(&self, more: impl IntoIterator<Item = String>, kind: Kind) {
        let more = more.into_iter().map(|channel| (channel.into(), kind));
        self.change(more, |channels, channel| channels.insert(channel.clone()));
    }

    pub(super) fn remove(&self, channel: &str) {
        let channel: Arc<str> = channel.into();
        let both = [Kind::Everywhere, Kind::Sharded].map(|kind| (Arc::clone(&channel), kind));
        self.change(both, |channels, channel| channels.remove(channel));
    }

    fn change(
        &self,
        touched: impl IntoIterator<Item = Channel>,
        change: impl Fn(&mut HashSet<Channel>, &Channel) -> bool,
    ) {
        let mut state = self.lock();
        let State { channels, inboxes } = &mut *state;
        let mut is_changed = false;
        for channel in touched {
            if change(channels, &channel) {
                is_changed = true;
                for inbox in inboxes.values_mut() {
                    inbox.insert(channel.clone());
                }
            }
        }
        if is_changed {
            self.wishes.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn wants(&self, channel: &Channel) -> bool {
        self.lock().channels.contains(channel)
    }

    pub(super) fn count(&self) -> u64 {
        *self.wishes.borrow()
    }

    pub(super) fn wishes(&self) -> watch::Receiver<u64> {
        self.wishes.subscribe()
    }

    /// What may have changed for a server since its keeper last asked: everything, when it asks for the first time on a
    /// connection or with another map.
    pub(super) fn changed(
        &self,
        server: &Address,
        is_other_map: bool,
        standing: &HashSet<Channel>,
    ) -> HashSet<Channel> {
        let mut state = self.lock();
        let inbox = state.inboxes.insert(server.clone(), HashSet::new());
        match inbox {
            Some(inbox) if !is_other_map => inbox,
            Some(_) | None => state.channels.union(standing).cloned().collect(),
        }
    }

    /// Has a server's keeper look at channels again.
    pub(super) fn remind(&self, server: &Address, channels: impl IntoIterator<Item = Channel>) {
        if let Some(inbox) = self.lock().inboxes.get_mut(server) {
            inbox.extend(channels);
        }
    }

    /// A server's channels stand, up to a change and by a map.
    pub(super) fn stand(&self, server: &Address, count: u64, map: u64) {
        self.standing.send_modify(|standing| {
            standing.insert(server.clone(), (count, map));
        });
    }

    /// A server's connection is lost, and with it what stood on it.
    pub(super) fn end(&self, server: &Address) {
        self.lock().inboxes.remove(server);
        self.standing.send_modify(|standing| {
            standing.remove(server);
        });
    }

    /// Waits until these servers' channels stand.
    pub(super) async fn stands(&self, servers: &[Address], count: u64, map: u64) {
        let stands = |standing: &HashMap<Address, (u64, u64)>| {
            servers.iter().all(|server| {
                let reached = standing.get(server);
                reached.is_some_and(|(reached, by)| *reached >= count && *by >= map)
            })
        };
        // The sender lives as long as `self`.
        let _ = self.standing.subscribe().wait_for(stands).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
