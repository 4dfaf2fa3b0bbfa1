//! Formats of which a packet is a frame: G.711 (RFC 3551 §4.5.14) and Opus (RFC 7587 §4.2).

use headworks_media::AudioParameters;

/// The most that one packet of Opus plays: 120 ms (RFC 6716 §3.2.5).
const MAX_OPUS: u32 = 5760;

/// How long a packet plays, in ticks of the track's clock; `None` if it holds nothing that does.
pub(super) fn length(parameters: &AudioParameters, payload: &[u8]) -> Option<u32> {
    let length = match parameters {
        AudioParameters::G711 { channels, .. } => {
            payload.len() as u32 / u32::from(*channels).max(1)
        }
        AudioParameters::Opus { .. } => opus(payload)?,
        AudioParameters::Aac { .. } => return None,
    };
    (length > 0).then_some(length)
}

/// From the table of contents (RFC 6716 §3.1), in ticks of 48 kHz.
fn opus(payload: &[u8]) -> Option<u32> {
    let toc = *payload.first()?;
    let configuration = toc >> 3;
    // SILK, hybrid, CELT (table 2).
    let frame = match configuration {
        0..=11 => [480, 960, 1920, 2880][usize::from(configuration & 3)],
        12..=15 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * count).filter(|length| *length <= MAX_OPUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_contents_of_opus() {
        assert_eq!(opus(&[0xfc]), Some(960), "CELT, 20 ms");
        assert_eq!(opus(&[0x08]), Some(960), "SILK, 20 ms");
        assert_eq!(opus(&[0x18]), Some(2880), "SILK, 60 ms");
        assert_eq!(opus(&[0x70]), Some(480), "hybrid, 10 ms");
        assert_eq!(opus(&[0x81]), Some(240), "CELT, 2 x 2.5 ms");
        assert_eq!(opus(&[0xfb, 6]), Some(5760), "CELT, 6 x 20 ms");
        assert_eq!(opus(&[0xfb, 7]), None, "more than 120 ms");
        assert_eq!((opus(&[]), opus(&[0xfb])), (None, None));
    }
}
