//! Proves that deliveries flow: this node publishes to itself every few seconds.
//!
//! What does not come is a connection that stands and brings nothing, which no error tells of. It is made anew; when that
//! does not help, and other nodes see theirs, this node is of no use. Where Redis cannot be published to nothing is known,
//! and where nobody sees anything no node is better than another: then all stay as they are.

use std::time::Duration;

use super::line::Line;
use super::nodes::Nodes;
use super::{ear, keys};
use crate::broker::Sight;

/// How often: Redis bears thousands of nodes at it, and clients notice a silence of some seconds no sooner.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How many may fail in a row until the connection is made anew: one may be on its way while a reconnect goes on.
const MISSED_MAX: u32 = 2;

/// Never returns.
pub(super) async fn keep(client: windlass_redis::Client, nodes: &Nodes, line: &Line, sight: &Sight) {
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    // A node that was stopped need not prove itself for the time that it lost.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut missed, mut renewed) = (0, false);
    loop {
        ticks.tick().await;
        if client.publish(&keys::node(nodes.node()), ear::probe()).await.is_err() {
            missed = 0;
            continue;
        }
        tokio::time::sleep(PROBE_EVERY / 2).await;
        if sight.age().is_some_and(|age| age < PROBE_EVERY) {
            (missed, renewed) = (0, false);
            continue;
        }
        missed += 1;
        if missed < MISSED_MAX {
            continue;
        }
        if renewed && nodes.others_see().await {
            tracing::error!("deliveries do not come to this node, and do to others: it is not ready");
            sight.lose();
        } else {
            tracing::warn!("deliveries do not come: the subscriptions are made anew");
        }
        line.renew();
        (missed, renewed) = (0, true);
    }
}
