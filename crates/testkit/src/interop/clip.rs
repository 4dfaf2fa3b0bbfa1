//! The test media: a moving picture that flashes, and a tone that beeps, at the same moments.

use std::{path::Path, process::Command, time::Duration};

use anyhow::bail;

use super::program;
use crate::{Process, Signal, tool};

/// Pictures a second; a key frame every second.
pub(super) const FPS: u32 = 25;
/// Half a second off the key frames, so that a viewer who begins with one sees the flash begin.
const MOMENT: &str = "lt(mod(t+0.5\\,1)\\,0.1)";
/// Coding is faster than real time even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// How the sound is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sound {
    /// There is none.
    None,
    /// AAC-LC, 48 kHz mono.
    Aac,
    /// G.711 A-law.
    G711,
    /// Opus.
    Opus,
}

/// How the picture is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Picture {
    H264,
    H265,
    Av1,
}

/// What flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clip {
    picture: Picture,
    /// True if pictures are sent in another order than they are shown.
    pub b_frames: bool,
    /// How the sound is compressed.
    pub sound: Sound,
}

impl Clip {
    /// H.264 without B-frames, and AAC.
    pub const H264: Self = Self::new(Picture::H264, false, Sound::Aac);
    /// H.264 with B-frames, and AAC.
    pub const H264_B: Self = Self::new(Picture::H264, true, Sound::Aac);
    /// H.264 with G.711.
    pub const H264_G711: Self = Self::new(Picture::H264, false, Sound::G711);
    /// H.264 with Opus.
    pub const H264_OPUS: Self = Self::new(Picture::H264, false, Sound::Opus);
    /// H.264 alone.
    pub const H264_SILENT: Self = Self::new(Picture::H264, false, Sound::None);
    /// H.265 with B-frames, and AAC.
    pub const H265_B: Self = Self::new(Picture::H265, true, Sound::Aac);
    /// H.265 with G.711.
    pub const H265_G711: Self = Self::new(Picture::H265, false, Sound::G711);
    /// AV1 and Opus.
    pub const AV1_OPUS: Self = Self::new(Picture::Av1, false, Sound::Opus);

    const fn new(picture: Picture, b_frames: bool, sound: Sound) -> Self {
        Self {
            picture,
            b_frames,
            sound,
        }
    }

    /// As in the table.
    #[must_use]
    pub fn name(&self) -> String {
        let picture = match self.picture {
            Picture::H264 => "H.264",
            Picture::H265 => "H.265",
            Picture::Av1 => "AV1",
        };
        let order = if self.b_frames { " (B)" } else { "" };
        let sound = match self.sound {
            Sound::None => "",
            Sound::Aac => " + AAC",
            Sound::G711 => " + G.711",
            Sound::Opus => " + Opus",
        };
        format!("{picture}{order}{sound}")
    }

    /// FFmpeg's name of the picture's codec.
    #[must_use]
    pub fn codec(&self) -> &'static str {
        match self.picture {
            Picture::H264 => "h264",
            Picture::H265 => "hevc",
            Picture::Av1 => "av1",
        }
    }

    /// GStreamer's parser of the picture.
    pub(super) fn gst_parser(&self) -> &'static str {
        match self.picture {
            Picture::H264 => "h264parse",
            Picture::H265 => "h265parse",
            Picture::Av1 => "av1parse",
        }
    }

    /// GStreamer's parser of the sound; none if there is no sound.
    pub(super) fn gst_sound_parser(&self) -> Option<&'static str> {
        match self.sound {
            Sound::None => None,
            Sound::Aac => Some("aacparse"),
            Sound::G711 => Some("identity"),
            Sound::Opus => Some("opusparse"),
        }
    }

    /// What GStreamer's RTSP server sends, from a file with the clip.
    pub(super) fn gst_payloaders(&self, file: &Path) -> String {
        let picture = match self.picture {
            Picture::H264 => "rtph264pay config-interval=-1",
            Picture::H265 => "rtph265pay config-interval=-1",
            Picture::Av1 => "rtpav1pay",
        };
        let sound = match self.sound {
            Sound::None => "",
            Sound::Aac => "d.audio_0 ! queue ! aacparse ! rtpmp4gpay pt=97 name=pay1",
            Sound::G711 => "d.audio_0 ! queue ! rtppcmapay pt=8 name=pay1",
            Sound::Opus => "d.audio_0 ! queue ! rtpopuspay pt=97 name=pay1",
        };
        format!(
            "filesrc location={} ! matroskademux name=d \
             d.video_0 ! queue ! {} ! {picture} pt=96 name=pay0 {sound}",
            file.display(),
            self.gst_parser()
        )
    }

    /// Its part of a file name.
    pub(super) fn file(&self) -> String {
        let name = self.name().to_lowercase();
        name.chars().filter(char::is_ascii_alphanumeric).collect()
    }

    fn picture_coder(&self) -> Vec<&'static str> {
        let b_frames = if self.b_frames { "2" } else { "0" };
        let mut coder = match self.picture {
            Picture::H264 => vec!["libx264", "-preset", "ultrafast", "-sc_threshold", "0"],
            Picture::H265 => {
                let parameters = if self.b_frames {
                    "bframes=2:keyint=25:scenecut=0:open-gop=0:log-level=error"
                } else {
                    "bframes=0:keyint=25:scenecut=0:open-gop=0:log-level=error"
                };
                vec![
                    "libx265",
                    "-preset",
                    "ultrafast",
                    "-x265-params",
                    parameters,
                ]
            }
            // By itself it sends no picture in another order.
            Picture::Av1 => vec!["libsvtav1", "-preset", "10", "-crf", "45"],
        };
        if self.picture == Picture::H264 {
            coder.extend(["-b:v", "400k", "-bf", b_frames]);
        }
        coder
    }

    fn sound_coder(&self) -> &'static [&'static str] {
        match self.sound {
            Sound::None => &[],
            Sound::Aac => &["-c:a", "aac", "-b:a", "64k"],
            Sound::G711 => &["-c:a", "pcm_alaw", "-ar", "8000"],
            Sound::Opus => &["-c:a", "libopus", "-b:a", "48k"],
        }
    }

    /// Writes `seconds` of it as Matroska, which carries all the codecs.
    pub(super) fn make(&self, path: &Path, seconds: u32) -> anyhow::Result<()> {
        let mut command = Command::new(match self.picture {
            Picture::Av1 => tool::modern_ffmpeg()?,
            Picture::H264 | Picture::H265 => tool::FFMPEG.into(),
        });
        let picture = format!(
            "testsrc2=size=320x180:rate={FPS}:duration={seconds},\
             drawbox=enable={MOMENT}:color=white:thickness=fill"
        );
        let sound = format!("aevalsrc=0.5*sin(2*PI*1000*t)*{MOMENT}:s=48000:d={seconds}");
        command
            .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
            .args(["-f", "lavfi", "-i", &picture]);
        if self.sound != Sound::None {
            command.args(["-f", "lavfi", "-i", &sound]);
        }
        command
            .args(["-pix_fmt", "yuv420p", "-g", "25", "-c:v"])
            .args(self.picture_coder())
            .args(self.sound_coder())
            .args(["-f", "matroska"])
            .arg(path);
        let mut process = Process::spawn(command, Signal::Kill, |_, _| {})?;
        match process.wait(PATIENCE) {
            Some(status) if status.success() => program::readable(path),
            status => bail!("no clip of {}: {status:?}\n{}", self.name(), process.tail()),
        }
    }
}
