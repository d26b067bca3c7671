//! The numbers of the Centrifuge protocol: why a command failed, a subscription ended, a connection was closed.
//!
//! The client libraries act on the ranges. Errors below 100 and `temporary` ones are tried again. Unsubscribe codes
//! from 2500 on make the library subscribe again. Disconnect codes 3500-3999 and 4500-4999 are final, 3000-3499 and
//! 4000-4499 make it reconnect.

use std::sync::Arc;

/// The longest reason in bytes that a WebSocket close frame can hold is 123 (RFC 6455 section 5.5: 125 less the
/// code). A longer one would make the frame invalid.
pub const REASON_BYTES_MAX: usize = 123;

/// Why a command of the Centrifuge protocol was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Something of ours failed; trying again may help.
    Internal,
    /// The caller has not shown who it is.
    Unauthorized,
    /// No such channel.
    UnknownChannel,
    /// The caller may not do this.
    PermissionDenied,
    /// No such RPC method.
    MethodNotFound,
    /// The connection already has this subscription.
    AlreadySubscribed,
    /// A limit of the connection or of the service is reached.
    LimitExceeded,
    /// The command says something impossible.
    BadRequest,
    /// The command exists, but not here.
    NotAvailable,
    /// The token has expired: the library asks the application for a new one.
    TokenExpired,
    /// The subscription or connection has expired.
    Expired,
    /// Too many of these too quickly.
    TooManyRequests,
    /// The missed publications are gone, and the client asked to be refused then.
    UnrecoverablePosition,
    /// The same is being paged through already.
    ConcurrentPagination,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::Internal,
        Self::Unauthorized,
        Self::UnknownChannel,
        Self::PermissionDenied,
        Self::MethodNotFound,
        Self::AlreadySubscribed,
        Self::LimitExceeded,
        Self::BadRequest,
        Self::NotAvailable,
        Self::TokenExpired,
        Self::Expired,
        Self::TooManyRequests,
        Self::UnrecoverablePosition,
        Self::ConcurrentPagination,
    ];

    /// Number, message, and whether trying again may help.
    #[must_use]
    pub fn parts(self) -> (u32, &'static str, bool) {
        match self {
            Self::Internal => (100, "internal server error", true),
            Self::Unauthorized => (101, "unauthorized", false),
            Self::UnknownChannel => (102, "unknown channel", false),
            Self::PermissionDenied => (103, "permission denied", false),
            Self::MethodNotFound => (104, "method not found", false),
            Self::AlreadySubscribed => (105, "already subscribed", false),
            Self::LimitExceeded => (106, "limit exceeded", false),
            Self::BadRequest => (107, "bad request", false),
            Self::NotAvailable => (108, "not available", false),
            Self::TokenExpired => (109, "token expired", false),
            Self::Expired => (110, "expired", false),
            Self::TooManyRequests => (111, "too many requests", true),
            Self::UnrecoverablePosition => (112, "unrecoverable position", false),
            Self::ConcurrentPagination => (113, "concurrent pagination", true),
        }
    }
}

/// How a command is refused: by a code of the protocol, or in the backend's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The protocol's.
    Code(ErrorCode),
    /// The backend's.
    Custom(Arc<CustomError>),
}

/// An error in the backend's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomError {
    /// The number, 400 to 1999 by the protocol's rules.
    pub code: u32,
    /// The words.
    pub message: String,
    /// Whether trying again may help.
    pub temporary: bool,
}

impl Refusal {
    /// Number, message, and whether trying again may help.
    #[must_use]
    pub fn parts(&self) -> (u32, &str, bool) {
        match self {
            Self::Code(code) => code.parts(),
            Self::Custom(error) => (error.code, &error.message, error.temporary),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

/// How somebody who may say no says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The command is refused.
    Refused(Refusal),
    /// The connection is closed.
    Disconnected(Disconnect),
}

impl From<ErrorCode> for Denial {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

/// Why the service ended a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnsubscribeCode {
    /// The server wants it so; final.
    Server,
    /// The client missed something: it subscribes again and recovers.
    InsufficientState,
    /// The subscription expired: it subscribes again with a new token.
    Expired,
    /// What the client knows of the channel is no longer so: it subscribes again from nothing.
    StateInvalidated,
    /// As the API asked for, with a code of the application's: from 2500 on the client subscribes again.
    Custom(u32),
}

impl UnsubscribeCode {
    /// Every code.
    pub const ALL: [Self; 4] = [
        Self::Server,
        Self::InsufficientState,
        Self::Expired,
        Self::StateInvalidated,
    ];

    /// Number and reason.
    #[must_use]
    pub fn parts(self) -> (u32, &'static str) {
        match self {
            Self::Server => (2000, "server unsubscribe"),
            Self::InsufficientState => (2500, "insufficient state"),
            Self::Expired => (2501, "subscription expired"),
            Self::StateInvalidated => (2502, "state invalidated"),
            Self::Custom(code) => (code, "server unsubscribe"),
        }
    }
}

/// Why the service closed a connection: the code and reason of its WebSocket close frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The client closed it, or is done with it.
    Closed,
    /// The server is going away; another one takes over.
    Shutdown,
    /// Something of ours failed.
    ServerError,
    /// The token has expired and was not refreshed.
    Expired,
    /// A subscription that the server made has expired.
    SubscriptionExpired,
    /// It took too little of what was waiting for it.
    Slow,
    /// It could not be written to.
    WriteError,
    /// It missed something of a subscription that the server made: it recovers by connecting again.
    InsufficientState,
    /// The API asked for it; the client connects again.
    ForceReconnect,
    /// It sends more, or faster, than is taken.
    TooManyRequests,
    /// Nothing was heard of the client within the read deadline.
    NoPong,
    /// What the client knows is no longer so: it connects again from nothing.
    StateInvalidated,
    /// The token is not valid.
    InvalidToken,
    /// The client does not speak the protocol.
    BadRequest,
    /// No connect command came in time.
    Stale,
    /// The API asked for it, for good.
    ForceNoReconnect,
    /// The user, or the node, has as many connections as it may.
    ConnectionLimit,
    /// The connection has as many channels as it may.
    ChannelLimit,
    /// The client speaks an encoding that it cannot use here.
    InappropriateProtocol,
    /// The user may not be connected.
    PermissionDenied,
    /// The client uses something that this server does not have.
    NotAvailable,
    /// The client goes on doing what is refused.
    TooManyErrors,
    /// In the words of the API or of the backend.
    Custom(Arc<CustomDisconnect>),
    /// WebSocket: it is a violation of RFC 6455.
    ProtocolError,
    /// WebSocket: this kind of frame is of no use here.
    UnsupportedData,
    /// WebSocket: a text is not UTF-8.
    InvalidText,
    /// WebSocket, on the plain protocol: the client goes on sending what is no message.
    PolicyViolation,
    /// WebSocket: a message is larger than allowed.
    TooLarge,
    /// WebSocket, on the plain protocol: the server is going away.
    GoingAway,
}

/// A close code and reason in the words of the API or of the backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CustomDisconnect {
    code: u16,
    reason: String,
}

impl CustomDisconnect {
    /// `None` for a code outside 3000-4999, or a reason that a close frame cannot hold.
    #[must_use]
    pub fn new(code: u32, reason: String) -> Option<Self> {
        let code = u16::try_from(code).ok().filter(|code| (3000..5000).contains(code))?;
        (reason.len() <= REASON_BYTES_MAX).then_some(Self { code, reason })
    }
}

impl Disconnect {
    /// Every way to close a connection that this service has by itself.
    pub const ALL: [Self; 28] = [
        Self::Closed,
        Self::Shutdown,
        Self::ServerError,
        Self::Expired,
        Self::SubscriptionExpired,
        Self::Slow,
        Self::WriteError,
        Self::InsufficientState,
        Self::ForceReconnect,
        Self::NoPong,
        Self::TooManyRequests,
        Self::StateInvalidated,
        Self::InvalidToken,
        Self::BadRequest,
        Self::Stale,
        Self::ForceNoReconnect,
        Self::ConnectionLimit,
        Self::ChannelLimit,
        Self::InappropriateProtocol,
        Self::PermissionDenied,
        Self::NotAvailable,
        Self::TooManyErrors,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidText,
        Self::PolicyViolation,
        Self::TooLarge,
        Self::GoingAway,
    ];

    /// Whether a client library reconnects after this code: the ranges are those of the protocol.
    #[must_use]
    pub fn asks_to_reconnect(&self) -> bool {
        !matches!(self.parts().0, 3500..=3999 | 4500..=4999 | 1009)
    }

    /// Close code and reason.
    #[must_use]
    pub fn parts(&self) -> (u16, &str) {
        match self {
            Self::Closed => (1000, ""),
            Self::Shutdown => (3001, "shutdown"),
            Self::ServerError => (3004, "internal server error"),
            Self::Expired => (3005, "connection expired"),
            Self::SubscriptionExpired => (3006, "subscription expired"),
            Self::Slow => (3008, "slow"),
            Self::WriteError => (3009, "write error"),
            Self::InsufficientState => (3010, "insufficient state"),
            Self::ForceReconnect => (3011, "force reconnect"),
            Self::NoPong => (3012, "no pong"),
            Self::TooManyRequests => (3013, "too many requests"),
            Self::StateInvalidated => (3014, "state invalidated"),
            Self::InvalidToken => (3500, "invalid token"),
            Self::BadRequest => (3501, "bad request"),
            Self::Stale => (3502, "stale"),
            Self::ForceNoReconnect => (3503, "force disconnect"),
            Self::ConnectionLimit => (3504, "connection limit"),
            Self::ChannelLimit => (3505, "channel limit"),
            Self::InappropriateProtocol => (3506, "inappropriate protocol"),
            Self::PermissionDenied => (3507, "permission denied"),
            Self::NotAvailable => (3508, "not available"),
            Self::TooManyErrors => (3509, "too many errors"),
            Self::Custom(custom) => (custom.code, &custom.reason),
            Self::ProtocolError => (1002, "protocol error"),
            Self::UnsupportedData => (1003, "unsupported data"),
            Self::InvalidText => (1007, "invalid text"),
            Self::PolicyViolation => (1008, "policy violation"),
            Self::TooLarge => (1009, "message too large"),
            Self::GoingAway => (1001, "going away"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_its_frame_and_is_no_json() {
        for disconnect in Disconnect::ALL {
            let (code, reason) = disconnect.parts();
            assert!(reason.len() <= REASON_BYTES_MAX);
            // The client library tries to read the reason as JSON first.
            assert!(
                serde_json::from_str::<serde_json::Value>(reason).is_err(),
                "{code} {reason}"
            );
        }
    }

    #[test]
    fn numbers_are_unique() {
        let mut seen: Vec<u32> = ErrorCode::ALL.iter().map(|code| code.parts().0).collect();
        seen.extend(UnsubscribeCode::ALL.iter().map(|code| code.parts().0));
        seen.extend(Disconnect::ALL.iter().map(|code| u32::from(code.parts().0)));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
