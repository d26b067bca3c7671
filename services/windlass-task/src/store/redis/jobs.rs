//! Whose turn at a job it is, by the server's clock. What is lost of it costs one run more.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use windlass_redis::Script;

use super::{RedisStore, keys, read};
use crate::job::{Ended, Job, Jobs, Turn};
use crate::store::Error;

/// Takes the turn if nobody has it and it is due; answers whether it did.
///
/// KEYS job; ARGV turn, interval in milliseconds, how long it lasts in milliseconds.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'until', 'done')
if known[1] and tonumber(known[1]) > now then return 0 end
if known[2] and tonumber(known[2]) + tonumber(ARGV[2]) > now then return 0 end
redis.call('HSET', KEYS[1], 'turn', ARGV[1], 'until', string.format('%.0f', now + ARGV[3]))
return 1
",
    )
});

/// Keeps the turn; answers whether it was this one's.
///
/// KEYS job; ARGV turn, how long it lasts in milliseconds.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
return 1
",
    )
});

/// Ends the turn, if it is this one's.
///
/// KEYS job; ARGV turn, 1 when the work is done.
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'turn', 'until')
if ARGV[2] == '1' then
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[1], 'done', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
end
return 1
",
    )
});

#[async_trait]
impl Jobs for RedisStore {
    async fn take(&self, job: Job, every: Duration, lasts: Duration) -> Result<Option<Turn>, Error> {
        let turn = Turn::new(job, lasts);
        let call = TAKE
            .call(&[&keys::job(job)])
            .arg(turn.id())
            .arg(millis(every))
            .arg(millis(lasts));
        let taken: bool = read(self.run("take a turn", call).await?)?;
        Ok(taken.then_some(turn))
    }

    async fn keep(&self, turn: &Turn) -> Result<bool, Error> {
        let call = KEEP
            .call(&[&keys::job(turn.job)])
            .arg(turn.id())
            .arg(millis(turn.lasts));
        read(self.run("keep a turn", call).await?)
    }

    async fn end(&self, turn: &Turn, how: Ended) -> Result<(), Error> {
        let call = END
            .call(&[&keys::job(turn.job)])
            .arg(turn.id())
            .arg(u8::from(how == Ended::Done));
        self.run("end a turn", call).await.map(drop)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
