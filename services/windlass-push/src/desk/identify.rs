//! Who a connection is.

use std::sync::Arc;

use http::HeaderMap;
use windlass_serve::auth::{TokenError, Verified};
use windlass_task::UnixMillis;

use super::Desk;
use crate::client::Identity;
use crate::clients::User;
use crate::codes::{Denial, Disconnect};
use crate::config::Settings;
use crate::grant::{self, SubscriptionToken};
use crate::limits::Ticket;
use crate::proxy::{About, Answer, Ask, DEFAULT, Kind, Question};
use crate::session::{Credentials, Unknown};

/// What the request showed that opened a connection.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Who it is, if there was a token or nobody needs one.
    pub(super) verified: Option<Verified>,
    /// Headers that some backend wants to see.
    pub(super) headers: Option<Box<HeaderMap>>,
    /// Its place among those that are let in.
    _ticket: Option<Ticket>,
}

impl Shown {
    /// What the request with these headers shows; `verified` is what the guard before it has found.
    pub(crate) fn new(verified: Option<Verified>, headers: &HeaderMap, ticket: Ticket, settings: &Settings) -> Self {
        Self {
            _ticket: Some(ticket),
            verified,
            headers: settings.proxies.wanted_headers(headers),
        }
    }
}

/// What is known of the client since it has said who it is.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) user: User,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) since: UnixMillis,
    /// Headers that it names itself and some backend wants to see.
    pub(super) emulated: Option<Box<HeaderMap>>,
}

impl Desk {
    /// Finds out who it is, and lists it among its user's connections.
    pub(super) async fn identify(self: &Arc<Self>, credentials: Credentials) -> Result<Identity, Unknown> {
        let emulated = self.push.settings().proxies.wanted_emulated(credentials.headers.iter());
        let identity = if self.is_asked_for(&credentials) {
            Box::pin(self.ask_who(&credentials, emulated.as_deref())).await?
        } else {
            self.authenticate(&credentials.token).await?
        };
        let name = if identity.anonymous {
            String::new()
        } else {
            identity.principal.owner.to_string()
        };
        let user = User {
            tenant: identity.principal.tenant.clone(),
            name,
        };
        if self.known.get().is_some() {
            // A refresh. One by another user is refused by the session; the connection stays with the first.
            return Ok(identity);
        }
        let most = self.push.settings().limits.connections_per_user;
        if !self.push.clients().add(&user, self.client, self, most) {
            return Err(Denial::Disconnected(Disconnect::ConnectionLimit).into());
        }
        let known = self.known.get_or_init(|| {
            Box::new(Known {
                user,
                name: credentials.name,
                version: credentials.version,
                since: UnixMillis::now(),
                emulated,
            })
        });
        let (broker, user) = (self.push.broker(), &known.user);
        if !user.name.is_empty() && broker.add_user(&user.tenant, &user.name, self.client).await.is_err() {
            tracing::debug!("a user's connection will be known to other nodes when the broker is back");
        }
        Ok(identity)
    }

    /// Whether a backend says who this is: a client of the Centrifuge protocol that shows nothing.
    fn is_asked_for(&self, credentials: &Credentials) -> bool {
        // Where nobody logs in, everybody has shown that it is somebody of this machine, which says nothing.
        let has_shown = self.shown.verified.is_some() && self.push.authenticator().demands_token();
        let shows_nothing = credentials.token.is_empty() && !has_shown;
        self.transport.speaks_centrifuge() && shows_nothing && self.push.settings().proxies.has(Kind::Connect)
    }

    async fn ask_who(&self, credentials: &Credentials, emulated: Option<&HeaderMap>) -> Result<Identity, Unknown> {
        let ask = Ask {
            about: About::Command,
            proxy: DEFAULT.to_owned(),
            user: String::new(),
            meta: Default::default(),
            question: Question::Connect {
                name: credentials.name.clone(),
                version: credentials.version.clone(),
                data: credentials.data.clone(),
            },
        };
        match self.ask_with(&ask, emulated).await? {
            Answer::Connect(identity) => Ok(*identity),
            Answer::Prolong(_) | Answer::Subscribe(_) | Answer::Publish(_) | Answer::Rpc(_) => {
                unreachable!("an answer is of its question's kind")
            }
        }
    }

    async fn authenticate(&self, token: &str) -> Result<Identity, TokenError> {
        let authenticator = self.push.authenticator();
        let now = UnixMillis::now();
        let good_for = |expires: Option<UnixMillis>| expires.map(|expires| expires.since(now));
        match &self.shown.verified {
            Some(shown) if token.is_empty() => Ok(Identity::known(shown.principal.clone(), good_for(shown.expires))),
            None if token.is_empty() && authenticator.demands_token() => {
                if self.push.settings().anonymous {
                    Ok(Identity::anonymous())
                } else {
                    Err(TokenError::Missing)
                }
            }
            Some(_) | None => {
                let (verified, claims) = authenticator.verify_with_claims(token).await?;
                let (welcome, expires) = grant::read_connection_token(claims, verified.expires, now)
                    .map_err(|_| TokenError::Invalid("a claim of the connection has not the documented shape"))?;
                Ok(Identity {
                    welcome,
                    ..Identity::known(verified.principal, good_for(expires))
                })
            }
        }
    }

    pub(super) async fn read_grant(&self, token: &str) -> Result<Option<Box<SubscriptionToken>>, TokenError> {
        let Some(claims) = self.push.authenticator().claims(token).await? else {
            return Ok(None);
        };
        grant::read_subscription_token(claims, UnixMillis::now())
            .map(|token| Some(Box::new(token)))
            .map_err(|_| TokenError::Invalid("a claim of the subscription has not the documented shape"))
    }
}
