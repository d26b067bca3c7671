//! The scripts. Each checks everything before its first write and touches the keys of one partition; numbers that grow
//! past what Lua counts exactly (2^53) do not occur: times are milliseconds, revisions count commits.

use std::sync::LazyLock;

use windlass_redis::Script;

/// Answers the partition's generation. When the server that it belongs to is not this one (another process, another
/// replication history, or a data set that is gone), something may have been forgotten: a new generation begins. Not when
/// that server is known to have given this one all that it had: slots that were moved, or a planned switchover. There the
/// field `heir`, `<process>:<Unix milliseconds>`, is the last write of the former primary before it stops taking any: who
/// has the field has everything. After its time the former primary may have gone on, if its successor did not take over.
///
/// KEYS generation; ARGV marker, now in Unix milliseconds, marker of who gave the data here or '', this process.
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local known = redis.call('HMGET', KEYS[1], 'marker', 'generation', 'heir')
if known[1] == ARGV[1] and known[2] then return known[2] end
local function is_heir()
    if not known[3] then return false end
    local process, ends = string.match(known[3], '^(%w+):(%d+)$')
    return process == ARGV[4] and tonumber(ARGV[2]) < tonumber(ends)
end
local is_given = ARGV[3] ~= '' and known[1] == ARGV[3]
local is_kept = known[2] and (is_given or is_heir())
if known[3] then redis.call('HDEL', KEYS[1], 'heir') end
if is_kept then
    redis.call('HSET', KEYS[1], 'marker', ARGV[1])
    return known[2]
end
local generation = tonumber(ARGV[2])
if known[2] and tonumber(known[2]) >= generation then generation = tonumber(known[2]) + 1 end
generation = string.format('%.0f', generation)
redis.call('HSET', KEYS[1], 'marker', ARGV[1], 'generation', generation)
return generation
",
    )
});

/// What a decision is made on, read at one moment: the time, the generation, the entry.
///
/// KEYS generation, task.
pub(super) static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local generation = redis.call('HGET', KEYS[1], 'generation')
local task = redis.call('HMGET', KEYS[2], 'v', 'entry', 'revision', 'commits')
return {time[1], time[2], generation, task[1], task[2], task[3], task[4]}
",
    )
});

/// Makes a commit, if the generation and the task's revision are still those it was decided on: the entry, its events,
/// when it must be looked after, and its latest value. The ids of the last four commits stay, so that who lost the reply
/// can tell whether its own was made.
///
/// KEYS generation, task, outbox, expiry; ARGV generation, revision or '', commit id (16 characters), due or '', member,
/// channel, latest value or '', holder's channel or '', what it is told, the command that publishes beside the keys, the
/// number of fields and values, these, the events. The holder's channel is of another hash slot: all servers are told.
pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 'generation' end
local known = redis.call('HMGET', KEYS[2], 'revision', 'commits')
if (known[1] or '') ~= ARGV[2] then return 'revision' end
local commits = ARGV[3] .. string.sub(known[2] or '', 1, 48)
local count = tonumber(ARGV[11])
redis.call('HSET', KEYS[2], 'commits', commits, unpack(ARGV, 12, 11 + count))
if ARGV[4] == '' then
    redis.call('ZREM', KEYS[4], ARGV[5])
else
    redis.call('ZADD', KEYS[4], ARGV[4], ARGV[5])
end
for index = 12 + count, #ARGV do
    redis.call('XADD', KEYS[3], '*', 'event', ARGV[index])
end
if #ARGV > 11 + count then redis.call(ARGV[10], KEYS[3], '') end
if ARGV[7] ~= '' then redis.call(ARGV[10], ARGV[6], ARGV[7]) end
if ARGV[8] ~= '' then redis.call('PUBLISH', ARGV[8], ARGV[9]) end
return 'made'
",
    )
});

/// Forgets a task whose revision is still the one that was looked at.
///
/// KEYS task, expiry; ARGV revision, member.
pub(super) static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
",
    )
});

/// Gives a foreign name to a task; answers the task that has it.
///
/// KEYS alias; ARGV task.
pub(super) static NAME: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
",
    )
});

/// Takes or keeps the delivery of a partition: its worker epoch, or nothing when another process has it. The epoch grows
/// with each worker, so that what a former one acknowledges late does not count. The groups are known from then on, and
/// nothing is trimmed that they have not.
///
/// KEYS worker, groups; ARGV worker, lease in milliseconds, groups.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for index = 3, #ARGV do redis.call('HSETNX', KEYS[2], ARGV[index], '0-0') end
if holder then return redis.call('HGET', KEYS[2], '#epoch') end
return tostring(redis.call('HINCRBY', KEYS[2], '#epoch', 1))
",
    )
});

/// Gives the delivery of a partition back.
///
/// KEYS worker; ARGV worker.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
",
    )
});

/// Records what groups have taken, and trims what all of them have. Answers 0 to a worker of another epoch.
///
/// KEYS groups, outbox; ARGV epoch, then group and stream id by turns.
pub(super) static ACKNOWLEDGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('HGET', KEYS[1], '#epoch') ~= ARGV[1] then return 0 end
local function place(id)
    local time, sequence = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(time), tonumber(sequence)
end
local function before(a, b)
    local at, as = place(a)
    local bt, bs = place(b)
    return at < bt or (at == bt and as < bs)
end
for index = 2, #ARGV, 2 do
    local known = redis.call('HGET', KEYS[1], ARGV[index])
    if known and before(known, ARGV[index + 1]) then
        redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
    end
end
local all = redis.call('HGETALL', KEYS[1])
local least = nil
for index = 1, #all, 2 do
    if all[index] ~= '#epoch' and (not least or before(all[index + 1], least)) then least = all[index + 1] end
end
if least then
    local time, sequence = string.match(least, '^(%d+)-(%d+)$')
    redis.call('XTRIM', KEYS[2], 'MINID', time .. '-' .. string.format('%.0f', tonumber(sequence) + 1))
end
return 1
",
    )
});

/// Holds an event back for a group: since when, whether it is lost, and the event, in one text.
///
/// KEYS held; ARGV field, event.
pub(super) static HOLD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local since = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSETNX', KEYS[1], ARGV[1], since .. ' 0 ' .. ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])
",
    )
});

/// A page of an owner's tasks with their names, newest first, after one of them.
///
/// KEYS catalogue, names; ARGV task or '', how many.
pub(super) static LIST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local from = 0
if ARGV[1] ~= '' then
    local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
    if not rank then return {{}, {}} end
    from = rank + 1
end
local tasks = redis.call('ZREVRANGE', KEYS[1], from, from + tonumber(ARGV[2]) - 1)
if #tasks == 0 then return {{}, {}} end
return {tasks, redis.call('HMGET', KEYS[2], unpack(tasks))}
",
    )
});
