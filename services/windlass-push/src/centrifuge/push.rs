//! Publications as the Centrifuge protocol shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_task::feed::Standing;
use windlass_task::{TaskId, TaskUpdate};

use super::reply::{Publication as Shown, Push, Reply};
use crate::codes::UnsubscribeCode;
use crate::payload::Payload;
use crate::publication::{Message, Publication};

/// The data of a task's channel: what the plain protocol sends too.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskProgress<'a> {
    /// The task's id.
    pub file_id: &'a TaskId,
    /// Whole percent.
    pub progress: u8,
}

/// The push of a publication on a channel. That a task is gone is told by the end of the subscription.
#[must_use]
pub fn publication(channel: &str, publication: &Publication) -> Reply {
    let channel = channel.to_owned();
    Reply::Push(match publication {
        Publication::Message { message, .. } => Push::Publication {
            channel,
            publication: of_message(message),
        },
        Publication::Task(TaskUpdate {
            standing: Standing::Gone(_),
            ..
        }) => Push::Unsubscribe {
            channel,
            code: UnsubscribeCode::Server,
        },
        Publication::Task(update) => Push::Publication {
            channel,
            publication: of_task(update),
        },
        Publication::Joined(info) => Push::Join {
            channel,
            info: info.clone(),
        },
        Publication::Left(info) => Push::Leave {
            channel,
            info: info.clone(),
        },
    })
}

/// The push of something that is shown as a publication of a channel.
#[must_use]
pub fn shown(channel: &str, publication: Shown) -> Reply {
    Reply::Push(Push::Publication {
        channel: channel.to_owned(),
        publication,
    })
}

/// A stream's publication.
#[must_use]
pub fn of_message(message: &Message) -> Shown {
    Shown {
        data: message.data.clone(),
        info: message.info.clone(),
        offset: message.position.map_or(0, |position| position.offset),
        tags: message.tags.as_deref().cloned().unwrap_or_default(),
        ..Shown::default()
    }
}

/// A task's latest value. Its state is beside the data, as a tag, for applications that show more than a bar.
#[must_use]
pub fn of_task(update: &TaskUpdate) -> Shown {
    let progress = TaskProgress {
        file_id: &update.key.id,
        progress: update.progress,
    };
    Shown {
        data: Payload::of(&progress).unwrap_or_default(),
        offset: update.revision,
        tags: BTreeMap::from([("status".to_owned(), standing(update.standing).to_owned())]),
        ..Shown::default()
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Live(status) => status.as_str(),
        Standing::Gone(_) => "gone",
    }
}
