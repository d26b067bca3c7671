//! The names of keys and channels. What one script touches shares the partition in braces, so that it is in one hash slot.

use windlass_task::{Partition, RedisStore};

use crate::broker::NodeId;
use crate::channel::ChannelKey;

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

/// Hash: the connections in a channel, each with its node and what others see of it.
pub(super) fn presence(channel: &ChannelKey) -> String {
    format!("push:presence:{{{}}}:{}", partition(channel), channel.as_str())
}

/// Sorted set: the nodes, by when their leases end.
pub(super) const LIVE: &str = "push:{nodes}:live";

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
        for name in ["news", "a}{b", "{", "}", "task:x"] {
            let channel = ChannelKey::new(&Tenant::default_tenant(), name);
            let tag = format!(":{{{}}}", partition(&channel));
            let keys = [
                generation(&channel),
                stream(&channel),
                history(&channel),
                repeat(&channel, "k"),
                publications(&channel),
                presence(&channel),
            ];
            for key in keys {
                // A slot is that of what stands in the first braces.
                assert_eq!(key.find('{'), key.find(&tag).map(|place| place + 1), "{key}");
            }
        }
    }
}
