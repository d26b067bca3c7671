//! The candidate of this process at a Lease of the API server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Election, Record, Step, Term, Times};

/// Whether this process leads, for everybody in it who writes. Clones are the same.
#[derive(Debug, Clone)]
pub struct Leadership(watch::Receiver<Option<Leads>>);

#[derive(Debug, Clone, Copy)]
struct Leads {
    term: Term,
    until: Instant,
}

impl Leadership {
    /// The term, if this process leads now.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        (*self.0.borrow())
            .filter(|leads| Instant::now() < leads.until)
            .map(|leads| leads.term)
    }

    /// Waits until this process leads; for ever, if it never does.
    pub async fn begun(&mut self) -> Term {
        loop {
            if let Some(term) = self.term() {
                return term;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<Infallible>().await;
            }
        }
    }

    /// One that always leads, for those who write without a lease: tests, and commands that a person gives.
    #[must_use]
    pub fn without_lease() -> Self {
        let until = Instant::now() + Duration::from_secs(30 * 365 * 86_400);
        Self(
            watch::channel(Some(Leads {
                term: Term::default(),
                until,
            }))
            .1,
        )
    }
}

/// This process led, and does not any more.
#[derive(Debug, thiserror::Error)]
#[error("the lease was lost in term {}", term.0)]
pub struct Lost {
    /// The term that ended.
    pub term: Term,
}

/// Stands for election until the future is dropped.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    times: Times,
    began: Instant,
    election: Election,
    /// When this process began to lead, for people.
    acquired: Option<MicroTime>,
    leads: Arc<watch::Sender<Option<Leads>>>,
}

impl Candidate {
    /// A candidate for the lease `name` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, times: Times) -> (Self, Leadership) {
        let (leads, leadership) = watch::channel(None);
        let candidate = Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            election: Election::new(identity.clone(), times),
            identity,
            times,
            acquired: None,
            began: Instant::now(),
            leads: Arc::new(leads),
        };
        (candidate, Leadership(leadership))
    }

    /// Looks at the lease, again and again.
    ///
    /// # Errors
    /// When this process led and does not any more: it must exit.
    pub async fn run(&mut self) -> Result<Infallible, Lost> {
        loop {
            // A look that takes longer than the lease may is no better than none.
            let looked = tokio::time::timeout(self.times.deadline, self.look()).await;
            match looked {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Err(self.lost()),
                Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "lease not reached"),
                Err(_) => tracing::warn!("lease not reached in time"),
            }
            if self.leads.borrow().is_some() && !self.election.leads(self.now()) {
                return Err(self.lost());
            }
            let until = self.election.leads_until().map(|until| self.began + until);
            let next = Instant::now() + self.times.retry;
            tokio::time::sleep_until(until.map_or(next, |until| next.min(until))).await;
        }
    }

    /// Gives the lease back, so that the next candidate need not wait.
    pub async fn resign(self) {
        self.leads.send_replace(None);
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = None;
            // Whoever is faster has it already; then there is nothing to give back.
            let _ = self.api.replace(&self.name, &PostParams::default(), &lease).await;
        }
    }

    /// Whether this process may go on.
    async fn look(&mut self) -> Result<bool, kube::Error> {
        let record = self.api.get_opt(&self.name).await?.map(record);
        let (version, term, begins) = match self.election.look(record.as_ref(), self.now()) {
            Step::Wait => return Ok(true),
            Step::Lost => return Ok(false),
            Step::Create(term) => (None, term, true),
            Step::Take(version, term) => (Some(version), term, true),
            Step::Renew(version, term) => (Some(version), term, false),
        };
        let sent = self.now();
        let lease = self.lease(version.clone(), term, begins);
        let written = match version {
            None => self.api.create(&PostParams::default(), &lease).await,
            Some(_) => self.api.replace(&self.name, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(_) => {
                self.election.written(term, sent);
                let until = self.began + sent + self.times.deadline;
                self.leads.send_replace(Some(Leads { term, until }));
                if begins {
                    tracing::info!(term = term.0, identity = self.identity, "leading");
                }
                Ok(true)
            }
            // Another was faster, or it was this process and the answer was lost: the next look tells.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn lease(&mut self, version: Option<String>, term: Term, begins: bool) -> Lease {
        // Times for people; nobody decides by them.
        let now = Some(MicroTime(Timestamp::now()));
        if begins {
            self.acquired.clone_from(&now);
        }
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: version,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                acquire_time: self.acquired.clone(),
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.times.duration.as_secs()).ok(),
                lease_transitions: Some(term.0),
                renew_time: now,
                ..LeaseSpec::default()
            }),
        }
    }

    fn lost(&self) -> Lost {
        let term = self.leads.borrow().map_or_else(Term::default, |leads| leads.term);
        self.leads.send_replace(None);
        Lost { term }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

fn record(lease: Lease) -> Record {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        version: lease.metadata.resource_version.unwrap_or_default(),
        holder: spec.holder_identity,
        term: Term(spec.lease_transitions.unwrap_or_default()),
        duration: Duration::from_secs(seconds.unwrap_or_default()),
    }
}
