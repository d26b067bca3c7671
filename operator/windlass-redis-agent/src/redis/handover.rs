//! A planned handover: the last writes of a primary, and `FAILOVER`, in one step after which it takes none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{Door, Error, Redis, words};
use crate::settings::User;

/// The partitions of Windlass' services: each has a generation, and each is told who is to follow (`docs/redis.md`).
const PARTITIONS: u16 = 256;
/// How often is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// To whom, and for how long it is tried.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// The successor's host, as it has told its primary.
    pub host: String,
    /// The successor's port.
    pub port: u16,
    /// The random id of the successor's process: it alone keeps the generation.
    pub run: String,
    /// How long writes are held until the successor has everything.
    pub within: Duration,
}

impl HandOver {
    /// Hands over, on a connection of its own, and closes what is a replica then. Whether the other has taken over, for
    /// certain: otherwise nobody knows.
    ///
    /// # Errors
    /// It was refused, or nothing was heard of it.
    pub async fn run(&self, door: &Door, users: &[User]) -> Result<bool, Error> {
        let redis = Redis::connect(door).await?;
        let deadline = Instant::now() + 2 * self.within;
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.within;
        let heir = format!("{}:{}", self.run, until.as_millis());
        let mut commands = vec![words(&["MULTI"])];
        for partition in 0..PARTITIONS {
            let generation = format!("upload:generation:{{{partition}}}");
            commands.push(words(&["HSET", &generation, "heir", &heir]));
        }
        let (port, within) = (self.port.to_string(), self.within.as_millis().to_string());
        commands.push(words(&["FAILOVER", "TO", &self.host, &port, "TIMEOUT", &within]));
        commands.push(words(&["EXEC"]));
        let answers = redis.send(&commands).await?;
        let what = "FAILOVER";
        let done = answers.last().cloned().ok_or(Error::Read { what })?;
        let done = done.extract_error().map_err(|source| Error::Refuse { what, source })?;
        let redis::Value::Array(done) = done else {
            return Err(Error::Read { what });
        };
        super::all_done(&done, what)?;
        loop {
            let info = redis.info().await?;
            let to = (self.host.clone(), self.port);
            if !info.is_primary && !info.is_handing_over && info.follows.as_ref() == Some(&to) {
                redis.close(users).await?;
                return Ok(true);
            }
            if info.is_primary && !info.is_handing_over || Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
