//! The scripts. Each checks everything before its first write and touches the keys of one partition. Offsets are counted
//! exactly up to 2^53, which no stream reaches; versions, which applications choose, are compared as texts.

use std::sync::LazyLock;

use windlass_redis::Script;

/// Finds the stream's epoch and top, and begins it anew where there is none of this generation: an epoch says that
/// nothing was forgotten since it began. Without a generation the data set was emptied under a living connection: nothing.
///
/// KEYS generation, stream, history; ARGV a fresh epoch, the position's lifetime in milliseconds.
macro_rules! open {
    () => {
        "
local function open()
    local generation = redis.call('HGET', KEYS[1], 'generation')
    if not generation then return nil end
    local known = redis.call('HMGET', KEYS[2], 'generation', 'epoch', 'top')
    if known[1] == generation and known[2] then
        redis.call('PEXPIRE', KEYS[2], ARGV[2], 'GT')
        return known[2], tonumber(known[3])
    end
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[2], 'generation', generation, 'epoch', ARGV[1], 'top', '0')
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    return ARGV[1], 0
end
local epoch, top = open()
if not epoch then return false end
local function at(offset) return string.format('%.0f', offset) .. ' ' .. epoch end
"
    };
}

/// Publishes to a channel with a history: the position, the history, the key that tells a repetition, and the delivery
/// are one step, so deliveries come in the order of offsets. Answers the position: of an earlier publication under the
/// same key its own, of an old version the top.
///
/// KEYS generation, stream, history, repeat; ARGV a fresh epoch, the position's lifetime, the command that publishes, the
/// channel, the body, how many are remembered, for how long, for how long the key is, 1 when the one before is wanted
/// too, version or '', where that is counted. Times in milliseconds.
pub(super) static PUBLISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        open!(),
        "
local known = redis.call('GET', KEYS[4])
if known then return known end
if ARGV[10] ~= '' then
    local last = redis.call('HMGET', KEYS[2], 'version', 'versionEpoch')
    local is_counted_here = ARGV[11] == '' or ARGV[11] == last[2]
    if last[1] and is_counted_here then
        local is_newer = #ARGV[10] > #last[1] or (#ARGV[10] == #last[1] and ARGV[10] > last[1])
        if not is_newer then return at(top) end
    end
    redis.call('HSET', KEYS[2], 'version', ARGV[10], 'versionEpoch', ARGV[11])
end
local before = ''
if ARGV[9] == '1' then
    local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
    if last[1] then before = last[1][2][2] end
end
local position = at(top + 1)
local offset = string.match(position, '^%d+')
redis.call('HSET', KEYS[2], 'top', offset)
redis.call('PEXPIRE', KEYS[2], ARGV[7], 'GT')
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[6], offset .. '-0', 'd', ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
redis.call('SET', KEYS[4], position, 'PX', ARGV[8])
redis.call(ARGV[3], ARGV[4], 'm' .. position .. ' ' .. #before .. ' ' .. before .. ARGV[5])
return position
"
    ))
});

/// Publishes to a channel without history, once under a key.
///
/// KEYS repeat; ARGV the command that publishes, the channel, the message, for how long the key is remembered.
pub(super) static PUBLISH_ONCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[4]) then redis.call(ARGV[1], ARGV[2], ARGV[3]) end
return 1
",
    )
});

/// Reads a part of a history and the stream's top at one moment.
///
/// KEYS generation, stream, history; ARGV a fresh epoch, the position's lifetime, the command that reads, from, to, how many.
pub(super) static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        open!(),
        "
if ARGV[6] == '0' then return {at(top), {}} end
return {at(top), redis.call(ARGV[3], KEYS[3], ARGV[4], ARGV[5], 'COUNT', ARGV[6])}
"
    ))
});

/// Tells all subscribers of a channel, among its publications, where its top is.
///
/// KEYS generation, stream, history; ARGV a fresh epoch, the position's lifetime, the command that publishes, the channel.
pub(super) static TELL_TOP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        open!(),
        "
redis.call(ARGV[3], ARGV[4], 't' .. at(top))
return 1
"
    ))
});

/// Puts a connection into a channel and tells the channel's subscribers that somebody joined; unless one like it was lost and
/// may be back: then it takes that one's place, and this answers as whom others know it.
///
/// KEYS entries, held, away; ARGV client, its field of `held`, node, what others see of it, 1 when it is present, 1 when it is
/// announced, the command that publishes, the channel, what a joining begins with.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local shown, state, former = ARGV[4], 'p', nil
if ARGV[6] == '1' then
    state = 'j'
    former = redis.call('ZPOPMIN', KEYS[3])[1]
    if former then
        local cut = string.find(former, ' ', 1, true)
        redis.call('HDEL', KEYS[1], string.sub(former, 1, cut - 1))
        shown = string.sub(former, cut + 1)
    end
end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. shown) end
redis.call('HSET', KEYS[2], ARGV[2], state .. shown)
if former then return shown end
if state == 'j' then redis.call(ARGV[7], ARGV[8], ARGV[9] .. shown) end
return false
",
    )
});

/// Says again that a connection is in a channel, unless it is known to have been lost: another one may have taken its place.
/// When it was not known at all, and 1 is given, others are told that it joined.
///
/// KEYS entries, held, away; ARGV client, its field of `held`, node, what others see of it, 1 when it is present, its state,
/// 1 to tell others, the command that publishes, the channel, what a joining begins with.
pub(super) static ENTER_AGAIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local known = redis.call('HGET', KEYS[2], ARGV[2])
if known and string.sub(known, 1, 1) == 'a' then return 0 end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. ARGV[4]) end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[6] .. ARGV[4])
if ARGV[6] == 'a' then redis.call('ZADD', KEYS[3], redis.call('TIME')[1], ARGV[1] .. ' ' .. ARGV[4]) end
if ARGV[6] == 'j' and ARGV[7] == '1' and not known then redis.call(ARGV[8], ARGV[9], ARGV[10] .. ARGV[4]) end
return 1
",
    )
});

/// Notes that an announced connection was lost: another one like it may take its place.
///
/// KEYS held, away; ARGV client, its field of `held`.
pub(super) static LOSE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local record = redis.call('HGET', KEYS[1], ARGV[2])
if not record or string.sub(record, 1, 1) ~= 'j' then return 0 end
local shown = string.sub(record, 2)
redis.call('HSET', KEYS[1], ARGV[2], 'a' .. shown)
redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1] .. ' ' .. shown)
return 1
",
    )
});

/// Takes a connection out of a channel, and tells others that it left if they were told that it joined and none took its
/// place. Once, whoever does it: answers 1 when it did.
///
/// KEYS entries, held, away; ARGV client, its field of `held`, the command that publishes, the channel, what a leaving begins
/// with.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
redis.call('HDEL', KEYS[1], ARGV[1])
local record = redis.call('HGET', KEYS[2], ARGV[2])
if not record then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
local state, shown = string.sub(record, 1, 1), string.sub(record, 2)
if state == 'p' then return 1 end
if state == 'a' and redis.call('ZREM', KEYS[3], ARGV[1] .. ' ' .. shown) == 0 then return 1 end
redis.call(ARGV[3], ARGV[4], ARGV[5] .. shown)
return 1
",
    )
});

/// Takes or keeps a node's lease, and notes whether it sees its probes. Answers how it was found (`kept`, `ended`; `dying`
/// while another node takes out what it has said, `buried` afterwards), and the nodes that see.
///
/// KEYS live, seeing, dead, buried; ARGV node, lease and for how long it sees in milliseconds, 0 when it does not.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local former = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
local found = 'kept'
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then found = 'dying'
elseif redis.call('ZSCORE', KEYS[4], ARGV[1]) then found = 'buried'
elseif former < now then found = 'ended' end
local ends = string.format('%.0f', now + ARGV[2])
local sees = now + ARGV[3]
now = string.format('%.0f', now)
redis.call('ZADD', KEYS[1], ends, ARGV[1])
if ARGV[3] ~= '0' then redis.call('ZADD', KEYS[2], string.format('%.0f', sees), ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. now)
return {found, redis.call('ZRANGE', KEYS[2], now, '+inf', 'BYSCORE')}
",
    )
});

/// Gives the caller, if its own lease goes on, a node whose lease ended some time ago, or one that another has left half
/// buried; nobody else is given it for a while.
///
/// KEYS live, dead; ARGV the caller, how long ago, for how long it is given; times in milliseconds.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0') < now then return '' end
local function first(key, before)
    return redis.call('ZRANGE', key, '-inf', string.format('%.0f', before), 'BYSCORE', 'LIMIT', 0, 1)[1]
end
local node = first(KEYS[2], now) or first(KEYS[1], now - ARGV[2])
if not node then return '' end
redis.call('ZREM', KEYS[1], node)
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[3]), node)
return node
",
    )
});

/// Notes that nothing is left of a node; those of long ago are forgotten.
///
/// KEYS dead, buried; ARGV node, for how long it is known, in seconds.
pub(super) static BURY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local now = redis.call('TIME')[1]
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2])
return 1
",
    )
});

/// Answers the nodes whose leases have not ended.
///
/// KEYS live.
pub(super) static LIVING: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], string.format('%.0f', now), '+inf', 'BYSCORE')
",
    )
});
