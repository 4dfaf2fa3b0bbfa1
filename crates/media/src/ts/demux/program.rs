//! What a program consists of, and which of it is taken.

use super::{
    super::{
        TYPE_AAC_ADTS, TYPE_H264, TYPE_H265, TYPE_PRIVATE,
        packet::Cell,
        psi::{self, Stream},
    },
    Output,
    stream::{Picture, Pids, Sound, SoundFormat},
};
use crate::{Error, TrackKind, nal::NalFormat};

/// Descriptor tags of DVB's private streams (ETSI EN 300 468 §6).
const DVB_AC3: u8 = 0x6a;
const DVB_EAC3: u8 = 0x7a;

/// The streams that are taken.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// The table as it was last read.
    table: Vec<u8>,
    picture: Option<Pids<Picture>>,
    sound: Option<Pids<Sound>>,
}

/// What a stream is to us.
enum Content {
    Picture(NalFormat),
    Sound(SoundFormat),
    Unsupported(TrackKind, &'static str),
    /// Subtitles, programme guides and the like.
    Nothing,
}

impl Program {
    /// Takes the table of the program, which ends in the cell at `offset`. It comes again and
    /// again.
    pub(super) fn describe(&mut self, section: &[u8], offset: u64, output: &mut Output) {
        if self.table == section {
            return;
        }
        let Some(streams) = psi::parse_pmt(section) else {
            return;
        };
        self.table = section.to_vec();
        let (mut picture, mut sound, mut refused) = (None, None, Vec::new());
        for stream in streams {
            match content(stream) {
                Content::Picture(format) => {
                    picture.get_or_insert((stream.pid, format));
                }
                Content::Sound(format) => {
                    sound.get_or_insert((stream.pid, format));
                }
                Content::Unsupported(track, codec) => refused.push((track, codec)),
                Content::Nothing => {}
            }
        }
        if picture.is_none() && refused.iter().all(|(track, _)| *track == TrackKind::Audio) {
            output.errors.push_back(Error::Malformed {
                container: "MPEG-TS",
                part: "program map",
                offset,
                reason: "the program has no picture".to_owned(),
            });
        }
        for (track, codec) in refused {
            // A second sound in another format is no loss.
            let is_served = match track {
                TrackKind::Video => picture.is_some(),
                TrackKind::Audio => sound.is_some(),
            };
            if !is_served {
                let codec = codec.to_owned();
                output
                    .errors
                    .push_back(Error::UnsupportedCodec { track, codec });
            }
        }
        self.select(picture, sound, output);
    }

    /// Streams that were there before go on.
    fn select(
        &mut self,
        picture: Option<(u16, NalFormat)>,
        sound: Option<(u16, SoundFormat)>,
        output: &mut Output,
    ) {
        output.assembler.expect_audio(sound.is_some());
        let same = self
            .picture
            .as_ref()
            .map(|stream| (stream.pid, stream.content.format()));
        if same != picture {
            self.picture = picture.map(|(pid, format)| Pids::new(pid, Picture::new(format)));
        }
        let same = self
            .sound
            .as_ref()
            .map(|stream| (stream.pid, stream.content.format()));
        if same != sound {
            self.sound = sound.map(|(pid, format)| Pids::new(pid, Sound::new(format)));
        }
    }

    pub(super) fn take(&mut self, cell: &Cell<'_>, output: &mut Output) {
        if let Some(stream) = self
            .picture
            .as_mut()
            .filter(|stream| stream.pid == cell.pid)
        {
            stream.take(cell, output);
        } else if let Some(stream) = self.sound.as_mut().filter(|stream| stream.pid == cell.pid) {
            stream.take(cell, output);
        }
    }

    pub(super) fn finish(&mut self, output: &mut Output) {
        if let Some(stream) = &mut self.picture {
            stream.finish(output);
        }
        if let Some(stream) = &mut self.sound {
            stream.finish(output);
        }
    }
}

/// Table 2-34, and what has been registered since.
fn content(stream: Stream<'_>) -> Content {
    use TrackKind::{Audio, Video};
    match stream.stream_type {
        TYPE_H264 => Content::Picture(NalFormat::H264),
        TYPE_H265 => Content::Picture(NalFormat::H265),
        TYPE_AAC_ADTS => Content::Sound(SoundFormat::Aac),
        TYPE_PRIVATE => match stream.registration() {
            Some(name) if name == *b"HEVC" => Content::Picture(NalFormat::H265),
            Some(name) if name == *b"Opus" => match stream.opus_channels() {
                Some(channels @ 1..=2) => Content::Sound(SoundFormat::Opus { channels }),
                _ => Content::Unsupported(Audio, "Opus with more than two channels"),
            },
            Some(name) if name == *b"AV01" => Content::Unsupported(Video, "AV1 in MPEG-TS"),
            Some(name) if name == *b"AC-3" => Content::Unsupported(Audio, "AC-3"),
            _ if stream.has(DVB_AC3) => Content::Unsupported(Audio, "AC-3"),
            _ if stream.has(DVB_EAC3) => Content::Unsupported(Audio, "E-AC-3"),
            _ => Content::Nothing,
        },
        0x01 => Content::Unsupported(Video, "MPEG-1"),
        0x02 => Content::Unsupported(Video, "MPEG-2"),
        0x10 => Content::Unsupported(Video, "MPEG-4 part 2"),
        0x33 => Content::Unsupported(Video, "H.266"),
        0x03 | 0x04 => Content::Unsupported(Audio, "MPEG audio (MP2 or MP3)"),
        0x11 => Content::Unsupported(Audio, "AAC in LATM"),
        0x81 => Content::Unsupported(Audio, "AC-3"),
        0x87 => Content::Unsupported(Audio, "E-AC-3"),
        _ => Content::Nothing,
    }
}
