//! Who is in one channel.

use std::collections::BTreeMap;

use crate::broker::{Attendance, NodeId};
use crate::client::{ClientId, ClientInfo};

/// The connections in a channel, by id.
#[derive(Debug, Default)]
pub(super) struct Attending {
    all: BTreeMap<ClientId, Attendant>,
    /// Those that were lost, in the order in which they were.
    away: Vec<ClientId>,
}

#[derive(Debug)]
struct Attendant {
    node: NodeId,
    attendance: Attendance,
}

impl Attending {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a connection; to who joined, if somebody did and others are to be told.
    pub(super) fn enter(&mut self, node: NodeId, client: ClientId, mut attendance: Attendance) -> Option<ClientInfo> {
        let joined = match self.take_back(&attendance) {
            Some(former) => {
                attendance.info = former;
                None
            }
            None => attendance.announced.then(|| attendance.info.clone()),
        };
        self.all.insert(client, Attendant { node, attendance });
        joined
    }

    /// Takes out who was lost and is back: as whom others know it.
    fn take_back(&mut self, attendance: &Attendance) -> Option<ClientInfo> {
        if !attendance.announced {
            return None;
        }
        let is_same = |client: &ClientId| {
            let known = self.all.get(client);
            known.is_some_and(|known| known.attendance.info.is_of_the_same(&attendance.info))
        };
        let client = self.away.remove(self.away.iter().position(is_same)?);
        self.all.remove(&client).map(|former| former.attendance.info)
    }

    /// Notes that a connection was lost.
    pub(super) fn lose(&mut self, client: ClientId) {
        let is_announced = self.all.get(&client).is_some_and(|known| known.attendance.announced);
        if is_announced && !self.away.contains(&client) {
            self.away.push(client);
        }
    }

    /// Takes a connection out; to who left, if others are to be told.
    pub(super) fn leave(&mut self, client: ClientId) -> Option<ClientInfo> {
        self.away.retain(|away| *away != client);
        let Attendance { info, announced, .. } = self.all.remove(&client)?.attendance;
        announced.then_some(info)
    }

    /// Takes out all connections of a node; to those that left and of whom others are to be told.
    pub(super) fn bury(&mut self, node: NodeId) -> Vec<ClientInfo> {
        let of_node = self.all.iter().filter(|(_, known)| known.node == node);
        let clients: Vec<ClientId> = of_node.map(|(client, _)| *client).collect();
        clients.into_iter().filter_map(|client| self.leave(client)).collect()
    }

    /// Those that are in the presence.
    pub(super) fn present(&self) -> impl Iterator<Item = &ClientInfo> {
        let present = self.all.values().filter(|known| known.attendance.present);
        present.map(|known| &known.attendance.info)
    }
}
