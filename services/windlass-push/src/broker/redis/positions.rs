//! Redis keeps no publication for who is away, and nobody is told when one is lost. So each stream's top is told among its
//! publications, to all nodes that have subscribers: at once when subscriptions stand anew, and now and again. Whoever is not
//! there by then has missed something, however it was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use windlass_redis::{Call, Client, Error, Value};

use super::ear::Ear;
use super::patience::Patience;
use super::streams::millis;
use super::{keys, scripts};
use crate::channel::ChannelKey;
use crate::position::random_epoch;

/// How long a channel may be silent until its position is told (Centrifugo's time). Any node's telling counts for all.
const SILENCE: Duration = Duration::from_secs(40);
/// How often is looked for silent channels.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many positions one pipeline asks for: less than a millisecond of the server's.
const BATCH: usize = 512;

/// Sees that positions are told.
pub(super) struct Positions {
    pub(super) client: Client,
    pub(super) ear: Arc<Ear>,
    pub(super) position_ttl: Duration,
}

impl Positions {
    /// Never returns.
    pub(super) async fn keep(self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let silence = tokio::select! {
                () = self.ear.stood.notified() => Duration::ZERO,
                _ = looks.tick() => SILENCE,
            };
            self.tell(&self.ear.unheard_for(silence)).await;
        }
    }

    /// Has the positions of these channels told, however long that takes: until then nobody knows what it has missed.
    async fn tell(&self, channels: &[ChannelKey]) {
        let begun = Instant::now();
        for batch in channels.chunks(BATCH) {
            let mut patience = Patience::new();
            while let Err(error) = self.tell_batch(batch).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "positions are told again");
                if !patience.wait().await {
                    patience = Patience::new();
                }
            }
        }
        if !channels.is_empty() {
            let (channels, millis) = (channels.len(), begun.elapsed().as_millis());
            tracing::debug!(channels, millis, "positions were told");
        }
    }

    async fn tell_batch(&self, batch: &[ChannelKey]) -> Result<(), Error> {
        let calls: Vec<Call> = batch.iter().map(|channel| self.telling(channel)).collect();
        for (answer, channel) in self.client.run_all(&calls).await?.into_iter().zip(batch) {
            if answer? == Value::Nil {
                // The data set was emptied under a living connection: another one settles what that means.
                self.client.session(keys::generation(channel)).await?.leave();
                return Err(Error::Reach);
            }
        }
        Ok(())
    }

    fn telling(&self, channel: &ChannelKey) -> Call {
        let names = [keys::generation(channel), keys::stream(channel), keys::history(channel)];
        scripts::TELL_TOP
            .call(&names.each_ref().map(String::as_str))
            .arg(random_epoch().to_string())
            .arg(millis(self.position_ttl))
            .arg(self.client.publish_command())
            .arg(keys::publications(channel))
    }
}
