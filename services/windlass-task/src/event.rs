//! Events: CloudEvents 1.0 in JSON, one type for each thing that happens to a task.

use serde::{Deserialize, Serialize};

use crate::id::{TaskId, TaskKey, Tenant};
use crate::metadata::Metadata;
use crate::record::Record;
use crate::time::UnixMillis;

/// The version of the events that this build writes.
pub const EVENT_VERSION: u32 = 1;

/// The `data` of a progress event, and what watchers are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressUpdateEvent {
    /// The task.
    pub task_id: TaskId,
    /// Whole percent, 0 to 100.
    pub progress: u8,
    /// When it was so, in Unix milliseconds.
    pub timestamp: UnixMillis,
}

/// What happened to a task. All but progress are durable and pass through the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// The record was created.
    #[serde(rename = "dev.windlass.task.created")]
    Created,
    /// Every byte is stored and accepted.
    #[serde(rename = "dev.windlass.task.completed")]
    Completed,
    /// What was completed has left its quarantine.
    #[serde(rename = "dev.windlass.task.released")]
    Released,
    /// It will never complete.
    #[serde(rename = "dev.windlass.task.failed")]
    Failed,
    /// Its owner ended it.
    #[serde(rename = "dev.windlass.task.terminated")]
    Terminated,
    /// It was unfinished for too long.
    #[serde(rename = "dev.windlass.task.expired")]
    Expired,
    /// Its acknowledged offset grew: a latest value, not in the outbox.
    #[serde(rename = "dev.windlass.task.progress")]
    Progress,
}

impl EventType {
    /// The CloudEvents `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "dev.windlass.task.created",
            Self::Completed => "dev.windlass.task.completed",
            Self::Released => "dev.windlass.task.released",
            Self::Failed => "dev.windlass.task.failed",
            Self::Terminated => "dev.windlass.task.terminated",
            Self::Expired => "dev.windlass.task.expired",
            Self::Progress => "dev.windlass.task.progress",
        }
    }
}

/// A CloudEvents 1.0 envelope (JSON event format) with our extension attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// `<task>/<sequence>`: the same for every delivery of the same event, so that a receiver can drop repeats.
    pub id: String,
    /// `/windlass/<origin>`.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The task.
    pub subject: TaskId,
    /// When, by the store's clock; RFC 3339 on the wire.
    #[serde(with = "crate::time::rfc3339")]
    pub time: UnixMillis,
    /// The task's tenant.
    pub tenant: Tenant,
    /// The position among the task's durable events, from 1.
    pub sequence: u64,
    /// W3C trace context of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// [`EVENT_VERSION`] of its writer.
    pub v: u32,
    /// Set on delivery: an event of the task before this one was given up for this group of listeners.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gap: bool,
    /// What the event says of the task.
    pub data: EventData,
}

/// What an event says of its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// The task.
    pub task_id: TaskId,
    /// Who created it.
    pub owner: crate::id::Owner,
    /// Whole percent.
    pub progress: u8,
    /// When it was so, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// The acknowledged offset in bytes.
    pub offset: u64,
    /// The length in bytes, if known.
    pub length: Option<u64>,
    /// Whether it is a part of a concatenation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The file's name, if the client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the client said of its file; only where the task is gone with the event.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Event {
    /// The event `kind` of `record`, whose `sequence` has been advanced for it.
    #[must_use]
    pub fn of(kind: EventType, record: &Record, time: UnixMillis, traceparent: Option<String>) -> Self {
        let id = &record.key.id;
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{id}/{}", record.sequence),
            source: format!("/windlass/{}", id.origin()),
            kind,
            subject: id.clone(),
            time,
            tenant: record.key.tenant.clone(),
            sequence: record.sequence,
            traceparent,
            v: EVENT_VERSION,
            gap: false,
            data: EventData {
                task_id: id.clone(),
                owner: record.owner.clone(),
                progress: record.progress(),
                timestamp: time,
                offset: record.offset(),
                length: record.length,
                partial: matches!(record.concat, Some(crate::record::Concat::Partial { .. })),
                metadata: Metadata::default(),
                name: record.metadata.filename().map(str::to_owned),
                reason: match &record.finish {
                    crate::record::Finish::Refused { reason } => Some(reason.clone()),
                    _ => None,
                },
            },
        }
    }

    /// What finds the event's task.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey {
            tenant: self.tenant.clone(),
            id: self.subject.clone(),
        }
    }
}
