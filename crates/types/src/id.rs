//! Prefixed ids: `cam_0190f3c2a1b27c3d8e4f5a6b7c8d9e0f`.
//!
//! The prefix says what the id names, so that an id of one noun is never taken for another's. The
//! rest is a UUID (version 7 where the controller makes it) in 32 lower-case hexadecimal digits.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use uuid::Uuid;

/// Why a text is not an id of the expected noun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `{prefix}_` and 32 lower-case hexadecimal digits")]
pub struct IdError {
    prefix: &'static str,
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|digits| {
            digits.len() == 32
                && digits
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
        .ok_or(IdError { prefix })?;
    Uuid::try_parse(digits).map_err(|_| IdError { prefix })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "Cow<'_, str>")]
        pub struct $name(Uuid);

        impl $name {
            /// The part before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The id without its prefix, as the database keeps it.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<Cow<'_, str>> for $name {
            type Error = IdError;

            fn try_from(text: Cow<'_, str>) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-f]{32}$")))
                    .examples([concat!($prefix, "_0190f3c2a1b27c3d8e4f5a6b7c8d9e0f")])
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

id!(
    /// Names a project (tenant).
    ProjectId,
    "prj"
);
id!(
    /// Names a user.
    UserId,
    "usr"
);
id!(
    /// Names a group of users.
    UserGroupId,
    "ugrp"
);
id!(
    /// Names one time that a user has signed in.
    SignInId,
    "sin"
);
id!(
    /// Names an API key. Not secret; the key itself starts with `hwak_`.
    ApiKeyId,
    "key"
);
id!(
    /// Names a camera.
    CameraId,
    "cam"
);
id!(
    /// Names a camera group: a folder in the tree that cameras hang in.
    CameraGroupId,
    "cgrp"
);
id!(
    /// Names a stream key. Not secret; the key itself starts with `hwsk_`.
    StreamKeyId,
    "skey"
);
id!(
    /// Names a restream.
    RestreamId,
    "rst"
);
id!(
    /// Names a grant.
    GrantId,
    "grant"
);
id!(
    /// Names a role that a project has made.
    RoleId,
    "role"
);
id!(
    /// Names a viewer's session.
    SessionId,
    "sess"
);
id!(
    /// Names a customer's public key for playback tokens.
    PlaybackKeyId,
    "pkey"
);
id!(
    /// Names an edge node.
    NodeId,
    "node"
);
id!(
    /// Names a join token. Not secret; the token itself starts with `hwjt_`.
    JoinTokenId,
    "join"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_form_round_trips(bits: u128) {
            let id = CameraId::from(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = text.parse::<CameraId>();
        }
    }

    #[test]
    fn an_id_of_another_noun_is_refused() {
        let user = UserId::from(Uuid::from_u128(7)).to_string();
        assert!(user.parse::<CameraId>().is_err());
        assert!(
            "cam_0190F3C2A1B27C3D8E4F5A6B7C8D9E0F"
                .parse::<CameraId>()
                .is_err()
        );
        assert!(
            "cam_0190f3c2-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
                .parse::<CameraId>()
                .is_err()
        );
    }
}
