//! Codec parameters as bytes: what an encoder has said, as it has said it. The rest is read from it
//! anew, so both ends have equal [`Tracks`].

use bytes::{Buf as _, BufMut, Bytes, BytesMut};
use headworks_media::{AudioParameters, G711Law, Tracks, VideoCodec, VideoParameters};

use super::Bad;

/// A parameter set has at most so many bytes.
const SET: usize = u16::MAX as usize;

/// Three sets of a picture and one of sound.
pub(super) const LONGEST: usize = 4 * (SET + 2) + 16;

const H264: u8 = 1;
const H265: u8 = 2;
const AV1: u8 = 3;

const SILENT: u8 = 0;
const AAC: u8 = 1;
const G711_A: u8 = 2;
const G711_MU: u8 = 3;
const OPUS: u8 = 4;

pub(super) fn write(out: &mut BytesMut, tracks: &Tracks) {
    match tracks.video.codec() {
        VideoCodec::H264 { sps, pps } => {
            out.put_u8(H264);
            put_set(out, sps);
            put_set(out, pps);
        }
        VideoCodec::H265 { vps, sps, pps } => {
            out.put_u8(H265);
            put_set(out, vps);
            put_set(out, sps);
            put_set(out, pps);
        }
        VideoCodec::Av1 { sequence_header } => {
            out.put_u8(AV1);
            put_set(out, sequence_header);
        }
    }
    match &tracks.audio {
        None => out.put_u8(SILENT),
        Some(AudioParameters::Aac {
            config, clock_rate, ..
        }) => {
            out.put_u8(AAC);
            put_set(out, config);
            out.put_u32(*clock_rate);
        }
        Some(AudioParameters::G711 {
            law,
            clock_rate,
            channels,
        }) => {
            out.put_u8(match law {
                G711Law::A => G711_A,
                G711Law::Mu => G711_MU,
            });
            out.put_u32(*clock_rate);
            out.put_u8(*channels);
        }
        Some(AudioParameters::Opus { channels, pre_skip }) => {
            out.put_u8(OPUS);
            out.put_u8(*channels);
            out.put_u16(*pre_skip);
        }
    }
}

pub(super) fn read(body: &mut Bytes) -> Result<Tracks, Bad> {
    let codec = match body.try_get_u8()? {
        H264 => VideoCodec::H264 {
            sps: set(body)?,
            pps: set(body)?,
        },
        H265 => VideoCodec::H265 {
            vps: set(body)?,
            sps: set(body)?,
            pps: set(body)?,
        },
        AV1 => VideoCodec::Av1 {
            sequence_header: set(body)?,
        },
        _ => return Err(Bad::new("an unknown codec of pictures")),
    };
    Ok(Tracks {
        video: VideoParameters::new(codec)?,
        audio: audio(body)?,
    })
}

fn audio(body: &mut Bytes) -> Result<Option<AudioParameters>, Bad> {
    let kind = body.try_get_u8()?;
    Ok(match kind {
        SILENT => None,
        AAC => {
            let config = set(body)?;
            Some(AudioParameters::aac(config, body.try_get_u32()?)?)
        }
        G711_A | G711_MU => {
            let clock_rate = body.try_get_u32()?;
            let channels = body.try_get_u8()?;
            if clock_rate == 0 || channels == 0 {
                return Err(Bad::new("sound without samples or channels"));
            }
            let law = match kind {
                G711_A => G711Law::A,
                _ => G711Law::Mu,
            };
            Some(AudioParameters::G711 {
                law,
                clock_rate,
                channels,
            })
        }
        OPUS => {
            let channels = body.try_get_u8()?;
            if !matches!(channels, 1 | 2) {
                return Err(Bad::new("sound without one or two channels"));
            }
            let pre_skip = body.try_get_u16()?;
            Some(AudioParameters::Opus { channels, pre_skip })
        }
        _ => return Err(Bad::new("an unknown codec of sound")),
    })
}

/// Parameters were read by `headworks_media`, which takes no longer ones.
fn put_set(out: &mut BytesMut, set: &[u8]) {
    let set = &set[..set.len().min(SET)];
    out.put_u16(set.len() as u16);
    out.put_slice(set);
}

/// A copy: the block that it came in should not live as long as the camera's parameters.
fn set(body: &mut Bytes) -> Result<Bytes, Bad> {
    let length = usize::from(body.try_get_u16()?);
    if body.remaining() < length {
        return Err(Bad::new("a parameter set ends early"));
    }
    Ok(Bytes::copy_from_slice(&body.split_to(length)))
}
