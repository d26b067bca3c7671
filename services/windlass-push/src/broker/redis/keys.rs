//! The names of keys and channels. What one script touches shares the partition in braces, so that it is in one hash slot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use windlass_task::{Partition, RedisStore};

use crate::broker::NodeId;
use crate::channel::ChannelKey;
use crate::client::ClientInfo;

/// The partition that has everything of a channel.
fn partition(channel: &ChannelKey) -> u8 {
    Partition::of(channel.as_str()).0
}

/// Hash: the data's generation in the channel's partition; the task store settles it on each connection.
pub(super) fn generation(channel: &ChannelKey) -> String {
    RedisStore::generation_key(Partition::of(channel.as_str()))
}

/// Hash: a stream's epoch, the generation that it belongs to, its top, and the version that was published last.
pub(super) fn stream(channel: &ChannelKey) -> String {
    format!("push:stream:{{{}}}:{}", partition(channel), channel.as_str())
}

/// Stream: the publications that are remembered; an entry's id is its offset.
pub(super) fn history(channel: &ChannelKey) -> String {
    format!("push:history:{{{}}}:{}", partition(channel), channel.as_str())
}

/// String with an expiry: the position of what was published under an idempotency key.
pub(super) fn repeat(channel: &ChannelKey, key: &str) -> String {
    format!("push:repeat:{{{}}}:{}:{key}", partition(channel), channel.as_str())
}

/// Channel: what is published to the subscribers of a channel.
pub(super) fn publications(channel: &ChannelKey) -> String {
    format!("push:channel:{{{}}}:{}", partition(channel), channel.as_str())
}

/// Hash: the connections in a channel, each with its node and what others see of it; of a user's channel, the connections
/// of the user.
pub(super) fn entries(channel: &ChannelKey) -> String {
    let partition = partition(channel);
    match channel.user() {
        Some(user) => format!("push:user:{{{partition}}}:{}/{user}", channel.tenant()),
        None => format!("push:presence:{{{partition}}}:{}", channel.as_str()),
    }
}

/// Hash: the connections of a node that are in channels of this one's partition, so that another node can take them out.
pub(super) fn held(channel: &ChannelKey, node: NodeId) -> String {
    held_in(Partition(partition(channel)), node)
}

/// The same by the partition.
pub(super) fn held_in(partition: Partition, node: NodeId) -> String {
    format!("push:held:{{{}}}:{node}", partition.0)
}

/// Sorted set: those in a channel that were lost and may be back, of whom others see the same, by when that was.
pub(super) fn away(channel: &ChannelKey, info: &ClientInfo) -> String {
    let mut digest = Sha256::new();
    for seen in [info.user.as_bytes(), info.conn_info.bytes(), info.chan_info.bytes()] {
        digest.update(seen.len().to_le_bytes());
        digest.update(seen);
    }
    let digest = URL_SAFE_NO_PAD.encode(digest.finalize());
    format!("push:away:{{{}}}:{}:{digest}", partition(channel), channel.as_str())
}

/// Sorted set: the nodes, by when their leases end.
pub(super) const LIVE: &str = "push:{nodes}:live";

/// Sorted set: the nodes that have died and of which something may be left, by until when another one sees to it.
pub(super) const DEAD: &str = "push:{nodes}:dead";

/// Sorted set: the nodes of which nothing is left, by when they were buried.
pub(super) const BURIED: &str = "push:{nodes}:buried";

/// Sorted set: the nodes that see their probes, by when that is too long ago to say anything.
pub(super) const SEEING: &str = "push:{nodes}:seeing";

/// Channel: what all nodes are asked.
pub(super) const EVERYBODY: &str = "push:{nodes}:questions";

/// Channel: what one node is told.
pub(super) fn node(node: NodeId) -> String {
    format!("push:node:{{{node}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::Tenant;

    #[test]
    fn what_a_script_touches_is_in_one_hash_slot_whatever_the_channel_is_called() {
        let tenant = Tenant::default_tenant();
        let named = ["news", "a}{b", "{", "}", "task:x"].map(|name| ChannelKey::new(&tenant, name));
        for channel in named.into_iter().chain([ChannelKey::of_user(&tenant, "a}{b")]) {
            let tag = format!(":{{{}}}", partition(&channel));
            let keys = [
                generation(&channel),
                stream(&channel),
                history(&channel),
                repeat(&channel, "k"),
                publications(&channel),
                entries(&channel),
                held(&channel, NodeId::random()),
                away(&channel, &ClientInfo::default()),
            ];
            for key in keys {
                // A slot is that of what stands in the first braces.
                assert_eq!(key.find('{'), key.find(&tag).map(|place| place + 1), "{key}");
            }
        }
    }
}
