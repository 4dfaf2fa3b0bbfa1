//! How a restream's URL is signed when it connects.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_part;
use crate::{Secret, Validate, Violations};

const MINUTE: u32 = 60;
const HOUR: u32 = 3600;
const YEAR: u32 = 365 * 24 * HOUR;

/// How a restream's URL is signed when it connects. The secrets in it go in only: answers have
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum RestreamSigning {
    /// Not at all.
    #[default]
    None,
    /// The same secret query is added to each URL.
    Query {
        /// `token=…`, without the question mark.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        query: Option<Secret>,
    },
    /// As Alibaba Cloud (ApsaraVideo Live, CDN) checks it.
    Alibaba {
        /// Which form.
        #[serde(default)]
        variant: AlibabaVariant,
        /// The primary key.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        primary_key: Option<Secret>,
        /// The secondary key.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        secondary_key: Option<Secret>,
        /// Which of the two signs.
        #[serde(default)]
        key: SigningKeySlot,
        /// The `uid` of variant A: 1 to 64 letters and digits. Default `0`.
        #[serde(default = "zero")]
        uid: String,
        /// How far ahead of the connection the URL's time lies, 60 to 31536000. Variant B has whole
        /// minutes, rounded down, and needs at least 120. The target adds the period of validity
        /// that it is set to. Default 3600.
        #[serde(default = "hour")]
        #[schema(minimum = 60, maximum = 31_536_000)]
        lifetime_seconds: u32,
        /// What happens before that time comes.
        #[serde(default)]
        renew: UrlRenewal,
    },
    /// As Tencent Cloud (CSS) checks it: `txSecret` and `txTime`.
    Tencent {
        /// Which hash.
        #[serde(default)]
        hash: TencentHash,
        /// The primary key.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        primary_key: Option<Secret>,
        /// The backup key.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        secondary_key: Option<Secret>,
        /// Which of the two signs.
        #[serde(default)]
        key: SigningKeySlot,
        /// For how long a URL is good, 60 to 31536000. Default 3600.
        #[serde(default = "hour")]
        #[schema(minimum = 60, maximum = 31_536_000)]
        lifetime_seconds: u32,
        /// What happens before it ends.
        #[serde(default)]
        renew: UrlRenewal,
    },
}

fn zero() -> String {
    "0".to_owned()
}

fn hour() -> u32 {
    HOUR
}

/// Where hash and time stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlibabaVariant {
    /// In the query: `auth_key=timestamp-rand-uid-hash`. ApsaraVideo Live takes only this.
    #[default]
    A,
    /// Before the path: `/YYYYMMDDHHMM/hash/…`, in UTC+8.
    B,
    /// Before the path: `/hash/hexadecimal time/…`.
    C,
}

/// The hash in `txSecret`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TencentHash {
    /// MD5.
    #[default]
    Md5,
    /// SHA-256.
    Sha256,
}

/// Which of two keys signs; so keys can be exchanged one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SigningKeySlot {
    /// The primary one.
    #[default]
    Primary,
    /// The secondary one.
    Secondary,
}

/// What happens before a signed URL expires. Some targets end a connection then, others check only
/// when it is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UrlRenewal {
    /// Nothing; a URL is signed anew only when the connection is lost.
    #[default]
    Never,
    /// The pusher connects anew with a new URL.
    ReconnectBeforeExpiry,
}

impl RestreamSigning {
    /// True if the signature depends on the URL's path.
    #[must_use]
    pub fn is_of_path(&self) -> bool {
        matches!(self, Self::Alibaba { .. } | Self::Tencent { .. })
    }

    /// The key in use, of a type that has one.
    #[must_use]
    pub fn signing_key(&self) -> Option<&Secret> {
        match self {
            Self::None | Self::Query { .. } => None,
            Self::Alibaba {
                primary_key,
                secondary_key,
                key,
                ..
            }
            | Self::Tencent {
                primary_key,
                secondary_key,
                key,
                ..
            } => match key {
                SigningKeySlot::Primary => primary_key.as_ref(),
                SigningKeySlot::Secondary => secondary_key.as_ref(),
            },
        }
    }

    /// The places of all secrets, each with its field's name.
    pub fn secrets_mut(&mut self) -> Vec<(&'static str, &mut Option<Secret>)> {
        match self {
            Self::None => Vec::new(),
            Self::Query { query } => vec![("query", query)],
            Self::Alibaba {
                primary_key,
                secondary_key,
                ..
            }
            | Self::Tencent {
                primary_key,
                secondary_key,
                ..
            } => vec![
                ("primary_key", primary_key),
                ("secondary_key", secondary_key),
            ],
        }
    }
}

/// With all its secrets in it.
impl Validate for RestreamSigning {
    fn validate(&self, found: &mut Violations) {
        match self {
            Self::None => {}
            Self::Query { query: None } => found.report("query", "is missing"),
            Self::Query { query: Some(query) } => check_query(query, found),
            Self::Alibaba {
                variant,
                uid,
                lifetime_seconds,
                ..
            } => {
                let is_uid = uid.bytes().all(|b| b.is_ascii_alphanumeric());
                if !is_uid || uid.is_empty() || uid.len() > 64 {
                    found.report("uid", "must have 1 to 64 letters and digits");
                }
                let least = match variant {
                    // Of its last minute nothing may be left.
                    AlibabaVariant::B => 2 * MINUTE,
                    AlibabaVariant::A | AlibabaVariant::C => MINUTE,
                };
                check_lifetime(*lifetime_seconds, least, found);
            }
            Self::Tencent {
                lifetime_seconds, ..
            } => check_lifetime(*lifetime_seconds, MINUTE, found),
        }
        self.check_keys(found);
    }
}

impl RestreamSigning {
    fn check_keys(&self, found: &mut Violations) {
        let (Self::Alibaba {
            primary_key,
            secondary_key,
            key,
            ..
        }
        | Self::Tencent {
            primary_key,
            secondary_key,
            key,
            ..
        }) = self
        else {
            return;
        };
        if self.signing_key().is_none() {
            let field = match key {
                SigningKeySlot::Primary => "primary_key",
                SigningKeySlot::Secondary => "secondary_key",
            };
            found.report(field, "is missing, but `key` says that it signs");
        }
        for (field, secret) in [
            ("primary_key", primary_key),
            ("secondary_key", secondary_key),
        ] {
            if let Some(secret) = secret {
                check_part(field, secret, found);
            }
        }
    }
}

fn check_query(query: &Secret, found: &mut Violations) {
    check_part("query", query, found);
    if query.expose().starts_with(['?', '&']) {
        found.report("query", "must not start with `?` or `&`");
    }
}

fn check_lifetime(seconds: u32, least: u32, found: &mut Violations) {
    if !(least..=YEAR).contains(&seconds) {
        found.report("lifetime_seconds", format!("must be {least} to {YEAR}"));
    }
}
