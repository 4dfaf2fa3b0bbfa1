//! What nodes can do, and what work needs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node can do beyond passing on media, or what work needs of it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(default)]
pub struct Capabilities {
    /// FFmpeg starts there: files are played, and pictures can be encoded anew.
    pub ffmpeg: bool,
    /// It has a media directory (`edge.pull.files`).
    pub files: bool,
}

impl Capabilities {
    /// Nothing of it.
    pub const NONE: Self = Self {
        ffmpeg: false,
        files: false,
    };
    /// Everything. Edges from before this was asked say nothing, and are taken for able.
    pub const ALL: Self = Self {
        ffmpeg: true,
        files: true,
    };

    /// True if who can do this can do what is needed.
    #[must_use]
    pub fn include(self, needs: Self) -> bool {
        self.lacks(needs).is_none()
    }

    /// What of the needs is missing here, in words that follow "it has".
    #[must_use]
    pub fn lacks(self, needs: Self) -> Option<&'static str> {
        if needs.files && !self.files {
            Some("no media files")
        } else if needs.ffmpeg && !self.ffmpeg {
            Some("no FFmpeg")
        } else {
            None
        }
    }

    /// What either of them needs.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            ffmpeg: self.ffmpeg || other.ffmpeg,
            files: self.files || other.files,
        }
    }
}
