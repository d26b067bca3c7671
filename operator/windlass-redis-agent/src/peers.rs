//! The other members' agents, by HTTP.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, StatusCode};
use windlass_election::{Order, Ordinal};
use windlass_redis_wire::order::{BODY_MAX, ORDERS, SIGHT};
use windlass_redis_wire::{Answer, Sight};

use crate::settings::Settings;

/// They are not heard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority's file cannot be used.
    #[error("cannot trust {path}")]
    Trust {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There can be no client.
    #[error("cannot make a client of http")]
    Make(#[source] reqwest::Error),
    /// There is no such member.
    #[error("{0} is no member")]
    Know(Ordinal),
    /// It did not answer, or in a way that is not known.
    #[error("member {member} did not answer")]
    Hear {
        /// Which.
        member: Ordinal,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It answered that it cannot.
    #[error("member {member} answered {status}")]
    Refuse {
        /// Which.
        member: Ordinal,
        /// Its status.
        status: StatusCode,
    },
    /// Its answer is longer than any, or none.
    #[error("member {0} answered with something else")]
    Read(Ordinal),
}

/// A client of all members. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Peers {
    client: Client,
    settings: Arc<Settings>,
}

impl Peers {
    /// A client that waits so long for an answer.
    ///
    /// # Errors
    /// The authority cannot be read.
    pub fn new(settings: Arc<Settings>, within: Duration) -> Result<Self, Error> {
        let mut builder = Client::builder().timeout(within).connect_timeout(within).no_proxy();
        if let Some(certificates) = &settings.certificates {
            let path = &certificates.authority;
            let trust = |source| Error::Trust {
                path: path.clone(),
                source,
            };
            let text = std::fs::read(path).map_err(|error| trust(error.into()))?;
            let authorities = Certificate::from_pem_bundle(&text).map_err(|error| trust(error.into()))?;
            builder = builder.tls_certs_only(authorities).https_only(true);
        }
        let client = builder.build().map_err(Error::Make)?;
        Ok(Self { client, settings })
    }

    /// Sends an order.
    ///
    /// # Errors
    /// It may have been heard.
    pub async fn order(&self, member: Ordinal, order: &Order) -> Result<Answer, Error> {
        let request = self.client.post(self.url(member, ORDERS)?).json(order);
        read(member, self.send(member, request).await?).await
    }

    /// Asks how a member looks.
    ///
    /// # Errors
    /// It does not say.
    pub async fn sight(&self, member: Ordinal) -> Result<Sight, Error> {
        let request = self.client.get(self.url(member, SIGHT)?);
        read(member, self.send(member, request).await?).await
    }

    fn url(&self, member: Ordinal, path: &str) -> Result<String, Error> {
        let at = self.settings.members.get(&member).ok_or(Error::Know(member))?;
        let scheme = match self.settings.certificates {
            None => "http",
            Some(_) => "https",
        };
        // An IPv6 address stands in brackets.
        let host = match at.host.contains(':') {
            true => format!("[{}]", at.host),
            false => at.host.clone(),
        };
        Ok(format!("{scheme}://{host}:{}{path}", at.agent_port))
    }

    async fn send(&self, member: Ordinal, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let sent = request.bearer_auth(self.settings.token.expose()).send().await;
        let response = sent.map_err(|source| Error::Hear { member, source })?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(Error::Refuse { member, status }),
        }
    }
}

async fn read<T: serde::de::DeserializeOwned>(member: Ordinal, mut response: reqwest::Response) -> Result<T, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|source| Error::Hear { member, source })?
    {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_MAX {
            return Err(Error::Read(member));
        }
    }
    serde_json::from_slice(&body).map_err(|_| Error::Read(member))
}
