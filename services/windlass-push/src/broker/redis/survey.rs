//! Questions that all nodes are asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use windlass_redis::Client;

use super::nodes::Nodes;
use super::streams::unreachable;
use super::{ear, keys};
use crate::broker::memory::lock;
use crate::broker::{Error, NodeId, Receiver};

/// How long answers are waited for: a busy node lists ten thousand channels within some ten milliseconds. One that died is
/// waited for until its lease has ended.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How many answers may wait to be taken: more nodes than a deployment has. Beyond it one is lost, as of a node that is late.
const ANSWERS_MAX: usize = 1_024;
/// How many questions are answered at once: each may list a megabyte. Beyond it a question is not answered.
const QUESTIONS_MAX: usize = 16;

/// The questions of this node that wait for answers, and those of others that it is answering.
#[derive(Debug)]
pub(super) struct Survey {
    client: Client,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, mpsc::Sender<Bytes>>>,
    answering: Arc<Semaphore>,
}

/// A question's place among those that wait; dropping it takes the question back.
struct Asking<'a> {
    survey: &'a Survey,
    number: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(&self.survey.waiting).remove(&self.number);
    }
}

impl Survey {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            answering: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }

    /// Asks all other nodes.
    pub(super) async fn ask(&self, nodes: &Nodes, question: &[u8]) -> Result<Vec<Bytes>, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, mut answers) = mpsc::channel(ANSWERS_MAX);
        lock(&self.waiting).insert(number, sender);
        let _asking = Asking { survey: self, number };
        let others = nodes
            .living()
            .await?
            .nodes()
            .filter(|node| *node != nodes.node())
            .count();
        let message = ear::question(&format!("{} {number} ", nodes.node()), question);
        let asked = self.client.publish(keys::EVERYBODY, message).await;
        asked.map_err(|error| unreachable(&error))?;
        let mut all = Vec::with_capacity(others);
        let collecting = async {
            while all.len() < others
                && let Some(answer) = answers.recv().await
            {
                all.push(answer);
            }
        };
        // Who is late gives none.
        let _ = tokio::time::timeout(ANSWER_WITHIN, collecting).await;
        Ok(all)
    }

    /// Another node asks.
    pub(super) fn asked(&self, own: NodeId, receiver: &Arc<dyn Receiver>, message: &[u8]) {
        let Some((asker, number, question)) = split(message) else {
            return;
        };
        let Ok(asker) = asker.parse::<NodeId>() else { return };
        if asker == own {
            return;
        }
        let Ok(permit) = Arc::clone(&self.answering).try_acquire_owned() else {
            tracing::debug!("too many questions at once, one is not answered");
            return;
        };
        let (receiver, client) = (Arc::clone(receiver), self.client.clone());
        let (head, question) = (format!("{number} "), Bytes::copy_from_slice(question));
        tokio::spawn(async move {
            let message = ear::answer(&head, &receiver.answer(question));
            if let Err(error) = client.publish(&keys::node(asker), message).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a question was not answered");
            }
            drop(permit);
        });
    }

    /// Another node answers.
    pub(super) fn answered(&self, message: &[u8]) {
        let Some(end) = message.iter().position(|byte| *byte == b' ') else {
            return;
        };
        let number = std::str::from_utf8(&message[..end])
            .ok()
            .and_then(|number| number.parse().ok());
        let Some(number) = number else { return };
        if let Some(waiting) = lock(&self.waiting).get(&number) {
            // Nobody waits for more than there is room for.
            let _ = waiting.try_send(Bytes::copy_from_slice(&message[end + 1..]));
        }
    }
}

/// Who asks, the question's number, and the question.
fn split(message: &[u8]) -> Option<(&str, u64, &[u8])> {
    let mut parts = message.splitn(3, |byte| *byte == b' ');
    let asker = std::str::from_utf8(parts.next()?).ok()?;
    let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    Some((asker, number, parts.next()?))
}
