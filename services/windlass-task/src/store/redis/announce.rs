//! Events as entries of a stream: one field, the CloudEvent.

use async_trait::async_trait;
use windlass_redis::{Call, cmd};

use super::{RedisStore, failed};
use crate::announce::Announce;
use crate::event::Event;
use crate::store::Error;

/// About how many entries a stream keeps that nobody takes; the oldest go. Some fifty megabytes, so that push pods that are
/// away for a day do not fill the Redis that uploads need.
const STREAM_MAX: usize = 100_000;

#[async_trait]
impl Announce for RedisStore {
    async fn announce(&self, stream: &str, events: &[&Event]) -> Result<(), Error> {
        let operation = "announce an event";
        let mut calls: Vec<Call> = Vec::with_capacity(events.len());
        for event in events {
            let text = serde_json::to_string(event).map_err(|source| Error::EncodeEntry { source })?;
            let mut add = cmd("XADD");
            add.arg(stream).arg("MAXLEN").arg("~").arg(STREAM_MAX).arg("*");
            calls.push(add.arg("event").arg(text).take().into());
        }
        if calls.is_empty() {
            return Ok(());
        }
        let answers = self.inner.client.run_all(&calls).await.map_err(failed(operation))?;
        for answer in answers {
            answer.map_err(failed(operation))?;
        }
        Ok(())
    }
}
