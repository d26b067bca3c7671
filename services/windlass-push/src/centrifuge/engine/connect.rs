//! Who is there and until when: `connect`, `refresh` and `sub_refresh`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use windlass_serve::auth::TokenError;
use windlass_task::{Principal, Right};

use super::subscriptions::Progress;
use super::{Awaiting, Engine, State, expiry};
use crate::centrifuge::command::{ConnectRequest, RefreshRequest, SubRefreshRequest, SubscribeRequest};
use crate::centrifuge::recovery::Known;
use crate::centrifuge::reply::{ConnectResult, Outcome, RefreshResult, SubRefreshResult};
use crate::client::{ClientInfo, Identity};
use crate::codes::{Denial, Disconnect, ErrorCode};
use crate::grant::{SubscriptionToken, Welcome};
use crate::heartbeat::Heartbeat;
use crate::limits::Meter;
use crate::payload::Payload;
use crate::queue::Slot;
use crate::session::{Credentials, Effect, Unknown};

/// The version that clients are told.
const VERSION: &str = concat!("windlass ", env!("CARGO_PKG_VERSION"));

/// A connection that has said who it is.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) principal: Principal,
    /// Nobody knows who it is; the principal's owner stands for all such.
    pub(super) anonymous: bool,
    /// What others see of the user.
    pub(super) info: Payload,
    /// What the backend has attached to the connection.
    pub(super) meta: Payload,
    pub(super) heartbeat: Heartbeat,
    /// When it ends unless it is refreshed.
    pub(super) ends: Option<Instant>,
    /// How fast it commands.
    pub(super) commands: Meter,
    /// How fast it is refused.
    pub(super) errors: Meter,
}

/// A connect command that has no reply yet.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) id: u32,
    /// Where the client is in the subscriptions that the server makes.
    pub(super) known: BTreeMap<String, Known>,
    pub(super) result: ConnectResult,
    /// Subscriptions that the reply waits for.
    pub(super) waits: Vec<Slot>,
    /// Subscriptions that the reply tells of.
    pub(super) ready: Vec<(Slot, Progress)>,
}

impl Connecting {
    /// Ends what was begun for a reply that will not be given.
    pub(super) fn give_up(&mut self, engine: &mut Engine) {
        for slot in self.waits.drain(..) {
            engine.subscriptions.remove(slot);
            engine.effect(Effect::Unsubscribe { slot });
        }
    }
}

impl Engine {
    pub(super) fn connect(&mut self, id: u32, request: ConnectRequest) {
        let known = |request: SubscribeRequest| Known {
            offset: request.offset,
            epoch: request.epoch,
        };
        let recovering = request.subs.into_iter().filter(|(_, request)| request.recover);
        self.awaiting = Some(Awaiting::Connect(Box::new(Connecting {
            id,
            known: recovering.map(|(channel, request)| (channel, known(request))).collect(),
            result: ConnectResult::default(),
            waits: Vec::new(),
            ready: Vec::new(),
        })));
        self.effect(Effect::Authenticate(Box::new(Credentials {
            token: request.token,
            name: request.name,
            version: request.version,
            data: request.data,
            headers: request.headers,
        })));
    }

    pub(super) fn connected(&mut self, mut connecting: Connecting, result: Result<Identity, Unknown>, now: Instant) {
        let State::Opened { stale_at } = self.state else { return };
        let identity = match result {
            Ok(identity) => identity,
            Err(unknown) => {
                // After an error the library comes back on another connection, for an expired token with a new one.
                self.state = State::Refused { stale_at };
                return self.deny(connecting.id, denial_of(unknown));
            }
        };
        let principal = &identity.principal;
        if !principal.may(Right::Watch) && !principal.may(Right::Publish) {
            // It is known, and for something else than this.
            return self.close(Disconnect::PermissionDenied);
        }
        let Welcome {
            info,
            data,
            meta,
            subscriptions,
        } = identity.welcome;
        self.state = State::Connected(Box::new(Connected {
            principal: identity.principal,
            anonymous: identity.anonymous,
            info,
            meta,
            heartbeat: Heartbeat::start(self.settings.rhythm, now, self.jitter),
            ends: self.end_of_connection(identity.expires_in, now),
            commands: Meter::default(),
            errors: Meter::default(),
        }));
        let (expires, ttl) = self.expiry_of_connection(identity.expires_in);
        let route = self.peer.route.as_deref();
        connecting.result = ConnectResult {
            client: self.peer.client.to_string(),
            version: VERSION.to_owned(),
            expires,
            ttl,
            data,
            ping: expiry(Some(self.settings.rhythm.announced)).1,
            pong: true,
            session: route.map_or_else(String::new, |route| route.session.to_string()),
            node: route.map_or_else(String::new, |route| route.node.to_string()),
            ..ConnectResult::default()
        };
        self.make_first(connecting, subscriptions, now);
    }

    pub(super) fn refresh(&mut self, id: u32, request: RefreshRequest) {
        // A client that is not told of its end has nothing to refresh.
        if request.token.is_empty() || self.refreshes_connections() {
            self.close(Disconnect::BadRequest);
        } else if matches!(&self.state, State::Connected(connected) if connected.ends.is_none()) {
            self.refuse(id, ErrorCode::NotAvailable);
        } else {
            self.awaiting = Some(Awaiting::Refresh { id });
            self.effect(Effect::Authenticate(Box::new(Credentials::token(request.token))));
        }
    }

    pub(super) fn refreshed(&mut self, id: u32, result: Result<Identity, Unknown>, now: Instant) {
        let identity = match result {
            Ok(identity) => identity,
            Err(unknown) => return self.deny(id, denial_of(unknown)),
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
        connected.info = identity.welcome.info;
        if !identity.welcome.meta.is_empty() {
            connected.meta = identity.welcome.meta;
        }
        connected.ends = ends;
        let (expires, ttl) = expiry(identity.expires_in);
        self.done(
            id,
            Outcome::Refresh(RefreshResult {
                client: self.peer.client.to_string(),
                version: VERSION.to_owned(),
                expires,
                ttl,
            }),
        );
    }

    pub(super) fn sub_refresh(&mut self, id: u32, request: SubRefreshRequest) {
        let SubRefreshRequest { channel, token, r#type } = request;
        let expires = self
            .subscriptions
            .named(&channel)
            .map(|subscription| subscription.ends.is_some());
        match expires {
            _ if channel.is_empty() => self.close(Disconnect::BadRequest),
            Some(_) if self.refreshes_subscriptions(&channel) => self.close(Disconnect::BadRequest),
            _ if r#type != 0 => self.refuse(id, ErrorCode::NotAvailable),
            None => self.refuse(id, ErrorCode::PermissionDenied),
            Some(false) => self.refuse(id, ErrorCode::NotAvailable),
            Some(true) if token.is_empty() => self.close(Disconnect::BadRequest),
            Some(true) => {
                self.awaiting = Some(Awaiting::SubRefresh { id, channel });
                self.effect(Effect::ReadGrant { token });
            }
        }
    }

    pub(super) fn sub_refreshed(
        &mut self,
        id: u32,
        channel: &str,
        result: Result<Option<Box<SubscriptionToken>>, TokenError>,
        now: Instant,
    ) {
        let grant = match result {
            Ok(Some(token)) if self.is_for_this(&token, channel) => token.grant,
            Ok(_) => return self.close(Disconnect::InvalidToken),
            Err(TokenError::Expired) => return self.refuse(id, ErrorCode::TokenExpired),
            Err(TokenError::Missing | TokenError::Invalid(_)) => return self.close(Disconnect::InvalidToken),
            Err(TokenError::Unverifiable) => return self.refuse(id, ErrorCode::Internal),
        };
        let ends = self.end_of(grant.expires_in, now);
        let slot = self.subscriptions.named(channel).map(|subscription| subscription.slot);
        let Some(subscription) = slot.and_then(|slot| self.subscriptions.get_mut(slot)) else {
            return self.refuse(id, ErrorCode::PermissionDenied);
        };
        subscription.ends = ends;
        subscription.info = grant.info;
        let (expires, ttl) = expiry(grant.expires_in);
        self.done(id, Outcome::SubRefresh(SubRefreshResult { expires, ttl }));
    }

    /// The principal; only a connected engine takes commands that need one.
    pub(super) fn principal(&self) -> Option<&Principal> {
        match &self.state {
            State::Connected(connected) => Some(&connected.principal),
            State::Opened { .. } | State::Refused { .. } | State::Closed => None,
        }
    }

    pub(super) fn connected_mut(&mut self) -> Option<&mut Connected> {
        match &mut self.state {
            State::Connected(connected) => Some(connected),
            State::Opened { .. } | State::Refused { .. } | State::Closed => None,
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        matches!(&self.state, State::Connected(connected) if connected.anonymous)
    }

    /// Whether what known users may holds for this one too: it is known, or others may as well.
    pub(super) fn counts(&self, for_anonymous: bool) -> bool {
        for_anonymous || !self.is_anonymous()
    }

    /// The user as others see it; empty for one that nobody knows.
    pub(super) fn user(&self) -> &str {
        match &self.state {
            State::Connected(connected) if !connected.anonymous => connected.principal.owner.as_str(),
            _ => "",
        }
    }

    /// Who it is, for other clients.
    pub(super) fn info(&self) -> ClientInfo {
        let conn_info = match &self.state {
            State::Connected(connected) => connected.info.clone(),
            State::Opened { .. } | State::Refused { .. } | State::Closed => Payload::default(),
        };
        ClientInfo {
            user: self.user().to_owned(),
            client: self.peer.client.to_string(),
            conn_info,
            chan_info: Payload::default(),
        }
    }

    pub(super) fn end_of(&self, expires_in: Option<Duration>, now: Instant) -> Option<Instant> {
        // A token may be good for longer than an Instant can say; then it ends with the process.
        expires_in.and_then(|expires_in| now.checked_add(expires_in.saturating_add(self.settings.expiry_grace)))
    }
}

/// What a client is told that nobody knows, or that is not let in.
fn denial_of(unknown: Unknown) -> Denial {
    match unknown {
        Unknown::Token(TokenError::Expired) => ErrorCode::TokenExpired.into(),
        Unknown::Token(TokenError::Missing | TokenError::Invalid(_)) => Denial::Disconnected(Disconnect::InvalidToken),
        // Nothing is wrong with the token as far as anybody knows: the library comes back with it.
        Unknown::Token(TokenError::Unverifiable) => Denial::Disconnected(Disconnect::ServerError),
        Unknown::Denied(denial) => denial,
    }
}
