//! What is published: H.264 and AAC at an exact rate, made by FFmpeg, as FLV tags in memory.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use headworks_rtmp::MediaKind;
use headworks_testkit::tool;

use crate::cargo;

/// Of the picture.
pub(super) const FRAMES_PER_SECOND: u32 = 25;
/// From one key frame to the next.
const KEY_FRAME_EVERY: u32 = 50;
/// How long it is; then it begins anew.
const SECONDS: u32 = 20;
const MILLISECONDS: u32 = SECONDS * 1000;

/// Header of an FLV file with the size of the tag before the first (Adobe FLV 10.1, E.2 and E.3).
const FILE_HEADER: usize = 13;
/// Header of a tag, and the size behind it (E.4.1).
const TAG_HEADER: usize = 11;
const TAG_TRAILER: usize = 4;

/// One message.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) kind: MediaKind,
    /// Milliseconds since the clip's beginning.
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

impl Tag {
    /// A picture, and not a decoder's configuration (E.4.3.1: `AVCPacketType` is 1).
    pub(super) fn is_picture(&self) -> bool {
        self.kind == MediaKind::Video && self.payload.get(1) == Some(&1)
    }

    /// A picture that decoding can begin with.
    pub(super) fn is_key(&self) -> bool {
        self.is_picture() && self.payload[0] >> 4 == 1
    }

    /// A decoder's configuration, or metadata.
    pub(super) fn is_header(&self) -> bool {
        match self.kind {
            MediaKind::Data => true,
            MediaKind::Video => !self.is_picture(),
            MediaKind::Audio => self.payload.get(1) == Some(&0),
        }
    }

    /// As in a file.
    pub(super) fn write(&self, timestamp: u32) -> Vec<u8> {
        let size = self.payload.len() as u32;
        let kind = match self.kind {
            MediaKind::Audio => 8,
            MediaKind::Video => 9,
            MediaKind::Data => 18,
        };
        let [high, time @ ..] = timestamp.to_be_bytes();
        let mut tag = vec![kind];
        tag.extend_from_slice(&size.to_be_bytes()[1..]);
        tag.extend_from_slice(&time);
        tag.extend_from_slice(&[high, 0, 0, 0]);
        tag.extend_from_slice(&self.payload);
        tag.extend_from_slice(&(size + TAG_HEADER as u32).to_be_bytes());
        tag
    }
}

/// A clip.
#[derive(Debug)]
pub(super) struct Clip {
    /// What decoders need first.
    pub(super) headers: Vec<Tag>,
    /// Pictures and sound, by time.
    pub(super) tags: Vec<Tag>,
}

impl Clip {
    /// How long it is, milliseconds.
    pub(super) const LENGTH: u32 = MILLISECONDS;

    /// Reads an FLV file.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let mut rest = bytes.get(FILE_HEADER..).context("not an FLV file")?;
        let (mut headers, mut tags) = (Vec::new(), Vec::new());
        while let Some((tag, length)) = cut(rest) {
            rest = &rest[length..];
            match tag {
                tag if tag.is_header() => headers.push(tag),
                tag if tag.timestamp < MILLISECONDS && !tag.payload.is_empty() => tags.push(tag),
                _ => {}
            }
        }
        tags.sort_by_key(|tag| tag.timestamp);
        ensure!(tags.iter().any(Tag::is_key), "the clip has no key frame");
        Ok(Self { headers, tags })
    }
}

/// The length of the tag at the beginning of `bytes`, once it is there as a whole.
pub(super) fn tag_length(bytes: &[u8]) -> Option<usize> {
    let size = bytes.get(1..4)?;
    let size = usize::from(size[0]) << 16 | usize::from(size[1]) << 8 | usize::from(size[2]);
    let length = TAG_HEADER + size + TAG_TRAILER;
    (bytes.len() >= length).then_some(length)
}

fn cut(bytes: &[u8]) -> Option<(Tag, usize)> {
    let length = tag_length(bytes)?;
    let kind = match bytes[0] {
        8 => MediaKind::Audio,
        9 => MediaKind::Video,
        _ => MediaKind::Data,
    };
    let time = [bytes[7], bytes[4], bytes[5], bytes[6]];
    let tag = Tag {
        kind,
        timestamp: u32::from_be_bytes(time),
        payload: bytes[TAG_HEADER..length - TAG_TRAILER].to_vec(),
    };
    Some((tag, length))
}

/// Lets FFmpeg make a clip of `megabits` per second (picture) and 96 kbit/s (sound).
pub(super) fn make(file: &Path, megabits: u32) -> anyhow::Result<()> {
    let picture = format!("testsrc2=size=1280x720:rate={FRAMES_PER_SECOND},noise=alls=20:allf=t");
    let (rate, buffer) = (format!("{megabits}M"), format!("{}k", megabits * 250));
    let gop = KEY_FRAME_EVERY.to_string();
    let mut ffmpeg = Command::new(tool::FFMPEG);
    ffmpeg
        .args(["-loglevel", "error", "-y", "-f", "lavfi", "-i", &picture])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-t", &SECONDS.to_string()])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
        ])
        .args(["-threads", "1", "-pix_fmt", "yuv420p", "-g", &gop])
        .args(["-b:v", &rate, "-minrate", &rate, "-maxrate", &rate])
        .args([
            "-bufsize",
            &buffer,
            "-x264-params",
            "scenecut=0:sliced-threads=0",
        ])
        .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2"])
        .args(["-f", "flv", "-flvflags", "no_duration_filesize"])
        .arg(file);
    cargo::run(&mut ffmpeg).context("make the clip")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_cut() {
        let tag = Tag {
            kind: MediaKind::Video,
            timestamp: 0,
            payload: vec![0x17, 1, 0, 0, 0, 9],
        };
        let bytes = tag.write(0x0102_0304);
        assert_eq!(tag_length(&bytes[..bytes.len() - 1]), None);
        let (again, length) = cut(&bytes).expect("is whole");
        assert_eq!(length, bytes.len());
        assert_eq!(again.timestamp, 0x0102_0304);
        assert_eq!(again.payload, tag.payload);
        assert!(again.is_key() && !again.is_header());
    }
}
