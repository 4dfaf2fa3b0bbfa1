//! Keys that sign tokens: each is known to every edge before it signs, and until the last token
//! that it has signed opens nothing any more.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key that signs tokens. Its private half never leaves the controllers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningKey {
    /// Names it; tokens carry it in their header.
    pub kid: String,
    /// Where it is in its life.
    pub state: SigningKeyState,
    /// What it waits for, or what is left of it, for people.
    pub message: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it began to sign.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub activated_at: Option<DateTime<Utc>>,
    /// When the next one began to sign.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retired_at: Option<DateTime<Utc>>,
    /// When its signatures ceased to count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Where a signing key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SigningKeyState {
    /// Edges learn it; it does not sign yet.
    Pending,
    /// It signs.
    Active,
    /// It signs no more; tokens that it has signed are still good.
    Retiring,
    /// Nothing that it has signed is good.
    Revoked,
}

impl SigningKeyState {
    const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Retiring, Self::Revoked];

    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for SigningKeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
