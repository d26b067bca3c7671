//! `publish`, `broadcast`, and what is kept of a channel.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Api, Done, Error, ErrorDocument, request};
use crate::broker::{History, Outgoing, Range, Retention, Version};
use crate::centrifuge::push;
use crate::centrifuge::reply::{HistoryResult, PresenceResult, PresenceStatsResult};
use crate::codes::ErrorCode;
use crate::grant::payload;
use crate::payload::Payload;
use crate::position::{StreamPosition, names_epoch};

/// How many channels one broadcast may name: each is published to before the response.
const BROADCAST_MAX: usize = 1_000;

/// The longest idempotency key, bytes: a UUID has 36.
const KEY_BYTES_MAX: usize = 128;

/// Where a publication is.
#[derive(Debug, Default, Serialize)]
pub(super) struct Published {
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    epoch: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Broadcasted {
    responses: Vec<Response>,
}

/// What became of one channel of a broadcast.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Response {
    Result(Published),
    Error(ErrorDocument),
}

/// What is published, once for all channels that it goes to.
struct Content {
    data: Payload,
    tags: BTreeMap<String, String>,
    skip_history: bool,
    idempotency_key: Option<String>,
    delta: bool,
    version: Option<Version>,
}

impl Content {
    fn read(request: request::Publish) -> Result<Self, Error> {
        let data = if request.data.is_empty() {
            payload(None, &request.b64data).map_err(|_| Error::Malformed)?
        } else {
            request.data
        };
        let (key, epoch) = (request.idempotency_key, request.version_epoch);
        if data.is_empty() || key.len() > KEY_BYTES_MAX || epoch.len() > KEY_BYTES_MAX {
            return Err(ErrorCode::BadRequest.into());
        }
        let number = request.version;
        Ok(Self {
            data,
            tags: request.tags,
            skip_history: request.skip_history,
            idempotency_key: (!key.is_empty()).then_some(key),
            delta: request.delta,
            version: (number != 0).then_some(Version { number, epoch }),
        })
    }
}

impl Api {
    pub(super) async fn publish(&self, request: request::Publish) -> Result<Published, Error> {
        let channel = request.channel.clone();
        self.publish_to(&channel, &Content::read(request)?).await
    }

    pub(super) async fn broadcast(&self, request: request::Broadcast) -> Result<Broadcasted, Error> {
        let (channels, request) = request.split();
        let content = Content::read(request)?;
        if channels.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        if channels.len() > BROADCAST_MAX {
            return Err(ErrorCode::LimitExceeded.into());
        }
        let mut responses = Vec::with_capacity(channels.len());
        for channel in &channels {
            responses.push(match self.publish_to(channel, &content).await {
                Ok(published) => Response::Result(published),
                Err(error) => Response::Error(error.into()),
            });
        }
        Ok(Broadcasted { responses })
    }

    async fn publish_to(&self, name: &str, content: &Content) -> Result<Published, Error> {
        let (channel, options) = self.stream(name)?;
        if !options.accepts(&content.data) {
            return Err(ErrorCode::BadRequest.into());
        }
        let retention = if content.skip_history {
            Retention::NONE
        } else {
            options.retention()
        };
        let outgoing = Outgoing {
            data: content.data.clone(),
            info: None,
            tags: content.tags.clone(),
            delta: content.delta || options.delta_publish,
            version: content.version.clone(),
            idempotency_key: content.idempotency_key.clone(),
        };
        let position = self.push.broker().publish(&channel, outgoing, retention).await?;
        Ok(
            position.map_or_else(Published::default, |StreamPosition { offset, epoch }| Published {
                offset,
                epoch: epoch.to_string(),
            }),
        )
    }

    pub(super) async fn presence(&self, request: request::Channel) -> Result<PresenceResult, Error> {
        let (channel, options) = self.stream(&request.channel)?;
        if !options.presence {
            return Err(ErrorCode::NotAvailable.into());
        }
        let present = self.push.broker().presence(&channel).await?;
        let presence = present.into_iter().map(|info| (info.client.clone(), info)).collect();
        Ok(PresenceResult { presence })
    }

    pub(super) async fn presence_stats(&self, request: request::Channel) -> Result<PresenceStatsResult, Error> {
        let (channel, options) = self.stream(&request.channel)?;
        if !options.presence {
            return Err(ErrorCode::NotAvailable.into());
        }
        let count = self.push.broker().count_presence(&channel).await?;
        let whole = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(PresenceStatsResult {
            num_clients: whole(count.clients),
            num_users: whole(count.users),
        })
    }

    pub(super) async fn history(&self, request: request::History) -> Result<HistoryResult, Error> {
        let (channel, options) = self.stream(&request.channel)?;
        if options.retention().is_none() {
            return Err(ErrorCode::NotAvailable.into());
        }
        let most = self.push.settings().publications_max;
        let since = request.since.unwrap_or_default();
        let range = Range {
            since: (since.offset > 0 || !since.epoch.is_empty()).then_some(since.offset),
            limit: usize::try_from(request.limit).map_or(most, |limit| limit.min(most)),
            reverse: request.reverse,
        };
        let History { publications, top } = self.push.broker().history(&channel, range).await?;
        if !since.epoch.is_empty() && !names_epoch(&since.epoch, top.epoch) {
            return Err(ErrorCode::UnrecoverablePosition.into());
        }
        Ok(HistoryResult {
            publications: publications.iter().map(push::of_message).collect(),
            epoch: top.epoch.to_string(),
            offset: top.offset,
        })
    }

    pub(super) async fn history_remove(&self, request: request::Channel) -> Result<Done, Error> {
        let (channel, options) = self.stream(&request.channel)?;
        if options.retention().is_none() {
            return Err(ErrorCode::NotAvailable.into());
        }
        self.push.broker().remove_history(&channel).await?;
        Ok(Done {})
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
