//! Which process delivers which partition's events: a lease each, an even share, and a worker epoch that grows with each
//! change of hands.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use windlass_redis::{Call, Value, cmd, from_redis_value};

use super::delivery::{Delivery, HeldAt, StreamId};
use super::{keys, scripts};
use crate::id::Partition;
use crate::time::UnixMillis;

/// How long a partition is leased: what it takes for another process to go on with a dead one's deliveries.
const LEASE: Duration = Duration::from_secs(10);
/// How often leases are renewed: three tries fit into one.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// This long before its end a lease that could not be renewed counts as lost: clocks of two machines run apart.
const MARGIN: Duration = Duration::from_secs(1);
/// How often what groups have taken is written: under load many events share one write.
const WRITE_EVERY: Duration = Duration::from_millis(20);
/// How long somebody who joins waits for the leases.
const JOIN_WITHIN: Duration = Duration::from_secs(2);

impl Delivery {
    /// Sees that the leases are kept from now on, and that groups joined so far are known to all owned partitions.
    pub(super) async fn lead(self: &Arc<Self>) -> Result<(), windlass_redis::Error> {
        self.working.get_or_init(|| {
            let (leasing, writing) = (Arc::clone(self), Arc::clone(self));
            [tokio::spawn(keep_leases(leasing)), tokio::spawn(write(writing))]
        });
        let mut rounds = self.rounds.subscribe();
        // The round that runs now may have begun without the group.
        let wanted = *rounds.borrow_and_update() + 2;
        self.hurry.notify_one();
        let waiting = async {
            while *rounds.borrow() < wanted {
                if rounds.changed().await.is_err() {
                    return;
                }
                self.hurry.notify_one();
            }
        };
        let waited = tokio::time::timeout(JOIN_WITHIN, waiting).await;
        waited.map_err(|_| windlass_redis::Error::Reach)
    }

    /// Writes what is acknowledged, and gives the leases back.
    pub(super) async fn close(&self) {
        if self.working.get().is_none() {
            return;
        }
        self.write_taken().await;
        let owned: Vec<Partition> = self.lock().owned.keys().copied().collect();
        self.give_back(&owned).await;
        let leave: Call = cmd("ZREM").arg(keys::WORKERS).arg(&self.worker).take().into();
        let _ = self.client.run(&leave).await;
    }

    /// One round: renews what is owned, takes what is free up to an even share, gives back what is beyond it.
    async fn round(&self) -> Result<(), windlass_redis::Error> {
        let until = Instant::now() + LEASE - MARGIN;
        let share = self.share().await?;
        let owned: BTreeSet<Partition> = self.lock().owned.keys().copied().collect();
        let groups = self.lock().groups();
        let wanted: Vec<Partition> = keys::partitions()
            .filter(|partition| owned.len() < share || owned.contains(partition))
            .collect();
        let calls: Vec<Call> = wanted
            .iter()
            .map(|partition| {
                let names = [keys::worker(*partition), keys::groups(*partition)];
                let call = scripts::LEASE.call(&names.each_ref().map(String::as_str));
                call.arg(&self.worker).arg(LEASE.as_millis() as u64).arg(&groups)
            })
            .collect();
        let mut gained = Vec::new();
        let mut changed = false;
        for (partition, answer) in wanted.into_iter().zip(self.client.run_all(&calls).await?) {
            // In a cluster some may be away: their leases end by themselves.
            let Ok(answer) = answer else { continue };
            let epoch: Option<String> = from_redis_value(answer).map_err(|_| windlass_redis::Error::Read)?;
            let mut state = self.lock();
            let known = state.owned.get_mut(&partition);
            match (epoch, known) {
                (Some(epoch), Some(owned)) if owned.epoch == epoch => owned.until = until,
                (Some(epoch), Some(_)) => {
                    // It was another's in between, or its epoch was forgotten.
                    state.lose(partition);
                    gained.push((partition, epoch));
                }
                (Some(epoch), None) => gained.push((partition, epoch)),
                (None, Some(_)) => {
                    state.lose(partition);
                    changed = true;
                }
                (None, None) => {}
            }
        }
        self.lose_overdue();
        let kept = self.lock().owned.len();
        let beyond = gained.split_off(gained.len().min(share.saturating_sub(kept)));
        let mut excess: Vec<Partition> = beyond.into_iter().map(|(partition, _)| partition).collect();
        excess.extend(owned.iter().skip(share));
        changed |= !gained.is_empty() || !excess.is_empty();
        self.begin(gained, until).await?;
        self.give_back(&excess).await;
        if changed {
            self.subscribe_bells();
            tracing::info!(partitions = self.lock().owned.len(), "delivers the outbox of");
        }
        // A bell may have been lost with a connection.
        self.ring_all();
        Ok(())
    }

    /// How many partitions a process should have, so that all have as many.
    async fn share(&self) -> Result<usize, windlass_redis::Error> {
        let unreadable = |_| windlass_redis::Error::Read;
        let time: Call = Call::from(cmd("TIME")).beside(keys::WORKERS);
        let time = self.client.run(&time).await?;
        let (seconds, _): (u64, u64) = from_redis_value(time).map_err(unreadable)?;
        let lease = LEASE.as_secs();
        let calls: [Call; 3] = [
            cmd("ZREMRANGEBYSCORE")
                .arg(keys::WORKERS)
                .arg("-inf")
                .arg(seconds)
                .take()
                .into(),
            cmd("ZADD")
                .arg(keys::WORKERS)
                .arg(seconds + lease)
                .arg(&self.worker)
                .take()
                .into(),
            cmd("ZCARD").arg(keys::WORKERS).take().into(),
        ];
        let count = self
            .client
            .run_all(&calls)
            .await?
            .pop()
            .ok_or(windlass_redis::Error::Read)?;
        let workers: usize = from_redis_value(count?).map_err(unreadable)?;
        Ok(keys::PARTITIONS.div_ceil(workers.max(1)))
    }

    /// Reads what the groups have acknowledged and what is held back in new partitions.
    async fn begin(&self, gained: Vec<(Partition, String)>, until: Instant) -> Result<(), windlass_redis::Error> {
        let unreadable = |_| windlass_redis::Error::Read;
        let read = |name: String| -> Call { cmd("HGETALL").arg(name).take().into() };
        let calls: Vec<Call> = gained
            .iter()
            .flat_map(|(partition, _)| [read(keys::groups(*partition)), read(keys::held(*partition))])
            .collect();
        if calls.is_empty() {
            return Ok(());
        }
        let mut answers = self.client.run_all(&calls).await?.into_iter();
        for (partition, epoch) in gained {
            let (Some(groups), Some(held)) = (answers.next(), answers.next()) else {
                return Err(windlass_redis::Error::Read);
            };
            let groups: HashMap<String, String> = from_redis_value(groups?).map_err(unreadable)?;
            let acknowledged = groups
                .into_iter()
                .filter_map(|(group, id)| Some((group, id.parse().ok()?)))
                .collect();
            let held: Vec<(String, String)> = from_redis_value::<HashMap<_, _>>(held?)
                .map_err(unreadable)?
                .into_iter()
                .collect();
            let held = held
                .iter()
                .filter_map(|(field, text)| read_held(partition, field, text));
            self.lock().gain(partition, epoch, until, acknowledged, held.collect());
        }
        Ok(())
    }

    async fn give_back(&self, partitions: &[Partition]) {
        let calls: Vec<Call> = partitions
            .iter()
            .map(|partition| scripts::RELEASE.call(&[&keys::worker(*partition)]).arg(&self.worker))
            .collect();
        for partition in partitions {
            self.lock().lose(*partition);
        }
        if !calls.is_empty()
            && let Err(error) = self.client.run_all(&calls).await
        {
            tracing::debug!(%error, "partitions were not given back, they go when their lease has ended");
        }
    }

    /// What could not be renewed is another's by now.
    fn lose_overdue(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        let overdue: Vec<Partition> = state
            .owned
            .iter()
            .filter(|(_, owned)| owned.until <= now)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in overdue {
            state.lose(partition);
        }
    }

    /// Writes what groups have taken. Who has a partition no more writes nothing of it.
    async fn write_taken(&self) {
        let dirty = self.lock().take_dirty();
        if dirty.is_empty() {
            return;
        }
        let calls: Vec<Call> = dirty
            .iter()
            .map(|(partition, epoch, taken)| {
                let names = [keys::groups(*partition), keys::outbox(*partition)];
                let call = scripts::ACKNOWLEDGE.call(&names.each_ref().map(String::as_str));
                let taken = taken
                    .iter()
                    .flat_map(|(group, id)| [(*group).to_owned(), id.to_string()]);
                call.arg(epoch).arg(taken.collect::<Vec<_>>())
            })
            .collect();
        let answers = self.client.run_all(&calls).await;
        let answers = answers.unwrap_or_else(|error| calls.iter().map(|_| Err(error.clone())).collect());
        let mut state = self.lock();
        for ((partition, _, taken), answer) in dirty.into_iter().zip(answers) {
            match answer {
                Ok(Value::Int(0)) => state.lose(partition),
                Ok(_) => {}
                Err(_) => state.put_back(partition, taken),
            }
        }
    }
}

/// An event that is held back, as it is stored: since when, whether it is lost, the event.
fn read_held(partition: Partition, field: &str, text: &str) -> Option<(String, HeldAt)> {
    let (group, id) = field.rsplit_once('/')?;
    let mut parts = text.splitn(3, ' ');
    let (since, lost, event) = (parts.next()?, parts.next()?, parts.next()?);
    let at = HeldAt {
        partition,
        id: id.parse::<StreamId>().ok()?,
        since: UnixMillis(since.parse().ok()?),
        lost: lost == "1",
        event: Arc::new(serde_json::from_str(event).ok()?),
    };
    Some((group.to_owned(), at))
}

async fn keep_leases(delivery: Arc<Delivery>) {
    loop {
        match delivery.round().await {
            Ok(()) => delivery.rounds.send_modify(|count| *count += 1),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the leases of the outbox were not renewed");
                delivery.lose_overdue();
            }
        }
        tokio::select! {
            () = delivery.hurry.notified() => {}
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
    }
}

async fn write(delivery: Arc<Delivery>) {
    loop {
        delivery.settled.notified().await;
        tokio::time::sleep(WRITE_EVERY).await;
        delivery.write_taken().await;
    }
}
