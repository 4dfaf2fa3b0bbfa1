//! Which tracks of a description are carried.

use headworks_rtp::{Codec, Described, Media};
use headworks_rtsp::sdp::{self, Description, Kind};

/// The tracks that are used: their indices into the description, and what they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chosen {
    pub(super) video: (usize, Media),
    pub(super) audio: Option<(usize, Media)>,
}

/// Why a description is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("no video track")]
    NoVideo,
    #[error("unsupported codec {0}")]
    Codec(String),
}

impl Chosen {
    /// The first track of each kind that we carry, out of those that `may_play`. Back channels
    /// and others are not even set up.
    pub(crate) fn of(
        description: &Description,
        may_play: impl Fn(&sdp::Media) -> bool,
    ) -> Result<Self, Unusable> {
        let media = || {
            let all = description.media.iter().enumerate();
            all.filter(|(_, media)| may_play(media))
        };
        let first = |kind: &Kind, fits: fn(&Codec) -> bool| {
            media()
                .filter(|(_, media)| media.kind == *kind)
                .find_map(|(index, media)| {
                    let known = known(media)?;
                    fits(&known.codec).then_some((index, known))
                })
        };
        let is_video = |codec: &Codec| matches!(codec, Codec::H264(_) | Codec::H265(_));
        let Some(video) = first(&Kind::Video, is_video) else {
            // ONVIF calls single JPEG pictures `image`.
            let is_picture = |kind: &Kind| match kind {
                Kind::Video => true,
                Kind::Other(word) => word == "image",
                Kind::Audio => false,
            };
            let mut pictures = media().filter(|(_, media)| is_picture(&media.kind));
            return Err(match pictures.next() {
                Some((_, other)) => Unusable::Codec(name(other)),
                None => Unusable::NoVideo,
            });
        };
        let audio = first(&Kind::Audio, |codec| {
            !matches!(codec, Codec::H264(_) | Codec::H265(_))
        });
        Ok(Self { video, audio })
    }

    /// Their indices into the description, pictures first.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        let audio = self.audio.as_ref().map(|(index, _)| *index);
        [self.video.0].into_iter().chain(audio)
    }
}

fn known(media: &sdp::Media) -> Option<Media> {
    let format = media.format()?;
    let described = Described {
        payload_type: format.payload_type,
        encoding: Some(&*format.codec).filter(|name| !name.is_empty()),
        clock_rate: Some(format.clock_rate).filter(|rate| *rate > 0),
        channels: format.channels,
        fmtp: Some(&*format.fmtp.0),
    };
    described.media().ok()
}

/// What people call it.
fn name(media: &sdp::Media) -> String {
    let Some(format) = media.format() else {
        return "of no format".to_owned();
    };
    match &*format.codec.to_ascii_lowercase() {
        "jpeg" => "mjpeg".to_owned(),
        "" => format!("payload type {}", format.payload_type),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(media: &[&str]) -> Result<Vec<usize>, Unusable> {
        let text = format!("v=0\r\ns=-\r\n{}", media.concat());
        let description = Description::parse(text.as_bytes()).expect("parses");
        let chosen = Chosen::of(&description, sdp::Media::is_playable)?;
        Ok(chosen.indices().collect())
    }

    const H264: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    const JPEG: &str = "m=video 0 RTP/AVP 26\r\n";
    const META: &str = "m=application 0 RTP/AVP 98\r\na=rtpmap:98 vnd.onvif.metadata/90000\r\n";
    const BACK: &str = "m=audio 0 RTP/AVP 0\r\na=sendonly\r\n";
    const G711: &str = "m=audio 0 RTP/AVP 8\r\n";
    const G726: &str = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 G726-32/8000\r\n";

    #[test]
    fn the_first_of_each_kind_that_is_carried() {
        assert_eq!(chosen(&[JPEG, META, H264, H264]), Ok(vec![2]));
        assert_eq!(chosen(&[BACK, G726, G711, H264]), Ok(vec![3, 2]));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(chosen(&[G711, META]), Err(Unusable::NoVideo));
        let jpeg = Unusable::Codec("mjpeg".to_owned());
        assert_eq!(chosen(&[G711, JPEG]), Err(jpeg));
    }
}
