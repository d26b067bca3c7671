//! The subscriptions of this node, which can be made anew: a connection that stands and brings nothing is worse than none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use windlass_redis::{Client, Subscriptions};

use super::ear::Ear;
use super::patience::Patience;
use super::streams::unreachable;
use crate::broker::Error;
use crate::broker::memory::lock;
use crate::channel::ChannelKey;

/// Where what is published comes from.
pub(super) struct Line {
    client: Client,
    ear: Arc<Ear>,
    present: Mutex<Arc<Present>>,
}

/// One set of subscriptions.
struct Present {
    subscriptions: Subscriptions,
    voice: Arc<Voice>,
}

/// What one set brings. A former one is not listened to, or it could bring something twice.
struct Voice {
    ear: Arc<Ear>,
    is_former: AtomicBool,
}

impl windlass_redis::Receiver for Voice {
    fn message(&self, channel: &str, payload: &[u8]) {
        if !self.is_former.load(Ordering::Acquire) {
            self.ear.message(channel, payload);
        }
    }

    fn stands(&self) {
        self.ear.stands();
    }
}

/// A channel that is wanted; dropped before it stands, it is wanted no more.
struct Wanting<'a> {
    line: &'a Line,
    channel: &'a ChannelKey,
    stands: bool,
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        if !self.stands {
            self.line.leave(self.channel);
        }
    }
}

impl Present {
    fn start(client: &Client, ear: &Arc<Ear>) -> Arc<Self> {
        let voice = Arc::new(Voice {
            ear: Arc::clone(ear),
            is_former: AtomicBool::new(false),
        });
        let subscriptions = client.subscriptions(Arc::clone(&voice) as Arc<_>);
        subscriptions.want_all(ear.names());
        Arc::new(Self { subscriptions, voice })
    }
}

impl Line {
    pub(super) fn start(client: Client, ear: Arc<Ear>) -> Self {
        Self {
            present: Mutex::new(Present::start(&client, &ear)),
            client,
            ear,
        }
    }

    /// Makes the connection and all subscriptions anew.
    pub(super) fn renew(&self) {
        let mut present = lock(&self.present);
        present.voice.is_former.store(true, Ordering::Release);
        *present = Present::start(&self.client, &self.ear);
    }

    /// Brings a channel: everything that is published after this answers, or it is told that something may be missing.
    pub(super) async fn want(&self, channel: &ChannelKey) -> Result<(), Error> {
        let mut wanting = Wanting {
            line: self,
            channel,
            stands: false,
        };
        let name = {
            let present = lock(&self.present);
            let name = self.ear.listen(channel);
            present.subscriptions.want(&name);
            name
        };
        let mut patience = Patience::new();
        loop {
            let present = Arc::clone(&lock(&self.present));
            match present.subscriptions.stand_for(&name).await {
                Ok(()) => break,
                Err(error) if !patience.wait().await => return Err(unreachable(&error)),
                Err(_) => {}
            }
        }
        wanting.stands = true;
        Ok(())
    }

    /// Brings it no more.
    pub(super) fn leave(&self, channel: &ChannelKey) {
        let present = lock(&self.present);
        present.subscriptions.leave(&self.ear.forget(channel));
    }
}
