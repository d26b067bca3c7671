//! Proves that deliveries flow: this node publishes to itself every few seconds.
//!
//! What does not come is a connection that stands and brings nothing, which no error tells of. It is made anew; when that
//! does not help, and other nodes see theirs, this node is of no use. Where Redis cannot be published to nothing is known,
//! and where nobody sees anything no node is better than another: then all stay as they are.

use std::time::Duration;

use super::line::Line;
use super::nodes::Nodes;
use super::{Options, ear, keys};
use crate::broker::Sight;

/// How often: Redis bears thousands of nodes at it, and clients notice a silence of some seconds no sooner.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// How many may fail in a row until the connection is made anew: one may be on its way while a reconnect goes on.
const MISSED_MAX: u32 = 2;

/// For how long a probe that came says that its node sees: two and a half times as long as one takes to follow the other.
/// Each is told to the others half a time after it was sent, so that two and a half outlast a telling that is late. And a
/// node that sees nothing asks about the others three and a half times after its last probe at the earliest: of nodes that
/// went blind together none takes another for seeing.
pub(super) fn sees_for(options: Options) -> Duration {
    options.probe * 5 / 2
}

/// Never returns.
pub(super) async fn keep(client: windlass_redis::Client, nodes: &Nodes, line: &Line, sight: &Sight, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    // A node that was stopped need not prove itself for the time that it lost.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut missed, mut renewed) = (0, false);
    loop {
        ticks.tick().await;
        if client.publish(&keys::node(nodes.node()), ear::probe()).await.is_err() {
            missed = 0;
            continue;
        }
        tokio::time::sleep(every / 2).await;
        if sight.age().is_some_and(|age| age < every) {
            (missed, renewed) = (0, false);
            // Others judge themselves by it. Untold, it is told with the lease.
            let _ = nodes.renew().await;
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
