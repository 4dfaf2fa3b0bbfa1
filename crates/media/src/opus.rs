//! Opus packets (RFC 6716 §3.1) and their identification header (RFC 7845 §5.1).

use bytes::BufMut;

use crate::{AudioParameters, Error, OPUS_CLOCK};

/// No packet is longer than 120 ms (RFC 6716 §3.2.5).
const LONGEST: u32 = OPUS_CLOCK / 1000 * 120;

/// How many samples at 48 kHz a packet holds; `None` if it cannot be one.
#[must_use]
pub fn packet_length(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    // Table 2: the upper five bits say mode and frame size.
    let frame = match toc >> 3 {
        mode @ 0..12 => [480, 960, 1920, 2880][usize::from(mode & 3)],
        mode @ 12..16 => [480, 960][usize::from(mode & 1)],
        mode => [120, 240, 480, 960][usize::from(mode & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*packet.get(1)? & 0x3f),
    };
    Some(frame * count).filter(|length| (1..=LONGEST).contains(length))
}

const MAGIC: &[u8; 8] = b"OpusHead";

/// Reads an identification header. Only mapping family 0, mono and stereo.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<AudioParameters, Error> {
    let error = |reason| Error::parameter_set("OpusHead", bytes, reason);
    let body = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| error("it does not begin with OpusHead"))?;
    // Version, channels, pre-skip, input rate, gain, mapping family.
    let [
        version,
        channels,
        skip_low,
        skip_high,
        _,
        _,
        _,
        _,
        _,
        _,
        family,
        ..,
    ] = *body
    else {
        return Err(error("shorter than 19 bytes"));
    };
    // The upper four bits are the incompatible part of the version.
    if version >> 4 != 0 {
        return Err(error("of an unknown version"));
    }
    if family != 0 || !(1..=2).contains(&channels) {
        return Err(error("more than two channels"));
    }
    Ok(AudioParameters::Opus {
        channels,
        pre_skip: u16::from_le_bytes([skip_low, skip_high]),
    })
}

/// Writes an identification header.
#[must_use]
pub fn head(channels: u8, pre_skip: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(19);
    out.extend_from_slice(MAGIC);
    out.push(1);
    out.push(channels);
    out.put_u16_le(pre_skip);
    out.put_u32_le(OPUS_CLOCK);
    out.put_i16_le(0);
    out.push(0);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_say_how_long_they_are() {
        // CELT 20 ms, one frame; SILK 60 ms, two frames; code 3 with six frames of 20 ms.
        assert_eq!(packet_length(&[0xfc, 1]), Some(960));
        assert_eq!(packet_length(&[3 << 3 | 1]), Some(5760));
        assert_eq!(packet_length(&[0xff, 6]), Some(5760));
        assert_eq!(packet_length(&[0xff, 7]), None, "longer than 120 ms");
        assert_eq!(packet_length(&[0xff]), None);
        assert_eq!(packet_length(&[]), None);
    }

    #[test]
    fn a_head_reads_back() {
        let written = head(2, 312);
        assert_eq!(
            parse_head(&written),
            Ok(AudioParameters::Opus {
                channels: 2,
                pre_skip: 312
            })
        );
        assert!(parse_head(&written[..18]).is_err());
        let mut surround = written.clone();
        surround[9] = 6;
        assert!(parse_head(&surround).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = packet_length(&bytes);
            let _ = parse_head(&bytes);
            let _ = parse_head(&[&MAGIC[..], &bytes].concat());
            // A head that is right but for what stands in it.
            let _ = parse_head(&[&MAGIC[..], &[1], &bytes].concat());
        }
    }
}
