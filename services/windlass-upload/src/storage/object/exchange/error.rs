//! Why a request failed, and whether waiting may cure it.

use http::StatusCode;

/// The code, the words and nothing else of an answer that refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::storage::object) struct Refusal {
    pub(in crate::storage::object) code: String,
    pub(in crate::storage::object) message: String,
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached, or the connection broke: nobody knows whether it was carried out.
    #[error("cannot send {operation} to the object store")]
    Send {
        /// The request.
        operation: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Stored bytes that it was to carry are there no more: whoever goes on with the upload has them elsewhere.
    #[error("bytes for {operation} are not in the object store any more")]
    Gather {
        /// The request.
        operation: &'static str,
    },
    /// No answer came in time: nobody knows whether it was carried out.
    #[error("the object store does not answer {operation}")]
    Await {
        /// The request.
        operation: &'static str,
    },
    /// The store refused.
    #[error("the object store refuses {operation}: {status} {code}: {message}")]
    Refuse {
        /// The request.
        operation: &'static str,
        /// The status; 200 where the refusal came as a body.
        status: StatusCode,
        /// The store's code.
        code: String,
        /// The store's words.
        message: String,
    },
    /// The credentials cannot be had.
    #[error("the object store's credentials cannot be had")]
    Sign {
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The answer cannot be read.
    #[error("the object store's answer to {operation} makes no sense")]
    Read {
        /// The request.
        operation: &'static str,
    },
    /// A key is none.
    #[error("{key:?} cannot be a key")]
    Name {
        /// The key.
        key: String,
    },
}

/// Codes of refusals that pass by themselves, whatever their status.
const PASSING: [&str; 12] = [
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",
    "ExpiredToken",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "TooManyRequests",
];
/// Codes that mean that the object is not there; others, with the same status, that something before it is not.
const MISSING: [&str; 3] = ["NoSuchKey", "NotFound", "BlobNotFound"];
/// Codes that mean that the object is there already.
const TAKEN: [&str; 3] = ["FileAlreadyExists", "PreconditionFailed", "BlobAlreadyExists"];
/// Codes that mean that there is no room left.
const FULL: [&str; 3] = ["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"];

impl Error {
    pub(in crate::storage::object) fn refused(operation: &'static str, status: StatusCode, refusal: Refusal) -> Self {
        Self::Refuse {
            operation,
            status,
            code: refusal.code,
            message: refusal.message,
        }
    }

    /// A request that did not go out whole, perhaps because bytes that it was to carry are not there.
    pub(super) fn unsent(operation: &'static str, source: reqwest::Error) -> Self {
        let mut cause: Option<&dyn std::error::Error> = Some(&source);
        while let Some(error) = cause {
            if error.downcast_ref::<Self>().is_some_and(Self::is_missing) {
                return Self::Gather { operation };
            }
            cause = error.source();
        }
        let source = source.without_url();
        Self::Send { operation, source }
    }

    /// Whether waiting may cure it.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Send { .. } | Self::Await { .. } | Self::Sign { .. } | Self::Read { .. } => true,
            Self::Name { .. } | Self::Gather { .. } => false,
            Self::Refuse { .. } if self.is_full() => false,
            Self::Refuse { status, code, .. } => {
                let overloaded = matches!(
                    *status,
                    // A refusal that came as a body, after 200: S3 says to try again.
                    StatusCode::OK
                        | StatusCode::REQUEST_TIMEOUT
                        | StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::INTERNAL_SERVER_ERROR
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                );
                overloaded && !self.is_gone() || PASSING.contains(&code.as_str())
            }
        }
    }

    /// Whether the store has no room.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Refuse { status, code, .. }
            if *status == StatusCode::INSUFFICIENT_STORAGE || FULL.contains(&code.as_str()))
    }

    /// Whether the object is not there. A HEAD's refusal has no body and so no code.
    pub(in crate::storage::object) fn is_missing(&self) -> bool {
        matches!(self, Self::Refuse { status, code, .. }
            if *status == StatusCode::NOT_FOUND && (code.is_empty() || MISSING.contains(&code.as_str())))
    }

    /// Whether the multipart upload is not there: completed, aborted, or never begun.
    pub(in crate::storage::object) fn is_gone(&self) -> bool {
        self.has_code("NoSuchUpload")
    }

    /// Whether an object to be created is there already.
    pub(in crate::storage::object) fn is_taken(&self) -> bool {
        matches!(self, Self::Refuse { status, code, .. }
            if *status == StatusCode::PRECONDITION_FAILED || TAKEN.contains(&code.as_str()))
    }

    pub(in crate::storage::object) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refuse { code, .. } if code == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Error {
        let refusal = Refusal {
            code: code.to_owned(),
            message: String::new(),
        };
        Error::refused("PutObject", StatusCode::from_u16(status).unwrap(), refusal)
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (500, ""),
            (200, "InternalError"),
            (200, ""),
            (400, "RequestTimeout"),
            (409, "OperationAborted"),
            (409, "ConditionalRequestConflict"),
            (400, "ExpiredToken"),
            (429, ""),
        ] {
            assert!(refused(status, code).is_temporary(), "{status} {code}");
        }
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SecondLevelDomainForbidden"),
            (404, "NoSuchBucket"),
            (404, "NoSuchKey"),
            (404, "NoSuchUpload"),
            (200, "NoSuchUpload"),
            (412, "PreconditionFailed"),
            (409, "FileAlreadyExists"),
            (400, "InvalidPart"),
            (501, "NotImplemented"),
            (507, "XMinioStorageFull"),
            (301, "PermanentRedirect"),
        ] {
            assert!(!refused(status, code).is_temporary(), "{status} {code}");
        }
        assert!(refused(404, "").is_missing() && !refused(404, "NoSuchBucket").is_missing());
        assert!(refused(404, "BlobNotFound").is_missing() && !refused(404, "ContainerNotFound").is_missing());
        assert!(refused(409, "BlobAlreadyExists").is_taken() && !refused(409, "BlobBeingRehydrated").is_taken());
        assert!(refused(409, "FileAlreadyExists").is_taken() && refused(412, "").is_taken());
    }
}
