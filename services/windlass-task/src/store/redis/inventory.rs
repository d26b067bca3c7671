//! All tasks, by `SCAN`: a walk over the keys of the whole server that holds nobody up, for who checks everything.

use async_trait::async_trait;
use windlass_redis::{cmd, from_redis_value};

use super::{RedisStore, failed, keys};
use crate::id::TaskKey;
use crate::store::Error;
use crate::store::inventory::{Inventory, Keys, Known, Mark};

/// The most keys that one step looks at: a step of this size takes the server about a millisecond.
const STEP_MAX: usize = 1_000;

#[async_trait]
impl Inventory for RedisStore {
    async fn keys(&self, after: Option<&Mark>, limit: usize) -> Result<Keys, Error> {
        let operation = "list tasks";
        let session = self.inner.client.session().await.map_err(failed(operation))?;
        // A cursor is of one server's tables: on another one, or after its restart, the walk begins anew.
        let server = session.marker().as_str();
        let cursor = after.and_then(|mark| mark.0.strip_prefix(server)?.strip_prefix(' '));
        let mut scan = cmd("SCAN");
        scan.arg(cursor.unwrap_or("0")).arg("MATCH").arg(keys::TASKS);
        scan.arg("COUNT").arg(limit.min(STEP_MAX));
        let answer = session.run(&scan.into()).await.map_err(failed(operation))?;
        let (next, names): (String, Vec<String>) =
            from_redis_value(answer).map_err(|_| failed(operation)(windlass_redis::Error::Read))?;
        Ok(Keys {
            keys: names.iter().filter_map(|name| keys::task_of_name(name)).collect(),
            next: (next != "0").then(|| Mark(format!("{server} {next}"))),
        })
    }

    async fn known(&self, key: &TaskKey) -> Result<Known, Error> {
        let reading = self.look(key).await?;
        Ok(Known {
            entry: reading.entry,
            generation: reading.generation,
        })
    }
}
