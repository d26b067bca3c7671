//! Who is there: `connect` and `refresh`.

use std::time::{Duration, Instant};

use windlass_serve::auth::TokenError;
use windlass_task::Principal;

use super::{Awaiting, Engine, State};
use crate::centrifuge::command::{ConnectRequest, RefreshRequest};
use crate::centrifuge::reply::{ConnectResult, Outcome, RefreshResult};
use crate::client::{ClientInfo, Identity};
use crate::codes::{Disconnect, ErrorCode};
use crate::heartbeat::Heartbeat;
use crate::session::Effect;

/// The version that clients are told.
const VERSION: &str = concat!("windlass ", env!("CARGO_PKG_VERSION"));

/// A connection that has said who it is.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) principal: Principal,
    pub(super) heartbeat: Heartbeat,
    /// When it ends unless it is refreshed.
    pub(super) ends: Option<Instant>,
}

impl Engine {
    pub(super) fn connect(&mut self, id: u32, request: ConnectRequest) {
        self.awaiting = Some(Awaiting::Connect { id });
        self.effect(Effect::Authenticate { token: request.token });
    }

    pub(super) fn connected(&mut self, id: u32, result: Result<Identity, TokenError>, now: Instant) {
        let State::Opened { stale_at } = self.state else { return };
        match result {
            Ok(identity) => {
                self.state = State::Connected(Box::new(Connected {
                    principal: identity.principal,
                    heartbeat: Heartbeat::start(self.settings.rhythm, now, self.jitter),
                    ends: self.end_of(identity.expires_in, now),
                }));
                self.done(
                    id,
                    Outcome::Connect(ConnectResult {
                        client: self.peer.client.to_string(),
                        version: VERSION.to_owned(),
                        expires: identity.expires_in.is_some(),
                        ttl: seconds(identity.expires_in),
                        ping: seconds(Some(self.settings.rhythm.announced)),
                        pong: true,
                        session: self
                            .peer
                            .route
                            .map_or_else(String::new, |route| route.session.to_string()),
                        node: self.peer.route.map_or_else(String::new, |route| route.node.to_string()),
                        ..ConnectResult::default()
                    }),
                );
            }
            // The library asks the application for a new token and comes back on another connection.
            Err(TokenError::Expired) => {
                self.state = State::Refused { stale_at };
                self.refuse(id, ErrorCode::TokenExpired);
            }
            Err(TokenError::Missing | TokenError::Invalid(_)) => self.close(Disconnect::InvalidToken),
            // Nothing is wrong with the token as far as anybody knows: the library comes back with it.
            Err(TokenError::Unverifiable) => self.close(Disconnect::ServerError),
        }
    }

    pub(super) fn refresh(&mut self, id: u32, request: RefreshRequest) {
        if request.token.is_empty() {
            self.close(Disconnect::BadRequest);
        } else if matches!(&self.state, State::Connected(connected) if connected.ends.is_none()) {
            self.refuse(id, ErrorCode::NotAvailable);
        } else {
            self.awaiting = Some(Awaiting::Refresh { id });
            self.effect(Effect::Authenticate { token: request.token });
        }
    }

    pub(super) fn refreshed(&mut self, id: u32, result: Result<Identity, TokenError>, now: Instant) {
        let identity = match result {
            Ok(identity) => identity,
            Err(TokenError::Expired) => return self.refuse(id, ErrorCode::TokenExpired),
            Err(TokenError::Missing | TokenError::Invalid(_)) => return self.close(Disconnect::InvalidToken),
            Err(TokenError::Unverifiable) => return self.close(Disconnect::ServerError),
        };
        let ends = self.end_of(identity.expires_in, now);
        let State::Connected(connected) = &mut self.state else {
            return;
        };
        let (before, after) = (&connected.principal, &identity.principal);
        if (&before.tenant, &before.owner) != (&after.tenant, &after.owner) {
            // Another user's token: its subscriptions were given to somebody else.
            return self.close(Disconnect::InvalidToken);
        }
        connected.principal = identity.principal;
        connected.ends = ends;
        self.done(
            id,
            Outcome::Refresh(RefreshResult {
                client: self.peer.client.to_string(),
                version: VERSION.to_owned(),
                expires: identity.expires_in.is_some(),
                ttl: seconds(identity.expires_in),
            }),
        );
    }

    /// The principal; only a connected engine takes commands that need one.
    pub(super) fn principal(&self) -> Option<&Principal> {
        match &self.state {
            State::Connected(connected) => Some(&connected.principal),
            State::Opened { .. } | State::Refused { .. } | State::Closed => None,
        }
    }

    pub(super) fn info(&self) -> ClientInfo {
        let user = self
            .principal()
            .map_or_else(String::new, |principal| principal.owner.to_string());
        ClientInfo {
            user,
            client: self.peer.client.to_string(),
            ..ClientInfo::default()
        }
    }

    fn end_of(&self, expires_in: Option<Duration>, now: Instant) -> Option<Instant> {
        // A token may be good for longer than an Instant can say; then it ends with the process.
        expires_in.and_then(|expires_in| now.checked_add(expires_in.saturating_add(self.settings.expiry_grace)))
    }
}

/// Whole seconds for the wire, never 0 for something that is there: 0 is left out.
fn seconds(duration: Option<Duration>) -> u32 {
    duration.map_or(0, |duration| {
        u32::try_from(duration.as_millis().div_ceil(1_000))
            .unwrap_or(u32::MAX)
            .max(1)
    })
}
