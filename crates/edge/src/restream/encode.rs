//! The camera's pictures encoded anew as H.264, by FFmpeg.
//!
//! FFmpeg reads MPEG-TS and writes MPEG-TS, so that sound stays with its picture. Whoever does not
//! take what it writes holds it up, it then takes nothing more, and the reader before it jumps.

use std::{collections::VecDeque, io, sync::Arc};

use bytes::{Buf as _, Bytes, BytesMut};
use headworks_media::{
    Demuxed, Frame, TrackKind, Tracks,
    ts::{Demuxer, Muxer},
};
use headworks_types::RestreamVideo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Duration, timeout},
};

use super::{
    failure::Failure,
    source::{Copied, Picked},
};
use crate::ffmpeg::{Child, Ffmpeg};

/// From its start to its first picture.
const START: Duration = Duration::from_secs(15);

/// Read at once.
const READ: usize = 64 << 10;

/// Encodes one camera for one target.
pub(super) struct Encoder {
    copied: Copied,
    muxer: Option<Muxer>,
    /// What the muxer knows.
    input: Option<(u64, u64)>,
    /// What FFmpeg has not taken yet.
    pending: Bytes,
    child: Option<Child>,
    buffer: BytesMut,
    demuxer: Demuxer,
    tracks: Option<Arc<Tracks>>,
    /// Counts what FFmpeg has said of its output.
    description: u64,
    ready: VecDeque<Picked>,
}

impl Encoder {
    /// Starts FFmpeg and waits for its first picture.
    pub(super) async fn start(
        ffmpeg: &Ffmpeg,
        video: &RestreamVideo,
        copied: Copied,
    ) -> Result<Self, Failure> {
        let child = ffmpeg
            .start("restream", arguments(video))
            .map_err(|error| {
                Failure::Encoder(format!("the encoder does not start: FFmpeg: {error}"))
            })?;
        let mut encoder = Self {
            copied,
            muxer: None,
            input: None,
            pending: Bytes::new(),
            child: Some(child),
            buffer: BytesMut::new(),
            demuxer: Demuxer::default(),
            tracks: None,
            description: 0,
            ready: VecDeque::new(),
        };
        let first = timeout(START, encoder.next()).await;
        let first = first.unwrap_or_else(|_| {
            let limit = START.as_secs();
            Err(Failure::Encoder(format!(
                "the encoder gives no picture for {limit} s"
            )))
        })?;
        encoder.ready.extend(first);
        Ok(encoder)
    }

    /// The process that does it.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// What comes out of it.
    pub(super) fn tracks(&self) -> Option<&Arc<Tracks>> {
        self.tracks.as_ref()
    }

    /// The next frame; `None` if the camera ends or has changed. Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Picked>, Failure> {
        loop {
            if let Some(picked) = self.ready.pop_front() {
                return Ok(Some(picked));
            }
            let Some(child) = &mut self.child else {
                return Ok(None);
            };
            let Some(input) = &mut child.input else {
                return Ok(None);
            };
            let is_fed = !self.pending.is_empty();
            tokio::select! {
                written = input.write(&self.pending), if is_fed => match written {
                    Ok(count) => self.pending.advance(count),
                    Err(error) => return Err(self.ended(&error).await),
                },
                picked = self.copied.next(), if !is_fed => match picked? {
                    Some(picked) if self.feed(&picked)? => {}
                    _ => return Ok(None),
                },
                read = child.output.read_buf(&mut self.buffer) => match read {
                    Ok(0) => {
                        let error = io::ErrorKind::UnexpectedEof.into();
                        return Err(self.ended(&error).await);
                    }
                    Ok(_) => self.take()?,
                    Err(error) => return Err(self.ended(&error).await),
                },
            }
        }
    }

    /// Writes a frame for FFmpeg. False if it cannot follow.
    fn feed(&mut self, picked: &Picked) -> Result<bool, Failure> {
        let knows = (picked.series, picked.description);
        if self
            .input
            .is_some_and(|(series, _)| series != picked.series)
        {
            return Ok(false);
        }
        if self.input != Some(knows) {
            self.input = Some(knows);
            let tracks = Tracks::clone(&picked.tracks);
            let set = match &mut self.muxer {
                Some(muxer) => muxer.set_tracks(tracks),
                None => Muxer::new(tracks).map(|muxer| self.muxer = Some(muxer)),
            };
            set.map_err(|error| Failure::Codec(format!("cannot be encoded anew: {error}")))?;
        }
        if let Some(muxer) = &mut self.muxer {
            self.pending = muxer.write(&picked.frame);
        }
        Ok(true)
    }

    /// Takes what FFmpeg has written.
    fn take(&mut self) -> Result<(), Failure> {
        self.demuxer.push(&self.buffer);
        self.buffer.clear();
        self.buffer.reserve(READ);
        while let Some(demuxed) = self.demuxer.poll() {
            let demuxed = demuxed
                .map_err(|error| Failure::Encoder(format!("FFmpeg writes what is bad: {error}")))?;
            let frame = match demuxed {
                Demuxed::Tracks(tracks) => {
                    self.tracks = Some(tracks);
                    self.description += 1;
                    continue;
                }
                Demuxed::Video {
                    dts,
                    pts,
                    key,
                    payload,
                } => Frame {
                    track: TrackKind::Video,
                    dts,
                    pts,
                    key,
                    payload,
                },
                Demuxed::Audio {
                    timestamp, payload, ..
                } => Frame {
                    track: TrackKind::Audio,
                    dts: timestamp,
                    pts: timestamp,
                    key: true,
                    payload,
                },
            };
            if let Some(tracks) = &self.tracks {
                self.ready.push_back(Picked {
                    frame,
                    tracks: Arc::clone(tracks),
                    description: self.description,
                    series: 1,
                });
            }
        }
        Ok(())
    }

    /// FFmpeg's own last words explain best why it takes or gives nothing.
    async fn ended(&mut self, error: &io::Error) -> Failure {
        let words = match self.child.take() {
            Some(child) => child.end().await,
            None => error.to_string(),
        };
        Failure::Encoder(format!("the encoder ended: {words}"))
    }
}

/// Nothing in them is secret. FFmpeg looks at little before it begins; what it looks at is in the
/// camera's buffer.
fn arguments(video: &RestreamVideo) -> Vec<String> {
    let RestreamVideo::H264 {
        preset,
        bitrate_kbit,
        gop,
        width,
        height,
    } = video
    else {
        return Vec::new();
    };
    let preset = preset.as_str();
    let size = |pixels: &Option<u16>| pixels.map_or_else(|| "-2".to_owned(), |n| n.to_string());
    let scale = match (width, height) {
        (None, None) => String::new(),
        (width, height) => format!("-vf scale={}:{} ", size(width), size(height)),
    };
    let text = format!(
        "-fflags +genpts -flags low_delay -probesize 1000000 -analyzeduration 500000 \
         -f mpegts -i pipe:0 -map 0:v:0 -map 0:a:0? {scale}\
         -c:v libx264 -preset {preset} -tune zerolatency -pix_fmt yuv420p -bf 0 \
         -g {gop} -keyint_min {gop} -sc_threshold 0 \
         -b:v {bitrate_kbit}k -maxrate {bitrate_kbit}k -bufsize {bitrate_kbit}k \
         -c:a copy -muxdelay 0 -muxpreload 0 -flush_packets 1 -f mpegts pipe:1"
    );
    text.split(' ').map(str::to_owned).collect()
}
