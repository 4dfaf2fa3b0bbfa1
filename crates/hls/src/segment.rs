//! One media segment: a fragment with the frames of both tracks.

use bytes::Bytes;
use headworks_media::{
    AudioParameters, Error, Frame, TrackKind, Tracks, VIDEO_CLOCK,
    fmp4::{self, Run, Sample},
    rescale,
};

/// An init segment: what decoders need before the media segments that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Names it in URLs; rises.
    pub number: u64,
    /// `ftyp` and `moov`.
    pub bytes: Bytes,
    /// What `CODECS` says (RFC 6381).
    pub codecs: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

impl Init {
    pub(crate) fn new(number: u64, tracks: &Tracks) -> Result<Self, Error> {
        let mut codecs = tracks.video.codec_string().to_owned();
        if let Some(audio) = tracks
            .audio
            .as_ref()
            .and_then(AudioParameters::codec_string)
        {
            codecs.push(',');
            codecs.push_str(&audio);
        }
        Ok(Self {
            number,
            bytes: fmp4::init_segment(tracks)?,
            codecs,
            size: (tracks.video.width(), tracks.video.height()),
        })
    }
}

/// One media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its media sequence number, which also names it in URLs.
    pub number: u64,
    /// The init segment that it needs.
    pub init: u64,
    /// How long it is, in 90 kHz.
    pub duration: u32,
    /// True if it does not continue the one before it.
    pub discontinuity: bool,
    /// True if it starts with a key frame.
    pub independent: bool,
    /// How many bytes it has.
    pub length: u64,
    /// The bytes: a header, then the frames' own.
    pub chunks: Vec<Bytes>,
}

/// Collects the frames of a segment.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    video: Vec<Frame>,
    audio: Vec<Frame>,
}

impl Builder {
    pub(crate) fn push(&mut self, frame: Frame) {
        match frame.track {
            TrackKind::Video => self.video.push(frame),
            TrackKind::Audio => self.audio.push(frame),
        }
    }

    /// When its first picture is decoded.
    pub(crate) fn start(&self) -> Option<i64> {
        self.video.first().map(|frame| frame.dts)
    }

    /// When its last picture is decoded.
    pub(crate) fn last(&self) -> Option<i64> {
        self.video.last().map(|frame| frame.dts)
    }

    pub(crate) fn independent(&self) -> bool {
        self.video.first().is_some_and(|frame| frame.key)
    }

    /// How long its last picture would be if it were like those before it.
    pub(crate) fn usual_step(&self) -> i64 {
        match self.video.as_slice() {
            [.., before, last] => last.dts - before.dts,
            _ => i64::from(VIDEO_CLOCK) / 25,
        }
    }

    /// Writes the segment up to `end`, the decoding time of the next picture, as bytes. Sound
    /// goes with the picture in whose segment it arrived; its own clock says when it plays.
    pub(crate) fn finish(
        self,
        sequence: u32,
        end: i64,
        audio: Option<&AudioParameters>,
    ) -> Vec<Bytes> {
        let video = samples(&self.video, end);
        let sound = audio.map_or_else(Vec::new, |audio| {
            let rate = audio.clock_rate();
            // The last packet lasts as long as the one before, and decoders know better anyway.
            let step = match self.audio.as_slice() {
                [.., before, last] => last.dts - before.dts,
                _ => rescale(i64::from(VIDEO_CLOCK) / 50, VIDEO_CLOCK, rate),
            };
            let end = self.audio.last().map_or(0, |last| last.dts + step);
            samples(&self.audio, end)
        });
        let base = |frames: &[Frame]| frames.first().map_or(0, |frame| frame.dts);
        let mut runs = vec![Run {
            track: fmp4::VIDEO_TRACK,
            base: base(&self.video),
            samples: &video,
        }];
        if !sound.is_empty() {
            runs.push(Run {
                track: fmp4::AUDIO_TRACK,
                base: base(&self.audio),
                samples: &sound,
            });
        }
        let mut chunks = vec![fmp4::fragment_header(sequence, &runs)];
        chunks.extend(self.video.into_iter().map(|frame| frame.payload));
        if !sound.is_empty() {
            chunks.extend(self.audio.into_iter().map(|frame| frame.payload));
        }
        chunks
    }
}

/// `end` is where the last frame's duration ends.
fn samples(frames: &[Frame], end: i64) -> Vec<Sample> {
    let ends = frames.iter().skip(1).map(|frame| frame.dts).chain([end]);
    frames
        .iter()
        .zip(ends)
        .map(|(frame, end)| Sample {
            duration: u32::try_from(end - frame.dts).unwrap_or(0),
            size: frame.payload.len() as u32,
            key: frame.key,
            composition: (frame.pts - frame.dts).clamp(i32::MIN.into(), i32::MAX.into()) as i32,
        })
        .collect()
}
