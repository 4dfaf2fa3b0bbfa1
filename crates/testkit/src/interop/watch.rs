//! The judge: an FFmpeg that decodes what it gets, and says of each picture how bright and of each
//! hundredth of a second of sound how loud it is.
//!
//! From that follow how many pictures were decoded, what the decoder complained about, how far
//! the beeps are from the flashes, and, since it prints the packets beside, whether pictures
//! that are sent in another order than they are shown have kept their composition times.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::bail;

use super::clip::FPS;
use crate::{Process, Signal, process::lock};

/// The brightest that a picture can be.
const WHITE: f64 = 255.0;
/// Luminance of a picture that is a flash.
const FLASH: f64 = 200.0;
/// Loudness of sound, in decibels, that is a beep.
const BEEP: f64 = -20.0;
/// Half the distance of two flashes: a beep that is farther belongs to another one.
const REACH: f64 = 0.5;
/// How far a picture may be from the grid of its rate, in seconds: half of what FLV's clock of
/// milliseconds rounds away on both sides, and some.
pub(super) const GRID: f64 = 0.003;
/// The same where a player moves its clock by the times of arrival, which it does in small steps. Lost
/// composition times are whole pictures off.
pub(super) const ARRIVAL_GRID: f64 = 0.015;
/// How long tracks may need to find each other, in seconds. RTP's sender reports say how they relate
/// (RFC 3550 §6.4.1), and may come after the first pictures, which then stand apart.
const SETTLED: f64 = 1.0;
/// What the judge writes its findings with. These complain about times that are not even, which is
/// judged by itself.
const OWN: [&str; 2] = ["[null @", "[framecrc @"];
/// A decoder of H.265 that warns of every description newer than itself, also in a file, and then
/// decodes the pictures.
const GST_HABIT: &str = "gst_libde265_dec_set_format";
/// To connect, to wait for a key frame, to find out the codecs.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

const PICTURE_FILTER: &str = "signalstats,metadata=print:key=lavfi.signalstats.YAVG";
const SOUND_FILTER: &str = "aresample=48000,asetnsamples=n=480:p=0,\
    astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level,\
    ametadata=mode=print:key=lavfi.astats.Overall.RMS_level";

/// How bright or loud it is at a time in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    at: f64,
    level: f64,
}

/// What the judge has seen.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// FFmpeg's names of the codecs, video first.
    pub codecs: Vec<String>,
    /// What the decoders and demuxers complained about.
    pub errors: Vec<String>,
    pictures: Vec<Level>,
    sounds: Vec<Level>,
    /// When the pictures are shown, in the order in which they were sent; in any unit.
    order: Vec<i64>,
    picture_at: Option<f64>,
    sound_at: Option<f64>,
}

/// Watches `seconds` of what `ffmpeg` opens with `input`: options, `-i`, and an address.
pub fn watch(mut ffmpeg: Command, input: &[String], seconds: u32) -> anyhow::Result<Watched> {
    ffmpeg
        .args(["-nostdin", "-hide_banner", "-nostats"])
        .args(["-loglevel", "level+info", "-t", &seconds.to_string()])
        .args(input)
        .args(["-map", "0:v", "-map", "0:a?", "-filter:v", PICTURE_FILTER])
        .args(["-filter:a", SOUND_FILTER, "-f", "null", "-"])
        .args(["-map", "0:v", "-map", "0:a?", "-c", "copy"])
        .args(["-f", "framecrc", "pipe:1"]);
    let watched = Arc::new(Mutex::new(Watched::default()));
    let writer = Arc::clone(&watched);
    let mut process = Process::spawn(ffmpeg, Signal::Kill, move |_, line| {
        lock(&writer).take(line);
    })?;
    let limit = PATIENCE + Duration::from_secs(seconds.into());
    let status = process.wait(limit);
    let watched = lock(&watched).clone();
    match status {
        Some(status) if status.success() => Ok(watched),
        Some(status) => bail!("the judge ended ({status})\n{}", process.tail()),
        None => bail!(
            "the judge has not ended after {limit:?}; it decoded {} pictures\n{}",
            watched.pictures(),
            process.tail()
        ),
    }
}

impl Watched {
    /// Decoded pictures.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// Decoded sound, in seconds.
    #[must_use]
    pub fn sound_seconds(&self) -> f64 {
        self.sounds.len() as f64 / 100.0
    }

    /// How much later the beeps are heard than the flashes are seen, in milliseconds: the median.
    /// None without a flash that has a beep.
    #[must_use]
    pub fn offset_ms(&self) -> Option<f64> {
        let beeps = onsets(&self.sounds, BEEP);
        let mut distances: Vec<f64> = onsets(&self.pictures, FLASH)
            .into_iter()
            .filter_map(|flash| {
                let distances = beeps.iter().map(|beep| beep - flash);
                distances.min_by(|a, b| a.abs().total_cmp(&b.abs()))
            })
            .filter(|distance| distance.abs() < REACH)
            .collect();
        distances.sort_by(f64::total_cmp);
        let median = distances.get(distances.len() / 2)?;
        Some(median * 1000.0)
    }

    /// Where, after the first second, a decoded picture is not shown after the one before, or not on
    /// the grid of the rate, give or take `grid`: the times of both. All in seconds.
    #[must_use]
    pub fn uneven(&self, grid: f64) -> Vec<[f64; 2]> {
        let step = 1.0 / f64::from(FPS);
        let wrong = |pair: &&[Level]| {
            let steps = (pair[1].at - pair[0].at) / step;
            steps.round() < 1.0 || (steps - steps.round()).abs() * step > grid
        };
        let start = self.pictures.first().map_or(0.0, |picture| picture.at);
        let settled = |pair: &&[Level]| pair[0].at >= start + SETTLED;
        let pairs = self.pictures.windows(2).filter(settled).filter(wrong);
        pairs.map(|pair| [pair[0].at, pair[1].at]).collect()
    }

    /// True if pictures were sent in another order than they are shown, by their own times.
    #[must_use]
    pub fn is_reordered(&self) -> bool {
        self.order.windows(2).any(|pair| pair[1] < pair[0])
    }

    /// Takes a message of GStreamer, whose `videoanalyse` and `level` say the same of what they let
    /// pass.
    pub(super) fn take_gst(&mut self, line: &str) {
        if line.contains(": GstVideoAnalyse,") {
            let picture = gst_level(line, "luma-average=(double)");
            self.pictures.extend(picture.map(|picture| Level {
                level: picture.level * WHITE,
                ..picture
            }));
        } else if line.contains("(element): level,") {
            self.sounds.extend(gst_level(line, "rms=(GValueArray)< "));
        } else if line.contains(" (error): ")
            || line.contains(" (warning): ") && !line.contains(GST_HABIT)
        {
            self.errors.push(line.to_owned());
        }
    }

    /// Lets go of the first seconds.
    pub(super) fn forget(&mut self, seconds: f64) {
        let Some(first) = self.pictures.first() else {
            return;
        };
        let start = first.at + seconds;
        self.pictures.retain(|picture| picture.at >= start);
        self.sounds.retain(|sound| sound.at >= start);
    }

    /// How much of the pictures there is, in seconds.
    pub(super) fn picture_seconds(&self) -> f64 {
        let ends = self.pictures.first().zip(self.pictures.last());
        ends.map_or(0.0, |(first, last)| last.at - first.at)
    }

    fn take(&mut self, line: &str) {
        let complaint = ["[error]", "[fatal]", "[panic]"];
        let is_own = OWN.iter().any(|output| line.starts_with(output));
        if complaint.iter().any(|level| line.contains(level)) && !is_own {
            self.errors.push(line.to_owned());
        } else if let Some(codec) = line.strip_prefix("#codec_id ") {
            let codec = codec.split(' ').next_back().unwrap_or_default();
            self.codecs.push(codec.to_owned());
        } else if let Some(packet) = line.strip_prefix("0,") {
            // `<track>, <dts>, <pts>, <duration>, <size>, <crc>`
            let shown = packet.split(',').nth(1).map(str::trim);
            self.order
                .extend(shown.and_then(|pts| pts.parse::<i64>().ok()));
        } else if line.starts_with("[Parsed_metadata") {
            take_level(line, &mut self.picture_at, &mut self.pictures);
        } else if line.starts_with("[Parsed_ametadata") {
            take_level(line, &mut self.sound_at, &mut self.sounds);
        }
    }
}

/// A level in a message of GStreamer: the name of the field, and how its value begins.
fn gst_level(line: &str, field: &str) -> Option<Level> {
    let value = |field: &str| {
        let (_, rest) = line.split_once(field)?;
        let end = rest.find([',', ';', ' ', '>'])?;
        rest[..end].parse::<f64>().ok()
    };
    Some(Level {
        at: value("running-time=(guint64)")? / 1e9,
        level: value(field)?,
    })
}

/// `… frame:0 pts:0 pts_time:0.04` and then `… lavfi.signalstats.YAVG=16.2`.
fn take_level(line: &str, at: &mut Option<f64>, levels: &mut Vec<Level>) {
    if let Some((_, time)) = line.split_once("pts_time:") {
        *at = time.trim().parse().ok();
    } else if let Some((_, level)) = line.rsplit_once('=')
        && let Some(at) = at.take()
    {
        // Silence is `-inf`, which is a number as well.
        let level = level.trim().parse().unwrap_or(f64::NEG_INFINITY);
        levels.push(Level { at, level });
    }
}

/// When the level rises above a threshold.
fn onsets(levels: &[Level], threshold: f64) -> Vec<f64> {
    levels
        .windows(2)
        .filter(|pair| pair[0].level <= threshold && pair[1].level > threshold)
        .map(|pair| pair[1].at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(step: f64, count: u32, is_on: impl Fn(f64) -> bool, on: f64, off: f64) -> Vec<Level> {
        (0..count)
            .map(|index| f64::from(index) * step)
            .map(|at| Level {
                at,
                level: if is_on(at) { on } else { off },
            })
            .collect()
    }

    fn watched(late: f64) -> Watched {
        let flash = |at: f64| (at + 0.5).rem_euclid(1.0) < 0.09;
        Watched {
            pictures: levels(0.04, 100, flash, 235.0, 110.0),
            sounds: levels(0.01, 400, |at| flash(at - late), -9.0, f64::NEG_INFINITY),
            ..Watched::default()
        }
    }

    #[test]
    fn the_distance_of_beeps_from_flashes_is_measured() {
        for late in [-0.3, -0.08, 0.0, 0.05, 0.2] {
            let offset = watched(late).offset_ms().expect("there are flashes");
            // The first picture of a flash may be up to one picture late.
            assert!((offset - late * 1000.0).abs() <= 40.0, "{late}: {offset}");
        }
        let silent = Watched {
            sounds: Vec::new(),
            ..watched(0.0)
        };
        assert_eq!(silent.offset_ms(), None);
    }

    #[test]
    fn lost_composition_times_are_seen() {
        let mut seen = watched(0.0);
        assert_eq!(seen.uneven(GRID), Vec::<[f64; 2]>::new());
        seen.pictures[0].at -= 0.02;
        assert!(
            seen.uneven(GRID).is_empty(),
            "tracks have to find each other"
        );
        seen.pictures.remove(47);
        assert!(
            seen.uneven(GRID).is_empty(),
            "a lost picture is not a wrong time"
        );
        seen.pictures.swap(43, 44);
        assert!(!seen.uneven(GRID).is_empty());
        let mut seen = watched(0.0);
        seen.pictures[55].at += 0.01;
        assert_eq!(seen.uneven(GRID).len(), 2);
    }

    #[test]
    fn what_ffmpeg_prints_is_understood() {
        let mut seen = Watched::default();
        for line in [
            "#codec_id 0: h264",
            "#codec_id 1: aac",
            "0,        -80,         21,       40,      887, 0xb2895413",
            "0,        -40,        141,       40,     9277, 0x8e7d8ef0, F=0x0",
            "1,          0,          0,       21,      248, 0xbd427220",
            "0,         21,         61,       40,       13, 0x124c0432, F=0x0",
            "[Parsed_metadata_1 @ 0x55] [info] frame:0    pts:3       pts_time:0.12",
            "[Parsed_ametadata_3 @ 0x55] [info] frame:0    pts:480     pts_time:0.01",
            "[Parsed_metadata_1 @ 0x55] [info] lavfi.signalstats.YAVG=210.5",
            "[Parsed_ametadata_3 @ 0x55] [info] lavfi.astats.Overall.RMS_level=-inf",
            "[h264 @ 0x5581] [error] error while decoding MB 1 2",
        ] {
            seen.take(line);
        }
        assert_eq!(seen.codecs, ["h264", "aac"]);
        assert_eq!(seen.order, [21, 141, 61]);
        assert!(seen.is_reordered());
        let picture = Level {
            at: 0.12,
            level: 210.5,
        };
        assert_eq!(seen.pictures, [picture]);
        assert_eq!(seen.sounds.len(), 1);
        assert_eq!(seen.errors.len(), 1);
    }

    #[test]
    fn what_gstreamer_prints_is_understood() {
        let mut seen = Watched::default();
        for line in [
            "Got message #465 from element \"videoanalyse0\" (element): GstVideoAnalyse, \
             timestamp=(guint64)21000000, stream-time=(guint64)0, running-time=(guint64)40000000, \
             duration=(guint64)40000000, luma-average=(double)0.4, luma-variance=(double)0.04;",
            "Got message #417 from element \"level0\" (element): level, endtime=(guint64)10000000, \
             timestamp=(guint64)0, stream-time=(guint64)0, running-time=(guint64)1500000000, \
             duration=(guint64)10000000, rms=(GValueArray)< -9.5, -9.5 >, \
             peak=(GValueArray)< -6, -6 >, decay=(GValueArray)< -6, -6 >;",
            "Got message #27 from element \"level0\" (state-changed): GstMessageStateChanged;",
            "Got message #30 from element \"d\" (warning): GstMessageWarning, gerror=(GError)NULL;",
        ] {
            seen.take_gst(line);
        }
        let level = |at, level| [Level { at, level }];
        assert_eq!(seen.pictures, level(0.04, 102.0));
        assert_eq!(seen.sounds, level(1.5, -9.5));
        assert_eq!(seen.errors.len(), 1);
    }
}
