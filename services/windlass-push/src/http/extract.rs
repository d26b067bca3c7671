//! What handlers are given, refused in the service's own words.

use axum::extract::{FromRequestParts, Path, Query};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use windlass_serve::Problem;

use crate::session::Failure;

/// The query's parameters.
pub(super) struct Parameters<T>(pub(super) T);

/// The id in the path, as text.
pub(super) struct Id(pub(super) String);

impl<T: DeserializeOwned + 'static, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::from_request_parts(parts, state)
            .await
            .map_err(|_| invalid_query("a parameter has not the form that it must have"))?;
        Ok(Self(parameters))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is not even text is no task's id.
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::UnknownTask)?;
        Ok(Self(id))
    }
}

pub(super) fn invalid_query(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}
