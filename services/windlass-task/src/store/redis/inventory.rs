//! All tasks, by `SCAN`: a walk over the keys of one server after another that holds nobody up, for who checks everything.
//! Only keys of a slot that is on its way while the walk is at its two servers can be missed.

use async_trait::async_trait;
use windlass_redis::{Session, cmd, from_redis_value};

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
        let (map, sessions) = self.inner.client.sessions().await.map_err(failed(operation))?;
        let (index, cursor) = after
            .and_then(|mark| read_mark(mark, map, &sessions))
            .unwrap_or((0, "0"));
        let session = sessions
            .get(index)
            .ok_or(windlass_redis::Error::Reach)
            .map_err(failed(operation))?;
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(keys::TASKS);
        scan.arg("COUNT").arg(limit.min(STEP_MAX));
        let answer = session.run(&scan.into()).await.map_err(failed(operation))?;
        let (next, names): (String, Vec<String>) =
            from_redis_value(answer).map_err(|_| failed(operation)(windlass_redis::Error::Read))?;
        let next = match (next.as_str(), sessions.get(index + 1)) {
            ("0", None) => None,
            ("0", Some(session)) => Some(write_mark(map, index + 1, session, "0")),
            (next, _) => Some(write_mark(map, index, session, next)),
        };
        Ok(Keys {
            keys: names.iter().filter_map(|name| keys::task_of_name(name)).collect(),
            next,
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

/// How far a walk has come: by which map of a cluster, at which server in which of its lives, at which cursor.
fn write_mark(map: u64, index: usize, session: &Session, cursor: &str) -> Mark {
    Mark(format!("{map} {index} {} {cursor}", session.marker().as_str()))
}

/// A cursor is of one server's tables: on another one, or after its restart, the walk begins anew. So it does when a slot
/// has gone from one server to another, with keys that would be seen at neither.
fn read_mark<'a>(mark: &'a Mark, map: u64, sessions: &[Session]) -> Option<(usize, &'a str)> {
    let mut words = mark.0.split(' ');
    let is_by_this_map = words.next()?.parse() == Ok(map);
    let index: usize = words.next()?.parse().ok()?;
    let is_its_life = sessions.get(index)?.marker().as_str() == words.next()?;
    (is_by_this_map && is_its_life).then_some((index, words.next()?))
}
