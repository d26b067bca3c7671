//! The agents of one Redis: orders by HTTP, and what they answer.
//!
//! An agent is reached at its pod's address, under its own name, so that a certificate is asked of it that is its own. Who does
//! not answer in time is as good as away: that is never a failure of a pass, for it is what elections are about.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use windlass_election::{Order, Ordinal, Reply, State};
use windlass_redis_wire::names::AGENT_PORT;
use windlass_redis_wire::order::{BODY_MAX, DEADLINE, ORDERS};
use windlass_redis_wire::{Answer, Names};

use super::observe::{Access, Observed};
use super::render;

/// What an agent has to say how it is: less than an order, for it does nothing but read; and a pass waits for the slowest.
const PROBE: Duration = Duration::from_secs(1);

/// Why nobody can be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificates")]
pub struct Error(#[source] reqwest::Error);

/// The agents as they can be reached now. Clones are the same.
#[derive(Debug, Clone)]
pub struct Agents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    addresses: BTreeMap<Ordinal, IpAddr>,
    names: Names,
    http: reqwest::Client,
    answers: Mutex<Vec<(Ordinal, Answer)>>,
}

impl Agents {
    /// Those of the pods that were observed. `former` are kept where nothing has changed, with their connections.
    ///
    /// # Errors
    /// When the authority of their certificates is none.
    pub fn reach(former: Option<Self>, access: Access, observed: &Observed) -> Result<Self, Error> {
        let addresses: BTreeMap<_, _> = observed
            .pods
            .iter()
            .filter_map(|(member, pod)| Some((*member, pod.address?)))
            .collect();
        let same = |agents: &Self| agents.0.access == access && agents.0.addresses == addresses;
        if let Some(former) = former.filter(same) {
            return Ok(former);
        }
        let names = render::names(&observed.redis);
        let mut builder = reqwest::Client::builder()
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        for (member, address) in &addresses {
            builder = builder.resolve(&names.host(*member), SocketAddr::new(*address, AGENT_PORT));
        }
        if let Some(authority) = &access.authority {
            let roots = reqwest::Certificate::from_pem_bundle(authority).map_err(Error)?;
            builder = builder.tls_certs_only(roots);
        }
        Ok(Self(Arc::new(Inner {
            http: builder.build().map_err(Error)?,
            access,
            addresses,
            names,
            answers: Mutex::default(),
        })))
    }

    /// What is needed to speak to them.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// Asks all how they are, at once.
    pub async fn probe(&self) -> BTreeMap<Ordinal, State> {
        let probes = self.0.addresses.keys().map(|member| async move {
            let answer = tokio::time::timeout(PROBE, self.send(*member, &Order::Probe)).await;
            match answer {
                Ok(Some(Answer::Reply(Reply::State(state)))) => Some((*member, state)),
                Ok(Some(Answer::Reply(_) | Answer::Report(_)) | None) | Err(_) => None,
            }
        });
        join_all(probes).await.into_iter().flatten().collect()
    }

    /// Sends an order, and keeps what is answered for [`Agents::answers`].
    pub async fn order(&self, to: Ordinal, order: &Order) {
        if let Some(answer) = self.send(to, order).await {
            let mut answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.push((to, answer));
        }
    }

    /// What was answered since it was asked for last.
    #[must_use]
    pub fn answers(&self) -> Vec<(Ordinal, Answer)> {
        std::mem::take(&mut *self.0.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn send(&self, to: Ordinal, order: &Order) -> Option<Answer> {
        self.0.addresses.get(&to)?;
        match self.exchange(to, order).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(
                    member = to.number(),
                    error = &error as &dyn std::error::Error,
                    "no answer from an agent"
                );
                None
            }
        }
    }

    async fn exchange(&self, to: Ordinal, order: &Order) -> Result<Option<Answer>, reqwest::Error> {
        let Inner {
            access, names, http, ..
        } = &*self.0;
        let scheme = if access.authority.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}:{AGENT_PORT}{ORDERS}", names.host(to));
        let request = http.post(url).bearer_auth(&access.token).json(order);
        let mut response = request.send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > BODY_MAX {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body).ok())
    }
}
