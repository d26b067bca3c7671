//! What the member says, done: one action after the other, none before the one before it is.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use windlass_election::{Action, Event, Refusal, Reply, Report};
use windlass_redis_wire::Answer;

use super::{Agent, Aim, Error};
use crate::redis;

/// How often a primary that is written to counts in its mark.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// The mark's last count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    at: Instant,
    changes: u64,
}

/// Redis cannot be made what it is to be: it must not be anything.
struct Disobeyed(redis::Error);

impl Agent {
    /// Tells the member of an event, and does what it says. A Redis that does not obey is ended, which is the next event; what
    /// else the member said is left then, for it was about a Redis that is gone.
    pub(super) async fn tell(&mut self, event: Event, answer: Option<oneshot::Sender<Answer>>) -> Result<(), Error> {
        let mut next = Some((event, answer));
        while let Some((event, mut answer)) = next.take() {
            let actions = self.member.handle(event, self.clock.now());
            // Guarded from before it opens until after it is closed.
            self.guard_if_open();
            for action in actions {
                if let Err(Disobeyed(error)) = self.perform(action, &mut answer).await? {
                    tracing::error!(error = &error as &dyn std::error::Error, "redis does not obey");
                    let run = self.down("disobedient").await?;
                    next = Some((Event::Started { run }, None));
                    break;
                }
            }
        }
        if !self.member.is_open() {
            self.guard.allow(None);
        }
        Ok(())
    }

    fn guard_if_open(&self) {
        if let Some(until) = self.member.open_until() {
            let spare = self.timing.lease.saturating_sub(self.timing.tenure);
            self.guard.allow(Some(until + spare / 2));
        }
    }

    async fn perform(
        &mut self,
        action: Action,
        answer: &mut Option<oneshot::Sender<Answer>>,
    ) -> Result<Result<(), Disobeyed>, Error> {
        match action {
            Action::Persist(durable) => {
                let volume = self.volume.clone();
                let written = tokio::task::spawn_blocking(move || volume.write(&durable)).await;
                // It is not cancelled, and does not panic.
                written.expect("a file is written").map_err(Error::Keep)?;
                tracing::info!(
                    term = self.member.durable().term.number(),
                    role = ?self.member.durable().role,
                    "member"
                );
            }
            Action::Fence => {
                self.metrics.fenced();
                return Ok(self.be_alone(Aim::Alone).await);
            }
            // Until it is known whether the other is worth it, it follows nobody: least of all the one before.
            Action::Follow(primary) => return Ok(self.be_alone(Aim::follow(primary)).await),
            Action::Report(term) => {
                let intact = self.member.is_in_step();
                let position = self.observe().await.and_then(|info| self.position(&info));
                if let (Some(position), Some(answer)) = (position, answer.take()) {
                    self.metrics.ordered("reported");
                    let report = Report { term, position, intact };
                    let _ = answer.send(Answer::Report(report));
                }
            }
            Action::Promote(term, generation) => {
                self.aim = Aim::Primary;
                let Some(redis) = self.connected().await else {
                    return Ok(Err(Disobeyed(redis::Error::Await(self.pace.command))));
                };
                let promoted = redis.promote(term, generation, &self.settings.users).await;
                return Ok(promoted.map_err(Disobeyed));
            }
            Action::Open => return Ok(self.open().await),
            Action::Mark(term) => {
                self.aim = Aim::Primary;
                let Some(redis) = self.connected().await else {
                    return Ok(Err(Disobeyed(redis::Error::Await(self.pace.command))));
                };
                if let Err(error) = redis.mark(term).await {
                    return Ok(Err(Disobeyed(error)));
                }
                return Ok(self.open().await);
            }
            Action::Renew(term) => self.renew(term),
            Action::Release(term) => self.release(term),
            Action::Transfer { held, begins, to } => self.transfer(held, begins, to),
            Action::HandOver(term, to) => self.hand_over(term, to),
            Action::Ask(member, order) => self.ask(member, order),
            Action::Reply(reply) => {
                self.metrics.ordered(outcome(reply));
                if let Some(answer) = answer.take() {
                    let _ = answer.send(Answer::Reply(reply));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Nobody's, and then on the way to what it is to be. One that was just started is nobody's by itself.
    async fn be_alone(&mut self, aim: Aim) -> Result<(), Disobeyed> {
        self.aim = aim;
        if !self.child.serves() {
            return Ok(());
        }
        match self.connected().await {
            Some(redis) => redis.fence(&self.settings.users).await.map_err(Disobeyed),
            None => Err(Disobeyed(redis::Error::Await(self.pace.command))),
        }
    }

    /// Lets clients in, unless the right to has ended since it was given: the disk may have taken long.
    async fn open(&mut self) -> Result<(), Disobeyed> {
        if self.member.open_until().is_none_or(|until| until <= self.clock.now()) {
            return Ok(());
        }
        self.beat = None;
        match self.connected().await {
            Some(redis) => redis.open(&self.settings.users).await.map_err(Disobeyed),
            None => Err(Disobeyed(redis::Error::Await(self.pace.command))),
        }
    }

    /// Counts in the mark, if anything was written since it last did.
    pub(super) async fn beat(&mut self) {
        let Some(changes) = self.info.as_ref().map(|info| info.changes) else {
            return;
        };
        let is_due = self
            .beat
            .is_none_or(|last| last.at.elapsed() >= BEAT_EVERY && last.changes != changes);
        if !self.member.is_open() || !is_due {
            return;
        }
        if let Some(redis) = &self.redis
            && redis.beat().await.is_ok()
        {
            // Its own change counts too.
            let changes = changes + 1;
            self.beat = Some(Beat {
                at: Instant::now(),
                changes,
            });
        }
    }
}

fn outcome(reply: Reply) -> &'static str {
    match reply {
        Reply::State(_) => "state",
        Reply::Promised { .. } => "promised",
        Reply::Accepted => "accepted",
        Reply::Refused(Refusal::Stale { .. }) => "stale",
        Reply::Refused(Refusal::Promised { .. }) => "bound",
        Reply::Refused(Refusal::Unfit { .. }) => "unfit",
    }
}
