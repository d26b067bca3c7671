//! Writes that count when enough replicas have them: those of one tick go out as one pipeline closed by one `WAIT`.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::keeper::{Keeper, Making};
use crate::script::Call;
use crate::session::{ANSWER_WITHIN, Session};

/// How many writes may wait for the pipeline; beyond it, callers wait for a place.
const QUEUE_LENGTH: usize = 1_024;
/// The most writes that share one pipeline: what a server does within some milliseconds.
const BATCH: usize = 256;
/// How long replicas are waited for. `WAIT` holds up its connection, which is why it has one of its own; a replica that
/// needs longer than this is not in step.
const CONFIRM_WITHIN: Duration = Duration::from_secs(1);

struct Job {
    call: Call,
    reply: oneshot::Sender<Result<Value, Error>>,
}

/// How long a reply may take on such a connection.
pub(crate) const STRICT_ANSWER_WITHIN: Duration = ANSWER_WITHIN.saturating_add(CONFIRM_WITHIN);

#[derive(Debug)]
pub(crate) struct Strict {
    keeper: Arc<Keeper>,
    jobs: mpsc::Sender<Job>,
    working: JoinHandle<()>,
}

impl Strict {
    /// Writes that count when this many replicas have them; their connection is made so.
    pub(crate) fn start(making: Making, replicas: u32) -> Self {
        let keeper = Arc::new(Keeper::start(making));
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        let working = tokio::spawn(work(Arc::clone(&keeper), queue, replicas));
        Self { keeper, jobs, working }
    }

    /// The connection, if there is one now.
    pub(crate) fn present(&self) -> Option<Session> {
        self.keeper.present()
    }

    pub(crate) async fn write(&self, call: Call) -> Result<Value, Error> {
        if let Some(slot) = call.slot().filter(|_| !call.is_asking()) {
            self.keeper.session_for(slot).await?;
        }
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(Job { call, reply }).await;
        sent.map_err(|_| Error::Reach)?;
        // The worker answers every job; it ends only with the client.
        answer.await.unwrap_or(Err(Error::Reach))
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.working.abort();
    }
}

async fn work(keeper: Arc<Keeper>, mut queue: mpsc::Receiver<Job>, replicas: u32) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let (calls, replies): (Vec<_>, Vec<_>) = jobs.drain(..).map(|job| (job.call, job.reply)).unzip();
        let answers = write(&keeper, calls, replicas).await;
        match answers {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // A caller that has gone away no longer wants its answer.
                    let _ = reply.send(answer);
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

async fn write(keeper: &Keeper, calls: Vec<Call>, wanted: u32) -> Result<Vec<Result<Value, Error>>, Error> {
    let session = keeper.session().await?;
    // Slots may have gone since the calls came.
    let is_served = |call: &Call| call.is_asking() || call.slot().is_none_or(|slot| session.has(slot));
    let served: Vec<bool> = calls.iter().map(is_served).collect();
    let calls: Vec<Call> = calls.into_iter().filter(is_served).collect();
    let mut answers = write_served(&session, calls, wanted).await?.into_iter();
    let answer = |is_served: bool| {
        if is_served {
            answers.next().unwrap_or(Err(Error::Read))
        } else {
            Err(Error::Reach)
        }
    };
    Ok(served.into_iter().map(answer).collect())
}

async fn write_served(
    session: &Session,
    mut calls: Vec<Call>,
    wanted: u32,
) -> Result<Vec<Result<Value, Error>>, Error> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let mut wait = redis::cmd("WAIT");
    wait.arg(wanted).arg(CONFIRM_WITHIN.as_millis() as u64);
    calls.push(wait.into());
    let mut answers = session.run_all(&calls).await?;
    let confirmed = match answers.pop() {
        Some(Ok(Value::Int(confirmed))) => u32::try_from(confirmed).unwrap_or(0),
        Some(Err(error)) => return Err(error),
        Some(Ok(_)) | None => return Err(Error::Read),
    };
    if confirmed < wanted {
        session
            .metrics()
            .unconfirmed(answers.iter().filter(|answer| answer.is_ok()).count());
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = Err(Error::Confirm { confirmed, wanted });
        }
    }
    Ok(answers)
}
