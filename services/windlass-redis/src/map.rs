//! Which primary has which slots, as of one moment.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::node::Node;
use crate::session::Session;
use crate::slot::{Slot, Slots};
use crate::view::Address;

/// The index of a slot's owner when nobody has it.
const NOBODY: u16 = u16::MAX;

pub(crate) struct Map {
    /// Counts the maps that differ.
    version: u64,
    epoch: u64,
    /// When the reading began.
    read: Instant,
    nodes: Vec<Arc<Node>>,
    /// An index into `nodes` a slot.
    owners: Vec<u16>,
}

impl Map {
    /// Before anything is known.
    pub(crate) fn empty() -> Self {
        Self {
            version: 0,
            epoch: 0,
            read: Instant::now(),
            nodes: Vec::new(),
            owners: vec![NOBODY; Slot::all().count()],
        }
    }

    /// The map after this one.
    pub(crate) fn next(&self, epoch: u64, read: Instant, primaries: Vec<(Arc<Node>, Slots)>) -> Self {
        let mut owners = vec![NOBODY; self.owners.len()];
        let mut nodes = Vec::with_capacity(primaries.len());
        for (node, slots) in primaries {
            // More primaries than indices there cannot be: each needs a slot to be of use.
            let index = u16::try_from(nodes.len()).unwrap_or(NOBODY);
            for slot in Slot::all().filter(|slot| slots.has(*slot)) {
                owners[slot.index()] = index;
            }
            nodes.push(node);
        }
        let is_same = self.owners == owners && self.nodes.len() == nodes.len() && {
            let mut pairs = self.nodes.iter().zip(&nodes);
            pairs.all(|(one, other)| Arc::ptr_eq(one, other))
        };
        Self {
            version: self.version + u64::from(!is_same),
            epoch,
            read,
            nodes,
            owners,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn read(&self) -> Instant {
        self.read
    }

    /// Whether connections to all primaries stood before it was read: only then a slot that has moved since is known to have
    /// been whole.
    pub(crate) fn is_settled(&self) -> bool {
        let stood = |node: &Arc<Node>| node.main.present().is_some_and(|session| session.made() < self.read);
        !self.nodes.is_empty() && self.nodes.iter().all(stood)
    }

    /// All primaries, also those without a slot.
    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The primary that has a slot.
    pub(crate) fn owner(&self, slot: Slot) -> Option<Arc<Node>> {
        self.nodes.get(usize::from(self.owners[slot.index()])).cloned()
    }

    /// A primary that is connected, if one is.
    pub(crate) fn any(&self) -> Option<Arc<Node>> {
        let connected = self.nodes.iter().find(|node| node.main.present().is_some());
        connected.or_else(|| self.nodes.first()).cloned()
    }

    pub(crate) fn at(&self, address: &Address) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.address == *address)
    }

    pub(crate) fn session_at(&self, address: &Address) -> Option<Session> {
        self.at(address)?.main.present()
    }

    /// Slots by who has them.
    pub(crate) fn givers(&self, slots: &Slots) -> Vec<(Option<Arc<Node>>, Slots)> {
        let mut by_owner: HashMap<u16, Slots> = HashMap::new();
        for slot in Slot::all().filter(|slot| slots.has(*slot)) {
            let owner = self.owners[slot.index()];
            by_owner.entry(owner).or_insert_with(Slots::none).insert(slot);
        }
        let node = |owner| self.nodes.get(usize::from(owner)).cloned();
        by_owner
            .into_iter()
            .map(|(owner, slots)| (node(owner), slots))
            .collect()
    }
}
