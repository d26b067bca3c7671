//! A task's values as server-sent events (HTML Living Standard section 9.2).

use bytes::Bytes;
use windlass_task::feed::Standing;
use windlass_task::{ProgressUpdateEvent, Status, TaskUpdate};

use crate::publication::Publication;

/// What keeps a silent stream open: a comment, which an `EventSource` does not show.
pub const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// A publication as one event; `None` for what is not a task's.
#[must_use]
pub fn encode_publication(publication: &Publication) -> Option<Bytes> {
    match publication {
        Publication::Message { .. } | Publication::Joined(_) | Publication::Left(_) => None,
        Publication::Task(update) => encode(update),
    }
}

/// `event: progress|completed|failed`, `id:` the task's revision, `data:` the [`ProgressUpdateEvent`]. A task that is
/// gone has failed as far as its watchers are concerned.
fn encode(update: &TaskUpdate) -> Option<Bytes> {
    let name = match update.standing {
        Standing::Live(Status::Pending | Status::Uploading | Status::Paused) => "progress",
        Standing::Live(Status::Completed) => "completed",
        Standing::Live(Status::Failed) | Standing::Gone(_) => "failed",
    };
    let event = ProgressUpdateEvent {
        task_id: update.key.id.clone(),
        progress: update.progress,
        timestamp: update.at,
    };
    let data = serde_json::to_string(&event).ok()?;
    Some(format!("id: {}\nevent: {name}\ndata: {data}\n\n", update.revision).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::{Origin, Owner, TaskId, TaskKey, Tenant, UnixMillis};

    #[test]
    fn an_event_has_its_name_its_id_and_one_line_of_data() {
        let key = TaskKey {
            tenant: Tenant::default_tenant(),
            id: TaskId::generate(&Origin::local()),
        };
        let update = TaskUpdate {
            key: key.clone(),
            owner: Owner::local(),
            standing: Standing::Live(Status::Completed),
            progress: 100,
            offset: 7,
            length: Some(7),
            revision: 12,
            at: UnixMillis(34),
            traceparent: None,
        };
        let expected = format!(
            "id: 12\nevent: completed\ndata: {{\"taskId\":\"{}\",\"progress\":100,\"timestamp\":34}}\n\n",
            key.id
        );
        assert_eq!(encode_publication(&Publication::Task(update)).unwrap(), expected);
    }
}
