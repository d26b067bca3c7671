//! What has to be recorded again. Each partition says itself of which generation it is whole; how far a walk has come is one
//! key beside them, and costs a walk from the beginning when it is lost.

use std::sync::LazyLock;

use async_trait::async_trait;
use windlass_redis::{Call, Script, cmd};

use super::{RedisStore, failed, keys, read};
use crate::epoch::Generation;
use crate::id::{Partition, TaskKey};
use crate::rebuild::{Rebuild, Walk};
use crate::store::Error;

/// Calls a partition whole, if it is still of this generation.
///
/// KEYS generation; ARGV generation.
static WHOLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'whole', ARGV[1])
return 1
",
    )
});

const OPERATION: &str = "see to what has to be recorded again";

impl RedisStore {
    /// The generation of each partition, and whether it is whole.
    async fn generations(&self) -> Result<Vec<(Generation, bool)>, Error> {
        let calls: Vec<Call> = keys::partitions().map(ask).collect();
        let answers = self.inner.client.run_all(&calls).await.map_err(failed(OPERATION))?;
        let mut generations = Vec::with_capacity(answers.len());
        for (partition, answer) in keys::partitions().zip(answers) {
            let fields = read(answer.map_err(failed(OPERATION))?)?;
            generations.push(self.settled(partition, fields).await?);
        }
        Ok(generations)
    }

    async fn settled(
        &self,
        partition: Partition,
        (generation, whole): (Option<u64>, Option<u64>),
    ) -> Result<(Generation, bool), Error> {
        match generation {
            Some(generation) => Ok((Generation(generation), whole == Some(generation))),
            None => Err(self.emptied(OPERATION, partition).await),
        }
    }
}

#[async_trait]
impl Rebuild for RedisStore {
    async fn is_whole(&self, key: &TaskKey) -> Result<bool, Error> {
        let partition = key.id.partition();
        let fields = read(self.run(OPERATION, ask(partition)).await?)?;
        Ok(self.settled(partition, fields).await?.1)
    }

    async fn unfinished(&self) -> Result<Option<Walk>, Error> {
        let generations = self.generations().await?;
        if generations.iter().all(|(_, whole)| *whole) {
            return Ok(None);
        }
        let mut walk = Walk {
            generations: generations.into_iter().map(|(generation, _)| generation).collect(),
            after: None,
        };
        let mut noted = cmd("HMGET");
        noted.arg(keys::WALK).arg("generations").arg("after");
        let (sum, after): (Option<u64>, Option<String>) = read(self.run(OPERATION, noted.into()).await?)?;
        // One of other generations is not gone on with.
        walk.after = after.filter(|after| sum == Some(walk.sum()) && !after.is_empty());
        Ok(Some(walk))
    }

    async fn note(&self, walk: &Walk) -> Result<bool, Error> {
        let generations = self.generations().await?;
        let now = generations.iter().map(|(generation, _)| generation);
        if !now.eq(&walk.generations) {
            return Ok(false);
        }
        let mut note = cmd("HSET");
        note.arg(keys::WALK).arg("generations").arg(walk.sum());
        // Also where it has not begun: the place of an earlier one must not stay.
        note.arg("after").arg(walk.after.as_deref().unwrap_or_default());
        self.run(OPERATION, note.into()).await?;
        Ok(true)
    }

    async fn finish(&self, walk: &Walk) -> Result<(), Error> {
        let calls: Vec<Call> = keys::partitions()
            .zip(&walk.generations)
            .map(|(partition, generation)| WHOLE.call(&[&keys::generation(partition)]).arg(generation.0))
            .collect();
        for answer in self.inner.client.run_all(&calls).await.map_err(failed(OPERATION))? {
            answer.map_err(failed(OPERATION))?;
        }
        let mut forget = cmd("DEL");
        forget.arg(keys::WALK);
        self.run(OPERATION, forget.into()).await.map(drop)
    }
}

/// Asks for a partition's generation and for the one of which it is whole.
fn ask(partition: Partition) -> Call {
    let mut ask = cmd("HMGET");
    ask.arg(keys::generation(partition)).arg("generation").arg("whole");
    ask.into()
}
