//! The scripts. The stream and its dead letters share a hash slot.

use std::sync::LazyLock;

use windlass_redis::Script;

/// Makes the consumer group, and the stream, unless they are there. Forgets nodes that have gone and left nothing.
///
/// KEYS stream; ARGV group, after how many idle milliseconds a node has gone.
pub(super) static JOIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then return made end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    if consumer[4] == 0 and consumer[6] > tonumber(ARGV[2]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer[2])
    end
end
return 1
",
    )
});

/// Takes an entry off the stream that was carried out.
///
/// KEYS stream; ARGV group, entry.
pub(super) static DONE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return 1
",
    )
});

/// Puts an entry among the dead letters, with its id and why, and takes it off the stream.
///
/// KEYS stream, dead letters; ARGV group, entry, reason, how many dead letters are kept, the entry's fields and values.
pub(super) static BURY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'entry', ARGV[2], 'reason', ARGV[3], unpack(ARGV, 5))
redis.call('XDEL', KEYS[1], ARGV[2])
return 1
",
    )
});
