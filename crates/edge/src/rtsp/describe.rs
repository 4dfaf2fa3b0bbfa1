//! What a stream is, in the words of SDP.

use headworks_media::{TrackKind, Tracks};
use headworks_rtp::{AUDIO_CHANNEL, Error, Format, VIDEO_CHANNEL};
use headworks_rtsp::sdp::{self, Description, Kind, Media};

/// The tracks of a description, in its order: pictures, then sound.
pub(super) fn kinds(tracks: &Tracks) -> impl Iterator<Item = TrackKind> {
    let audio = tracks.audio.as_ref().map(|_| TrackKind::Audio);
    [TrackKind::Video].into_iter().chain(audio)
}

/// The channels that a track has in every connection.
pub(super) fn channels(track: TrackKind) -> (u8, u8) {
    let rtp = match track {
        TrackKind::Video => VIDEO_CHANNEL,
        TrackKind::Audio => AUDIO_CHANNEL,
    };
    (rtp, rtp + 1)
}

/// Describes a stream. Fails if RTP cannot carry its pictures.
pub(crate) fn describe(tracks: &Tracks) -> Result<Description, Error> {
    let mut description = Description::new("Headworks");
    description.control = Some("*".to_owned());
    // Live: it begins now and has no end.
    description.range = Some("npt=now-".to_owned());
    let video = media(Kind::Video, &Format::video(&tracks.video)?, 0);
    let audio = tracks.audio.as_ref();
    let audio = audio.map(|audio| media(Kind::Audio, &Format::audio(audio), 1));
    description.media = [video].into_iter().chain(audio).collect();
    Ok(description)
}

fn media(kind: Kind, format: &Format, index: usize) -> Media {
    let mut parts = format.rtpmap.split('/');
    let codec = parts.next().unwrap_or_default();
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let clock_rate = number(parts.next()).unwrap_or_default();
    let mut written = sdp::Format::new(format.payload_type, codec, clock_rate);
    written.channels = number(parts.next()).and_then(|count| u8::try_from(count).ok());
    if let Some(fmtp) = &format.fmtp {
        written = written.with_fmtp(&**fmtp);
    }
    // FFmpeg's word for it; rtsp-server-perl, when we push to it, knows no other.
    Media::new(kind, written).with_control(format!("streamid={index}"))
}

#[cfg(test)]
mod tests {
    use headworks_media::{AudioParameters, G711Law};

    use super::*;
    use crate::hub::testing;

    #[test]
    fn what_we_write_is_what_was_meant() {
        let mut tracks = Tracks::clone(&testing::tracks());
        tracks.audio = Some(AudioParameters::G711 {
            law: G711Law::A,
            clock_rate: 8000,
            channels: 1,
        });
        let description = describe(&tracks).expect("can be carried");
        let text = description.to_string();
        for line in [
            "a=control:*",
            "a=range:npt=now-",
            "a=rtpmap:96 H264/90000",
            "a=control:streamid=0",
            "m=audio 0 RTP/AVP 8",
            "a=control:streamid=1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let read = Description::parse(text.as_bytes()).expect("parses");
        assert_eq!(read.to_string(), text);
        assert_eq!(kinds(&tracks).count(), 2);
    }
}
