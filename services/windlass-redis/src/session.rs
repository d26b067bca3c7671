//! One connection to one server that was a primary when it was made.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, ServerErrorKind, Value};
use tokio::sync::watch;

use crate::error::{Error, breaks};
use crate::script::Call;
use crate::subscriptions::Receiver;

/// How long a connection may take to be made. A server beyond a working network answers within a round trip; one that
/// does not is being replaced.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a reply may take. Scripts run for microseconds, but a fork or a slow disk can hold the server for some
/// hundred milliseconds; beyond it the connection is left, and the command's outcome is unknown.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Which life of which data set a server serves: another marker means that something may have been forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(String);

impl Marker {
    /// The marker as it is stored: the server process's random id and the data set's replication id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is done on each new connection before anybody uses it.
#[async_trait::async_trait]
pub trait Prepare: Send + Sync + 'static {
    /// Prepares the connection; one that cannot be prepared is left.
    ///
    /// # Errors
    /// Why it cannot be used.
    async fn prepare(&self, session: &Session) -> Result<(), Error>;
}

/// A connection; clones share it.
#[derive(Debug, Clone)]
pub struct Session {
    connection: MultiplexedConnection,
    marker: Marker,
    broken: Arc<watch::Sender<bool>>,
}

impl Session {
    /// Connects, and makes sure that the server is a primary with its data loaded.
    pub(crate) async fn connect(
        client: &redis::Client,
        answer_within: Duration,
        receiver: Option<Arc<dyn Receiver>>,
    ) -> Result<Self, RedisError> {
        let broken = Arc::new(watch::Sender::new(false));
        let told = Arc::clone(&broken);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(answer_within))
            .set_push_sender(move |push: PushInfo| -> Result<(), Infallible> {
                match (&push.kind, push.data.as_slice(), &receiver) {
                    (PushKind::Disconnection, ..) => drop(told.send_replace(true)),
                    (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)], Some(receiver)) => {
                        if let Ok(channel) = std::str::from_utf8(channel) {
                            receiver.message(channel, payload);
                        }
                    }
                    _ => {}
                }
                Ok(())
            });
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut command = redis::cmd("INFO");
        let sections = command.arg("server").arg("replication").arg("persistence");
        let text: String = sections.query_async(&mut connection).await?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        if field("role") != "master" || field("loading") != "0" {
            let reason = "the server is no primary, or is still loading";
            return Err((ErrorKind::Server(ServerErrorKind::ReadOnly), reason).into());
        }
        Ok(Self {
            connection,
            marker: Marker(format!("{}:{}", field("run_id"), field("master_replid"))),
            broken,
        })
    }

    /// Which life of which data set this connection sees.
    #[must_use]
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Sends a call; a script that the server does not know is sent again in full, for then nothing was done.
    ///
    /// # Errors
    /// [`Error`]; all but [`Error::Confirm`].
    pub async fn run(&self, call: &Call) -> Result<Value, Error> {
        let mut answer = self.send(call.command()).await;
        if let (Err(error), Some(command)) = (&answer, call.in_full())
            && is_no_script(error)
        {
            answer = self.send(&command).await;
        }
        answer.map_err(|error| self.judge(error))
    }

    /// Sends calls together and answers each.
    ///
    /// # Errors
    /// [`Error::Await`] when none was answered.
    pub async fn run_all(&self, calls: &[Call]) -> Result<Vec<Result<Value, Error>>, Error> {
        let answers = self.send_all(calls.iter().map(Call::command)).await?;
        let mut results: Vec<_> = answers.into_iter().map(|value| self.read(value)).collect();
        let unknown: Vec<usize> = (0..calls.len().min(results.len()))
            .filter(|index| matches!(&results[*index], Err(Error::Refuse(error)) if is_no_script(error)))
            .collect();
        if !unknown.is_empty() {
            let commands: Vec<_> = unknown.iter().filter_map(|index| calls[*index].in_full()).collect();
            let answers = self.send_all(commands.iter()).await?;
            for (index, value) in unknown.into_iter().zip(answers) {
                results[index] = self.read(value);
            }
        }
        Ok(results)
    }

    async fn send(&self, command: &redis::Cmd) -> Result<Value, RedisError> {
        let answer = self.connection.clone().send_packed_command(command).await;
        answer.and_then(Value::extract_error)
    }

    pub(crate) async fn subscribe(&self, channels: &[&String]) -> Result<(), Error> {
        let subscribed = self.connection.clone().subscribe(channels).await;
        subscribed.map_err(|error| self.judge(error))
    }

    pub(crate) async fn unsubscribe(&self, channels: &[&String]) -> Result<(), Error> {
        let left = self.connection.clone().unsubscribe(channels).await;
        left.map_err(|error| self.judge(error))
    }

    async fn send_all<'a>(&self, commands: impl Iterator<Item = &'a redis::Cmd>) -> Result<Vec<Value>, Error> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let (count, mut connection) = (pipeline.len(), self.connection.clone());
        let answers = connection.send_packed_commands(&pipeline, 0, count).await;
        let answers = answers.map_err(|error| self.judge(error))?;
        if answers.len() == count {
            Ok(answers)
        } else {
            Err(Error::Read)
        }
    }

    fn read(&self, value: Value) -> Result<Value, Error> {
        value.extract_error().map_err(|error| self.judge(error))
    }

    fn judge(&self, error: RedisError) -> Error {
        if breaks(&error) {
            self.leave();
        }
        Error::of(error)
    }

    /// Leaves the connection: whoever keeps it makes another.
    pub fn leave(&self) {
        self.broken.send_replace(true);
    }

    pub(crate) fn is_broken(&self) -> bool {
        *self.broken.borrow()
    }

    /// Waits until the connection is of no more use.
    pub(crate) async fn broken(&self) {
        // The sender lives as long as `self`.
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
