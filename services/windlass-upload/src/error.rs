//! Every way in which a request to the upload service can end badly, and the one map to status and code.

mod words;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use windlass_serve::Problem;
use windlass_serve::server::BodyFault;
use windlass_task::store::Cause;
use windlass_task::{Answer, Finish, Record};

use crate::tus::Rejection;
use crate::tus::response::{TUS_VERSION, UPLOAD_OFFSET};
use crate::{form, hooks, ietf, storage, tus, tusd};

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong, or does not fit the upload's record.
    #[error(transparent)]
    Reject(#[from] Rejection),
    /// The request is wrong by the IETF protocol.
    #[error("{rejection}")]
    RejectIetf {
        /// Why.
        rejection: ietf::Rejection,
        /// The row of the request's version.
        row: &'static ietf::Row,
    },
    /// The form is wrong.
    #[error(transparent)]
    ReadForm(#[from] form::Error),
    /// There is no such upload for this caller.
    #[error("there is no such upload, or its key is wrong")]
    FindUpload,
    /// tusd has such an upload, and it cannot be taken over.
    #[error("the upload cannot be taken over from tusd now")]
    TakeOver(#[source] tusd::Shared),
    /// tusd has such an upload, and its bytes are still being copied.
    #[error("the upload is being taken over from tusd")]
    AwaitTakeOver,
    /// It was terminated, has expired, or has lost acknowledged bytes.
    #[error("the upload is gone: {}", match cause {
        Cause::Terminated => "it was terminated",
        Cause::Expired => "it expired",
        Cause::Lost => "bytes of it are lost",
    })]
    ReachUpload {
        /// Which.
        cause: Cause,
    },
    /// The caller is known but has no right to upload.
    #[error("the token gives no right to upload")]
    Permit,
    /// A signed link does not permit this.
    #[error("a signed link creates one upload by tus or the IETF protocol; forms and concatenations need a token")]
    UseLink,
    /// A signed link has created an upload already, and this would be another.
    #[error("the link has created another upload already")]
    ReuseLink,
    /// Another client is sending the upload, and keeps it.
    #[error("another client is sending this upload")]
    HoldUpload {
        /// After how long it makes sense to ask again.
        retry_after: Duration,
    },
    /// A newer request took the upload over while this one ran.
    #[error("a newer request has taken the upload over")]
    KeepUpload {
        /// Where the upload stood when it was given up.
        offset: u64,
    },
    /// A hook refused what was asked, with words of its own.
    #[error("the server's hook refused this")]
    RefuseByHook {
        /// The words.
        answer: Box<Answer>,
        /// The row of an IETF request's version, and whether this is its final response.
        ietf: Option<(&'static ietf::Row, bool)>,
    },
    /// A hook wants the running upload to be ended.
    #[error("the server's hook stopped the upload")]
    StopByHook {
        /// The words.
        answer: Box<Answer>,
    },
    /// A hook whose word is needed was not heard.
    #[error("the server's hook gives no usable answer now")]
    AskHook(#[from] hooks::Failure),
    /// Every byte is there, and nobody has said yet whether the upload is accepted.
    #[error("the verdict on the upload is not there yet")]
    AwaitVerdict,
    /// The owner paused the upload while this request ran.
    #[error("the upload was paused by its owner")]
    ContinuePaused {
        /// Where it stands.
        offset: u64,
    },
    /// The body brought nothing for too long; what came is kept.
    #[error("the body brought nothing for {} seconds", after.as_secs())]
    AwaitBody {
        /// For how long.
        after: Duration,
    },
    /// The body came in drops; what came is kept.
    #[error("the body brings fewer than {bytes_per_second} bytes a second")]
    PaceBody {
        /// The least that it must bring.
        bytes_per_second: u64,
    },
    /// The body ended before its time; what came is kept.
    #[error("the body broke off")]
    ReadBody,
    /// The server is going down; what came is kept.
    #[error("the server is going down; go on in a moment")]
    Drain,
    /// The tenant has as many unfinished uploads as it may.
    #[error("the tenant has {limit} unfinished uploads, which is as many as it may")]
    CountUploads {
        /// How many that is.
        limit: u64,
        /// After how long it makes sense to ask again.
        retry_after: Duration,
    },
    /// The content is of a kind that is not taken.
    #[error("{}", crate::content::refusal(found))]
    TakeContent {
        /// What it is.
        found: &'static str,
    },
    /// The upload is in quarantine, and the caller may not look into it.
    #[error("the upload is in quarantine until it has been looked at")]
    Quarantine,
    /// The upload is not finished, so it cannot be downloaded.
    #[error("the upload is not finished")]
    Download,
    /// The file is not the one that `If-Match` names.
    #[error("the file is not the one that If-Match names")]
    MatchFile,
    /// The asked range is not in the upload.
    #[error("the range is outside the upload's {length} bytes")]
    SelectRange {
        /// The upload's length.
        length: u64,
    },
    /// The bytes cannot be stored.
    #[error("the bytes cannot be stored now")]
    UseStorage(#[from] storage::Error),
    /// The bytes that are asked for do not come.
    #[error("the storage does not answer now")]
    AwaitStorage,
    /// The record cannot be read or written.
    #[error("the upload's record cannot be reached now")]
    UseStore(#[from] windlass_task::store::Error),
    /// Nobody can say whether the last checkpoint was recorded.
    #[error("the outcome of the last checkpoint is unknown; ask for the offset")]
    ConfirmCheckpoint,
    /// The record refused a change that this server thought fit. A bug, answered without touching anything.
    #[error("the upload's record does not allow this")]
    ChangeRecord(#[source] windlass_task::change::Refusal),
}

/// After how long a client should come back when the server is busy with itself.
const RETRY_SOON: Duration = Duration::from_secs(1);

impl Error {
    /// What a body's end before its time means.
    pub(crate) fn of_body(error: &axum::Error) -> Self {
        match BodyFault::of(error) {
            Some(BodyFault::TooSlow { bytes_per_second }) => Self::PaceBody { bytes_per_second },
            Some(BodyFault::Stall) | None => Self::ReadBody,
        }
    }

    /// Whether waiting may cure it: the store or the storage is away.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::UseStore(error) => !matches!(
                error,
                windlass_task::store::Error::ReadVersion { .. } | windlass_task::store::Error::ReadEntry { .. }
            ),
            Self::UseStorage(error) => error.is_temporary(),
            Self::AwaitStorage | Self::ConfirmCheckpoint => true,
            Self::Reject(_)
            | Self::RejectIetf { .. }
            | Self::ReadForm(_)
            | Self::FindUpload
            | Self::TakeOver(_)
            | Self::AwaitTakeOver
            | Self::ReachUpload { .. }
            | Self::Permit
            | Self::UseLink
            | Self::ReuseLink
            | Self::HoldUpload { .. }
            | Self::KeepUpload { .. }
            | Self::RefuseByHook { .. }
            | Self::StopByHook { .. }
            | Self::AskHook(_)
            | Self::AwaitVerdict
            | Self::ContinuePaused { .. }
            | Self::AwaitBody { .. }
            | Self::PaceBody { .. }
            | Self::ReadBody
            | Self::Drain
            | Self::CountUploads { .. }
            | Self::TakeContent { .. }
            | Self::Quarantine
            | Self::Download
            | Self::MatchFile
            | Self::SelectRange { .. }
            | Self::ChangeRecord(_) => false,
        }
    }

    /// The status, the stable code, the offset to show and the time to stay away.
    fn answer(&self) -> (StatusCode, &'static str, Option<u64>, Option<Duration>) {
        match self {
            Self::Reject(rejection) => {
                let (status, code) = rejection.status();
                let offset = match rejection {
                    Rejection::Offset { expected, .. } => Some(*expected),
                    _ => None,
                };
                (status, code, offset, None)
            }
            Self::RejectIetf { rejection, .. } => {
                let (status, code) = rejection.status();
                let offset = match rejection {
                    ietf::Rejection::Offset { expected, .. } => Some(*expected),
                    _ => None,
                };
                (status, code, offset, None)
            }
            Self::ReadForm(error) => {
                let (status, code) = error.status();
                (status, code, None, None)
            }
            Self::FindUpload => (StatusCode::NOT_FOUND, "upload_not_found", None, None),
            Self::TakeOver(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "takeover_failed",
                None,
                Some(RETRY_SOON),
            ),
            Self::AwaitTakeOver => (
                StatusCode::SERVICE_UNAVAILABLE,
                "takeover_running",
                None,
                Some(RETRY_SOON),
            ),
            Self::ReachUpload {
                cause: Cause::Terminated,
            } => (StatusCode::GONE, "upload_terminated", None, None),
            Self::ReachUpload { cause: Cause::Expired } => (StatusCode::GONE, "upload_expired", None, None),
            Self::ReachUpload { cause: Cause::Lost } => (StatusCode::GONE, "upload_lost", None, None),
            Self::Permit => (StatusCode::FORBIDDEN, "upload_not_permitted", None, None),
            Self::UseLink => (StatusCode::FORBIDDEN, "link_not_permitted", None, None),
            Self::ReuseLink => (StatusCode::CONFLICT, "link_used", None, None),
            Self::HoldUpload { retry_after } => (StatusCode::LOCKED, "upload_contended", None, Some(*retry_after)),
            Self::KeepUpload { offset } => (StatusCode::LOCKED, "upload_taken_over", Some(*offset), Some(RETRY_SOON)),
            Self::RefuseByHook { .. } | Self::StopByHook { .. } => {
                (StatusCode::BAD_REQUEST, "hook_refused", None, None)
            }
            Self::AskHook(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "hook_unavailable",
                None,
                Some(RETRY_SOON),
            ),
            Self::AwaitVerdict => (
                StatusCode::SERVICE_UNAVAILABLE,
                "verdict_pending",
                None,
                Some(RETRY_SOON),
            ),
            Self::ContinuePaused { offset } => (StatusCode::CONFLICT, "paused", Some(*offset), None),
            Self::AwaitBody { .. } => (StatusCode::REQUEST_TIMEOUT, "body_idle", None, None),
            Self::PaceBody { .. } => (StatusCode::REQUEST_TIMEOUT, "body_slow", None, None),
            Self::ReadBody => (StatusCode::BAD_REQUEST, "body_incomplete", None, None),
            Self::Drain => (StatusCode::SERVICE_UNAVAILABLE, "draining", None, Some(RETRY_SOON)),
            Self::CountUploads { retry_after, .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "uploads_too_many",
                None,
                Some(*retry_after),
            ),
            Self::TakeContent { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_refused", None, None),
            Self::Quarantine => (StatusCode::FORBIDDEN, "upload_quarantined", None, None),
            Self::Download => (StatusCode::CONFLICT, "upload_not_finished", None, None),
            Self::MatchFile => (StatusCode::PRECONDITION_FAILED, "precondition_failed", None, None),
            Self::SelectRange { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", None, None),
            Self::UseStorage(storage::Error::FindRoom { .. }) => {
                (StatusCode::INSUFFICIENT_STORAGE, "storage_full", None, Some(RETRY_SOON))
            }
            Self::UseStorage(_) | Self::AwaitStorage => (
                StatusCode::SERVICE_UNAVAILABLE,
                "storage_unavailable",
                None,
                Some(RETRY_SOON),
            ),
            Self::UseStore(
                windlass_task::store::Error::ReadVersion { .. } | windlass_task::store::Error::ReadEntry { .. },
            ) => (StatusCode::INTERNAL_SERVER_ERROR, "record_unreadable", None, None),
            Self::UseStore(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                None,
                Some(RETRY_SOON),
            ),
            Self::ConfirmCheckpoint => (
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                None,
                Some(RETRY_SOON),
            ),
            Self::ChangeRecord(_) => (StatusCode::INTERNAL_SERVER_ERROR, "record_refused", None, None),
        }
    }

    /// The refusal that is stored with an upload, told as whoever gave it worded it.
    pub(crate) fn refused(record: &Record, row: Option<&'static ietf::Row>) -> Self {
        let reason = match &record.finish {
            Finish::Refused { reason } => reason.clone(),
            Finish::Open | Finish::VerdictPending | Finish::Accepted => String::new(),
        };
        match (&record.answer, row) {
            (Some(answer), row) => Self::RefuseByHook {
                answer: answer.clone(),
                ietf: row.map(|row| (row, true)),
            },
            (None, Some(row)) => Self::RejectIetf {
                rejection: ietf::Rejection::Failed { reason },
                row,
            },
            (None, None) => Rejection::Failed { reason }.into(),
        }
    }

    /// The same failure as a `HEAD` may show it. tus-js-client answers any status but 2xx and 423 by starting again
    /// from zero, so what will pass is always 423 with `Retry-After` (DESIGN section 5).
    pub(crate) fn on_head(mut self) -> Response {
        if let Self::RefuseByHook { answer, .. } = &mut self {
            // A hook may refuse with a 5xx. That is its word for good, and no reason to come again.
            answer.status = answer.status.filter(|status| *status < 500);
        }
        let (status, code, ..) = self.answer();
        if !status.is_server_error() {
            return self.into_response();
        }
        log(&self, code);
        with_retry_after(Problem::new(StatusCode::LOCKED, code, self.to_string()), RETRY_SOON).into_response()
    }
}

pub(crate) use words::decorate;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, offset, retry_after) = self.answer();
        if status.is_server_error() {
            log(&self, code);
        }
        let mut problem = Problem::new(status, code, self.to_string());
        if let Some(offset) = offset {
            problem = problem.with_header(UPLOAD_OFFSET, offset.into());
        }
        if let Some(retry_after) = retry_after {
            problem = with_retry_after(problem, retry_after);
        }
        match self {
            Self::Reject(Rejection::Version) => {
                problem = problem.with_header(TUS_VERSION, HeaderValue::from_static(tus::VERSION));
            }
            Self::SelectRange { length } => {
                let range = format!("bytes */{length}").try_into().expect("digits are ASCII");
                problem = problem.with_header(header::CONTENT_RANGE, range);
            }
            _ => {}
        }
        match self {
            Self::RefuseByHook { answer, ietf } => words::refuse(problem, &answer, ietf),
            Self::StopByHook { answer } => words::refuse(problem, &answer, None),
            Self::RejectIetf { rejection, row } => refuse_ietf(problem, &rejection, row),
            _ => problem.into_response(),
        }
    }
}

/// The problem type, its members, and what the protocol demands of every refusal.
fn refuse_ietf(mut problem: Problem, rejection: &ietf::Rejection, row: &ietf::Row) -> Response {
    if let Some(uri) = rejection.problem_type() {
        problem = problem.of_type(uri);
    }
    if let ietf::Rejection::Offset { expected, provided } = rejection {
        problem = problem
            .with_member("expected-offset", *expected)
            .with_member("provided-offset", *provided);
    }
    let mut response = problem.into_response();
    let answered = matches!(rejection, ietf::Rejection::Completed | ietf::Rejection::Failed { .. });
    ietf::response::say_complete(response.headers_mut(), row, answered);
    response.extensions_mut().insert(crate::http::OtherProtocol);
    if let ietf::Rejection::MaxSize { limit } = rejection {
        ietf::response::limit(response.headers_mut(), row, Some(*limit), None);
    }
    response
}

fn with_retry_after(problem: Problem, after: Duration) -> Problem {
    problem.with_header(header::RETRY_AFTER, after.as_secs().max(1).into())
}

fn log(error: &Error, code: &'static str) {
    match error {
        Error::Drain => {}
        error => tracing::error!(code, error = error as &dyn std::error::Error, "request failed"),
    }
}
