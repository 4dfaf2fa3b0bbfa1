//! SQL, one file per noun. Functions take a connection, so that the caller decides what is one
//! transaction; they return `sqlx::Result` and `None` for what is not there.

pub(crate) mod access;
pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod camera;
pub(crate) mod camera_group;
pub(crate) mod cluster_ca;
pub(crate) mod cluster_secret;
pub(crate) mod cluster_state;
pub(crate) mod directory;
pub(crate) mod era;
pub(crate) mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod grant;
pub(crate) mod idempotency;
pub(crate) mod join_token;
pub(crate) mod lease;
pub(crate) mod node;
pub(crate) mod node_certificate;
pub(crate) mod oidc;
pub(crate) mod plan;
pub(crate) mod planner_lease;
pub(crate) mod playback;
pub(crate) mod playback_key;
pub(crate) mod project;
pub(crate) mod reseal;
pub(crate) mod restream;
pub(crate) mod revocation;
pub(crate) mod role;
pub(crate) mod schema;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod sign_in_throttle;
pub(crate) mod signing_key;
pub(crate) mod slot;
pub(crate) mod stream_key;
pub(crate) mod subject;
#[cfg(test)]
mod tenant_tests;
pub(crate) mod user;
pub(crate) mod user_group;
pub(crate) mod viewing;

use headworks_types::{Labels, Network};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::postgres::PgQueryResult;

/// An error if the statement did not change exactly one row.
pub(crate) fn ensure_one_row(result: &PgQueryResult) -> sqlx::Result<()> {
    match result.rows_affected() {
        1 => Ok(()),
        0 => Err(sqlx::Error::RowNotFound),
        many => {
            let wrong = format!("{many} rows changed instead of one");
            Err(sqlx::Error::InvalidArgument(wrong))
        }
    }
}

/// Gives the violation of a named constraint its meaning.
pub(crate) trait OnConstraint<T> {
    /// `meaning` if this constraint was violated; other errors pass.
    fn on_constraint<E>(self, name: &str, meaning: impl FnOnce() -> E) -> Result<T, E>
    where
        E: From<sqlx::Error>;
}

impl<T> OnConstraint<T> for sqlx::Result<T> {
    fn on_constraint<E>(self, name: &str, meaning: impl FnOnce() -> E) -> Result<T, E>
    where
        E: From<sqlx::Error>,
    {
        self.map_err(|error| match &error {
            sqlx::Error::Database(violation) if violation.constraint() == Some(name) => meaning(),
            _ => error.into(),
        })
    }
}

/// A value for a `jsonb` column.
pub(crate) fn to_json<T: Serialize>(value: &T) -> sqlx::Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The value of a `jsonb` column.
pub(crate) fn from_json<T: DeserializeOwned>(json: serde_json::Value) -> sqlx::Result<T> {
    serde_json::from_value(json).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A label filter for `labels @> …`; `None` if it asks for nothing.
pub(crate) fn filter_to_json(labels: &Labels) -> sqlx::Result<Option<serde_json::Value>> {
    if labels.0.is_empty() {
        return Ok(None);
    }
    to_json(labels).map(Some)
}

/// The networks of a `text[]` column.
pub(crate) fn networks(texts: &[String]) -> sqlx::Result<Vec<Network>> {
    let bad = |error: String| sqlx::Error::Decode(error.into());
    texts.iter().map(|text| text.parse().map_err(bad)).collect()
}
