//! The names of keys. What a script touches together shares the partition in braces, so that it is in one hash slot.

use crate::epoch::ProcessId;
use crate::id::{Alias, Owner, Partition, TaskKey, Tenant};
use crate::job::Job;

/// How many partitions there are, fixed at installation.
pub(super) const PARTITIONS: usize = 256;

/// All partitions.
pub(super) fn partitions() -> impl Iterator<Item = Partition> {
    (0..=u8::MAX).map(Partition)
}

/// Hash: the data's generation in this partition, the marker of the server that it belongs to, and the generation for which
/// everything stored was recorded again.
pub(super) fn generation(partition: Partition) -> String {
    format!("upload:generation:{{{}}}", partition.0)
}

/// Hash: a task's entry, and what an operator wants to see of it without reading JSON.
pub(super) fn task(key: &TaskKey) -> String {
    format!("upload:task:{{{}}}:{}:{}", key.id.partition().0, key.tenant, key.id)
}

/// What the names of all tasks' hashes match.
pub(super) const TASKS: &str = "upload:task:*";

/// The task of a hash.
pub(super) fn task_of_name(name: &str) -> Option<TaskKey> {
    task_behind("upload:task:{", name)
}

/// The task of a name that begins so and goes on with the partition, the tenant and the id.
fn task_behind(beginning: &str, name: &str) -> Option<TaskKey> {
    let (_, rest) = name.strip_prefix(beginning)?.split_once("}:")?;
    let (tenant, id) = rest.split_once(':')?;
    Some(TaskKey {
        tenant: tenant.parse().ok()?,
        id: id.parse().ok()?,
    })
}

/// Channel: a task's latest value.
pub(super) fn update(key: &TaskKey) -> String {
    format!("upload:update:{{{}}}:{}:{}", key.id.partition().0, key.tenant, key.id)
}

/// The task of an update's channel.
pub(super) fn task_of_update(channel: &str) -> Option<TaskKey> {
    task_behind("upload:update:{", channel)
}

/// Sorted set: who must be looked after when.
pub(super) fn expiry(partition: Partition) -> String {
    format!("upload:expiry:{{{}}}", partition.0)
}

/// Stream: the partition's durable events. A channel of the same name rings for each commit that left some.
pub(super) fn outbox(partition: Partition) -> String {
    format!("upload:outbox:{{{}}}", partition.0)
}

/// The partition of an outbox's bell.
pub(super) fn partition_of_outbox(channel: &str) -> Option<Partition> {
    let number = channel.strip_prefix("upload:outbox:{")?.strip_suffix('}')?;
    number.parse().ok().map(Partition)
}

/// Hash: what each group has acknowledged, and the worker epoch.
pub(super) fn groups(partition: Partition) -> String {
    format!("upload:groups:{{{}}}", partition.0)
}

/// String with an expiry: a process that may hold tasks lives.
pub(super) fn holder(process: ProcessId) -> String {
    format!("upload:holder:{process}")
}

/// Channel: what other processes say to one.
pub(super) fn release(process: ProcessId) -> String {
    format!("upload:release:{process}")
}

/// String with an expiry: who delivers the partition's events.
pub(super) fn worker(partition: Partition) -> String {
    format!("upload:worker:{{{}}}", partition.0)
}

/// Hash: the events that are held back, by group and stream id.
pub(super) fn held(partition: Partition) -> String {
    format!("upload:held:{{{}}}", partition.0)
}

/// Sorted set: the processes that deliver events, by when their lease ends.
pub(super) const WORKERS: &str = "upload:workers";

/// Hash: whose turn at a job it is, until when, and when it was last done.
pub(super) fn job(job: Job) -> String {
    format!("upload:job:{job}")
}

/// Hash: how far the walk through the storage has come that makes records again, and for which generations.
pub(super) const WALK: &str = "upload:walk";

/// String with an expiry: written to see a primary's replicas in step.
pub(super) fn confirmation(partition: Partition) -> String {
    format!("upload:confirmation:{{{}}}", partition.0)
}

/// String with an expiry: until when a tenant's rate is used up, in microseconds.
pub(super) fn rate(tenant: &Tenant) -> String {
    format!("upload:rate:{{{tenant}}}")
}

/// Sorted set: a tenant's open uploads, by when they count no more.
pub(super) fn open(tenant: &Tenant) -> String {
    format!("upload:open:{{{tenant}}}")
}

/// Hash with an expiry: what each process has leased of the bytes that a tenant may have in memory, as
/// `<leased> <wanted> <until, in ms>`.
pub(super) fn flight(tenant: &Tenant) -> String {
    format!("upload:flight:{{{tenant}}}")
}

/// String: the task that goes by a foreign name.
pub(super) fn alias(tenant: &Tenant, alias: &Alias) -> String {
    format!("upload:alias:{tenant}:{alias}")
}

/// Sorted set: an owner's tasks by their creation.
pub(super) fn catalogue(tenant: &Tenant, owner: &Owner) -> String {
    format!("upload:catalogue:{{{tenant}:{owner}}}")
}

/// Hash: the names of an owner's files, by task.
pub(super) fn names(tenant: &Tenant, owner: &Owner) -> String {
    format!("upload:names:{{{tenant}:{owner}}}")
}

/// A task as a member of a set.
pub(super) fn member(key: &TaskKey) -> String {
    key.to_string()
}

/// The task that a member names.
pub(super) fn task_of_member(member: &str) -> Option<TaskKey> {
    let (tenant, id) = member.split_once('/')?;
    Some(TaskKey {
        tenant: tenant.parse().ok()?,
        id: id.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::creation;

    #[test]
    fn what_a_commit_touches_is_in_one_hash_slot_and_names_read_back() {
        let key = creation(None).key;
        let partition = key.id.partition();
        let tag = format!("{{{}}}", partition.0);
        for name in [
            generation(partition),
            task(&key),
            update(&key),
            expiry(partition),
            outbox(partition),
            groups(partition),
        ] {
            assert!(name.contains(&tag), "{name}");
        }
        assert_eq!(task_of_update(&update(&key)), Some(key.clone()));
        assert_eq!(task_of_name(&task(&key)), Some(key.clone()));
        assert_eq!(task_of_member(&member(&key)), Some(key));
        assert_eq!(partition_of_outbox(&outbox(partition)), Some(partition));
    }
}
