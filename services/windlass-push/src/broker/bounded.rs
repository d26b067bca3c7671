//! A broker that always answers in time: one that hangs is one that cannot be reached.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use windlass_task::Tenant;

use super::{Attendance, Broker, Error, History, NodeId, Outgoing, PresenceCount, Range, Retention};
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};
use crate::position::StreamPosition;

/// Within the 5 s after which the client libraries give a command up by default, so that they hear why. Longer, and a
/// broker that hangs would look to them like a connection that hangs.
const DEADLINE: Duration = Duration::from_secs(4);

/// A broker whose every answer is bounded in time.
#[derive(Debug)]
pub struct Bounded<B>(B);

impl<B: Broker> Bounded<B> {
    /// Bounds `broker`.
    pub fn new(broker: B) -> Self {
        Self(broker)
    }
}

/// What is asked goes on or not; nobody waits for it any longer.
async fn in_time<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(DEADLINE, asked)
        .await
        .unwrap_or(Err(Error::Unreachable))
}

#[async_trait]
impl<B: Broker> Broker for Bounded<B> {
    async fn publish(
        &self,
        channel: &ChannelKey,
        outgoing: Outgoing,
        retention: Retention,
    ) -> Result<Option<StreamPosition>, Error> {
        in_time(self.0.publish(channel, outgoing, retention)).await
    }

    async fn subscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        in_time(self.0.subscribe(channel)).await
    }

    async fn unsubscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        in_time(self.0.unsubscribe(channel)).await
    }

    async fn history(&self, channel: &ChannelKey, range: Range) -> Result<History, Error> {
        in_time(self.0.history(channel, range)).await
    }

    async fn remove_history(&self, channel: &ChannelKey) -> Result<(), Error> {
        in_time(self.0.remove_history(channel)).await
    }

    async fn enter(&self, channel: &ChannelKey, client: ClientId, attendance: Attendance) -> Result<(), Error> {
        in_time(self.0.enter(channel, client, attendance)).await
    }

    async fn lose(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        in_time(self.0.lose(channel, client)).await
    }

    async fn leave(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        in_time(self.0.leave(channel, client)).await
    }

    async fn add_user(&self, tenant: &Tenant, user: &str, client: ClientId) -> Result<(), Error> {
        in_time(self.0.add_user(tenant, user, client)).await
    }

    async fn remove_user(&self, tenant: &Tenant, user: &str, client: ClientId) -> Result<(), Error> {
        in_time(self.0.remove_user(tenant, user, client)).await
    }

    async fn presence(&self, channel: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
        in_time(self.0.presence(channel)).await
    }

    async fn count_presence(&self, channel: &ChannelKey) -> Result<PresenceCount, Error> {
        in_time(self.0.count_presence(channel)).await
    }

    fn node(&self) -> NodeId {
        self.0.node()
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<(), Error> {
        in_time(self.0.tell(node, message)).await
    }

    async fn tell_user(&self, tenant: &Tenant, user: &str, message: Bytes) -> Result<(), Error> {
        in_time(self.0.tell_user(tenant, user, message)).await
    }

    async fn survey(&self, question: Bytes) -> Result<Vec<Bytes>, Error> {
        in_time(self.0.survey(question)).await
    }

    async fn maintain(&self) {
        let maintained = tokio::time::timeout(DEADLINE, self.0.maintain()).await;
        if maintained.is_err() {
            tracing::warn!("the broker did not forget in time what is over its time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Takes everything and never answers.
    #[derive(Debug)]
    struct Hanging(NodeId);

    #[async_trait]
    impl Broker for Hanging {
        async fn publish(&self, _: &ChannelKey, _: Outgoing, _: Retention) -> Result<Option<StreamPosition>, Error> {
            pending().await
        }

        async fn subscribe(&self, _: &ChannelKey) -> Result<(), Error> {
            pending().await
        }

        async fn unsubscribe(&self, _: &ChannelKey) -> Result<(), Error> {
            pending().await
        }

        async fn history(&self, _: &ChannelKey, _: Range) -> Result<History, Error> {
            pending().await
        }

        async fn remove_history(&self, _: &ChannelKey) -> Result<(), Error> {
            pending().await
        }

        async fn enter(&self, _: &ChannelKey, _: ClientId, _: Attendance) -> Result<(), Error> {
            pending().await
        }

        async fn lose(&self, _: &ChannelKey, _: ClientId) -> Result<(), Error> {
            pending().await
        }

        async fn leave(&self, _: &ChannelKey, _: ClientId) -> Result<(), Error> {
            pending().await
        }

        async fn add_user(&self, _: &Tenant, _: &str, _: ClientId) -> Result<(), Error> {
            pending().await
        }

        async fn remove_user(&self, _: &Tenant, _: &str, _: ClientId) -> Result<(), Error> {
            pending().await
        }

        async fn presence(&self, _: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
            pending().await
        }

        async fn count_presence(&self, _: &ChannelKey) -> Result<PresenceCount, Error> {
            pending().await
        }

        fn node(&self) -> NodeId {
            self.0
        }

        async fn tell(&self, _: NodeId, _: Bytes) -> Result<(), Error> {
            pending().await
        }

        async fn tell_user(&self, _: &Tenant, _: &str, _: Bytes) -> Result<(), Error> {
            pending().await
        }

        async fn survey(&self, _: Bytes) -> Result<Vec<Bytes>, Error> {
            pending().await
        }

        async fn maintain(&self) {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_a_broker_that_hangs_is_told_so_in_time() {
        let broker = Bounded::new(Hanging(NodeId::random()));
        let channel = ChannelKey::new(&Tenant::default_tenant(), "a");
        let begin = tokio::time::Instant::now();
        let range = Range {
            since: None,
            limit: 1,
            reverse: false,
        };
        let client = ClientId::random();
        let attendance = Attendance {
            info: ClientInfo::default(),
            present: true,
            announced: true,
        };
        let (published, subscribed, read, present, told, answered, ()) = tokio::join!(
            broker.publish(&channel, Outgoing::default(), Retention::NONE),
            broker.subscribe(&channel),
            broker.history(&channel, range),
            broker.enter(&channel, client, attendance),
            broker.tell(broker.node(), Bytes::new()),
            broker.survey(Bytes::new()),
            broker.maintain(),
        );
        let outcomes = [
            published.err(),
            subscribed.err(),
            read.err(),
            present.err(),
            told.err(),
            answered.err(),
        ];
        assert_eq!(outcomes, [Some(Error::Unreachable); 6]);
        assert_eq!(begin.elapsed(), DEADLINE);
    }
}
