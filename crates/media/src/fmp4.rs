//! Fragmented MP4 writer (ISO/IEC 14496-12), as HLS and Media Source Extensions want it.
//!
//! The init segment is written with mp4-atom, once per set of parameters. Fragment headers are
//! written by hand into one exact allocation, since their layout is fixed and they are written
//! all the time. Payload is never copied: a fragment is its header followed by the frames' bytes.

use bytes::{BufMut, Bytes};
use mp4_atom::{
    Audio, Av01, Avc1, Codec, Dinf, Dops, Dref, DrefEntry, Encode, Ftyp, Hdlr, Hvc1, Mdhd, Mdia,
    Minf, Moov, Mp4a, Mvex, Mvhd, Opus, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url,
    Visual, Vmhd,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig},
};

use crate::{
    AudioParameters, Error, OPUS_CLOCK, Tracks, VIDEO_CLOCK, VideoParameters, parameters::Record,
};

/// The track id of the picture.
pub const VIDEO_TRACK: u32 = 1;
/// The track id of the sound.
pub const AUDIO_TRACK: u32 = 2;

/// §8.8.3.1: a sample that others do not depend on for starting.
const SYNC_SAMPLE: u32 = 0x0200_0000;
const OTHER_SAMPLE: u32 = 0x0101_0000;

/// True if MP4 has an entry for it that browsers know.
#[must_use]
pub fn carries(audio: &AudioParameters) -> bool {
    matches!(
        audio,
        AudioParameters::Aac { .. } | AudioParameters::Opus { .. }
    )
}

/// `ftyp` and `moov`. Sound that MP4 cannot carry is left out.
pub fn init_segment(tracks: &Tracks) -> Result<Bytes, Error> {
    let mut trak = vec![video_track(&tracks.video)?];
    trak.extend(tracks.audio.as_ref().and_then(audio_track));
    let trex = trak
        .iter()
        .map(|trak| Trex {
            track_id: trak.tkhd.track_id,
            default_sample_description_index: 1,
            ..Default::default()
        })
        .collect();
    let moov = Moov {
        mvhd: Mvhd {
            timescale: 1000,
            next_track_id: trak.len() as u32 + 1,
            ..Default::default()
        },
        mvex: Some(Mvex { mehd: None, trex }),
        trak,
        meta: None,
        udta: None,
        ainf: None,
    };
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"cmfc".into(), b"mp41".into()],
    };
    let mut out = Vec::new();
    ftyp.encode(&mut out).map_err(|e| unsupported(&e))?;
    moov.encode(&mut out).map_err(|e| unsupported(&e))?;
    Ok(out.into())
}

fn unsupported(error: &mp4_atom::Error) -> Error {
    Error::Unsupported {
        container: "MP4",
        what: error.to_string(),
    }
}

fn video_track(video: &VideoParameters) -> Result<Trak, Error> {
    let size = |length: u32| {
        u16::try_from(length).map_err(|_| Error::Unsupported {
            container: "MP4",
            what: format!("a picture of {}x{}", video.width(), video.height()),
        })
    };
    let (width, height) = (size(video.width())?, size(video.height())?);
    let visual = Visual {
        data_reference_index: 1,
        width,
        height,
        ..Default::default()
    };
    let pasp = video.pixel_aspect().map(|(w, h)| Pasp {
        h_spacing: w.into(),
        v_spacing: h.into(),
    });
    let codec: Codec = match video.record() {
        Record::Avc(avcc) => Avc1 {
            visual,
            avcc: avcc.clone(),
            pasp,
            ..Default::default()
        }
        .into(),
        Record::Hevc(hvcc) => Hvc1 {
            visual,
            hvcc: hvcc.clone(),
            pasp,
            ..Default::default()
        }
        .into(),
        Record::Av1(av1c) => Av01 {
            visual,
            av1c: av1c.clone(),
            pasp,
            ..Default::default()
        }
        .into(),
    };
    let mut trak = track(VIDEO_TRACK, VIDEO_CLOCK, codec, b"vide");
    trak.tkhd.width = width.into();
    trak.tkhd.height = height.into();
    trak.mdia.minf.vmhd = Some(Vmhd::default());
    Ok(trak)
}

fn audio_track(audio: &AudioParameters) -> Option<Trak> {
    let codec: Codec = match audio {
        AudioParameters::Aac { config, .. } => Mp4a {
            audio: sample_entry(audio),
            esds: decoder_descriptor(config),
            btrt: None,
            taic: None,
        }
        .into(),
        // Encapsulation of Opus in ISO Base Media File Format §4.3.
        AudioParameters::Opus { channels, pre_skip } => Opus {
            audio: sample_entry(audio),
            dops: Dops {
                output_channel_count: *channels,
                pre_skip: *pre_skip,
                input_sample_rate: OPUS_CLOCK,
                output_gain: 0,
                channel_mapping: None,
            },
            btrt: None,
        }
        .into(),
        AudioParameters::G711 { .. } => return None,
    };
    let mut trak = track(AUDIO_TRACK, audio.clock_rate(), codec, b"soun");
    trak.tkhd.volume = 1.into();
    trak.mdia.minf.smhd = Some(Smhd::default());
    Some(trak)
}

fn sample_entry(audio: &AudioParameters) -> Audio {
    Audio {
        data_reference_index: 1,
        channel_count: audio.channels().into(),
        sample_size: 16,
        // 16 bits of integer part: rates above stay 0 and decoders read the configuration.
        sample_rate: u16::try_from(audio.clock_rate()).unwrap_or(0).into(),
    }
}

fn decoder_descriptor(config: &[u8]) -> Esds {
    Esds {
        es_desc: EsDescriptor {
            es_id: AUDIO_TRACK as u16,
            dec_config: DecoderConfig {
                object_type_indication: 0x40, // MPEG-4 audio
                stream_type: 5,               // audio
                dec_specific: Some(DecoderSpecific {
                    raw: config.to_vec(),
                    ..Default::default()
                }),
                ..Default::default()
            },
            sl_config: SLConfig::default(),
            ..Default::default()
        },
    }
}

fn track(id: u32, timescale: u32, codec: Codec, handler: &[u8; 4]) -> Trak {
    Trak {
        tkhd: Tkhd {
            track_id: id,
            enabled: true,
            in_movie: true,
            ..Default::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale,
                language: "und".to_owned(),
                ..Default::default()
            },
            hdlr: Hdlr {
                handler: handler.into(),
                name: String::new(),
            },
            minf: Minf {
                dinf: Dinf {
                    dref: Dref {
                        entries: vec![DrefEntry::Url(Url::default())],
                    },
                },
                stbl: Stbl {
                    stsd: Stsd {
                        codecs: vec![codec],
                    },
                    stco: Some(Stco::default()),
                    ..Default::default()
                },
                ..Default::default()
            },
        },
        edts: None,
        meta: None,
        senc: None,
        tref: None,
        udta: None,
    }
}

/// One frame of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Until the next one, in ticks of the track.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// True if decoding can start here.
    pub key: bool,
    /// From decoding to showing, in ticks of the track.
    pub composition: i32,
}

/// The frames of one track in a fragment; they stand one behind the other in the payload.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// [`VIDEO_TRACK`] or [`AUDIO_TRACK`].
    pub track: u32,
    /// Decoding time of the first, from the stream's clock and never from summed durations.
    pub base: i64,
    /// The frames.
    pub samples: &'a [Sample],
}

const BOX: usize = 8;
const MFHD: usize = BOX + 8;
const TFHD: usize = BOX + 8;
const TFDT: usize = BOX + 12;
const TRUN: usize = BOX + 12;
const TRUN_SAMPLE: usize = 16;

/// `moof` and the header of `mdat` (§8.8): to be followed by the payload of all runs in order.
#[must_use]
pub fn fragment_header(sequence: u32, runs: &[Run<'_>]) -> Bytes {
    let traf = |run: &Run<'_>| BOX + TFHD + TFDT + TRUN + TRUN_SAMPLE * run.samples.len();
    let moof = BOX + MFHD + runs.iter().map(traf).sum::<usize>();
    let mut out = Vec::with_capacity(moof + BOX);
    write_box(&mut out, moof, b"moof");
    write_box(&mut out, MFHD, b"mfhd");
    out.put_u32(0);
    out.put_u32(sequence);
    let mut offset = moof + BOX;
    for run in runs {
        write_box(&mut out, traf(run), b"traf");
        write_box(&mut out, TFHD, b"tfhd");
        out.put_u32(0x02_0000); // default-base-is-moof
        out.put_u32(run.track);
        write_box(&mut out, TFDT, b"tfdt");
        out.put_u32(0x0100_0000); // version 1: 64 bits
        out.put_u64(run.base.max(0) as u64);
        write_box(&mut out, TRUN + TRUN_SAMPLE * run.samples.len(), b"trun");
        // Version 1 (signed composition offsets); data offset; per sample: duration, size, flags,
        // composition offset.
        out.put_u32(0x0100_0f01);
        out.put_u32(run.samples.len() as u32);
        out.put_u32(offset as u32);
        for sample in run.samples {
            out.put_u32(sample.duration);
            out.put_u32(sample.size);
            out.put_u32(if sample.key {
                SYNC_SAMPLE
            } else {
                OTHER_SAMPLE
            });
            out.put_i32(sample.composition);
            offset += sample.size as usize;
        }
    }
    write_box(&mut out, BOX + offset - (moof + BOX), b"mdat");
    out.into()
}

fn write_box(out: &mut Vec<u8>, size: usize, kind: &[u8; 4]) {
    out.put_u32(size as u32);
    out.extend_from_slice(kind);
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Decode, Header, Moof, ReadFrom};

    use super::*;
    use crate::parameters::tests::{aac, av1, h264, h265};

    #[test]
    fn init_segments_carry_what_mp4_can() {
        let g711 = AudioParameters::G711 {
            law: crate::G711Law::A,
            clock_rate: 8000,
            channels: 1,
        };
        let opus = AudioParameters::Opus {
            channels: 2,
            pre_skip: 312,
        };
        for (audio, tracks) in [
            (None, 1),
            (Some(aac()), 2),
            (Some(opus), 2),
            (Some(g711), 1),
        ] {
            for video in [h264(), h265(), av1()] {
                let init = init_segment(&Tracks {
                    video,
                    audio: audio.clone(),
                })
                .expect("writes");
                let mut rest = &init[..];
                Ftyp::decode(&mut rest).expect("ftyp");
                let moov = Moov::decode(&mut rest).expect("moov");
                assert_eq!(moov.trak.len(), tracks);
                assert_eq!(moov.trak[0].mdia.mdhd.timescale, VIDEO_CLOCK);
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn a_fragment_reads_back_and_is_one_exact_allocation() {
        let video = [
            Sample {
                duration: 3600,
                size: 5,
                key: true,
                composition: 7200,
            },
            Sample {
                duration: 3601,
                size: 7,
                key: false,
                composition: -3600,
            },
        ];
        let audio = [Sample {
            duration: 1024,
            size: 11,
            key: true,
            composition: 0,
        }];
        let runs = [
            Run {
                track: VIDEO_TRACK,
                base: 1 << 33,
                samples: &video,
            },
            Run {
                track: AUDIO_TRACK,
                base: 77,
                samples: &audio,
            },
        ];
        let header = fragment_header(9, &runs);
        let mut rest = &header[..];
        let moof = Moof::decode(&mut rest).expect("moof");
        assert_eq!(moof.mfhd.sequence_number, 9);
        let length = (header.len() - rest.len()) as i32;
        let starts: Vec<_> = moof
            .traf
            .iter()
            .map(|traf| traf.trun[0].data_offset)
            .collect();
        assert_eq!(starts, [Some(length + 8), Some(length + 8 + 12)]);
        let times: Vec<_> = moof
            .traf
            .iter()
            .filter_map(|traf| Some(traf.tfdt.as_ref()?.base_media_decode_time))
            .collect();
        assert_eq!(times, [1 << 33, 77]);
        let mp4_atom::TrunSamples::Explicit(entries) = &moof.traf[0].trun[0].samples else {
            panic!("the samples stand in the run");
        };
        let entry = &entries[1];
        assert_eq!(
            (entry.duration, entry.size, entry.cts),
            (Some(3601), Some(7), Some(-3600))
        );
        let mdat = Header::read_from(&mut rest).expect("mdat");
        assert_eq!((mdat.kind, mdat.size), (b"mdat".into(), Some(23)));
        assert!(rest.is_empty());
    }
}
