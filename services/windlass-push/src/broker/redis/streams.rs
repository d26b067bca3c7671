//! Publications and histories.

use std::sync::Arc;
use std::time::Duration;

use windlass_redis::{Call, Client, Value, cmd, from_redis_value};

use super::flights::Flights;
use super::patience::Patience;
use super::{keys, scripts, wire};
use crate::broker::{Error, History, IDEMPOTENCY, Outgoing, Range, Retention};
use crate::channel::ChannelKey;
use crate::position::{StreamPosition, random_epoch};

/// For how long a publication is known by the id that it was given here: longer than it is tried for, so that it is made
/// once however often its reply is lost.
const ID_LIFETIME: Duration = Duration::from_secs(10);

/// What is asked of a history: whose, and which part.
type Asked = (ChannelKey, Option<u64>, usize, bool);

/// What a history's script answers beside the top: ids, each with its fields and values by turns.
type Entries = Vec<(String, Vec<Vec<u8>>)>;

/// The streams of all channels.
#[derive(Debug)]
pub(super) struct Streams {
    client: Client,
    /// For how long an unused channel's position is known.
    position_ttl: Duration,
    reads: Arc<Flights<Asked, Result<History, Error>>>,
}

impl Streams {
    pub(super) fn new(client: Client, position_ttl: Duration) -> Arc<Self> {
        Arc::new(Self {
            client,
            position_ttl,
            reads: Arc::default(),
        })
    }

    pub(super) async fn publish(
        &self,
        channel: &ChannelKey,
        outgoing: Outgoing,
        retention: Retention,
    ) -> Result<Option<StreamPosition>, Error> {
        if retention.is_none() {
            return self.publish_unremembered(channel, &outgoing).await.map(|()| None);
        }
        let (key, known_for) = match &outgoing.idempotency_key {
            Some(key) => (key.clone(), IDEMPOTENCY),
            None => (format!("\u{0}{}", random_epoch()), ID_LIFETIME),
        };
        let (number, counted) = match outgoing.version.as_ref() {
            Some(version) => (version.number.to_string(), version.epoch.as_str()),
            None => (String::new(), ""),
        };
        let names = [
            keys::generation(channel),
            keys::stream(channel),
            keys::history(channel),
            keys::repeat(channel, &key),
        ];
        let call = scripts::PUBLISH
            .call(&names.each_ref().map(String::as_str))
            .arg(random_epoch().to_string())
            .arg(millis(self.position_ttl))
            .arg(self.client.publish_command())
            .arg(keys::publications(channel))
            .arg(wire::body(&outgoing))
            .arg(retention.size)
            .arg(millis(retention.ttl))
            .arg(millis(known_for))
            .arg(u8::from(outgoing.delta))
            .arg(number)
            .arg(counted);
        // Tried again with the same key, so that it is made once.
        let position: Vec<u8> = read(self.until_answered(channel, &call).await?)?;
        Ok(wire::read_position(&position))
    }

    /// Publishes what has no position. Without a key a lost reply cannot be told from a lost publication.
    async fn publish_unremembered(&self, channel: &ChannelKey, outgoing: &Outgoing) -> Result<(), Error> {
        let message = wire::unpositioned(outgoing);
        match &outgoing.idempotency_key {
            None => self.bring(channel, message).await,
            Some(key) => {
                let call = scripts::PUBLISH_ONCE
                    .call(&[&keys::repeat(channel, key)])
                    .arg(self.client.publish_command())
                    .arg(keys::publications(channel))
                    .arg(message)
                    .arg(millis(IDEMPOTENCY));
                self.until_answered(channel, &call).await.map(drop)
            }
        }
    }

    /// Brings a message to all subscribers of a channel, once at most.
    pub(super) async fn bring(&self, channel: &ChannelKey, message: Vec<u8>) -> Result<(), Error> {
        let name = keys::publications(channel);
        let mut patience = Patience::new();
        loop {
            match self.client.publish(&name, message.as_slice()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_unknown() || !patience.wait().await => return Err(unreachable(&error)),
                Err(_) => {}
            }
        }
    }

    /// Reads a part of a history, together with who else asks for the same.
    pub(super) async fn history(self: &Arc<Self>, channel: &ChannelKey, range: Range) -> Result<History, Error> {
        let asked = (channel.clone(), range.since, range.limit, range.reverse);
        let (streams, channel) = (Arc::clone(self), channel.clone());
        let read = move || {
            let (streams, channel) = (Arc::clone(&streams), channel.clone());
            async move { streams.read(&channel, range).await }
        };
        self.reads.join(asked, read).await.unwrap_or(Err(Error::Unreachable))
    }

    async fn read(&self, channel: &ChannelKey, range: Range) -> Result<History, Error> {
        let (command, from, to) = if range.reverse {
            let before = range
                .since
                .map_or("+".to_owned(), |since| since.saturating_sub(1).to_string());
            ("XREVRANGE", before, "-".to_owned())
        } else {
            let after = range.since.unwrap_or(0).saturating_add(1);
            ("XRANGE", after.to_string(), "+".to_owned())
        };
        let names = [keys::generation(channel), keys::stream(channel), keys::history(channel)];
        let call = scripts::READ
            .call(&names.each_ref().map(String::as_str))
            .arg(random_epoch().to_string())
            .arg(millis(self.position_ttl))
            .arg(command)
            .arg(from)
            .arg(to)
            .arg(i64::try_from(range.limit).unwrap_or(i64::MAX));
        understand(self.until_answered(channel, &call).await?).ok_or(Error::Unreachable)
    }

    pub(super) async fn remove(&self, channel: &ChannelKey) -> Result<(), Error> {
        let call = cmd("DEL").arg(keys::history(channel)).take().into();
        self.until_answered(channel, &call).await.map(drop)
    }

    /// Sends what may be done twice until it is answered, or patience is lost.
    async fn until_answered(&self, channel: &ChannelKey, call: &Call) -> Result<Value, Error> {
        let mut patience = Patience::new();
        loop {
            match self.client.run(call).await {
                // The data set was emptied under a living connection: another one settles what that means.
                Ok(Value::Nil) => {
                    if let Ok(session) = self.client.session(keys::generation(channel)).await {
                        session.leave();
                    }
                    if !patience.wait().await {
                        return Err(Error::Unreachable);
                    }
                }
                Ok(value) => return Ok(value),
                Err(error) => {
                    if !patience.wait().await {
                        return Err(unreachable(&error));
                    }
                }
            }
        }
    }
}

/// The caller learns that trying again may help; why is for the log.
pub(super) fn unreachable(error: &windlass_redis::Error) -> Error {
    let error: &dyn std::error::Error = error;
    tracing::debug!(error, "the broker could not use redis");
    Error::Unreachable
}

pub(super) fn read<T: windlass_redis::FromRedisValue>(value: Value) -> Result<T, Error> {
    from_redis_value(value).map_err(|_| unreachable(&windlass_redis::Error::Read))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The top and the entries, as the script answers them.
fn understand(value: Value) -> Option<History> {
    let (top, entries): (Vec<u8>, Entries) = from_redis_value(value).ok()?;
    let top = wire::read_position(&top)?;
    let mut publications = Vec::with_capacity(entries.len());
    for (id, fields) in entries {
        let offset = id.split_once('-')?.0.parse().ok()?;
        let position = StreamPosition { offset, ..top };
        publications.push(wire::read_body(fields.get(1)?, Some(position))?);
    }
    Some(History { publications, top })
}
