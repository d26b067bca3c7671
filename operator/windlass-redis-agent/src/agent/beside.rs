//! What runs beside the driver: the lease, other members, a handover. Each ends by itself, within a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use windlass_election::{Event, Order, Ordinal, Reply, Term};
use windlass_redis_wire::Answer;

use super::{Agent, Message};
use crate::lease::Claim;
use crate::redis::HandOver;

/// How often a lease is tried to be given up; then its length is waited for.
const RELEASES: u32 = 5;
/// The pause after the first try.
const RELEASE_PAUSE: Duration = Duration::from_millis(200);

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct State {
    is_renewing: bool,
    /// When a renewal may be tried after one that failed.
    renew_at: Option<Instant>,
    is_scouting: bool,
    releasing: Option<JoinHandle<()>>,
}

impl State {
    /// A renewal ended; after one that came to nothing there is a pause.
    pub(super) fn renewed(&mut self, is_answered: bool, pause: Duration) {
        self.is_renewing = false;
        self.renew_at = (!is_answered).then(|| Instant::now() + pause);
    }

    /// Whether somebody may be asked, who is asked then: one at a time.
    pub(super) fn scouts(&mut self) -> bool {
        !std::mem::replace(&mut self.is_scouting, true)
    }

    pub(super) fn scouted(&mut self) {
        self.is_scouting = false;
    }

    /// Waits until the lease is given up, if it is being.
    pub(super) async fn released(&mut self, within: Duration) {
        if let Some(releasing) = self.releasing.take() {
            let _ = timeout(within, releasing).await;
        }
    }
}

impl Agent {
    /// Renews the lease, unless that is under way.
    pub(super) fn renew(&mut self, term: Term) {
        let is_early = self.beside.renew_at.is_some_and(|at| Instant::now() < at);
        if self.beside.is_renewing || is_early {
            return;
        }
        self.beside.is_renewing = true;
        let (lease, me, within) = (Arc::clone(&self.lease), self.settings.me, self.pace.ask);
        let (post, metrics) = (self.post.clone(), self.metrics.clone());
        let asked = self.clock.now();
        tokio::spawn(async move {
            let is_own = match timeout(within, lease.claim(me, Claim::Renew(term))).await {
                Ok(Ok(is_own)) => Some(is_own),
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "lease not renewed");
                    None
                }
                Err(_) => {
                    tracing::warn!("lease not renewed in time");
                    None
                }
            };
            metrics.claimed("renew", outcome(is_own));
            let _ = post.send(Message::Renewed { term, asked, is_own }).await;
        });
    }

    /// Gives the lease up. Whoever does not come to that leaves it to stand still.
    pub(super) fn release(&mut self, term: Term) {
        let (lease, me, within) = (Arc::clone(&self.lease), self.settings.me, self.pace.ask);
        let metrics = self.metrics.clone();
        self.beside.releasing = Some(tokio::spawn(async move {
            for attempt in 0..RELEASES {
                let claimed = timeout(within, lease.claim(me, Claim::Release(term))).await;
                let is_own = claimed.ok().and_then(Result::ok);
                metrics.claimed("release", outcome(is_own));
                if is_own.is_some() {
                    return;
                }
                tokio::time::sleep(RELEASE_PAUSE * 2_u32.pow(attempt)).await;
            }
        }));
    }

    /// Gives the lease to the successor. What is not known to be done is not.
    pub(super) fn transfer(&self, held: Term, begins: Term, to: Ordinal) {
        let (lease, me, within) = (Arc::clone(&self.lease), self.settings.me, self.pace.ask);
        let (post, metrics) = (self.post.clone(), self.metrics.clone());
        tokio::spawn(async move {
            let claim = Claim::Transfer { held, begins, to };
            let is_own = timeout(within, lease.claim(me, claim)).await.ok().and_then(Result::ok);
            metrics.claimed("transfer", outcome(is_own));
            let done = is_own == Some(true);
            let _ = post
                .send(Message::Event(Event::Transferred { term: begins, done }))
                .await;
        });
    }

    /// Asks a member for a promise.
    pub(super) fn ask(&self, member: Ordinal, order: Order) {
        let (peers, post, metrics) = (self.peers.clone(), self.post.clone(), self.metrics.clone());
        let asked = self.clock.now();
        tokio::spawn(async move {
            match peers.order(member, &order).await {
                Ok(Answer::Reply(Reply::Promised { term })) => {
                    metrics.promised("given");
                    let by = member;
                    let _ = post.send(Message::Event(Event::Promised { term, by, asked })).await;
                }
                Ok(_) => metrics.promised("refused"),
                Err(_) => metrics.promised("unheard"),
            }
        });
    }

    /// Hands over to a member, whose process is named so that it alone keeps the generation.
    pub(super) fn hand_over(&self, term: Term, to: Ordinal) {
        let (peers, post, users) = (self.peers.clone(), self.post.clone(), Arc::clone(&self.settings));
        let (door, at, within) = (self.door(), self.settings.members.get(&to).cloned(), self.pace.handover);
        tokio::spawn(async move {
            let run = peers.sight(to).await.ok().and_then(|sight| sight.run);
            let done = match (door, at, run) {
                (Some(door), Some(at), Some(run)) => {
                    let handover = HandOver {
                        host: at.host,
                        port: at.redis_port,
                        run,
                        within,
                    };
                    handover.run(&door, &users.users).await.unwrap_or_else(|error| {
                        tracing::warn!(error = &error as &dyn std::error::Error, "handover broke off");
                        false
                    })
                }
                _ => false,
            };
            let _ = post.send(Message::HandedOver { term, to, done }).await;
        });
    }
}

fn outcome(is_own: Option<bool>) -> &'static str {
    match is_own {
        Some(true) => "done",
        Some(false) => "lost",
        None => "unheard",
    }
}
