//! NAL units of H.264 and H.265: what each is for, and pictures in the form of a [`Frame`].
//!
//! Sources deliver them behind start codes (MPEG-TS, Annex B) or lengths (FLV), mixed with
//! parameter sets, delimiters and padding. A [`NalTrack`] takes them picture by picture, keeps the
//! parameter sets and gives back what a frame carries.
//!
//! [`Frame`]: crate::Frame

use bytes::{BufMut, Bytes};

use crate::{Error, VideoCodec, VideoParameters, bits::Bits};

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NalFormat {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// What a NAL unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NalKind {
    /// Video parameter set; H.265 only.
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// A slice of a picture that decoding can start with.
    Key,
    /// Delimits or fills, or ends a sequence: containers have their own means for that.
    Dispensable,
    /// Everything else that belongs to a picture.
    Other,
}

impl NalFormat {
    /// What `nal` is for; it begins with its header. Nothing is dispensable.
    #[must_use]
    pub fn kind(self, nal: &[u8]) -> NalKind {
        let Some(first) = nal.first() else {
            return NalKind::Dispensable;
        };
        match self {
            // H.264 table 7-1.
            Self::H264 => match first & 0x1f {
                5 => NalKind::Key,
                7 => NalKind::Sps,
                8 => NalKind::Pps,
                9..=12 => NalKind::Dispensable,
                _ => NalKind::Other,
            },
            // H.265 table 7-1. Types 16 to 21 are intra random access points.
            Self::H265 => match first >> 1 & 0x3f {
                16..=21 => NalKind::Key,
                32 => NalKind::Vps,
                33 => NalKind::Sps,
                34 => NalKind::Pps,
                35..=38 => NalKind::Dispensable,
                _ => NalKind::Other,
            },
        }
    }

    /// The number by which slices refer to a picture parameter set.
    fn pps_id(self, pps: &[u8]) -> Option<u32> {
        let header = match self {
            Self::H264 => 1,
            Self::H265 => 2,
        };
        Bits::new(pps.get(header..)?).exp_golomb()
    }
}

/// Splits a byte stream at its start codes (H.264 and H.265 Annex B). What stands before the
/// first start code is left out, and so are zeros before one; the units are not empty.
#[must_use]
pub fn split_annex_b(stream: &[u8]) -> AnnexB<'_> {
    let first = start_code(stream).map_or(stream.len(), |at| at + 3);
    AnnexB {
        rest: &stream[first..],
    }
}

/// The NAL units of a byte stream, by [`split_annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (unit, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            // trailing_zero_8bits, or the first byte of a start code of four.
            let end = unit
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            if end > 0 {
                return Some(&unit[..end]);
            }
        }
        None
    }
}

/// Where the next 00 00 01 begins. Looks at every third byte as long as that is above 1.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(byte) = bytes.get(at) {
        match byte {
            2.. => at += 3,
            1 if bytes[at - 2..at] == [0, 0] => return Some(at - 2),
            1 => at += 3,
            0 => at += 1,
        }
    }
    None
}

/// One picture as a frame carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// True if it has a slice that decoding can start with.
    pub key: bool,
    /// NAL units with 4-byte lengths and without parameter sets.
    pub payload: Bytes,
}

/// The parameter sets that configure a decoder, and further picture parameter sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sets {
    vps: Option<Bytes>,
    sps: Option<Bytes>,
    pps: Option<Bytes>,
}

/// Everything that a decoder configuration record may hold together.
const MAX_SETS: usize = 64 << 10;

/// A video track that consists of NAL units.
///
/// A stream with several picture parameter sets is carried too: [`VideoCodec`] holds the first,
/// the others stay in the pictures, where decoders find them as well.
#[derive(Debug, Clone)]
pub struct NalTrack {
    format: NalFormat,
    sets: Sets,
    /// Further parameter sets of the configuration; every key frame gets them.
    more: Vec<Bytes>,
    parameters: Option<VideoParameters>,
    /// They have not been told yet.
    changed: bool,
}

impl NalTrack {
    /// A track of which nothing is known yet.
    #[must_use]
    pub fn new(format: NalFormat) -> Self {
        Self {
            format,
            sets: Sets::default(),
            more: Vec::new(),
            parameters: None,
            changed: false,
        }
    }

    /// What its NAL units are.
    #[must_use]
    pub fn format(&self) -> NalFormat {
        self.format
    }

    /// Known once all of its parameter sets were seen.
    #[must_use]
    pub fn parameters(&self) -> Option<&VideoParameters> {
        self.parameters.as_ref()
    }

    /// The parameters, if they have changed since this was last called.
    pub fn take_changed(&mut self) -> Option<&VideoParameters> {
        let changed = std::mem::take(&mut self.changed);
        self.parameters.as_ref().filter(|_| changed)
    }

    /// Takes the parameter sets of a configuration; they replace all others.
    pub fn configure<'a>(&mut self, nals: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Error> {
        let (mut sets, mut more) = (Sets::default(), Vec::new());
        let mut length = 0;
        for nal in nals {
            length += nal.len();
            if length > MAX_SETS {
                let reason = format!("more than {MAX_SETS} bytes of parameter sets");
                return Err(Error::parameter_set("configuration", nal, reason));
            }
            if !self.keep(&mut sets, nal) && self.format.kind(nal) != NalKind::Dispensable {
                more.push(Bytes::copy_from_slice(nal));
            }
        }
        self.apply(sets)?;
        self.more = more;
        Ok(())
    }

    /// Takes the NAL units of one picture. `None` if nothing is left of it: parameter sets and
    /// dispensable units alone. A parameter set that does not parse is an error, and the ones
    /// before stay.
    pub fn picture<'a>(
        &mut self,
        nals: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Option<Picture>, Error> {
        let mut sets = self.sets.clone();
        let (mut key, mut length) = (false, 0);
        for nal in nals.clone() {
            match self.format.kind(nal) {
                NalKind::Dispensable => continue,
                _ if self.keep(&mut sets, nal) => continue,
                kind => key |= kind == NalKind::Key,
            }
            length += 4 + nal.len();
        }
        self.apply(sets)?;
        if length == 0 {
            return Ok(None);
        }
        let more = if key { &self.more[..] } else { &[] };
        length += more.iter().map(|nal| 4 + nal.len()).sum::<usize>();
        let mut payload = Vec::with_capacity(length);
        let mut write = |nal: &[u8]| {
            payload.put_u32(nal.len() as u32);
            payload.extend_from_slice(nal);
        };
        more.iter().for_each(|nal| write(nal));
        for nal in nals {
            if self.format.kind(nal) != NalKind::Dispensable && !self.is_kept(nal) {
                write(nal);
            }
        }
        Ok(Some(Picture {
            key,
            payload: payload.into(),
        }))
    }

    /// As [`Self::picture`], of NAL units behind lengths of `length_size` bytes (ISO/IEC 14496-15
    /// §5.3.4), which begin at byte `offset` of the tag for the error's sake. Does not copy where
    /// the payload is already as it has to be.
    pub(crate) fn sample(
        &mut self,
        sample: &Bytes,
        length_size: usize,
        offset: usize,
    ) -> Result<Option<Picture>, Error> {
        let units = Lengths {
            rest: sample,
            size: length_size,
        };
        let mut key = false;
        let mut as_it_is = length_size == 4;
        let mut end = 0;
        for nal in units {
            end += length_size + nal.len();
            let kind = self.format.kind(nal);
            key |= kind == NalKind::Key;
            as_it_is &= matches!(kind, NalKind::Key | NalKind::Other);
        }
        if end != sample.len() {
            return Err(Error::Malformed {
                container: "FLV",
                part: "NAL unit",
                offset: (offset + end) as u64,
                reason: format!("it does not fit into the {} bytes left", sample.len() - end),
            });
        }
        as_it_is &= !key || self.more.is_empty();
        if as_it_is && !sample.is_empty() {
            return Ok(Some(Picture {
                key,
                payload: sample.clone(),
            }));
        }
        self.picture(units)
    }

    /// Puts a parameter set into `sets` if it has a place there.
    fn keep(&self, sets: &mut Sets, nal: &[u8]) -> bool {
        let place = match self.format.kind(nal) {
            NalKind::Vps => &mut sets.vps,
            NalKind::Sps => &mut sets.sps,
            NalKind::Pps => {
                let id = self.format.pps_id(nal);
                if let Some(before) = &sets.pps
                    && self.format.pps_id(before) != id
                {
                    return false;
                }
                &mut sets.pps
            }
            _ => return false,
        };
        if place.as_ref().is_none_or(|before| before != nal) {
            *place = Some(Bytes::copy_from_slice(nal));
        }
        true
    }

    /// True for a parameter set that has a place in the configuration.
    fn is_kept(&self, nal: &[u8]) -> bool {
        match self.format.kind(nal) {
            NalKind::Vps | NalKind::Sps => true,
            NalKind::Pps => {
                let id = self.format.pps_id(nal);
                (self.sets.pps.as_ref()).is_some_and(|pps| self.format.pps_id(pps) == id)
            }
            _ => false,
        }
    }

    fn apply(&mut self, sets: Sets) -> Result<(), Error> {
        if sets == self.sets {
            return Ok(());
        }
        let codec = match (self.format, sets.clone()) {
            (
                NalFormat::H264,
                Sets {
                    sps: Some(sps),
                    pps: Some(pps),
                    ..
                },
            ) => VideoCodec::H264 { sps, pps },
            (
                NalFormat::H265,
                Sets {
                    vps: Some(vps),
                    sps: Some(sps),
                    pps: Some(pps),
                },
            ) => VideoCodec::H265 { vps, sps, pps },
            _ => {
                self.sets = sets;
                return Ok(());
            }
        };
        self.parameters = Some(VideoParameters::new(codec)?);
        self.sets = sets;
        self.changed = true;
        Ok(())
    }
}

/// Units behind lengths; ends where the rest is too short.
#[derive(Debug, Clone, Copy)]
struct Lengths<'a> {
    rest: &'a [u8],
    size: usize,
}

impl<'a> Iterator for Lengths<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_at_checked(self.size)?;
        let length = length
            .iter()
            .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parameters::tests::{h264, h265};

    fn sets(video: &VideoParameters) -> Vec<Bytes> {
        match video.codec().clone() {
            VideoCodec::H264 { sps, pps } => vec![sps, pps],
            VideoCodec::H265 { vps, sps, pps } => vec![vps, sps, pps],
            VideoCodec::Av1 { .. } => unreachable!("no NAL units"),
        }
    }

    fn annex_b(nals: &[Bytes]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, nal) in nals.iter().enumerate() {
            out.extend_from_slice(if index % 2 == 0 {
                &[0, 0, 0, 1]
            } else {
                &[0, 0, 1]
            });
            out.extend_from_slice(nal);
        }
        out
    }

    #[test]
    fn a_byte_stream_is_split_at_its_start_codes() {
        let split = |bytes| split_annex_b(bytes).collect::<Vec<_>>();
        assert_eq!(
            split(&[
                9, 9, 0, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0, 1, 0x41, 0, 0, 0, 0, 1
            ]),
            [&[0x65, 0, 0, 3, 1][..], &[0x41]]
        );
        assert!(split(&[]).is_empty());
        assert!(split(&[1, 2, 3]).is_empty());
        assert!(split(&[0, 0, 1, 0, 0, 1]).is_empty());
    }

    #[test]
    fn parameter_sets_leave_the_picture_and_configure_the_track() {
        for (format, video, key, other, delimiter) in [
            (NalFormat::H264, h264(), 0x65, 0x41, 0x09),
            (NalFormat::H265, h265(), 0x26, 0x02, 0x46),
        ] {
            let mut track = NalTrack::new(format);
            let mut nals = vec![Bytes::from(vec![delimiter, 0xf0])];
            nals.extend(sets(&video));
            nals.push(Bytes::from(vec![key, 1, 7]));
            let stream = annex_b(&nals);
            let first = track
                .picture(split_annex_b(&stream))
                .expect("parses")
                .expect("a picture");
            assert!(first.key);
            assert_eq!(track.take_changed(), Some(&video));
            assert_eq!(first.payload[..], [0, 0, 0, 3, key, 1, 7]);
            assert_eq!(track.parameters(), Some(&video));
            let again = track
                .picture(split_annex_b(&stream))
                .expect("parses")
                .expect("a picture");
            assert!(again.key);
            assert_eq!(track.take_changed(), None);
            let stream = [0, 0, 1, other, 1, 9];
            let next = track
                .picture(split_annex_b(&stream))
                .expect("parses")
                .expect("a picture");
            assert!(!next.key);
            let alone = track
                .picture(split_annex_b(&annex_b(&nals[..3])))
                .expect("parses");
            assert_eq!(alone, None);
        }
    }

    #[test]
    fn further_picture_parameter_sets_stay_with_the_pictures() {
        let video = h264();
        let mut nals = sets(&video);
        // pic_parameter_set_id 1.
        nals.push(Bytes::from_static(&[0x68, 0x4b, 0xe3, 0xcb]));
        let mut track = NalTrack::new(NalFormat::H264);
        assert_eq!(track.configure(nals.iter().map(|nal| &nal[..])), Ok(()));
        assert_eq!(track.take_changed(), Some(&video));
        let sample = Bytes::from_static(&[0, 0, 0, 2, 0x65, 7]);
        let key = track
            .sample(&sample, 4, 5)
            .expect("parses")
            .expect("a picture");
        assert_eq!(
            key.payload[..],
            [0, 0, 0, 4, 0x68, 0x4b, 0xe3, 0xcb, 0, 0, 0, 2, 0x65, 7]
        );
        let in_band = annex_b(&[nals[2].clone(), Bytes::from_static(&[0x41, 1])]);
        let picture = track
            .picture(split_annex_b(&in_band))
            .expect("parses")
            .expect("a picture");
        assert_eq!(
            picture.payload[..],
            [0, 0, 0, 4, 0x68, 0x4b, 0xe3, 0xcb, 0, 0, 0, 2, 0x41, 1]
        );
        assert_eq!(track.take_changed(), None);
    }

    #[test]
    fn samples_of_any_length_size_become_four() {
        let mut track = NalTrack::new(NalFormat::H264);
        for (size, sample) in [
            (1, &[2, 0x65, 7, 2, 0x09, 0xf0][..]),
            (2, &[0, 2, 0x65, 7]),
            (3, &[0, 0, 2, 0x65, 7]),
            (4, &[0, 0, 0, 2, 0x65, 7]),
        ] {
            let sample = Bytes::copy_from_slice(sample);
            let picture = track
                .sample(&sample, size, 0)
                .expect("parses")
                .expect("a picture");
            assert_eq!(picture.payload[..], [0, 0, 0, 2, 0x65, 7]);
            let shared = picture.payload.as_ptr() == sample.as_ptr();
            assert_eq!(shared, size == 4, "copied only where it must be");
        }
        let error = track.sample(&Bytes::from_static(&[0, 0, 0, 9, 0x65]), 4, 5);
        assert_eq!(
            error.expect_err("too long").to_string(),
            "bad FLV, NAL unit at byte 5: it does not fit into the 5 bytes left"
        );
    }

    #[test]
    fn a_broken_parameter_set_changes_nothing() {
        let mut track = NalTrack::new(NalFormat::H264);
        let video = h264();
        track
            .configure(sets(&video).iter().map(|nal| &nal[..]))
            .expect("parses");
        let broken = [&[0x67, 1, 2][..], &[0x65, 1]];
        assert!(track.picture(broken.into_iter()).is_err());
        assert_eq!(track.parameters(), Some(&video));
    }

    proptest! {
        #[test]
        fn what_is_split_can_be_joined(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200)) {
            let units: Vec<Bytes> = split_annex_b(&bytes).map(Bytes::copy_from_slice).collect();
            let joined = annex_b(&units);
            let again: Vec<Bytes> = split_annex_b(&joined).map(Bytes::copy_from_slice).collect();
            prop_assert_eq!(units, again);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, size in 1_usize..5) {
            for format in [NalFormat::H264, NalFormat::H265] {
                let mut track = NalTrack::new(format);
                let _ = track.picture(split_annex_b(&bytes));
                let _ = track.sample(&Bytes::from(bytes.clone()), size, 0);
            }
        }
    }
}
