//! What a stream is made of, as far as people want to know.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One elementary stream of a camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Track {
    /// Video or audio.
    pub kind: TrackKind,
    /// How it is compressed.
    pub codec: Codec,
    /// Width in pixels; video only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub width: Option<u32>,
    /// Height in pixels; video only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub height: Option<u32>,
    /// Samples per second; audio only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sample_rate: Option<u32>,
    /// Number of channels; audio only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channels: Option<u32>,
}

/// Video or audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A compression format that Headworks carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// H.264 (AVC).
    H264,
    /// H.265 (HEVC).
    H265,
    /// AV1.
    Av1,
    /// AAC.
    Aac,
    /// G.711 A-law.
    G711a,
    /// G.711 µ-law.
    G711u,
    /// Opus.
    Opus,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Av1 => "AV1",
            Self::Aac => "AAC",
            Self::G711a => "G.711 A-law",
            Self::G711u => "G.711 µ-law",
            Self::Opus => "Opus",
        })
    }
}
