//! Formats of which a packet is a frame: G.711 (RFC 3551 §4.5.14) and Opus (RFC 7587 §4.2).

use headworks_media::{AudioParameters, opus};

/// How long a packet plays, in ticks of the track's clock; `None` if it holds nothing that does.
pub(super) fn length(parameters: &AudioParameters, payload: &[u8]) -> Option<u32> {
    let length = match parameters {
        AudioParameters::G711 { channels, .. } => {
            payload.len() as u32 / u32::from(*channels).max(1)
        }
        AudioParameters::Opus { .. } => opus::packet_length(payload)?,
        AudioParameters::Aac { .. } => return None,
    };
    (length > 0).then_some(length)
}
