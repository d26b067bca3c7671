//! What backends are asked and told of a connection.

use http::HeaderMap;

use super::Desk;
use crate::channel::ChannelKey;
use crate::codes::{Denial, Disconnect};
use crate::metrics::Outcome;
use crate::proxy::{Answer, Ask, Asker, DEFAULT, Event, Failure, Kind, Proxy};

/// The code and reason by which Centrifugo's library names the end of a connection that nobody else has named.
const CLOSED: (u16, &str) = (3000, "connection closed");

impl Desk {
    /// Asks a backend.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, Denial> {
        let emulated = self.known.get().and_then(|known| known.emulated.as_deref());
        self.ask_with(ask, emulated).await
    }

    /// Asks a backend; `emulated` are the headers that the client names itself.
    pub(super) async fn ask_with(&self, ask: &Ask, emulated: Option<&HeaderMap>) -> Result<Answer, Denial> {
        let kind = ask.question.kind();
        let asker = self.asker(emulated);
        let begun = self.push.metrics().proxy_call(kind);
        let asked = match self.push.settings().proxies.find(kind, &ask.proxy) {
            Some(proxy) => proxy.ask(ask, &asker).await,
            None => Err(Failure::Find),
        };
        match asked {
            Ok(answer) => {
                begun.end(if answer.is_ok() { Outcome::Done } else { Outcome::Denied });
                answer
            }
            Err(failure) => {
                begun.end(Outcome::Failed);
                complain(kind, &failure);
                Err(failure.denial())
            }
        }
    }

    /// Tells the backend that wants to know.
    pub(super) async fn tell(&self, event: &Event) {
        let (Some(proxy), Some(known)) = (self.listener(event), self.known.get()) else {
            return;
        };
        let asker = self.asker(known.emulated.as_deref());
        let begun = self.push.metrics().proxy_call(event.kind());
        match proxy.tell(event, &known.user.name, &asker).await {
            Ok(()) => begun.end(Outcome::Done),
            Err(failure) => {
                begun.end(Outcome::Failed);
                complain(event.kind(), &failure);
            }
        }
    }

    /// Tells of the end of a connection: of its subscriptions all at once, and then of itself.
    pub(super) async fn tell_of_ends(&self, channels: Vec<ChannelKey>, reason: &Disconnect) {
        let ends = channels.into_iter().map(|channel| async move {
            let channel = channel.name().to_owned();
            self.tell(&Event::Unsubscribe { channel }).await;
        });
        futures_util::future::join_all(ends).await;
        let (code, reason) = match reason {
            Disconnect::Closed => CLOSED,
            reason => reason.parts(),
        };
        let reason = reason.to_owned();
        self.tell(&Event::Disconnect { code, reason }).await;
    }

    /// Who wants to know of an event.
    fn listener(&self, event: &Event) -> Option<&Proxy> {
        let settings = self.push.settings();
        let name = match event {
            _ if !self.transport.speaks_centrifuge() => return None,
            Event::Disconnect { .. } => DEFAULT,
            Event::Unsubscribe { channel } => settings.channels.options(channel).ok()?.proxy(Kind::Unsubscribe)?,
        };
        settings.proxies.find(event.kind(), name)
    }

    fn asker<'a>(&'a self, emulated: Option<&'a HeaderMap>) -> Asker<'a> {
        Asker {
            client: self.client,
            transport: self.transport.name(),
            protocol: self.codec.name(),
            headers: self.shown.headers.as_deref(),
            emulated,
        }
    }
}

/// Says once what went wrong; the client hears only that something did.
fn complain(kind: Kind, failure: &Failure) {
    let error: &dyn std::error::Error = failure;
    tracing::warn!(proxy = kind.as_str(), error, "a call to the backend came to nothing");
}
