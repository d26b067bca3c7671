//! The Redis beside the agent, spoken to through its socket: what is asked of it, and how it is told what to be.
//!
//! Each exchange has a deadline. Whoever hears nothing by then knows nothing, and leaves the connection.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, IntoConnectionInfo as _, RedisError, Value, cmd};
use windlass_election::{Generation, Term};
use windlass_redis_wire::Link;

use crate::server::configuration::{AGENT_USER, NOBODY, made, replica, rights};
use crate::settings::{Secret, Settings, User};

mod handover;
mod info;

pub use handover::HandOver;
pub use info::{Info, Mark};

/// The hash that a primary writes before anything else in its term: fields `term`, `generation`, and `beat`, which it counts up
/// while it is written to, so that data whose stream was cut can still be compared.
pub const MARK: &str = "windlass:redis:term";

/// Redis did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is there, or it does not let the agent in.
    #[error("cannot connect to redis")]
    Connect(#[source] RedisError),
    /// It may have done it, or do it later.
    #[error("redis did not answer within {0:?}")]
    Await(Duration),
    /// It says no.
    #[error("redis refused {what}")]
    Refuse {
        /// What it was told.
        what: &'static str,
        /// In its words.
        #[source]
        source: RedisError,
    },
    /// It answers with something else.
    #[error("redis did not answer {what} in a way that is known")]
    Read {
        /// What it was told.
        what: &'static str,
    },
}

/// Where it is reached, and as whom.
#[derive(Debug, Clone)]
pub struct Door {
    /// The socket.
    pub socket: PathBuf,
    /// The agent's password.
    pub password: Secret,
    /// How long an exchange may take.
    pub within: Duration,
}

/// A connection to it.
#[derive(Debug, Clone)]
pub struct Redis {
    connection: MultiplexedConnection,
    within: Duration,
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// It is not there, or not there yet.
    pub async fn connect(door: &Door) -> Result<Self, Error> {
        let address = ConnectionAddr::Unix(door.socket.clone());
        let info = address.into_connection_info().map_err(Error::Connect)?;
        let login = info
            .redis_settings()
            .clone()
            .set_username(AGENT_USER)
            .set_password(door.password.expose());
        let client = redis::Client::open(info.set_redis_settings(login)).map_err(Error::Connect)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(door.within))
            .set_response_timeout(Some(door.within));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = tokio::time::timeout(door.within, connecting).await;
        Ok(Self {
            connection: connection
                .map_err(|_| Error::Await(door.within))?
                .map_err(Error::Connect)?,
            within: door.within,
        })
    }

    /// How it is now. While it loads, nothing is known of its mark.
    ///
    /// # Errors
    /// It does not say.
    pub async fn info(&self) -> Result<Info, Error> {
        let info = words(&["INFO", "server", "memory", "persistence", "replication"]);
        let mark = words(&["HMGET", MARK, "term", "generation", "beat"]);
        let answers = self.send(&[info, mark]).await?;
        let [Value::BulkString(_) | Value::VerbatimString { .. }, mark] = answers.as_slice() else {
            return Err(Error::Read { what: "INFO" });
        };
        let text: String = redis::from_redis_value(answers[0].clone()).map_err(|_| Error::Read { what: "INFO" })?;
        Info::read(&text, mark).ok_or(Error::Read { what: "INFO" })
    }

    /// Nobody's: it takes no write, follows nobody, feeds nobody, and whoever waits at it is cut. A handover that is under way
    /// is given up in the same step, since Redis would refuse to be anything else during one.
    ///
    /// # Errors
    /// It may still take writes.
    pub async fn fence(&self, users: &[User]) -> Result<(), Error> {
        let mut commands = vec![
            words(&["MULTI"]),
            words(&["FAILOVER", "ABORT"]),
            words(&["REPLICAOF", NOBODY[0], NOBODY[1]]),
            words(&["EXEC"]),
        ];
        commands.extend(close(users));
        commands.extend(cut(&["normal", "pubsub", "replica"]));
        let answers = self.send(&commands).await?;
        let Some(Value::Array(done)) = answers.get(3) else {
            return Err(Error::Read { what: "EXEC" });
        };
        let [_, followed] = done.as_slice() else {
            return Err(Error::Read { what: "EXEC" });
        };
        done_by(followed.clone(), "REPLICAOF")?;
        all_done(&answers[4..], "ACL SETUSER")
    }

    /// Clients that were let in have no rights any more, and are cut; it stays what it is.
    ///
    /// # Errors
    /// They may have them.
    pub async fn close(&self, users: &[User]) -> Result<(), Error> {
        let mut commands = close(users);
        commands.extend(cut(&["normal", "pubsub"]));
        all_done(&self.send(&commands).await?, "ACL SETUSER")
    }

    /// Lets its users in.
    ///
    /// # Errors
    /// Some may be in and others not.
    pub async fn open(&self, users: &[User]) -> Result<(), Error> {
        let commands: Vec<Cmd> = users
            .iter()
            .map(|user| setuser(std::iter::once(user.name.as_str()).chain(rights(user.access).iter().copied())))
            .collect();
        all_done(&self.send(&commands).await?, "ACL SETUSER")
    }

    /// Makes a closed primary of it, that has the mark of its term.
    ///
    /// # Errors
    /// It may be a primary, and be marked; it is closed.
    pub async fn promote(&self, term: Term, generation: Generation, users: &[User]) -> Result<(), Error> {
        // Closed first, by an answer: what comes after is not sent otherwise.
        self.close(users).await?;
        let alone = words(&["REPLICAOF", "NO", "ONE"]);
        all_done(&self.send(&[alone]).await?, "REPLICAOF NO ONE")?;
        let (term, generation) = (term.number().to_string(), generation.number().to_string());
        let mark = words(&["HSET", MARK, "term", &term, "generation", &generation, "beat", "0"]);
        all_done(&self.send(&[mark]).await?, "the mark")
    }

    /// Writes the term of a primary that took over from one that lives.
    ///
    /// # Errors
    /// It may be written.
    pub async fn mark(&self, term: Term) -> Result<(), Error> {
        let mark = words(&["HSET", MARK, "term", &term.number().to_string(), "beat", "0"]);
        all_done(&self.send(&[mark]).await?, "the mark")
    }

    /// Counts up in the mark.
    ///
    /// # Errors
    /// It may be counted.
    pub async fn beat(&self) -> Result<(), Error> {
        all_done(&self.send(&[words(&["HINCRBY", MARK, "beat", "1"])]).await?, "the mark")
    }

    /// Waits until so many replicas have all that was written until now, or for so long.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn wait(&self, replicas: usize, within: Duration) -> Result<(), Error> {
        self.beat().await?;
        let (replicas, within) = (replicas.to_string(), within.as_millis().to_string());
        all_done(&self.send(&[words(&["WAIT", &replicas, &within])]).await?, "WAIT")
    }

    /// Has it follow another from now on.
    ///
    /// # Errors
    /// It may follow.
    pub async fn follow(&self, host: &str, port: u16) -> Result<(), Error> {
        let follow = words(&["REPLICAOF", host, &port.to_string()]);
        all_done(&self.send(&[follow]).await?, "REPLICAOF")
    }

    /// Takes up other settings. Connections that stand go on, but those of users that there are no more.
    ///
    /// # Errors
    /// Some may be taken up: it can be done again.
    pub async fn configure(&self, former: &Settings, next: &Settings, is_open: bool) -> Result<(), Error> {
        let memory = next.max_memory_bytes.unwrap_or_default().to_string();
        let mut set = words(&["CONFIG", "SET", "maxmemory", &memory]);
        set.arg("masterauth").arg(next.replication.expose());
        if let Some(certificates) = &next.certificates {
            // Said again, they are read again.
            set.arg("tls-cert-file").arg(certificates.chain.display().to_string());
            set.arg("tls-key-file").arg(certificates.key.display().to_string());
            set.arg("tls-ca-cert-file")
                .arg(certificates.authority.display().to_string());
        }
        // Replicas that have not heard of the new password yet come with the one before.
        let replica = replica(&[&next.replication, &former.replication]);
        let mut commands = vec![set, setuser(replica.iter().map(String::as_str))];
        for user in &next.users {
            let rights = if is_open { rights(user.access) } else { &[] };
            let made = made(user);
            commands.push(setuser(made.iter().map(String::as_str).chain(rights.iter().copied())));
        }
        for user in &former.users {
            if next.users.iter().all(|other| other.name != user.name) {
                commands.push(words(&["ACL", "DELUSER", &user.name]));
            }
        }
        all_done(&self.send(&commands).await?, "its new configuration")
    }

    async fn send(&self, commands: &[Cmd]) -> Result<Vec<Value>, Error> {
        let mut pipeline = redis::pipe();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let mut connection = self.connection.clone();
        let sent = connection.send_packed_commands(&pipeline, 0, commands.len());
        match tokio::time::timeout(self.within, sent).await {
            Ok(Ok(answers)) if answers.len() == commands.len() => Ok(answers),
            Ok(Ok(_)) => Err(Error::Read { what: "a command" }),
            Ok(Err(error)) if error.is_timeout() => Err(Error::Await(self.within)),
            Ok(Err(error)) => Err(Error::Connect(error)),
            Err(_) => Err(Error::Await(self.within)),
        }
    }
}

impl Info {
    /// The connection to its primary, of a replica.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        if self.is_primary {
            return None;
        }
        Some(match (self.link_is_up, self.is_syncing) {
            (true, _) => Link::Up,
            (false, true) => Link::Loading,
            (false, false) => Link::Down,
        })
    }
}

fn words(words: &[&str]) -> Cmd {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command
}

fn setuser<'a>(words: impl Iterator<Item = &'a str>) -> Cmd {
    let mut command = cmd("ACL");
    command.arg("SETUSER");
    for word in words {
        command.arg(word);
    }
    command
}

/// All rights away, also of those who are in: each command asks for them anew.
fn close(users: &[User]) -> Vec<Cmd> {
    let made = users.iter().map(made);
    made.map(|words| setuser(words.iter().map(String::as_str))).collect()
}

fn cut(kinds: &[&str]) -> Vec<Cmd> {
    kinds
        .iter()
        .map(|kind| words(&["CLIENT", "KILL", "TYPE", kind]))
        .collect()
}

fn done_by(answer: Value, what: &'static str) -> Result<(), Error> {
    answer
        .extract_error()
        .map(drop)
        .map_err(|source| Error::Refuse { what, source })
}

fn all_done(answers: &[Value], what: &'static str) -> Result<(), Error> {
    answers.iter().try_for_each(|answer| done_by(answer.clone(), what))
}
