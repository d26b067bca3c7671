//! Writes that count when enough replicas have them: those of one tick go out as one pipeline closed by one `WAIT`.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::keeper::{Keeper, Making};
use crate::script::Call;
use crate::session::{ANSWER_WITHIN, Prepare};

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

#[derive(Debug)]
pub(crate) struct Strict {
    jobs: mpsc::Sender<Job>,
    working: JoinHandle<()>,
}

impl Strict {
    pub(crate) fn start(client: redis::Client, prepare: Option<Arc<dyn Prepare>>, replicas: u32) -> Self {
        let keeper = Keeper::start(Making {
            client,
            answer_within: ANSWER_WITHIN + CONFIRM_WITHIN,
            prepare,
            receiver: None,
            purpose: "strict writes",
        });
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        let working = tokio::spawn(work(keeper, queue, replicas));
        Self { jobs, working }
    }

    pub(crate) async fn write(&self, call: Call) -> Result<Value, Error> {
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

async fn work(keeper: Keeper, mut queue: mpsc::Receiver<Job>, replicas: u32) {
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

async fn write(keeper: &Keeper, mut calls: Vec<Call>, wanted: u32) -> Result<Vec<Result<Value, Error>>, Error> {
    let session = keeper.session().await?;
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
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = Err(Error::Confirm { confirmed, wanted });
        }
    }
    Ok(answers)
}
