//! One connection to one server that was a primary when it was made.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::access::{Credentials, Way};
use crate::error::{Error, Redirect, breaks};
use crate::metrics::{Cause, Metrics};
use crate::script::Call;
use crate::slot::{Slot, Slots};
use crate::subscriptions::{Kind, Receiver};

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

    /// The random id of the server process.
    #[must_use]
    pub fn process(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(process, _)| process)
    }
}

/// What is done on each new connection before anybody uses it, and in a cluster for slots that come to its server.
#[async_trait::async_trait]
pub trait Prepare: Send + Sync + 'static {
    /// Prepares the connection for the keys that it [serves](Session::serves) and was not prepared for yet; one that
    /// cannot be prepared is left. It is repeated without harm.
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
    /// When the server said its marker.
    made: Instant,
    in_cluster: bool,
    /// Why it is of no more use.
    broken: Arc<watch::Sender<Option<Cause>>>,
    metrics: Metrics,
    /// The slots that it was prepared for.
    prepared: Arc<watch::Sender<Slots>>,
    dropped: Arc<Dropped>,
    /// What it is being prepared for.
    scope: Option<Arc<Scope>>,
}

/// Subscriptions that the server itself ended, since their slot is another's now.
#[derive(Debug, Default)]
struct Dropped {
    channels: Mutex<Vec<String>>,
    bell: Notify,
}

#[derive(Debug)]
struct Scope {
    slots: Slots,
    former: Option<Marker>,
}

/// How a connection is made.
pub(crate) struct Opening {
    pub(crate) way: Way,
    /// How long a reply may take.
    pub(crate) answer_within: Duration,
    pub(crate) in_cluster: bool,
    pub(crate) metrics: Metrics,
    /// Who takes what is published, on a connection that subscribes.
    pub(crate) receiver: Option<Arc<dyn Receiver>>,
}

impl Session {
    /// Connects, and makes sure that the server is a primary with its data loaded.
    pub(crate) async fn connect(opening: &Opening, credentials: &Credentials) -> Result<Self, RedisError> {
        let broken = Arc::new(watch::Sender::new(None));
        let dropped = Arc::new(Dropped::default());
        let (told, ended, receiver) = (Arc::clone(&broken), Arc::clone(&dropped), opening.receiver.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(opening.answer_within))
            .set_push_sender(move |push: PushInfo| -> Result<(), Infallible> {
                match (&push.kind, push.data.as_slice(), &receiver) {
                    (PushKind::Disconnection, ..) => leave(&told, Cause::Closed),
                    (
                        PushKind::Message | PushKind::SMessage,
                        [Value::BulkString(channel), Value::BulkString(payload)],
                        Some(receiver),
                    ) => {
                        if let Ok(channel) = std::str::from_utf8(channel) {
                            receiver.message(channel, payload);
                        }
                    }
                    (PushKind::SUnsubscribe, [Value::BulkString(channel), ..], Some(_)) => ended.add(channel),
                    _ => {}
                }
                Ok(())
            });
        let client = opening.way.client_as(credentials).await?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (marker, made) = (read_marker(&mut connection.clone()).await?, Instant::now());
        Ok(Self {
            connection,
            marker,
            made,
            in_cluster: opening.in_cluster,
            broken,
            metrics: opening.metrics.clone(),
            prepared: Arc::new(watch::Sender::new(Slots::none())),
            dropped,
            scope: None,
        })
    }

    /// Which life of which data set this connection sees.
    #[must_use]
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Whether this connection is for a key: in a cluster each is for some. While it is prepared: whether the key is among
    /// those that it is being prepared for.
    #[must_use]
    pub fn serves(&self, key: impl AsRef<[u8]>) -> bool {
        let slot = Slot::of(key);
        match &self.scope {
            Some(scope) => scope.slots.has(slot),
            None => self.has(slot),
        }
    }

    /// While it is prepared for slots that another primary gave away, and if it is certain that neither has forgotten
    /// anything meanwhile: the other's marker.
    #[must_use]
    pub fn former(&self) -> Option<&Marker> {
        self.scope.as_ref()?.former.as_ref()
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.prepared.borrow().has(slot)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// Has it prepared for slots. They came from a server with this marker, when that is known.
    pub(crate) async fn prepare(
        &self,
        prepare: Option<&dyn Prepare>,
        slots: &Slots,
        former: Option<&Marker>,
    ) -> Result<(), Error> {
        let slots = slots.without(&self.prepared.borrow());
        if let Some(prepare) = prepare.filter(|_| !slots.is_empty()) {
            let scope = Scope {
                slots: slots.clone(),
                former: former.cloned(),
            };
            let scoped = Self {
                scope: Some(Arc::new(scope)),
                ..self.clone()
            };
            prepare.prepare(&scoped).await?;
        }
        self.prepared.send_modify(|prepared| prepared.extend(&slots));
        Ok(())
    }

    /// The server has only these slots now: if others come back, they have to be prepared again.
    pub(crate) fn keep(&self, slots: &Slots) {
        self.prepared.send_if_modified(|prepared| {
            let is_more = !prepared.without(slots).is_empty();
            prepared.keep(slots);
            is_more
        });
    }

    /// The server says that it has a slot no more.
    pub(crate) fn disown(&self, slot: Slot) {
        self.prepared.send_if_modified(|prepared| {
            let had = prepared.has(slot);
            prepared.remove(slot);
            had
        });
    }

    /// Those of these slots that it was not prepared for.
    pub(crate) fn lacks(&self, slots: &Slots) -> Slots {
        slots.without(&self.prepared.borrow())
    }

    /// Waits until it was prepared for a slot.
    pub(crate) async fn prepared(&self, slot: Slot) {
        // The sender lives as long as `self`.
        let _ = self.prepared.subscribe().wait_for(|prepared| prepared.has(slot)).await;
    }

    /// Makes sure that the server is still the primary that it was, in the same life; leaves it otherwise.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        match read_marker(&mut self.connection.clone()).await {
            Ok(marker) if marker == self.marker => Ok(()),
            Ok(_) => {
                leave(&self.broken, Cause::Replaced);
                Err(Error::Reach)
            }
            Err(error) => {
                leave(&self.broken, cause(&error));
                Err(Error::of(error))
            }
        }
    }

    /// Becomes somebody else to the server, who goes on with what is under way and what is subscribed. One whom the server does
    /// not know is refused, and all stays as it was.
    pub(crate) async fn authenticate(&self, credentials: &Credentials) -> Result<(), RedisError> {
        match credentials.command() {
            Some(command) => self.send(&command).await.map(drop),
            None => Ok(()),
        }
    }

    /// Sends a call; a script that the server does not know is sent again in full, for then nothing was done.
    ///
    /// # Errors
    /// [`Error`]; all but [`Error::Confirm`].
    pub async fn run(&self, call: &Call) -> Result<Value, Error> {
        if call.is_asking() {
            let answers = self.run_all(std::slice::from_ref(call)).await?;
            return answers.into_iter().next().unwrap_or(Err(Error::Read));
        }
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
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let commands = calls.iter().map(|call| (call.is_asking(), call.command()));
        let answers = self.send_all(commands).await?;
        let mut results: Vec<_> = answers.into_iter().map(|value| self.read(value)).collect();
        let unknown: Vec<usize> = (0..calls.len().min(results.len()))
            .filter(|index| matches!(&results[*index], Err(Error::Refuse(error)) if is_no_script(error)))
            .collect();
        if !unknown.is_empty() {
            let full = |index: &usize| Some((calls[*index].is_asking(), calls[*index].in_full()?));
            let commands: Vec<_> = unknown.iter().filter_map(full).collect();
            let answers = self.send_all(commands.iter().map(|(asking, command)| (*asking, command)));
            for (index, value) in unknown.into_iter().zip(answers.await?) {
                results[index] = self.read(value);
            }
        }
        Ok(results)
    }

    async fn send(&self, command: &redis::Cmd) -> Result<Value, RedisError> {
        let _flight = self.metrics.send(1);
        let answer = self.connection.clone().send_packed_command(command).await;
        answer.and_then(Value::extract_error)
    }

    /// Subscribes to channels; answers those that are another server's.
    pub(crate) async fn subscribe(&self, kind: Kind, channels: &[Arc<str>]) -> Result<Vec<Arc<str>>, Error> {
        match kind {
            Kind::Everywhere => {
                let names: Vec<&str> = channels.iter().map(|channel| &**channel).collect();
                let subscribed = self.connection.clone().subscribe(&names).await;
                subscribed.map_err(|error| self.judge(error))?;
                Ok(Vec::new())
            }
            Kind::Sharded => self.confirmed("SSUBSCRIBE", &PushKind::SSubscribe, channels).await,
        }
    }

    /// Ends subscriptions.
    pub(crate) async fn unsubscribe(&self, kind: Kind, channels: &[Arc<str>]) -> Result<(), Error> {
        match kind {
            Kind::Everywhere => {
                let names: Vec<&str> = channels.iter().map(|channel| &**channel).collect();
                let left = self.connection.clone().unsubscribe(&names).await;
                left.map_err(|error| self.judge(error))
            }
            Kind::Sharded => {
                let ended = self.confirmed("SUNSUBSCRIBE", &PushKind::SUnsubscribe, channels).await;
                ended.map(drop)
            }
        }
    }

    /// One command a channel, since one for several must keep to one slot. Each answer must speak of its channel: the
    /// server may end a subscription by itself at the same time, and that looks like an answer.
    async fn confirmed(&self, name: &str, kind: &PushKind, channels: &[Arc<str>]) -> Result<Vec<Arc<str>>, Error> {
        let commands: Vec<redis::Cmd> = channels
            .iter()
            .map(|channel| redis::cmd(name).arg(&**channel).take())
            .collect();
        let answers = self.send_all(commands.iter().map(|command| (false, command))).await?;
        let mut elsewhere = Vec::new();
        for (channel, answer) in channels.iter().zip(answers) {
            match answer {
                Value::Push { kind: told, data }
                    if told == *kind
                        && matches!(data.first(), Some(Value::BulkString(name)) if name == channel.as_bytes()) => {}
                answer => {
                    let answer = self.read(answer);
                    if Redirect::of(&answer).is_none() {
                        leave(&self.broken, Cause::Confused);
                        return Err(answer.err().unwrap_or(Error::Read));
                    }
                    elsewhere.push(Arc::clone(channel));
                }
            }
        }
        Ok(elsewhere)
    }

    /// The subscriptions that were ended since this was last asked, by the server or by [`Session::unsubscribe`].
    pub(crate) fn take_dropped(&self) -> Vec<String> {
        std::mem::take(&mut *self.dropped.channels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there may be more of them.
    pub(crate) async fn dropped(&self) {
        self.dropped.bell.notified().await;
    }

    async fn send_all<'a>(&self, commands: impl Iterator<Item = (bool, &'a redis::Cmd)>) -> Result<Vec<Value>, Error> {
        let mut pipeline = Pipeline::new();
        let mut asked = Vec::new();
        for (asking, command) in commands {
            if asking {
                asked.push(pipeline.len());
                pipeline.add_command(redis::cmd("ASKING"));
            }
            pipeline.add_command(command.clone());
        }
        let (count, mut connection) = (pipeline.len(), self.connection.clone());
        let _flight = self.metrics.send(count);
        let answers = connection.send_packed_commands(&pipeline, 0, count).await;
        let mut answers = answers.map_err(|error| self.judge(error))?;
        if answers.len() != count {
            return Err(Error::Read);
        }
        for index in asked.into_iter().rev() {
            answers.remove(index);
        }
        Ok(answers)
    }

    fn read(&self, value: Value) -> Result<Value, Error> {
        value.extract_error().map_err(|error| self.judge(error))
    }

    fn judge(&self, error: RedisError) -> Error {
        if breaks(&error, self.in_cluster) {
            leave(&self.broken, cause(&error));
        }
        Error::of(error)
    }

    /// Leaves the connection: whoever keeps it makes another.
    pub fn leave(&self) {
        leave(&self.broken, Cause::Left);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    /// Waits until the connection is of no more use; answers why.
    pub(crate) async fn broken(&self) -> Cause {
        let mut broken = self.broken.subscribe();
        let cause = broken.wait_for(Option::is_some).await;
        // The sender lives as long as `self`.
        cause.ok().and_then(|cause| *cause).unwrap_or(Cause::Closed)
    }
}

impl Dropped {
    fn add(&self, channel: &[u8]) {
        if let Ok(channel) = std::str::from_utf8(channel) {
            let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
            channels.push(channel.to_owned());
            drop(channels);
            self.bell.notify_one();
        }
    }
}

/// Asks a server which life of which data set it serves, and fails if it is no primary or its data are not there yet.
async fn read_marker(connection: &mut MultiplexedConnection) -> Result<Marker, RedisError> {
    let mut command = redis::cmd("INFO");
    let sections = command.arg("server").arg("replication").arg("persistence");
    let text: String = sections.query_async(connection).await?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_default()
    };
    if field("role") != "master" || field("loading") != "0" {
        let reason = "the server is no primary, or is still loading";
        return Err((ErrorKind::Server(ServerErrorKind::ReadOnly), reason).into());
    }
    Ok(Marker(format!("{}:{}", field("run_id"), field("master_replid"))))
}

/// Calls a connection of no more use; the first cause counts.
fn leave(broken: &watch::Sender<Option<Cause>>, cause: Cause) {
    broken.send_if_modified(|broken| {
        let is_first = broken.is_none();
        broken.get_or_insert(cause);
        is_first
    });
}

/// Why a connection is left after an error of the library.
fn cause(error: &RedisError) -> Cause {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => Cause::Refused,
        _ if error.is_timeout() => Cause::Silent,
        _ if error.is_io_error() => Cause::Closed,
        _ => Cause::Confused,
    }
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
