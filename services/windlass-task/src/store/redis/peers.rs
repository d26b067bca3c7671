//! Asking another process for a task: a lease says that it lives, a channel of its own takes the question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use windlass_redis::{Call, Client, Receiver, Subscriptions, cmd};

use super::{RedisStore, failed, keys, read};
use crate::epoch::{HolderId, ProcessId, random_bytes};
use crate::id::TaskKey;
use crate::peers::{Answer, Host, Peers};
use crate::store::Error;

/// How long a process counts as living after it was last seen to (DESIGN section 4).
const LEASE: Duration = Duration::from_secs(10);
/// How often the lease is renewed: three tries fit into one.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// This long before its end a lease that could not be renewed counts as lost: clocks of two machines run apart.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a holder has to let go before it is overruled (P2).
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a process that lives and does not listen is asked again: it is making its connection anew.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// For how long nobody may listen before the process counts as silent. One that was killed is not waited for until its
/// lease ends; one that lives makes its connection anew within some ten milliseconds.
const UNHEARD: Duration = Duration::from_millis(500);
/// How many questions of others are in hand at once; beyond it, who asks takes by force after [`PATIENCE`].
const QUESTIONS_MAX: usize = 1_024;

/// What processes say to each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum Message {
    /// Let a task go.
    Release {
        task: TaskKey,
        from: ProcessId,
        question: u64,
    },
    /// The answer to a question.
    Answer { question: u64, told: Told },
    /// The owner paused the task or ended it.
    Withdraw { task: TaskKey, revision: u64 },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Told {
    Idle,
    Released { takeovers_millis: Vec<u64> },
    Kept { retry_after_millis: u64 },
}

/// This process among the others.
pub(super) struct Peering {
    client: Client,
    serving: OnceLock<Serving>,
}

struct Serving {
    desk: Arc<Desk>,
    _subscriptions: Subscriptions,
    leasing: JoinHandle<()>,
}

struct Desk {
    client: Client,
    process: ProcessId,
    host: Arc<dyn Host>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    questions: Arc<Semaphore>,
    /// Until when the lease is sure to last.
    until: Mutex<Option<Instant>>,
    /// The desk itself, for what it does beside the connection's task.
    own: std::sync::Weak<Desk>,
}

impl Peering {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            serving: OnceLock::new(),
        }
    }

    /// The message that tells the process of a holder that its task was withdrawn, and on which channel. None to this
    /// process, which hears of its own commits.
    pub(super) fn withdrawal(&self, holder: HolderId, task: &TaskKey, revision: u64) -> Option<(String, String)> {
        let process = holder.process();
        if self
            .serving
            .get()
            .is_some_and(|serving| serving.desk.process == process)
        {
            return None;
        }
        let message = Message::Withdraw {
            task: task.clone(),
            revision,
        };
        let text = serde_json::to_string(&message).ok()?;
        Some((keys::release(process), text))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.leasing.abort();
    }
}

#[async_trait]
impl Peers for RedisStore {
    fn serve(&self, process: HolderId, host: Arc<dyn Host>) {
        let peering = &self.inner.peering;
        let desk = Arc::new_cyclic(|own| Desk {
            client: peering.client.clone(),
            process: process.process(),
            host,
            waiting: Mutex::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            until: Mutex::default(),
            own: own.clone(),
        });
        let subscriptions = peering.client.subscriptions(desk.clone());
        let channel = keys::release(desk.process);
        // Who asks says it there; a commit of any partition says it everywhere.
        subscriptions.want(&channel);
        subscriptions.want_everywhere(&channel);
        let leasing = tokio::spawn(keep_lease(Arc::clone(&desk)));
        let serving = Serving {
            desk,
            _subscriptions: subscriptions,
            leasing,
        };
        // A second call would be a second process under the name of the first; it ends with what it began.
        drop(peering.serving.set(serving));
    }

    async fn ask(&self, holder: HolderId, key: &TaskKey) -> Result<Answer, Error> {
        let Some(serving) = self.inner.peering.serving.get() else {
            return Ok(Answer::Idle);
        };
        serving.desk.ask(holder.process(), key).await
    }

    fn may_write(&self) -> bool {
        let serving = self.inner.peering.serving.get();
        serving.is_some_and(|serving| lock(&serving.desk.until).is_some_and(|until| Instant::now() < until))
    }

    async fn close(&self) {
        if let Some(serving) = self.inner.peering.serving.get() {
            serving.leasing.abort();
            *lock(&serving.desk.until) = None;
            let end: Call = cmd("DEL").arg(keys::holder(serving.desk.process)).take().into();
            if let Err(error) = self.inner.client.run(&end).await {
                tracing::debug!(%error, "the lease was not given back, it ends by itself");
            }
        }
    }
}

impl Desk {
    async fn ask(&self, process: ProcessId, key: &TaskKey) -> Result<Answer, Error> {
        let question = u64::from_ne_bytes(random_bytes());
        let (reply, mut answer) = oneshot::channel();
        lock(&self.waiting).insert(question, reply);
        let _asked = Asked { desk: self, question };
        let message = Message::Release {
            task: key.clone(),
            from: self.process,
            question,
        };
        let text = serde_json::to_string(&message).map_err(|source| Error::EncodeEntry { source })?;
        let begun = Instant::now();
        loop {
            let heard = self.client.publish(&keys::release(process), &text).await;
            let heard = heard.map_err(failed("ask another process"))?;
            let (deadline, until) = if heard > 0 {
                (begun + PATIENCE, begun + PATIENCE)
            } else {
                let exists: Call = cmd("EXISTS").arg(keys::holder(process)).take().into();
                let lives = self.client.run(&exists).await;
                if !read::<bool>(lives.map_err(failed("ask another process"))?)? {
                    return Ok(Answer::Gone);
                }
                (begun + UNHEARD, Instant::now() + ASK_AGAIN)
            };
            match tokio::time::timeout_at(until, &mut answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) => return Ok(Answer::Silent),
                Err(_) if Instant::now() >= deadline => return Ok(Answer::Silent),
                Err(_) => {}
            }
        }
    }

    /// Answers another's question, beside the connection's task.
    fn answer(&self, task: TaskKey, from: ProcessId, question: u64) {
        let (Some(desk), Ok(permit)) = (self.own.upgrade(), Arc::clone(&self.questions).try_acquire_owned()) else {
            tracing::warn!("a question of another process is not answered: too many at once");
            return;
        };
        tokio::spawn(async move {
            let _permit = permit;
            let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            let told = match desk.host.release(&task).await {
                Answer::Idle => Told::Idle,
                Answer::Released { takeovers } => Told::Released {
                    takeovers_millis: takeovers.into_iter().map(millis).collect(),
                },
                Answer::Kept { retry_after } => Told::Kept {
                    retry_after_millis: millis(retry_after),
                },
                // It is overruled soon.
                Answer::Gone | Answer::Silent => return,
            };
            if let Ok(text) = serde_json::to_string(&Message::Answer { question, told })
                && let Err(error) = desk.client.publish(&keys::release(from), &text).await
            {
                tracing::debug!(%error, "another process was not answered");
            }
        });
    }
}

impl Receiver for Desk {
    fn message(&self, _: &str, payload: &[u8]) {
        match serde_json::from_slice(payload) {
            Ok(Message::Release { task, from, question }) => self.answer(task, from, question),
            Ok(Message::Withdraw { task, revision }) => self.host.withdraw(&task, revision),
            Ok(Message::Answer { question, told }) => {
                if let Some(reply) = lock(&self.waiting).remove(&question) {
                    // Who asked may have gone away.
                    let _ = reply.send(told.into());
                }
            }
            Err(error) => tracing::warn!(%error, "a message of another process was not understood"),
        }
    }

    /// Who asked meanwhile asks again.
    fn stands(&self) {}
}

impl From<Told> for Answer {
    fn from(told: Told) -> Self {
        match told {
            Told::Idle => Self::Idle,
            Told::Released { takeovers_millis } => Self::Released {
                takeovers: takeovers_millis.into_iter().map(Duration::from_millis).collect(),
            },
            Told::Kept { retry_after_millis } => Self::Kept {
                retry_after: Duration::from_millis(retry_after_millis),
            },
        }
    }
}

/// A question that waits for its answer, until it is dropped.
struct Asked<'a> {
    desk: &'a Desk,
    question: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        lock(&self.desk.waiting).remove(&self.question);
    }
}

async fn keep_lease(desk: Arc<Desk>) {
    let name = keys::holder(desk.process);
    loop {
        let until = Instant::now() + LEASE - MARGIN;
        let mut renew = cmd("SET");
        renew.arg(&name).arg("").arg("PX").arg(LEASE.as_millis() as u64);
        match desk.client.run(&renew.into()).await {
            Ok(_) => {
                *lock(&desk.until) = Some(until);
                tokio::time::sleep(RENEW_EVERY).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the lease of this process was not renewed");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
