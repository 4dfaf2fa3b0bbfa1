//! A track of pictures that consist of NAL units.

use bytes::{BufMut, Bytes};

use super::{NalFormat, NalKind};
use crate::{Error, VideoCodec, VideoParameters};

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
    /// By which slices refer to `pps`; none if that does not parse.
    pps_id: Option<u32>,
}

/// The longest parameter set: configuration records count its bytes in 16 bits (ISO/IEC 14496-15
/// §5.3.3.1, §8.3.3.1).
const MAX_SET: usize = u16::MAX as usize;

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
    /// Those, and what has come since they were settled.
    next: Sets,
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
            next: Sets::default(),
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
        self.next = Sets::default();
        let more = self.keep_all(nals).inspect_err(|_| self.forget())?;
        self.settle()?;
        self.more = more;
        Ok(())
    }

    /// Gives those for which the configuration has no place.
    fn keep_all<'a>(
        &mut self,
        nals: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Bytes>, Error> {
        let (mut more, mut length) = (Vec::new(), 0);
        for nal in nals {
            length += nal.len();
            if length > MAX_SETS {
                let reason = format!("more than {MAX_SETS} bytes of parameter sets");
                return Err(Error::parameter_set("configuration", nal, reason));
            }
            if !self.keep(nal)? && self.format.kind(nal) != NalKind::Dispensable {
                more.push(Bytes::copy_from_slice(nal));
            }
        }
        Ok(more)
    }

    /// Takes the NAL units of one picture. `None` if nothing is left of it: parameter sets and
    /// dispensable units alone. A parameter set that does not parse is an error, and the ones
    /// before stay.
    pub fn picture<'a>(
        &mut self,
        nals: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Option<Picture>, Error> {
        let (mut key, mut length) = (false, 0);
        for nal in nals.clone() {
            match self.format.kind(nal) {
                NalKind::Dispensable => continue,
                _ if self.keep(nal).inspect_err(|_| self.forget())? => continue,
                kind => key |= kind == NalKind::Key,
            }
            length += 4 + nal.len();
        }
        self.settle()?;
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

    /// Takes a unit if it is a parameter set that has a place in the configuration; it counts from
    /// [`Self::settle`] on. True if it was taken: then it does not belong into a picture. One that
    /// no configuration record could hold is an error.
    pub fn keep(&mut self, nal: &[u8]) -> Result<bool, Error> {
        let sets = &mut self.next;
        let (name, place) = match self.format.kind(nal) {
            NalKind::Vps => ("VPS", &mut sets.vps),
            NalKind::Sps => ("SPS", &mut sets.sps),
            NalKind::Pps => {
                let id = self.format.pps_id(nal);
                if sets.pps.is_some() && sets.pps_id != id {
                    return Ok(false);
                }
                sets.pps_id = id;
                ("PPS", &mut sets.pps)
            }
            _ => return Ok(false),
        };
        if nal.len() > MAX_SET {
            let reason = format!("more than {MAX_SET} bytes");
            return Err(Error::parameter_set(name, nal, reason));
        }
        if place.as_ref().is_none_or(|before| before != nal) {
            *place = Some(Bytes::copy_from_slice(nal));
        }
        Ok(true)
    }

    /// True for a parameter set that has a place in the configuration.
    fn is_kept(&self, nal: &[u8]) -> bool {
        match self.format.kind(nal) {
            NalKind::Vps | NalKind::Sps => true,
            NalKind::Pps => self.sets.pps.is_some() && self.sets.pps_id == self.format.pps_id(nal),
            _ => false,
        }
    }

    /// What was [kept](Self::keep) counts from now on. If it does not parse it is forgotten, and
    /// what was before stays.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.apply(self.next.clone()).inspect_err(|_| self.forget())
    }

    fn forget(&mut self) {
        self.next = self.sets.clone();
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
                    ..
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
mod tests;
