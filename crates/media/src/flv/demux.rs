//! Bodies of tags in, frames out.

use bytes::Bytes;

use super::{
    AV1, AVC, CODEC_AVC, CODEC_HEVC, CODED, EX_VIDEO, HEVC, MP4A, OPUS, SEQUENCE_HEADER, SOUND_AAC,
    SOUND_ALAW, SOUND_EXTENDED, SOUND_MULAW, TagKind,
    cursor::Cursor,
    extended::{self, PacketType},
    records,
};
use crate::{
    AudioParameters, AudioSpecificConfig, Demuxed, Error, G711Law, TrackKind, VIDEO_CLOCK,
    VideoCodec, VideoParameters, av1,
    demux::Assembler,
    nal::{NalFormat, NalTrack},
    opus, rescale,
};

/// Frame types that decoding can start with: key frame, and key frame made by a server.
const KEY_TYPES: [u8; 2] = [1, 4];
/// A frame type that holds no picture.
const COMMAND: u8 = 5;
/// Ticks of video per millisecond.
const TICKS: i64 = VIDEO_CLOCK as i64 / 1000;

/// Understands the tags of one FLV or RTMP stream.
///
/// An error concerns one tag, which is left out; whether to go on is the caller's decision. After
/// each [`push`](Self::push), [`poll`](Self::poll) has to be called until there is nothing more.
#[derive(Debug, Default)]
pub struct Demuxer {
    assembler: Assembler,
    clock: Clock,
    video: Option<Video>,
}

#[derive(Debug)]
enum Video {
    Nal {
        track: Box<NalTrack>,
        /// How long the lengths of NAL units are.
        length_size: usize,
    },
    /// With the sequence header in use.
    Av1(Option<Bytes>),
}

/// Of one tag of video.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// Milliseconds.
    time: i64,
    key: bool,
}

/// Unwraps timestamps of 32 bits in milliseconds, of both tracks together.
#[derive(Debug, Default)]
struct Clock {
    last: Option<(u32, i64)>,
}

impl Clock {
    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let time = match self.last {
            Some((last, time)) => time + i64::from(timestamp.wrapping_sub(last) as i32),
            None => i64::from(timestamp),
        };
        self.last = Some((timestamp, time));
        time
    }
}

impl Demuxer {
    /// Takes the body of a tag with its timestamp in milliseconds.
    pub fn push(&mut self, kind: TagKind, timestamp: u32, body: &Bytes) -> Result<(), Error> {
        // Servers send empty bodies for silence and at the end of a track.
        let Some(&first) = body.first() else {
            return Ok(());
        };
        if kind == TagKind::Script {
            self.metadata(body);
            return Ok(());
        }
        let time = self.clock.unwrap(timestamp);
        match kind {
            TagKind::Video if first & EX_VIDEO != 0 => self.extended_video(time, body),
            TagKind::Video => self.video(time, body),
            _ if first >> 4 == SOUND_EXTENDED => self.extended_audio(time, body),
            _ => self.audio(time, body),
        }
    }

    /// What has been found; to be called until it gives `None`.
    pub fn poll(&mut self) -> Option<Demuxed> {
        self.assembler.next()
    }

    /// Nothing follows. Frames that wait for sound come out now.
    pub fn finish(&mut self) {
        self.assembler.finish();
    }

    /// Tells whether sound is due. The names of AMF0 properties stand behind their lengths.
    fn metadata(&mut self, body: &[u8]) {
        let has = |name: &[u8]| body.windows(name.len()).any(|window| window == name);
        if has(b"\0\x0caudiocodecid") {
            self.assembler.expect_audio(true);
        } else if has(b"\0\x0cvideocodecid") {
            self.assembler.expect_audio(false);
        }
    }

    /// §E.4.3.1.
    fn video(&mut self, time: i64, body: &Bytes) -> Result<(), Error> {
        let (frame_type, codec) = (body[0] >> 4, body[0] & 0xf);
        if frame_type == COMMAND {
            return Ok(());
        }
        let format = match codec {
            CODEC_AVC => NalFormat::H264,
            CODEC_HEVC => NalFormat::H265,
            other => return Err(unsupported(TrackKind::Video, video_codec(other))),
        };
        let mut cursor = Cursor::new(TagKind::Video, body);
        cursor.take(1, "header")?;
        let packet_type = cursor.byte("packet type")?;
        let composition = composition(&mut cursor)?;
        let head = Head {
            time,
            key: KEY_TYPES.contains(&frame_type),
        };
        match packet_type {
            SEQUENCE_HEADER => self.configure_nal(format, cursor),
            CODED => self.nal_picture(format, head, composition, body, cursor.at()),
            // The end of a sequence.
            _ => Ok(()),
        }
    }

    /// Enhanced RTMP v2, "Enhanced Video".
    fn extended_video(&mut self, time: i64, body: &Bytes) -> Result<(), Error> {
        let Some(packet) = extended::parse(TagKind::Video, body)? else {
            return Ok(());
        };
        let head = Head {
            time,
            key: KEY_TYPES.contains(&(body[0] >> 4 & 7)),
        };
        let body = body.slice(..packet.end);
        let format = match packet.codec {
            AVC => NalFormat::H264,
            HEVC => NalFormat::H265,
            AV1 => return self.av1(head, packet.packet_type, &body, packet.start),
            other => return Err(unsupported(TrackKind::Video, four_cc(other))),
        };
        let mut cursor = Cursor::new(TagKind::Video, &body);
        cursor.take(packet.start, "header")?;
        let composition = match packet.packet_type {
            PacketType::SequenceStart => return self.configure_nal(format, cursor),
            PacketType::CodedFrames => composition(&mut cursor)?,
            PacketType::CodedFramesX => 0,
            PacketType::Other => return Ok(()),
        };
        self.nal_picture(format, head, composition, &body, cursor.at())
    }

    fn configure_nal(&mut self, format: NalFormat, mut cursor: Cursor<'_>) -> Result<(), Error> {
        let (length_size, nals) = match format {
            NalFormat::H264 => records::avc(&mut cursor)?,
            NalFormat::H265 => records::hevc(&mut cursor)?,
        };
        let mut track = match self.video.take() {
            Some(Video::Nal { track, .. }) if track.format() == format => track,
            _ => Box::new(NalTrack::new(format)),
        };
        let configured = track.configure(nals);
        if let Some(parameters) = track.take_changed() {
            self.assembler.set_video(parameters);
        }
        self.video = Some(Video::Nal { track, length_size });
        configured
    }

    /// The NAL units of one picture begin at byte `start`. Dropped as long as nobody can decode
    /// it.
    fn nal_picture(
        &mut self,
        format: NalFormat,
        head: Head,
        composition: i64,
        body: &Bytes,
        start: usize,
    ) -> Result<(), Error> {
        let Some(Video::Nal { track, length_size }) = &mut self.video else {
            return Ok(());
        };
        if track.format() != format {
            return Ok(());
        }
        let picture = track.sample(&body.slice(start..), *length_size, start)?;
        // Parameter sets may come in a tag of their own.
        if let Some(parameters) = track.take_changed() {
            self.assembler.set_video(parameters);
        }
        if let Some(picture) = picture
            && track.parameters().is_some()
        {
            let dts = head.time * TICKS;
            let pts = dts + composition * TICKS;
            let key = head.key || picture.key;
            self.assembler.picture(dts, pts, key, picture.payload);
        }
        Ok(())
    }

    fn av1(
        &mut self,
        head: Head,
        packet_type: PacketType,
        body: &Bytes,
        start: usize,
    ) -> Result<(), Error> {
        match packet_type {
            PacketType::SequenceStart => {
                let sequence_header = av1::sequence_header_of(&body[start..])?;
                self.configure_av1(sequence_header)
            }
            // It has no composition time.
            PacketType::CodedFrames | PacketType::CodedFramesX => {
                let mut cursor = Cursor::new(TagKind::Video, body);
                cursor.take(start, "header")?;
                let unit = av1::temporal_unit(&body.slice(start..))
                    .ok_or_else(|| cursor.error("the OBUs of a temporal unit do not parse"))?;
                if unit.sequence_header.is_some() {
                    self.configure_av1(unit.sequence_header)?;
                }
                let configured = matches!(self.video, Some(Video::Av1(Some(_))));
                if configured && !unit.payload.is_empty() {
                    let dts = head.time * TICKS;
                    self.assembler.picture(dts, dts, head.key, unit.payload);
                }
                Ok(())
            }
            PacketType::Other => Ok(()),
        }
    }

    /// `None` keeps the one before.
    fn configure_av1(&mut self, sequence_header: Option<Bytes>) -> Result<(), Error> {
        let before = match self.video.take() {
            Some(Video::Av1(before)) => before,
            _ => None,
        };
        let Some(new) = sequence_header.filter(|new| before.as_ref() != Some(new)) else {
            self.video = Some(Video::Av1(before));
            return Ok(());
        };
        let codec = VideoCodec::Av1 {
            sequence_header: new.clone(),
        };
        match VideoParameters::new(codec) {
            Ok(parameters) => {
                self.assembler.set_video(&parameters);
                self.video = Some(Video::Av1(Some(new)));
                Ok(())
            }
            Err(error) => {
                self.video = Some(Video::Av1(before));
                Err(error)
            }
        }
    }

    /// §E.4.2.1.
    fn audio(&mut self, time: i64, body: &Bytes) -> Result<(), Error> {
        let law = match body[0] >> 4 {
            SOUND_AAC => {
                let mut cursor = Cursor::new(TagKind::Audio, body);
                cursor.take(1, "header")?;
                let packet_type = cursor.byte("packet type")?;
                return self.aac(time, packet_type == SEQUENCE_HEADER, &body.slice(2..));
            }
            SOUND_ALAW => G711Law::A,
            SOUND_MULAW => G711Law::Mu,
            other => return Err(unsupported(TrackKind::Audio, sound_codec(other))),
        };
        // The lowest bit says stereo.
        let channels = 1 + (body[0] & 1);
        self.assembler.set_audio(AudioParameters::G711 {
            law,
            clock_rate: 8000,
            channels,
        });
        let samples = body.slice(1..);
        let length = samples.len() as u32 / u32::from(channels);
        self.sound(time, length, samples);
        Ok(())
    }

    /// Enhanced RTMP v2, "Enhanced Audio".
    fn extended_audio(&mut self, time: i64, body: &Bytes) -> Result<(), Error> {
        let Some(packet) = extended::parse(TagKind::Audio, body)? else {
            return Ok(());
        };
        let is_configuration = match packet.packet_type {
            PacketType::SequenceStart => true,
            PacketType::CodedFrames => false,
            PacketType::CodedFramesX | PacketType::Other => return Ok(()),
        };
        let data = body.slice(packet.start..packet.end);
        match packet.codec {
            MP4A => self.aac(time, is_configuration, &data),
            OPUS if is_configuration => {
                self.assembler.set_audio(opus::parse_head(&data)?);
                Ok(())
            }
            OPUS => {
                let mut cursor = Cursor::new(TagKind::Audio, body);
                cursor.take(packet.start, "header")?;
                let length =
                    opus::packet_length(&data).ok_or_else(|| cursor.error("not an Opus packet"))?;
                if let Some(AudioParameters::Opus { .. }) = self.assembler.audio() {
                    self.sound(time, length, data);
                }
                Ok(())
            }
            other => Err(unsupported(TrackKind::Audio, four_cc(other))),
        }
    }

    fn aac(&mut self, time: i64, is_configuration: bool, data: &Bytes) -> Result<(), Error> {
        if is_configuration {
            let clock_rate = AudioSpecificConfig::parse(data)?.sample_rate;
            // The tag's memory may be larger by far.
            let config = Bytes::copy_from_slice(data);
            self.assembler
                .set_audio(AudioParameters::aac(config, clock_rate)?);
        } else if let Some(AudioParameters::Aac { parsed, .. }) = self.assembler.audio()
            && !data.is_empty()
        {
            let length = parsed.frame_length.into();
            self.sound(time, length, data.clone());
        }
        Ok(())
    }

    fn sound(&mut self, time: i64, length: u32, payload: Bytes) {
        if let Some(audio) = self.assembler.audio()
            && length > 0
        {
            let timestamp = rescale(time, 1000, audio.clock_rate());
            self.assembler.sound(timestamp, length, payload);
        }
    }
}

/// Milliseconds from decoding to showing: 24 bits with a sign.
fn composition(cursor: &mut Cursor<'_>) -> Result<i64, Error> {
    let bits = cursor.number(3, "composition time")? as u32;
    Ok(i64::from((bits << 8) as i32 >> 8))
}

fn unsupported(track: TrackKind, codec: String) -> Error {
    Error::UnsupportedCodec { track, codec }
}

fn four_cc(code: [u8; 4]) -> String {
    format!("FourCC {}", code.escape_ascii())
}

/// §E.4.3.1.
fn video_codec(number: u8) -> String {
    let name = match number {
        2 => "Sorenson H.263",
        3 | 6 => "Screen video",
        4 | 5 => "VP6",
        _ => "an unknown codec",
    };
    format!("{name} (FLV codec {number})")
}

/// §E.4.2.1.
fn sound_codec(number: u8) -> String {
    let name = match number {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        11 => "Speex",
        _ => "an unknown codec",
    };
    format!("{name} (FLV sound format {number})")
}

#[cfg(test)]
mod tests;
