//! Takes out of their channels the connections of nodes that have died: any node does it, and each connection leaves once,
//! for its own script tells whether it was still there.

use std::collections::BTreeMap;

use windlass_redis::{Call, Client, cmd};
use windlass_task::Partition;

use super::keys;
use super::nodes::Nodes;
use super::presence::{BATCH, leaving};
use super::streams::{read, unreachable};
use crate::broker::{Error, NodeId, Receiver};
use crate::channel::ChannelKey;

/// Buries the nodes that have died.
pub(super) async fn reap(client: &Client, nodes: &Nodes, receiver: &dyn Receiver) -> Result<(), Error> {
    while let Some(dead) = nodes.claim().await? {
        let connections = clear(client, dead).await?;
        nodes.bury(dead).await?;
        tracing::warn!(node = %dead, connections, "a node has died, and its connections were taken out of their channels");
        receiver.buried(dead, connections);
    }
    Ok(())
}

/// Takes out what a node has said, in all partitions; to how much that was.
async fn clear(client: &Client, dead: NodeId) -> Result<usize, Error> {
    let partitions: Vec<Partition> = (0..=u8::MAX).map(Partition).collect();
    let length = |partition: &Partition| cmd("HLEN").arg(keys::held_in(*partition, dead)).take().into();
    let lengths: Vec<Call> = partitions.iter().map(length).collect();
    let lengths = client.run_all(&lengths).await.map_err(|error| unreachable(&error))?;
    let mut cleared = 0;
    for (partition, length) in partitions.into_iter().zip(lengths) {
        let length: u64 = read(length.map_err(|error| unreachable(&error))?)?;
        if length > 0 {
            cleared += clear_partition(client, dead, partition).await?;
        }
    }
    Ok(cleared)
}

async fn clear_partition(client: &Client, dead: NodeId, partition: Partition) -> Result<usize, Error> {
    let held = keys::held_in(partition, dead);
    let (mut cursor, mut cleared) = ("0".to_owned(), 0);
    loop {
        let mut scan = cmd("HSCAN");
        scan.arg(&held).arg(&cursor).arg("COUNT").arg(BATCH);
        let page = client.run(&scan.into()).await.map_err(|error| unreachable(&error))?;
        let (next, records): (String, BTreeMap<Vec<u8>, Vec<u8>>) = read(page)?;
        let calls: Vec<Call> = records
            .iter()
            .map(|(field, record)| take_out(client, dead, &held, field, record))
            .collect();
        for batch in calls.chunks(BATCH) {
            for answer in client.run_all(batch).await.map_err(|error| unreachable(&error))? {
                cleared += read::<usize>(answer.map_err(|error| unreachable(&error))?)?;
            }
        }
        if next == "0" {
            return Ok(cleared);
        }
        cursor = next;
    }
}

/// The call that takes one connection out; of what is not understood, the one that forgets it.
fn take_out(client: &Client, dead: NodeId, held: &str, field: &[u8], record: &[u8]) -> Call {
    let place = std::str::from_utf8(field).ok().and_then(|field| {
        let (connection, channel) = field.split_once(' ')?;
        Some((ChannelKey::read(channel)?, connection.parse().ok()?))
    });
    match (place, record.split_first()) {
        (Some(place), Some((_, info))) => leaving(client, dead, &place, info),
        _ => cmd("HDEL").arg(held).arg(field).take().into(),
    }
}
