//! Ids in a path.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::ApiError;
use crate::machine::outcome::Refusal;

/// The `{id}` of a path. A path that is not UTF-8 names nothing; it is refused only when the id is
/// asked for, after it is known who asks.
pub struct PathId(Option<String>);

impl PathId {
    /// The id.
    pub fn get(self) -> Result<String, ApiError> {
        self.0.ok_or_else(|| Refusal::NotFound.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        Ok(PathId(id.ok().map(|Path(id)| id)))
    }
}

/// The two ids of a path, as `PathId`.
pub struct PathIds(Option<[String; 2]>);

impl PathIds {
    /// The ids, in their order.
    pub fn get(self) -> Result<[String; 2], ApiError> {
        self.0.ok_or_else(|| Refusal::NotFound.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let ids = Path::<(String, String)>::from_request_parts(parts, state).await;
        Ok(PathIds(
            ids.ok().map(|Path((first, second))| [first, second]),
        ))
    }
}
