//! A new configuration, taken up by a Redis that runs.

use std::sync::Arc;

use super::{Agent, Peers};
use crate::settings::Settings;

impl Agent {
    /// Takes it up, once Redis has: one that is started later begins with it.
    pub(super) async fn configure(&mut self) {
        let Some(next) = self.next.clone() else { return };
        if self.child.runs() {
            // One that loads its files is waited for, and one that refuses is asked again at the next look.
            let Some(redis) = self.redis.clone().filter(|_| self.child.serves()) else {
                return;
            };
            let configured = redis.configure(&self.settings, &next, self.member.is_open()).await;
            if let Err(error) = configured {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "redis does not take the new configuration"
                );
                return;
            }
        }
        self.next = None;
        self.take_up(next);
    }

    fn take_up(&mut self, settings: Arc<Settings>) {
        match Peers::new(Arc::clone(&settings), self.pace.ask) {
            Ok(peers) => self.peers = peers,
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "members are spoken to as before"
            ),
        }
        tracing::info!("took up a new configuration");
        self.settings = Arc::clone(&settings);
        self.shown.send_replace(settings);
    }
}
