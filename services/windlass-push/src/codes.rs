//! The numbers of the Centrifuge protocol: why a command failed, a subscription ended, a connection was closed.
//!
//! The client libraries act on the ranges. Errors below 100 and `temporary` ones are tried again. Unsubscribe codes
//! from 2500 on make the library subscribe again. Disconnect codes 3500-3999 and 4500-4999 are final, 3000-3499 and
//! 4000-4499 make it reconnect.

use serde::Serialize;

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
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
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
        }
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
}

impl UnsubscribeCode {
    /// Every code.
    pub const ALL: [Self; 3] = [Self::Server, Self::InsufficientState, Self::Expired];

    /// Number and reason.
    #[must_use]
    pub fn parts(self) -> (u32, &'static str) {
        match self {
            Self::Server => (2000, "server unsubscribe"),
            Self::InsufficientState => (2500, "insufficient state"),
            Self::Expired => (2501, "subscription expired"),
        }
    }
}

/// Why the service closed a connection: the code and reason of its WebSocket close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// The client closed it, or is done with it.
    Closed,
    /// The server is going away; another one takes over.
    Shutdown,
    /// Something of ours failed.
    ServerError,
    /// The token has expired and was not refreshed.
    Expired,
    /// It took too little of what was waiting for it.
    Slow,
    /// It sends more, or faster, than is taken.
    TooManyRequests,
    /// Nothing was heard of the client within the read deadline.
    NoPong,
    /// The token is not valid.
    InvalidToken,
    /// The client does not speak the protocol.
    BadRequest,
    /// No connect command came in time.
    Stale,
    /// The client uses something that this server does not have.
    NotAvailable,
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

impl Disconnect {
    /// Every way to close a connection.
    pub const ALL: [Self; 17] = [
        Self::Closed,
        Self::Shutdown,
        Self::ServerError,
        Self::Expired,
        Self::Slow,
        Self::TooManyRequests,
        Self::NoPong,
        Self::InvalidToken,
        Self::BadRequest,
        Self::Stale,
        Self::NotAvailable,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidText,
        Self::PolicyViolation,
        Self::TooLarge,
        Self::GoingAway,
    ];

    /// Whether a client library reconnects after this code: the ranges are those of the protocol.
    #[must_use]
    pub fn asks_to_reconnect(self) -> bool {
        !matches!(self.parts().0, 3500..=3999 | 4500..=4999 | 1009)
    }

    /// Close code and reason.
    #[must_use]
    pub fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Closed => (1000, ""),
            Self::Shutdown => (3001, "shutdown"),
            Self::ServerError => (3004, "internal server error"),
            Self::Expired => (3005, "connection expired"),
            Self::Slow => (3008, "slow"),
            Self::NoPong => (3012, "no pong"),
            Self::TooManyRequests => (3013, "too many requests"),
            Self::InvalidToken => (3500, "invalid token"),
            Self::BadRequest => (3501, "bad request"),
            Self::Stale => (3502, "stale"),
            Self::NotAvailable => (3508, "not available"),
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
