//! ADTS, the framing of AAC in MPEG-TS and in FFmpeg's `-f adts` (ISO/IEC 14496-3 §1.A.2.2).

use bytes::{Buf, Bytes, BytesMut};

use super::{AudioSpecificConfig, SAMPLE_RATES};

/// A header without a checksum.
const HEADER: usize = 7;
const CHECKSUM: usize = 2;
/// The length has 13 bits.
const MAX_FRAME: usize = (1 << 13) - 1;

/// What an ADTS header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdtsHeader {
    /// Of the header, in bytes.
    pub length: usize,
    /// Of the whole frame, header and all.
    pub frame_length: usize,
    object_type: u8,
    rate_index: u8,
    channels: u8,
}

impl AdtsHeader {
    /// Reads the header at the start of `bytes`. `None` if there is none, if it has the several
    /// blocks that nobody writes, or channels that only the stream itself defines.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [b0, b1, b2, b3, b4, b5, b6] = *bytes.first_chunk::<HEADER>()?;
        // Sync word of twelve bits, and two zero bits of the layer.
        if b0 != 0xff || b1 & 0xf6 != 0xf0 || b6 & 3 != 0 {
            return None;
        }
        let frame_length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        let header = Self {
            length: HEADER + if b1 & 1 == 0 { CHECKSUM } else { 0 },
            frame_length,
            object_type: (b2 >> 6) + 1,
            rate_index: b2 >> 2 & 0xf,
            channels: (b2 & 1) << 2 | b3 >> 6,
        };
        let known = usize::from(header.rate_index) < SAMPLE_RATES.len();
        (known && header.channels > 0 && frame_length > header.length).then_some(header)
    }

    /// The AudioSpecificConfig that says the same.
    #[must_use]
    pub fn config(&self) -> [u8; 2] {
        let Self {
            object_type,
            rate_index,
            channels,
            ..
        } = self;
        [
            object_type << 3 | rate_index >> 1,
            rate_index << 7 | channels << 3,
        ]
    }
}

impl AudioSpecificConfig {
    /// The ADTS header before an access unit of `length` bytes. `None` if ADTS has no way to say
    /// it: other object types and rates, longer units. HE-AAC is written as its core, and decoders
    /// find the rest in the units.
    #[must_use]
    pub fn adts_header(&self, length: usize) -> Option<[u8; HEADER]> {
        let profile = match self.object_type {
            1..=4 => self.object_type - 1,
            5 | 29 => 1,
            _ => return None,
        };
        let rate = SAMPLE_RATES
            .iter()
            .position(|rate| *rate == self.sample_rate)? as u8;
        let channels = match self.channels {
            8 => 7,
            count => count,
        };
        let frame = HEADER + length;
        if frame > MAX_FRAME || self.frame_length != 1024 {
            return None;
        }
        Some([
            0xff,
            0xf1,
            profile << 6 | rate << 2 | channels >> 2,
            channels << 6 | (frame >> 11) as u8,
            (frame >> 3) as u8,
            // The fullness of the buffer: all ones stand for a variable rate.
            (frame << 5) as u8 | 0x1f,
            0xfc,
        ])
    }
}

/// One access unit of an ADTS stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdtsFrame {
    /// Its AudioSpecificConfig.
    pub config: [u8; 2],
    /// The raw access unit.
    pub payload: Bytes,
}

/// Finds the access units of an ADTS stream, however it is cut into pieces. What is no frame is
/// left out, byte by byte, until one begins.
#[derive(Debug, Clone, Default)]
pub struct AdtsReader {
    buffer: BytesMut,
    skipped: u64,
}

impl AdtsReader {
    /// Takes the next bytes. What is kept is at most one frame and these, if [`poll`] is called
    /// until it gives `None` after each call.
    ///
    /// [`poll`]: Self::poll
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next access unit; `None` if more bytes are needed for it.
    pub fn poll(&mut self) -> Option<AdtsFrame> {
        while self.buffer.len() >= HEADER {
            let Some(header) = AdtsHeader::parse(&self.buffer) else {
                self.buffer.advance(1);
                self.skipped += 1;
                continue;
            };
            if self.buffer.len() < header.frame_length {
                return None;
            }
            let mut frame = self.buffer.split_to(header.frame_length);
            return Some(AdtsFrame {
                config: header.config(),
                payload: frame.split_off(header.length).freeze(),
            });
        }
        None
    }

    /// How many bytes were no part of a frame.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many bytes of an unfinished frame are kept.
    pub(crate) fn kept(&self) -> usize {
        self.buffer.len()
    }

    /// Forgets an unfinished frame.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEREO: [u8; 2] = [0x11, 0x90];

    fn frame(config: &[u8], payload: &[u8]) -> Vec<u8> {
        let parsed = AudioSpecificConfig::parse(config).expect("parses");
        let header = parsed.adts_header(payload.len()).expect("ADTS can say it");
        [&header[..], payload].concat()
    }

    #[test]
    fn a_header_as_ffmpeg_writes_it() {
        // 48 kHz, stereo, AAC-LC, 371 bytes.
        let header =
            AdtsHeader::parse(&[0xff, 0xf1, 0x4c, 0x80, 0x2e, 0x7f, 0xfc]).expect("parses");
        assert_eq!((header.length, header.frame_length), (7, 371));
        assert_eq!(header.config(), STEREO);
        let lc = AudioSpecificConfig::parse(&STEREO).expect("parses");
        assert_eq!(
            lc.adts_header(364),
            Some([0xff, 0xf1, 0x4c, 0x80, 0x2e, 0x7f, 0xfc])
        );
        assert_eq!(lc.adts_header(8185), None, "longer than 13 bits can say");
    }

    #[test]
    fn what_is_no_frame_is_skipped() {
        let mut reader = AdtsReader::default();
        let whole = [
            &[1, 2, 3][..],
            &frame(&STEREO, b"one"),
            &frame(&STEREO, b"two"),
        ]
        .concat();
        let mut found = Vec::new();
        for byte in whole {
            reader.push(&[byte]);
            found.extend(std::iter::from_fn(|| reader.poll()).map(|frame| frame.payload));
        }
        assert_eq!(found, [&b"one"[..], b"two"]);
        assert_eq!(reader.skipped(), 3);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(rate in 0_u8..13, channels in 1_u8..8, payload in prop::collection::vec(any::<u8>(), 1..2000)) {
            let config = [2 << 3 | rate >> 1, rate << 7 | channels << 3];
            let mut reader = AdtsReader::default();
            reader.push(&frame(&config, &payload));
            prop_assert_eq!(reader.poll(), Some(AdtsFrame { config, payload: payload.into() }));
        }

        #[test]
        fn garbage_never_panics(pieces: Vec<Vec<u8>>) {
            let mut reader = AdtsReader::default();
            for piece in pieces {
                reader.push(&[0xff, 0xf1]);
                reader.push(&piece);
                while reader.poll().is_some() {}
                prop_assert!(reader.kept() <= MAX_FRAME);
            }
        }
    }
}
