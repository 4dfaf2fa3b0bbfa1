//! Puts foreign packets together and compares the result with their source.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use headworks_media::{AudioParameters, TrackKind};
use headworks_rtp::{Described, Event, Media, Options, Receiver, rtcp, window::Limits};

use crate::source::Source;

#[expect(
    clippy::disallowed_methods,
    reason = "where the virtual time of a test starts"
)]
fn origin() -> Instant {
    Instant::now()
}

/// What an SDP says of its only track.
pub(crate) fn media_of_sdp(sdp: &str) -> anyhow::Result<Media> {
    let value = |name: &str| {
        let line = sdp
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        Some(line.split_once(' ').map_or(line, |(_, value)| value))
    };
    let line = value("m=").context("a media line")?;
    let payload_type = line.rsplit(' ').next().context("a payload type")?.parse()?;
    let rtpmap = value("a=rtpmap:").unwrap_or_default();
    let mut words = rtpmap.split('/');
    let described = Described {
        payload_type,
        encoding: words.next().filter(|name| !name.is_empty()),
        clock_rate: words.next().map(str::parse).transpose()?,
        channels: words.next().map(str::parse).transpose()?,
        fmtp: value("a=fmtp:"),
    };
    Ok(described.media()?)
}

/// All events of a track's datagrams, which come a millisecond apart.
pub(crate) fn receive(media: &Media, datagrams: &[Bytes]) -> anyhow::Result<Vec<Event>> {
    let options = Options {
        limits: Limits::DATAGRAMS,
        ssrc: 1,
        cname: "test".to_owned(),
        start: None,
    };
    let (mut receiver, mut now) = (Receiver::new(media, options), origin());
    let mut events = Vec::new();
    for datagram in datagrams {
        now += Duration::from_millis(1);
        if rtcp::is_rtcp(datagram) {
            receiver.handle_rtcp(now, datagram)?;
        } else {
            receiver.handle_rtp(now, datagram)?;
        }
        events.extend(std::iter::from_fn(|| receiver.poll_event(now)));
    }
    let counters = receiver.counters();
    ensure!(counters.lost + counters.late == 0, "{counters:?}");
    ensure!(receiver.damaged() == 0, "{} damaged", receiver.damaged());
    ensure!(receiver.foreign() == 0, "{} foreign", receiver.foreign());
    Ok(events)
}

/// The pictures are those of the source, byte for byte, at the same distances.
pub(crate) fn is_picture_of(events: &[Event], source: &Source) -> anyhow::Result<()> {
    let expected = source.of(TrackKind::Video);
    let mut found = Vec::new();
    for event in events {
        match event {
            Event::Picture(picture) => found.push(picture),
            Event::Parameters(parameters) => {
                assert_eq!(parameters.codec(), source.tracks.video.codec());
            }
            Event::Sound(_) | Event::Lost { .. } | Event::BadParameters(_) | Event::Restarted => {
                anyhow::bail!("{event:?}")
            }
            Event::SenderReport { .. } | Event::Bye => {}
        }
    }
    assert_eq!(found.len(), expected.len());
    for (number, (picture, frame)) in found.iter().zip(&expected).enumerate() {
        ensure!(
            picture.payload == frame.payload,
            "picture {number} is another"
        );
        assert_eq!(picture.key, frame.key, "picture {number}");
        assert_eq!(picture.gap, number == 0, "picture {number}");
        let shown = picture.timestamp - found[0].timestamp;
        let off = shown - (frame.pts - expected[0].pts);
        ensure!(off.abs() <= 1, "picture {number} is off by {off}");
    }
    Ok(())
}

/// What foreign senders may leave out: at the start what the file's edit list tells them to, at
/// the end what FFmpeg still wanted to send together with more.
const MISSING_AT_START: usize = 2;
const MISSING_AT_END: usize = 4;

/// The sound is that of the source, without a hole.
pub(crate) fn is_sound_of(events: &[Event], source: &Source) -> anyhow::Result<()> {
    let sounds = events.iter().filter_map(|event| match event {
        Event::Sound(sound) => Some(sound),
        _ => None,
    });
    let found: Vec<_> = sounds.collect();
    let audio = source.tracks.audio.as_ref().context("has sound")?;
    // Milliseconds of a container's clock may be in the timestamps.
    let tolerance = i64::from(audio.clock_rate()) / 500;
    // The edit list may also have moved the first.
    for (number, pair) in found.windows(2).enumerate().skip(1) {
        let off = pair[1].timestamp - pair[0].timestamp - i64::from(pair[0].length);
        ensure!(
            off.abs() <= tolerance,
            "a hole of {off} behind packet {number}"
        );
    }
    let expected = source.of(TrackKind::Audio);
    if matches!(audio, AudioParameters::G711 { .. }) {
        let all: Vec<u8> = found
            .iter()
            .flat_map(|sound| sound.payload.to_vec())
            .collect();
        let sent: Vec<u8> = expected
            .iter()
            .flat_map(|frame| frame.payload.to_vec())
            .collect();
        ensure!(all == sent, "{} of {} samples", all.len(), sent.len());
        return Ok(());
    }
    let first = found.first().context("has sound")?;
    let skipped = expected
        .iter()
        .position(|frame| frame.payload == first.payload);
    let skipped = skipped.context("the first packet is the source's")?;
    ensure!(
        skipped <= MISSING_AT_START,
        "{skipped} packets are missing at the start"
    );
    for (number, (sound, frame)) in found.iter().zip(&expected[skipped..]).enumerate() {
        ensure!(sound.payload == frame.payload, "packet {number} is another");
    }
    let missing = expected.len() - skipped - found.len();
    ensure!(
        missing <= MISSING_AT_END,
        "{missing} packets are missing at the end"
    );
    Ok(())
}
