//! What handlers are given, refused in the service's own words.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::session::Failure;

/// The query's parameters.
pub(super) struct Parameters<T>(pub(super) T);

/// The id in the path, as text.
pub(super) struct Id(pub(super) String);

impl<T: DeserializeOwned + 'static, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(parameters) = Query::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::Query("a parameter has not the form that it must have"))?;
        Ok(Self(parameters))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        // What is not even text is no task's id.
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::UnknownTask)?;
        Ok(Self(id))
    }
}
