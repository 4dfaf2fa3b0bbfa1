//! What other people's playlists say, for who plays them (RFC 8216). Everything is checked and made
//! absolute here; nothing is fetched.

use std::time::Duration;

use m3u8_rs::{ByteRange, KeyMethod, MasterPlaylist, MediaPlaylist, MediaSegment};
use url::Url;

/// Of several variants the best is taken, as long as it has at most so many bits per second.
const MAX_BANDWIDTH: u64 = 25_000_000;

/// A target duration outside of this is not believed, seconds.
const TARGET: std::ops::RangeInclusive<u64> = 1..=60;

/// One begins so many target durations before the end of what is live (RFC 8216 §6.3.3).
const BEHIND: u32 = 3;

/// Why a playlist cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No variant has a picture.
    #[error("no variant has a picture")]
    NoPicture,
    /// It is right, and asks for what we do not do.
    #[error("{0}")]
    Unsupported(&'static str),
    /// It breaks the rules.
    #[error("its playlist has an error: {0}")]
    Broken(String),
}

/// A playlist.
#[derive(Debug, PartialEq)]
pub enum Playlist {
    /// Where the variant is that is to be played.
    Multivariant(Url),
    /// The segments themselves.
    Media(Media),
}

/// A media playlist.
#[derive(Debug, PartialEq)]
pub struct Media {
    /// The longest that a segment may be; 1 s to 60 s.
    pub target: Duration,
    /// Nothing will follow.
    pub has_ended: bool,
    /// Numbered one after the other.
    pub segments: Vec<Segment>,
}

/// A segment of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its media sequence number.
    pub number: u64,
    /// Its bytes.
    pub part: Part,
    /// In seconds, not negative.
    pub duration: f32,
    /// It does not go on where the one before has ended.
    pub discontinuity: bool,
    /// The initialization section, of fragmented MP4.
    pub init: Option<Part>,
}

/// A resource, or a range of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Of HTTP or HTTPS.
    pub url: Url,
    /// Where it begins, and its length.
    pub range: Option<(u64, u64)>,
}

impl Media {
    /// The first segment to play.
    #[must_use]
    pub fn start(&self) -> u64 {
        let first = self.segments.first().map_or(0, |segment| segment.number);
        if self.has_ended {
            return first;
        }
        let wanted = (self.target * BEHIND).as_secs_f32();
        let mut behind = 0.0;
        for segment in self.segments.iter().rev() {
            behind += segment.duration;
            if behind >= wanted {
                return segment.number;
            }
        }
        first
    }

    /// The number that the next segment will get.
    #[must_use]
    pub fn end(&self) -> u64 {
        let last = self.segments.last();
        last.map_or(0, |segment| segment.number.saturating_add(1))
    }
}

/// Reads a playlist that was found at `base`.
pub fn parse(base: &Url, bytes: &[u8]) -> Result<Playlist, Error> {
    if !bytes.starts_with(b"#EXTM3U") && !bytes.starts_with(b"\xef\xbb\xbf#EXTM3U") {
        return Err(broken("it does not begin with #EXTM3U"));
    }
    match m3u8_rs::parse_playlist_res(bytes) {
        Ok(m3u8_rs::Playlist::MasterPlaylist(list)) => {
            variant(base, &list).map(Playlist::Multivariant)
        }
        Ok(m3u8_rs::Playlist::MediaPlaylist(list)) => media(base, &list).map(Playlist::Media),
        Err(_) => Err(broken("it cannot be read")),
    }
}

/// The best variant that is not too much, or else the least.
fn variant(base: &Url, list: &MasterPlaylist) -> Result<Url, Error> {
    let has_picture = |codecs: &Option<String>| {
        let is_sound = |codec: &str| {
            let kinds = ["mp4a", "ac-3", "ec-3", "opus", "Opus", "fLaC"];
            kinds.iter().any(|kind| codec.trim().starts_with(kind))
        };
        let codecs = codecs.as_deref().unwrap_or_default();
        !codecs.split(',').all(is_sound)
    };
    let variants = list.variants.iter();
    let (small, large): (Vec<_>, Vec<_>) = variants
        .filter(|variant| !variant.is_i_frame && has_picture(&variant.codecs))
        .partition(|variant| variant.bandwidth <= MAX_BANDWIDTH);
    let best = small.into_iter().max_by_key(|variant| variant.bandwidth);
    let least = || large.into_iter().min_by_key(|variant| variant.bandwidth);
    let chosen = best.or_else(least).ok_or(Error::NoPicture)?;
    resolve(base, &chosen.uri)
}

fn media(base: &Url, list: &MediaPlaylist) -> Result<Media, Error> {
    if list.i_frames_only {
        return Err(Error::Unsupported("it has key frames only"));
    }
    if !TARGET.contains(&list.target_duration) {
        return Err(broken(format!(
            "a target duration of {} s",
            list.target_duration
        )));
    }
    let mut reader = Reader {
        base,
        number: list.media_sequence,
        is_encrypted: false,
        init: None,
        before: None,
    };
    let segments = list.segments.iter().map(|segment| reader.read(segment));
    Ok(Media {
        target: Duration::from_secs(list.target_duration),
        has_ended: list.end_list,
        segments: segments.collect::<Result<_, _>>()?,
    })
}

/// Reads segments, each of which may say what holds for those behind it.
struct Reader<'a> {
    base: &'a Url,
    number: u64,
    is_encrypted: bool,
    init: Option<Part>,
    /// The last one, from which ranges go on.
    before: Option<Part>,
}

impl Reader<'_> {
    fn read(&mut self, segment: &MediaSegment) -> Result<Segment, Error> {
        if let Some(key) = &segment.key {
            self.is_encrypted = key.method != KeyMethod::None;
        }
        if self.is_encrypted {
            return Err(Error::Unsupported("encrypted HLS is not supported"));
        }
        if let Some(map) = &segment.map {
            let url = resolve(self.base, &map.uri)?;
            let range = map.byte_range.as_ref();
            let range = range.map(|range| (range.offset.unwrap_or(0), range.length));
            self.init = Some(Part { url, range });
        }
        let part = self.part(&segment.uri, segment.byte_range.as_ref())?;
        self.before = Some(part.clone());
        let number = self.number;
        self.number = number.saturating_add(1);
        Ok(Segment {
            number,
            part,
            duration: segment.duration.max(0.0),
            discontinuity: segment.discontinuity,
            init: self.init.clone(),
        })
    }

    /// A range without an offset begins where the one before has ended (RFC 8216 §4.3.2.2).
    fn part(&self, uri: &str, range: Option<&ByteRange>) -> Result<Part, Error> {
        let url = resolve(self.base, uri)?;
        let Some(range) = range else {
            return Ok(Part { url, range: None });
        };
        let before = self.before.as_ref().filter(|before| before.url == url);
        let end = before.and_then(|before| before.range);
        let from = match (range.offset, end) {
            (Some(offset), _) => offset,
            (None, Some((from, length))) => from.saturating_add(length),
            (None, None) => return Err(broken("a byte range without a beginning")),
        };
        Ok(Part {
            url,
            range: Some((from, range.length)),
        })
    }
}

/// Nothing but HTTP is fetched, whatever a playlist says.
fn resolve(base: &Url, uri: &str) -> Result<Url, Error> {
    let url = base
        .join(uri)
        .map_err(|_| broken("an address that is none"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(broken(format!("an address with {scheme}:"))),
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::Broken(what.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        "https://server/live/index.m3u8?token=1"
            .parse()
            .expect("is a URL")
    }

    fn read(text: &str) -> Result<Playlist, Error> {
        parse(&base(), text.as_bytes())
    }

    fn media(body: &str) -> Result<Media, Error> {
        let head = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n";
        match read(&format!("{head}{body}"))? {
            Playlist::Media(media) => Ok(media),
            Playlist::Multivariant(_) => panic!("is no media playlist"),
        }
    }

    #[test]
    fn the_best_variant_with_a_picture_is_taken_unless_it_is_too_much() {
        let of = |bandwidths: &[(u64, &str)]| {
            let mut text = "#EXTM3U\n".to_owned();
            for (bandwidth, codecs) in bandwidths {
                text += &format!(
                    "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"{codecs}\"\n{bandwidth}.m3u8\n"
                );
            }
            match read(&text) {
                Ok(Playlist::Multivariant(url)) => url.to_string(),
                other => format!("{other:?}"),
            }
        };
        let both = "avc1.64001e,mp4a.40.2";
        let best = of(&[(100, both), (300, both), (400, "mp4a.40.2"), (200, both)]);
        assert_eq!(best, "https://server/live/300.m3u8");
        let least = of(&[(90_000_000, both), (80_000_000, both)]);
        assert_eq!(least, "https://server/live/80000000.m3u8");
        assert_eq!(of(&[(1, "mp4a.40.2")]), "Err(NoPicture)");
    }

    #[test]
    fn one_begins_three_target_durations_before_the_end() {
        let body: String = (0..9)
            .map(|number| format!("#EXTINF:1.9,\n{number}.ts\n"))
            .collect();
        let live = media(&body).expect("reads");
        assert_eq!((live.start(), live.end()), (12, 16));
        let over = media(&format!("{body}#EXT-X-ENDLIST\n")).expect("reads");
        assert_eq!(over.start(), 7);
        assert_eq!(media("").expect("reads").end(), 0);
        let last = format!("#EXT-X-MEDIA-SEQUENCE:{}\n{body}", u64::MAX);
        assert_eq!(media(&last).expect("reads").end(), u64::MAX);
    }

    #[test]
    fn what_a_segment_says_holds_for_those_behind_it() {
        let media = media(
            "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"100@4\"\n\
             #EXTINF:2,\n#EXT-X-BYTERANGE:10@0\na.m4s\n\
             #EXTINF:2,\n#EXT-X-BYTERANGE:20\na.m4s\n\
             #EXT-X-DISCONTINUITY\n#EXTINF:2,\n/b.m4s\n",
        )
        .expect("reads");
        let [first, second, third] = &media.segments[..] else {
            panic!("{media:?}")
        };
        assert_eq!(
            first.init.as_ref().and_then(|init| init.range),
            Some((4, 100))
        );
        assert_eq!(third.init, first.init);
        assert_eq!(second.part.range, Some((10, 20)));
        assert_eq!(third.part.url.as_str(), "https://server/b.m4s");
        assert!(third.discontinuity && !second.discontinuity);
    }

    #[test]
    fn what_cannot_be_played_is_refused_in_words() {
        for (body, words) in [
            (
                "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:2,\na.ts\n",
                "encrypted HLS is not supported",
            ),
            (
                "#EXTINF:2,\n#EXT-X-BYTERANGE:20\na.ts\n",
                "its playlist has an error: a byte range without a \
                 beginning",
            ),
            (
                "#EXTINF:2,\nfile:///etc/passwd\n",
                "its playlist has an error: an address with file:",
            ),
        ] {
            let error = media(body).expect_err("is refused");
            assert_eq!(error.to_string(), words);
        }
        assert!(read("<html>").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(lines in prop::collection::vec(
            prop_oneof![
                "[ -~]{0,30}",
                Just("#EXT-X-TARGETDURATION:18446744073709551615".to_owned()),
                Just("#EXTINF:nan,".to_owned()),
                Just("#EXT-X-BYTERANGE:18446744073709551615@18446744073709551615".to_owned()),
                Just("#EXT-X-MEDIA-SEQUENCE:18446744073709551615".to_owned()),
                Just("a.ts".to_owned()),
            ],
            0..20,
        )) {
            let text = format!("#EXTM3U\n{}\n", lines.join("\n"));
            if let Ok(Playlist::Media(media)) = read(&text) {
                let _ = (media.start(), media.end());
            }
        }
    }
}
