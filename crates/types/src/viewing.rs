//! How a camera may be watched.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Validate, Violations};

/// How a camera may be watched, beyond who may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Viewing {
    /// How many may watch it at once on one node, 1 to 1000000; as many as like if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_viewers: Option<u32>,
    /// Nobody watches it on a node that has not heard for ten minutes who may not any more. Other
    /// cameras are watched on, for as long as tokens say, when no controller can be reached.
    pub sensitive: bool,
}

impl Viewing {
    /// True if it says nothing special.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Validate for Viewing {
    fn validate(&self, found: &mut Violations) {
        if self
            .max_viewers
            .is_some_and(|max| !(1..=1_000_000).contains(&max))
        {
            found.report("max_viewers", "must be 1 to 1000000");
        }
    }
}
