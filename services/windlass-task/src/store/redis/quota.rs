//! What all pods count together for a tenant. A tenant's keys are in a hash slot of their own, beside the partitions: what
//! is lost of them costs a moment's rate, or counts an upload again when it goes on.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use windlass_redis::{Call, Script, cmd};

use super::{RedisStore, keys, read};
use crate::id::{TaskKey, Tenant};
use crate::quota::{BURST, Claim, Grant, Quotas};
use crate::store::Error;

/// [`crate::quota::decide`], by the server's clock in microseconds; answers 0 or how long to wait. The tenant's time is
/// forgotten a second after it has passed.
///
/// KEYS rate; ARGV bytes a second, bytes, burst in microseconds.
static GRANT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lasts = math.ceil(ARGV[2] * 1000000 / ARGV[1])
local used = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + lasts
local wait = used - now - math.max(tonumber(ARGV[3]), lasts)
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', used), 'PX', math.ceil((used - now) / 1000) + 1000)
return 0
",
    )
});

/// Counts an upload if the tenant has room or it is counted already; answers whether it is.
///
/// KEYS open; ARGV id, limit, lifetime in milliseconds.
static OPEN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
",
    )
});

/// [`crate::quota::entitle`], but no more than the others have left over: they come down to their parts when they ask again.
/// Answers what is leased; leases that are over are forgotten.
///
/// KEYS flight; ARGV process, limit, held, wanted, how long it lasts in milliseconds.
static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, held, wanted = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local free, wants = limit, {wanted}
local known = redis.call('HGETALL', KEYS[1])
for at = 1, #known, 2 do
    local leased, wish, last = string.match(known[at + 1], '^(%d+) (%d+) (%d+)$')
    if not leased or tonumber(last) <= now then
        redis.call('HDEL', KEYS[1], known[at])
    elseif known[at] ~= ARGV[1] then
        free = free - leased
        wants[#wants + 1] = tonumber(wish)
    end
end
if wanted == 0 and held == 0 then
    redis.call('HDEL', KEYS[1], ARGV[1])
    return 0
end
table.sort(wants)
local part, left = wanted, limit
for index, want in ipairs(wants) do
    local even = math.floor(left / (#wants - index + 1))
    if want >= even then
        part = math.min(wanted, even)
        break
    elseif want == wanted then
        break
    end
    left = left - want
end
local lease = math.max(math.min(part, free), held, 0)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f %.0f', lease, wanted, now + ARGV[5]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return lease
",
    )
});

#[async_trait]
impl Quotas for RedisStore {
    async fn grant(&self, tenant: &Tenant, rate: u64, bytes: u64) -> Result<Grant, Error> {
        let call = GRANT
            .call(&[&keys::rate(tenant)])
            .arg(rate)
            .arg(bytes)
            .arg(u64::try_from(BURST.as_micros()).unwrap_or(u64::MAX));
        let wait: u64 = read(self.run("grant a tenant bytes", call).await?)?;
        Ok(match wait {
            0 => Grant::Given,
            wait => Grant::After(Duration::from_micros(wait)),
        })
    }

    async fn add_open(&self, key: &TaskKey, limit: u64, lifetime: Duration) -> Result<bool, Error> {
        let call = OPEN
            .call(&[&keys::open(&key.tenant)])
            .arg(key.id.to_string())
            .arg(limit)
            .arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        read(self.run("count an open upload", call).await?)
    }

    async fn remove_open(&self, key: &TaskKey) -> Result<(), Error> {
        let remove: Call = cmd("ZREM")
            .arg(keys::open(&key.tenant))
            .arg(key.id.to_string())
            .take()
            .into();
        self.run("count an upload no more", remove).await.map(drop)
    }

    async fn lease(&self, tenant: &Tenant, limit: u64, claim: Claim, lasts: Duration) -> Result<u64, Error> {
        let call = LEASE
            .call(&[&keys::flight(tenant)])
            .arg(claim.process.to_string())
            .arg(limit)
            .arg(claim.held)
            .arg(claim.wanted)
            .arg(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        read(self.run("lease a part of a tenant's memory", call).await?)
    }
}
