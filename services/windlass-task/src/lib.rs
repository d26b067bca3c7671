//! The task: the record of one upload, and the store that keeps it.
//!
//! Both services speak of tasks and nothing else connects them. This crate holds what they share: the names
//! ([`id`]), the states and their table ([`status`]), the record with its derived figures ([`record`]), the pure
//! decision whether a change may be made ([`change`]), the events that follow from it ([`event`]), and the store
//! trait with its embedded back end ([`store`]).
//!
//! It must not know HTTP, WebSocket, files' bytes or any protocol of a client.

pub mod announce;
pub mod catalogue;
pub mod change;
pub mod epoch;
pub mod event;
pub mod feed;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod id;
pub mod job;
pub mod metadata;
pub mod operation;
pub mod outbox;
pub mod peers;
pub mod principal;
pub mod quota;
pub mod rebuild;
pub mod record;
pub mod status;
pub mod store;
pub mod time;
pub mod view;
pub mod write_key;

/// The target of spans that are part of a trace and none of the log's.
pub const TRACE: &str = "windlass::trace";

pub use catalogue::Catalogue;
pub use epoch::{Generation, HolderId, ProcessId, Token, WriterEpoch};
pub use event::{Event, EventType, ProgressUpdateEvent};
pub use feed::{Feed, Follow, TaskUpdate};
pub use id::{Alias, Origin, Owner, Partition, TaskId, TaskKey, Tenant};
pub use job::Jobs;
pub use metadata::Metadata;
pub use outbox::Outbox;
pub use peers::Peers;
pub use principal::{Principal, Right, Rights};
pub use rebuild::Rebuild;
pub use record::{Answer, Concat, Finish, Multipart, PartNumber, Parts, Protocol, Record, Segment, SegmentKind};
pub use status::Status;
pub use store::{Commit, EmbeddedStore, Entry, Expected, Inventory, Outcome, RedisStore, TaskStore, Tombstone};
pub use time::UnixMillis;
pub use view::TaskView;
pub use write_key::{WriteKey, WriteKeyHash};
