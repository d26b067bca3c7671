//! The operator: a loop around `step`, with a standing that is kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use windlass_election::{
    DeciderAction, Durability, Observed, Order, Ordinal, Phase, Reply, Report, Roster, Standing, State, Step, Term,
    Timing, step,
};
use windlass_redis_agent::peers::Peers;
use windlass_redis_wire::Answer;

use crate::api::Api;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After so long without a look, the lease is seen for the first time.
const SIGHT: Duration = Duration::from_secs(1);

/// What is wanted of it, and what has come of that.
#[derive(Debug)]
struct Shown {
    standing: Standing,
    wanted: Option<Ordinal>,
}

pub(crate) struct Operator {
    shown: Arc<Mutex<Shown>>,
    work: JoinHandle<()>,
}

impl Operator {
    pub(crate) fn start(api: Arc<Api>, peers: Peers, roster: Roster, timing: Timing, durability: Durability) -> Self {
        // 0 is the term before the first.
        let first = Standing {
            term: Term::new(1),
            ..Standing::default()
        };
        let shown = Arc::new(Mutex::new(Shown {
            standing: first,
            wanted: None,
        }));
        let work = tokio::spawn(run(Arc::clone(&shown), api, peers, roster, timing, durability));
        Self { shown, work }
    }

    /// Who presides, if anybody does.
    pub(crate) fn primary(&self) -> Option<Ordinal> {
        match self.shown.lock().unwrap().standing.phase {
            Phase::Presiding { primary, .. } => Some(primary),
            _ => None,
        }
    }

    /// Has it hand over to this one.
    pub(crate) fn want(&self, member: Ordinal) {
        self.shown.lock().unwrap().wanted = Some(member);
    }

    pub(crate) fn standing(&self) -> Standing {
        self.shown.lock().unwrap().standing
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn run(
    shown: Arc<Mutex<Shown>>,
    api: Arc<Api>,
    peers: Peers,
    roster: Roster,
    timing: Timing,
    durability: Durability,
) {
    let reports = Arc::new(Mutex::new(BTreeMap::<Ordinal, Report>::new()));
    let mut lease_seen: Option<(u64, Instant, Instant)> = None;
    let mut standing_since = (Standing::default(), Instant::now());
    let mut orders = JoinSet::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        while orders.try_join_next().is_some() {}
        let states = states(&peers, &roster).await;
        let Some((lease, version)) = api.read() else { continue };
        let now = Instant::now();
        let since = match lease_seen {
            Some((seen, since, last)) if seen == version && now - last <= SIGHT => since,
            _ => now,
        };
        lease_seen = Some((version, since, now));
        let (standing, wanted) = {
            let shown = shown.lock().unwrap();
            (shown.standing, shown.wanted)
        };
        if standing_since.0 != standing {
            standing_since = (standing, now);
        }
        reports.lock().unwrap().retain(|_, report| report.term == standing.term);
        let observed = Observed {
            roster: roster.clone(),
            durability,
            may_lose: None,
            wanted,
            lease,
            unchanged_for: now - since,
            standing_for: now - standing_since.1,
            states,
            reports: reports.lock().unwrap().clone(),
        };
        match step(&standing, &observed, &timing) {
            Step::Advance(next) => {
                let mut shown = shown.lock().unwrap();
                shown.standing = next;
                if let Phase::Presiding { primary, .. } = next.phase {
                    shown.wanted = shown.wanted.filter(|wanted| *wanted != primary);
                }
            }
            Step::Stay(_, actions) => {
                for action in actions {
                    match action {
                        DeciderAction::Write(lease) => drop(api.write(version, lease)),
                        DeciderAction::Send(to, order) => {
                            let (peers, reports) = (peers.clone(), Arc::clone(&reports));
                            orders.spawn(async move {
                                if let Ok(Answer::Report(report)) = peers.order(to, &order).await {
                                    reports.lock().unwrap().insert(to, report);
                                }
                            });
                        }
                    }
                }
            }
        }
    }
}

/// What members say now, those that say anything.
async fn states(peers: &Peers, roster: &Roster) -> BTreeMap<Ordinal, State> {
    let mut asked = JoinSet::new();
    for member in roster.iter() {
        let peers = peers.clone();
        asked.spawn(async move {
            match peers.order(member, &Order::Probe).await {
                Ok(Answer::Reply(Reply::State(state))) => Some((member, state)),
                _ => None,
            }
        });
    }
    asked.join_all().await.into_iter().flatten().collect()
}
