//! What travels on channels inside the service, before it is encoded for anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_task::TaskUpdate;
use windlass_task::feed::Standing;

use crate::client::ClientInfo;
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::queue::{Class, End};

/// Something that a channel carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Publication {
    /// One of a stream.
    Message {
        /// The publication.
        message: Message,
        /// The data of the one just before it in the stream, where it may go out as the difference from that.
        before: Option<Payload>,
    },
    /// The latest value of a task.
    Task(TaskUpdate),
    /// Somebody subscribed.
    Joined(ClientInfo),
    /// Somebody is subscribed no more.
    Left(ClientInfo),
}

/// A publication in a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The data.
    pub data: Payload,
    /// Who published, when a client did.
    pub info: Option<ClientInfo>,
    /// Facts about it beside the data; shared, for most publications have none.
    pub tags: Option<Arc<BTreeMap<String, String>>>,
    /// Where it is in the stream, if the stream has a history.
    pub position: Option<StreamPosition>,
}

impl Publication {
    /// How connections' queues treat it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Message { message, .. } => Class::Stream(message.position),
            Self::Task(update) => Class::Latest(update.revision),
            Self::Joined(_) | Self::Left(_) => Class::Notice,
        }
    }

    /// Whether more may follow on its channel.
    #[must_use]
    pub fn end(&self) -> End {
        match self {
            Self::Message { .. } | Self::Joined(_) | Self::Left(_) => End::Open,
            Self::Task(update) => match update.standing {
                Standing::Live(status) if status.is_final() => End::Final,
                Standing::Live(_) => End::Open,
                Standing::Gone(_) => End::Gone,
            },
        }
    }
}
