//! Failures as problems.

use http::{HeaderValue, StatusCode, header};
use windlass_serve::Problem;
use windlass_task::Right;

use crate::session::Failure;

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let (status, code, detail) = match failure {
            // Whether another owner has such a task is nobody's business.
            Failure::UnknownTask | Failure::ForeignTask => (
                StatusCode::NOT_FOUND,
                "task_not_found",
                "there is no such task of yours",
            ),
            Failure::TaskGone => (StatusCode::GONE, "task_gone", "the task was terminated or has expired"),
            Failure::IllegalTransition => (
                StatusCode::CONFLICT,
                "illegal_transition",
                "the task's state does not allow this",
            ),
            Failure::NoTaskView => (
                StatusCode::NOT_FOUND,
                "no_task_view",
                "this server sees no tasks: it runs apart from the uploads",
            ),
            Failure::Unavailable => {
                let problem = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "the task store does not answer, try again",
                );
                return problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
        };
        Self::new(status, code, detail)
    }
}

/// The caller's token does not give this right.
pub(super) fn forbidden(right: Right) -> Problem {
    let detail = match right {
        Right::Upload => "the token does not give the right `upload`",
        Right::Watch => "the token does not give the right `watch`",
        Right::Publish => "the token does not give the right `publish`",
    };
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}
