//! The playlists themselves.

use std::fmt::Write;

use crate::Window;

const INFALLIBLE: &str = "writing to a string does not fail";

impl Window {
    /// The media playlist (§4.3.3). `None` before the first segment.
    #[must_use]
    pub fn playlist(&self) -> Option<String> {
        let first = self.listed().next()?;
        let mut out = String::with_capacity(64 * (self.listed + 6));
        out.push_str("#EXTM3U\n#EXT-X-VERSION:7\n");
        if self.listed().all(|segment| segment.independent) {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        writeln!(out, "#EXT-X-TARGETDURATION:{}", self.target).expect(INFALLIBLE);
        writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.number).expect(INFALLIBLE);
        if self.discontinuities > 0 {
            writeln!(
                out,
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                self.discontinuities
            )
            .expect(INFALLIBLE);
        }
        let mut init = None;
        for segment in self.listed() {
            if segment.discontinuity {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if init != Some(segment.init) {
                init = Some(segment.init);
                writeln!(out, "#EXT-X-MAP:URI=\"init-{}.mp4\"", segment.init).expect(INFALLIBLE);
            }
            let seconds = f64::from(segment.duration) / 90_000.0;
            writeln!(out, "#EXTINF:{seconds:.5},\nseg-{}.m4s", segment.number).expect(INFALLIBLE);
        }
        Some(out)
    }
}

/// The multivariant playlist (§4.3.4) with one variant, whose media playlist is at `uri`. `None`
/// before the first segment.
#[must_use]
pub fn multivariant(window: &Window, uri: &str) -> Option<String> {
    let init = window.inits.back()?;
    let (width, height) = init.size;
    Some(format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n\
         #EXT-X-STREAM-INF:BANDWIDTH={},CODECS=\"{}\",RESOLUTION={width}x{height}\n{uri}\n",
        window.peak.max(1),
        init.codecs,
    ))
}
