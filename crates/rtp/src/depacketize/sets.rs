//! The parameter sets of a track: out of pictures, and told when they change.

use bytes::Bytes;
use headworks_media::{VideoCodec, VideoParameters};

use super::{Output, Outputs};
use crate::nal::{Syntax, parameter_sets};

/// The parameter sets of a track.
#[derive(Debug)]
pub(super) struct Sets {
    known: Option<VideoParameters>,
    sets: [Bytes; 3],
    /// Which of them the current picture has brought.
    seen: [bool; 3],
    changed: bool,
}

impl Sets {
    pub(super) fn new(known: Option<VideoParameters>) -> Self {
        let sets = known
            .as_ref()
            .and_then(|known| parameter_sets(known.codec()))
            .map(|(_, sets)| sets.map(Bytes::clone))
            .unwrap_or_default();
        Self {
            known,
            sets,
            seen: [false; 3],
            changed: false,
        }
    }

    /// Takes a parameter set; false if it has to stay in its picture, since the picture has
    /// several of this kind and containers know only one.
    pub(super) fn take(&mut self, place: usize, unit: &[u8]) -> bool {
        if std::mem::replace(&mut self.seen[place], true) {
            return self.sets[place] == unit;
        }
        if self.sets[place] != unit {
            self.sets[place] = Bytes::copy_from_slice(unit);
            self.changed = true;
        }
        true
    }

    /// What comes now belongs to another picture.
    pub(super) fn next_picture(&mut self) {
        self.seen = [false; 3];
    }

    /// Says if the parameters are others than before.
    pub(super) fn tell(&mut self, syntax: Syntax, out: &mut Outputs) {
        let [first, second, third] = self.sets.clone();
        let codec = match syntax {
            Syntax::H264 => VideoCodec::H264 {
                sps: first,
                pps: second,
            },
            Syntax::H265 => VideoCodec::H265 {
                vps: first,
                sps: second,
                pps: third,
            },
        };
        let needed = match syntax {
            Syntax::H264 => 2,
            Syntax::H265 => 3,
        };
        let complete = self.sets[..needed].iter().all(|set| !set.is_empty());
        if !complete || !std::mem::take(&mut self.changed) {
            return;
        }
        match VideoParameters::new(codec) {
            Ok(parameters) if self.known.as_ref() == Some(&parameters) => {}
            Ok(parameters) => {
                self.known = Some(parameters.clone());
                out.push_back(Output::Parameters(Box::new(parameters)));
            }
            Err(error) => out.push_back(Output::BadParameters(error)),
        }
    }
}
