//! The playlists themselves. Sections are those of draft-pantos-hls-rfc8216bis.

use std::fmt::Write;

use chrono::SecondsFormat;
use headworks_media::VIDEO_CLOCK;

use crate::{Segment, Window};

const INFALLIBLE: &str = "writing to a string does not fail";
const NOT_EMPTY: &str = "a window is made for its first segment, whose init segment it keeps";

/// What a media playlist is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Whole segments only: RFC 8216.
    Plain,
    /// All there is: parts, the next one's hint, and what may be asked of the server. The same as
    /// plain where there are no parts.
    LowLatency,
    /// The same without the old segments, for who has them already (§6.2.5.1).
    Delta,
}

impl Window {
    /// A media playlist (§4.4.3).
    #[must_use]
    pub fn playlist(&self, flavor: Flavor) -> String {
        let mut out = Playlist {
            window: self,
            parts: self.part_target.filter(|_| flavor != Flavor::Plain),
            text: String::with_capacity(128 * (self.listed + 6)),
        };
        let skipped = match flavor {
            Flavor::Delta if out.parts.is_some() => self.skippable(),
            _ => 0,
        };
        out.head(skipped);
        out.segments(skipped);
        if let Some((number, index)) = self.next_part().filter(|_| out.parts.is_some()) {
            let uri = format_args!("part-{number}-{index}.m4s");
            writeln!(out.text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\"").expect(INFALLIBLE);
        }
        out.text
    }

    /// Older media than this need not be sent again (§4.4.3.8), in 90 kHz.
    fn skip_boundary(&self) -> u64 {
        6 * u64::from(self.target) * u64::from(VIDEO_CLOCK)
    }

    /// How many of the oldest listed segments are behind the skip boundary as a whole, counted
    /// from the end of the last whole segment.
    fn skippable(&self) -> usize {
        let mut left: u64 = self.listed().map(|s| u64::from(s.duration)).sum();
        let mut count = 0;
        for segment in self.listed() {
            left -= u64::from(segment.duration);
            if left < self.skip_boundary() {
                break;
            }
            count += 1;
        }
        count
    }

    /// The first listed segment that still shows its parts: they go when they are three target
    /// durations from the end (§6.2.2).
    fn first_with_parts(&self) -> u64 {
        let limit = 3 * u64::from(self.target) * u64::from(VIDEO_CLOCK);
        let mut length = self.open.as_ref().map_or(0, Segment::so_far);
        let mut first = self.segments.back().map_or(0, |last| last.number + 1);
        for segment in self.segments.iter().rev() {
            length += u64::from(segment.duration);
            if length >= limit {
                break;
            }
            first = segment.number;
        }
        first
    }
}

struct Playlist<'a> {
    window: &'a Window,
    /// The part target, if parts are to be shown.
    parts: Option<u32>,
    text: String,
}

impl Playlist<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect(INFALLIBLE);
    }

    fn head(&mut self, skipped: usize) {
        let (window, target) = (self.window, self.window.target);
        // EXT-X-MAP takes version 6, EXT-X-SKIP takes 9 (§8). Parts take none of their own: players
        // that do not know them ignore them, and must not be told that they cannot play.
        let version = if skipped > 0 { 9 } else { 6 };
        self.line(format_args!("#EXTM3U\n#EXT-X-VERSION:{version}"));
        let mut segments = window.listed().map(|segment| segment.independent);
        let open = window.open.as_ref().filter(|_| self.parts.is_some());
        if segments.all(|independent| independent) && open.is_none_or(|open| open.independent) {
            self.line(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
        }
        self.line(format_args!("#EXT-X-TARGETDURATION:{target}"));
        if let Some(part) = self.parts {
            let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES";
            let (hold, until) = (3 * target, 6 * target);
            let part_hold = seconds(3 * u64::from(part));
            self.line(format_args!(
                "{control},PART-HOLD-BACK={part_hold},HOLD-BACK={hold},CAN-SKIP-UNTIL={until}"
            ));
            let part = seconds(part.into());
            self.line(format_args!("#EXT-X-PART-INF:PART-TARGET={part}"));
        }
        let first = window.listed().next().map_or(0, |first| first.number);
        self.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        if window.discontinuities > 0 {
            let count = window.discontinuities;
            self.line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{count}"));
        }
        if skipped > 0 {
            self.line(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
        }
    }

    fn segments(&mut self, skipped: usize) {
        let window = self.window;
        let first_with_parts = window.first_with_parts();
        let mut segments = window.listed();
        // What is skipped has also told which init segment holds.
        let mut init = (0..skipped)
            .filter_map(|_| segments.next())
            .last()
            .map(|segment| segment.init);
        for segment in segments {
            self.tags(segment, &mut init);
            if segment.number >= first_with_parts {
                self.parts(segment);
            }
            let duration = seconds(segment.duration.into());
            let number = segment.number;
            self.line(format_args!("#EXTINF:{duration},\nseg-{number}.m4s"));
        }
        if let Some(open) = window.open.as_ref().filter(|_| self.parts.is_some()) {
            self.tags(open, &mut init);
            self.parts(open);
        }
    }

    /// What stands before a segment and its first part.
    fn tags(&mut self, segment: &Segment, init: &mut Option<u64>) {
        if segment.discontinuity {
            self.line(format_args!("#EXT-X-DISCONTINUITY"));
        }
        if init.replace(segment.init) != Some(segment.init) {
            let number = segment.init;
            self.line(format_args!("#EXT-X-MAP:URI=\"init-{number}.mp4\""));
        }
        if let Some(date) = segment.date {
            let date = date.to_rfc3339_opts(SecondsFormat::Millis, true);
            self.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{date}"));
        }
    }

    fn parts(&mut self, segment: &Segment) {
        if self.parts.is_none() {
            return;
        }
        for (index, part) in segment.parts.iter().enumerate() {
            let duration = seconds(part.duration.into());
            let independent = if part.independent {
                ",INDEPENDENT=YES"
            } else {
                ""
            };
            let uri = format_args!("part-{}-{index}.m4s", segment.number);
            self.line(format_args!(
                "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"
            ));
        }
    }
}

fn seconds(ticks: u64) -> String {
    format!("{:.5}", ticks as f64 / f64::from(VIDEO_CLOCK))
}

/// The multivariant playlist (§4.4.6) with one variant, whose media playlist is at `uri`. There is one rendition only, so media playlists carry no
/// `EXT-X-RENDITION-REPORT`: such a report tells of the other ones (§4.4.5.4).
#[must_use]
pub fn multivariant(window: &Window, uri: &str) -> String {
    let init = window.inits.back().expect(NOT_EMPTY);
    let (width, height) = init.size;
    let rates = &window.rates;
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n\
         #EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",\
         RESOLUTION={width}x{height}",
        rates.peak().max(1),
        rates.average().max(1),
        init.codecs,
    );
    if rates.pictures > 0 {
        let (whole, rest) = (rates.pictures / 1000, rates.pictures % 1000);
        write!(out, ",FRAME-RATE={whole}.{rest:03}").expect(INFALLIBLE);
    }
    writeln!(out, "\n{uri}").expect(INFALLIBLE);
    out
}
