//! What a track of ours is in the words of SDP (RFC 8866 §6.6 `rtpmap`, §6.15 `fmtp`).

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use headworks_media::{
    AudioParameters, G711Law, OPUS_CLOCK, TrackKind, Tracks, VIDEO_CLOCK, VideoParameters,
    nal::NalFormat,
};

use crate::{Error, nal::parameter_sets};

/// Our dynamic payload types (RFC 3551 §6).
const VIDEO_TYPE: u8 = 96;
const AUDIO_TYPE: u8 = 97;
/// The static ones of G.711 at 8 kHz with one channel (RFC 3551 table 4).
pub(crate) const PCMU_TYPE: u8 = 0;
pub(crate) const PCMA_TYPE: u8 = 8;

/// How one of our tracks is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The payload type of its packets.
    pub payload_type: u8,
    /// The value of `a=rtpmap` behind the payload type.
    pub rtpmap: String,
    /// The value of `a=fmtp` behind the payload type, if the format has one.
    pub fmtp: Option<String>,
}

impl Format {
    /// Of pictures; none if RTP cannot carry them here.
    pub fn video(video: &VideoParameters) -> Result<Self, Error> {
        let Some((syntax, sets)) = parameter_sets(video.codec()) else {
            return Err(Error::Unsupported(video.codec_string().to_owned()));
        };
        let [first, second, third] = sets.map(|set| STANDARD.encode(set));
        let (name, fmtp) = match syntax {
            NalFormat::H264 => {
                // Profile, constraints and level are the bytes behind the header of the SPS.
                let profile: String = sets[0].iter().skip(1).take(3).map(hex).collect();
                let fmtp = format!(
                    "packetization-mode=1;profile-level-id={profile};\
                     sprop-parameter-sets={first},{second}"
                );
                ("H264", fmtp)
            }
            NalFormat::H265 => {
                let fmtp = format!("sprop-vps={first};sprop-sps={second};sprop-pps={third}");
                ("H265", fmtp)
            }
        };
        Ok(Self {
            payload_type: VIDEO_TYPE,
            rtpmap: format!("{name}/{VIDEO_CLOCK}"),
            fmtp: Some(fmtp),
        })
    }

    /// Of sound.
    #[must_use]
    pub fn audio(audio: &AudioParameters) -> Self {
        let (rtpmap, fmtp) = match audio {
            AudioParameters::Aac {
                config,
                parsed,
                clock_rate,
            } => {
                let config: String = config.iter().map(hex).collect();
                let fmtp = format!(
                    "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;\
                     indexdeltalength=3;config={config}"
                );
                let channels = parsed.channels;
                (format!("mpeg4-generic/{clock_rate}/{channels}"), Some(fmtp))
            }
            AudioParameters::G711 {
                law,
                clock_rate,
                channels,
            } => {
                let name = match law {
                    G711Law::A => "PCMA",
                    G711Law::Mu => "PCMU",
                };
                let mut rtpmap = format!("{name}/{clock_rate}");
                if *channels > 1 {
                    // Writing to a String does not fail.
                    let _ = write!(rtpmap, "/{channels}");
                }
                (rtpmap, None)
            }
            // RFC 7587 §7: always two channels; what is really in it stands in the fmtp.
            AudioParameters::Opus { channels, .. } => (
                format!("opus/{OPUS_CLOCK}/2"),
                Some(format!("sprop-stereo={}", u8::from(*channels > 1))),
            ),
        };
        Self {
            payload_type: audio_type(audio),
            rtpmap,
            fmtp,
        }
    }
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

/// The payload type that our packets of a track have.
pub(crate) fn payload_type(track: TrackKind, tracks: &Tracks) -> u8 {
    match (track, &tracks.audio) {
        (TrackKind::Video, _) => VIDEO_TYPE,
        (TrackKind::Audio, Some(audio)) => audio_type(audio),
        (TrackKind::Audio, None) => AUDIO_TYPE,
    }
}

fn audio_type(audio: &AudioParameters) -> u8 {
    match audio {
        AudioParameters::G711 {
            law,
            clock_rate: 8000,
            channels: 1,
        } => match law {
            G711Law::A => PCMA_TYPE,
            G711Law::Mu => PCMU_TYPE,
        },
        _ => AUDIO_TYPE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn our_own_words() {
        let h264 = Format::video(&testing::h264()).expect("is carried");
        assert_eq!(h264.payload_type, 96);
        assert_eq!(h264.rtpmap, "H264/90000");
        assert_eq!(
            h264.fmtp.as_deref(),
            Some(
                "packetization-mode=1;profile-level-id=64001e;sprop-parameter-sets=\
                 Z2QAHqzZQKAv+XARAAADAAEAAAMAMg8WLZY=,aOvjyyLA"
            )
        );
        let aac = Format::audio(&testing::aac());
        assert_eq!(aac.rtpmap, "mpeg4-generic/48000/2");
        assert!(aac.fmtp.expect("has parameters").ends_with("config=1190"));
        let g711 = Format::audio(&testing::g711());
        assert_eq!((g711.payload_type, &*g711.rtpmap), (8, "PCMA/8000"));
        let opus = Format::audio(&testing::opus());
        assert_eq!(opus.rtpmap, "opus/48000/2");
        assert_eq!(opus.fmtp.as_deref(), Some("sprop-stereo=1"));
    }
}
