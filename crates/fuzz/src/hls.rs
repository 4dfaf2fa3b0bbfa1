//! HLS: other people's playlists, and what players ask for.

use std::sync::LazyLock;

use headworks_hls::{
    Config, Directives, Flavor, Limits, Segmenter, Window, multivariant,
    source::{self, Playlist},
};
use url::Url;

use crate::sample;

/// What playlists consist of.
pub(crate) const PLAYLIST_WORDS: &[&str] = &[
    "#EXTM3U\n",
    "#EXT-X-VERSION:7\n",
    "#EXT-X-TARGETDURATION:",
    "#EXT-X-MEDIA-SEQUENCE:",
    "#EXT-X-DISCONTINUITY\n",
    "#EXT-X-DISCONTINUITY-SEQUENCE:",
    "#EXT-X-ENDLIST\n",
    "#EXT-X-PLAYLIST-TYPE:EVENT\n",
    "#EXT-X-I-FRAMES-ONLY\n",
    "#EXT-X-MAP:URI=\"",
    "BYTERANGE=\"1@2\"",
    "#EXT-X-BYTERANGE:",
    "#EXT-X-KEY:METHOD=",
    "AES-128",
    "NONE",
    "#EXTINF:",
    "#EXT-X-PROGRAM-DATE-TIME:",
    "#EXT-X-DATERANGE:ID=\"",
    "#EXT-X-STREAM-INF:BANDWIDTH=",
    "#EXT-X-I-FRAME-STREAM-INF:",
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"",
    "#EXT-X-PART:DURATION=",
    "CODECS=\"avc1.64001e,mp4a.40.2\"",
    "18446744073709551615",
    "http://",
    "../a.ts\n",
];

/// What directives consist of.
pub(crate) const DIRECTIVE_WORDS: &[&str] = &[
    "_HLS_msn=",
    "_HLS_part=",
    "_HLS_skip=YES",
    "_HLS_skip=v2",
    "ll=0",
    "&",
    "%30",
    "18446744073709551615",
];

/// Numbers follow each other and addresses are those of HTTP, whatever a server says.
pub(crate) fn playlist(bytes: &[u8]) {
    static BASE: LazyLock<Url> =
        LazyLock::new(|| Url::parse("https://server/live/index.m3u8?token=1").expect("is a URL"));
    match source::parse(&BASE, bytes) {
        Ok(Playlist::Multivariant(url)) => is_fetched(&url),
        Ok(Playlist::Media(media)) => {
            let (start, end) = (media.start(), media.end());
            assert!(
                start <= end || media.segments.is_empty(),
                "{start} to {end}"
            );
            for segment in &media.segments {
                assert!(segment.duration >= 0.0, "{}", segment.duration);
                is_fetched(&segment.part.url);
                if let Some(init) = &segment.init {
                    is_fetched(&init.url);
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn is_fetched(url: &Url) {
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
}

/// Our own playlists, and what others write that we do not.
pub(crate) fn playlist_seeds() -> Vec<Vec<u8>> {
    let window = window();
    let ours = [Flavor::Plain, Flavor::LowLatency, Flavor::Delta];
    let mut seeds: Vec<_> = ours
        .into_iter()
        .map(|flavor| window.playlist(flavor).into_bytes())
        .collect();
    seeds.push(multivariant(&window, "media.m3u8").into_bytes());
    let others: [&[u8]; 2] = [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
          #EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"100@4\"\n#EXTINF:2,\n#EXT-X-BYTERANGE:10@0\n\
          a.m4s\n#EXTINF:2,\n#EXT-X-BYTERANGE:20\na.m4s\n#EXT-X-DISCONTINUITY\n\
          #EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\n/b.m4s\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\",URI=\"c.m3u8\"\n\
          #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\",CODECS=\"avc1.64001e\"\nd.m3u8\n\
          #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"e.m3u8\"\n",
    ];
    seeds.extend(others.map(<[u8]>::to_vec));
    seeds
}

/// A query, and whether the player can be answered.
pub(crate) fn directives(bytes: &[u8]) {
    static WINDOW: LazyLock<Window> = LazyLock::new(window);
    let query = String::from_utf8_lossy(bytes);
    match Directives::parse(Some(&query)) {
        Ok(found) => {
            if let Some((segment, part)) = found.wait {
                assert_ne!(found.flavor(), Flavor::Plain, "{query}");
                let is_far = WINDOW.is_too_far(segment, part);
                assert!(!(is_far && WINDOW.has(segment, part)), "{query}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub(crate) fn directive_seeds() -> Vec<Vec<u8>> {
    [
        "_HLS_msn=7&_HLS_part=2&_HLS_skip=YES",
        "ll=0&_HLS_msn=3&_HLS_skip=v2",
        "token=a.b%2Ec&_HLS_part=0",
        "_HLS_msn=18446744073709551615&_HLS_part=18446744073709551615",
    ]
    .map(|query| query.as_bytes().to_vec())
    .to_vec()
}

/// Some segments with parts.
fn window() -> Window {
    let second = 90_000;
    let config = Config {
        segment: second,
        longest: 4 * second,
        listed: 3,
        part: Some(second / 4),
        limits: Limits::default(),
    };
    let tracks = sample::streams().into_iter().next().expect("has one");
    let frames = sample::frames(&tracks);
    let mut segmenter = Segmenter::new(config, tracks.into(), 0).expect("can be cut");
    for round in 0..40 {
        for frame in &frames {
            let mut frame = frame.clone();
            let later = match frame.track {
                headworks_media::TrackKind::Video => 3600 * frames.len() as i64 / 2,
                headworks_media::TrackKind::Audio => 1920 * frames.len() as i64 / 2,
            };
            frame.dts += round * later;
            frame.pts += round * later;
            segmenter.push(frame);
        }
    }
    segmenter.window().expect("has segments").clone()
}
