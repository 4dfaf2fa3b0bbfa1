//! One RTSP session with a camera, by retina (RFC 2326, RFC 3550).

use std::{num::NonZeroU32, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use headworks_media::{
    AudioParameters, G711Law, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec, VideoParameters, rescale,
};
use headworks_types::{Credentials, Transport};
use retina::{
    client::{
        Demuxed, Described, InitialTimestampPolicy, PlayOptions, SessionIdPolicy, SessionOptions,
        SetupOptions, TcpTransportOptions, UdpTransportOptions,
    },
    codec::{AudioFrame, CodecItem, FrameFormat, ParametersRef, VideoFrame, VideoParametersCodec},
    rtcp::ReceivedCompoundPacket,
};
use tokio::{
    sync::Semaphore,
    time::{timeout, timeout_at},
};
use url::Url;

use super::sync::Sync;
use crate::ingest::{Config, Feed, failure::Failure};

/// The largest picture that a camera may send, bytes. A key frame of 8K video has about a quarter.
const MAX_PICTURE: usize = 8 << 20;

/// What a session needs to know.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) connects: &'a Semaphore,
    pub(super) url: &'a Url,
    pub(super) transport: Transport,
    pub(super) credentials: Option<&'a Credentials>,
}

/// The tracks that are used, as indexes of the camera's streams.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    video: usize,
    audio: Option<usize>,
}

impl Session<'_> {
    /// Connects and gives `feed` what comes, until the session fails.
    pub(super) async fn run(&self, feed: &mut Feed) -> Failure {
        let connected = {
            let Ok(_turn) = self.connects.acquire().await else {
                return Failure::Internal;
            };
            let limit = self.config.connect_timeout;
            match timeout(limit, self.connect()).await {
                Ok(connected) => connected,
                Err(_) => Err(Failure::Timeout(limit)),
            }
        };
        match connected {
            Ok((demuxed, chosen)) => self.receive(demuxed, chosen, feed).await,
            Err(failure) => failure,
        }
    }

    async fn connect(&self) -> Result<(Demuxed, Chosen), Failure> {
        let failure = |error: retina::Error| {
            tracing::debug!(%error, "RTSP session failed");
            Failure::from_retina(&error, self.credentials.is_some())
        };
        let credentials = self.credentials.map(|known| retina::client::Credentials {
            username: known.username.clone(),
            password: known.password.expose().to_owned(),
        });
        let options = SessionOptions::default()
            .creds(credentials)
            .user_agent(concat!("Headworks/", env!("CARGO_PKG_VERSION")).to_owned())
            // Some cameras name another session in each answer; what they mean is the first.
            .session_id(SessionIdPolicy::UseFirst);
        let mut session = retina::client::Session::describe(self.url.clone(), options)
            .await
            .map_err(failure)?;
        let chosen = choose(&session)?;
        for index in [Some(chosen.video), chosen.audio].into_iter().flatten() {
            let transport = match self.transport {
                Transport::Tcp => retina::client::Transport::Tcp(TcpTransportOptions::default()),
                Transport::Udp => retina::client::Transport::Udp(UdpTransportOptions::default()),
            };
            let options = SetupOptions::default()
                .transport(transport)
                .frame_format(FrameFormat::MP4);
            session.setup(index, options).await.map_err(failure)?;
        }
        // Servers without RTP-Info exist; sender reports tell the rest (`sync`).
        let options = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Permissive);
        let playing = session.play(options).await.map_err(failure)?;
        Ok((playing.demuxed().map_err(failure)?, chosen))
    }

    async fn receive(&self, mut demuxed: Demuxed, chosen: Chosen, feed: &mut Feed) -> Failure {
        feed.begin("");
        let mut receiver = Receiver {
            chosen,
            feed,
            sync: Sync::default(),
        };
        loop {
            // What has arrived already is taken first, so that it leaves together.
            let item = match demuxed.next().now_or_never() {
                Some(item) => item,
                None => {
                    receiver.feed.flush();
                    match timeout_at(receiver.feed.deadline(), demuxed.next()).await {
                        Ok(item) => item,
                        Err(_) => return Failure::NoVideo(self.config.video_timeout),
                    }
                }
            };
            let outcome = match item {
                None => Err(Failure::Closed),
                Some(Err(error)) => {
                    tracing::debug!(%error, "RTSP session ended");
                    Err(Failure::from_retina(&error, self.credentials.is_some()))
                }
                Some(Ok(item)) => receiver.take(item, &demuxed),
            };
            if let Err(failure) = outcome.and_then(|()| receiver.feed.check()) {
                receiver.feed.flush();
                return failure;
            }
        }
    }
}

/// The first track of each kind that we carry. Others are not even set up.
fn choose(session: &retina::client::Session<Described>) -> Result<Chosen, Failure> {
    let streams = session.streams();
    let of = |media: &str, known: &[&str]| {
        streams
            .iter()
            .position(|stream| stream.media() == media && known.contains(&stream.encoding_name()))
    };
    let Some(video) = of("video", &["h264", "h265"]) else {
        let mut pictures = streams
            .iter()
            .filter(|s| matches!(s.media(), "video" | "image"));
        return Err(match pictures.next() {
            Some(other) if other.encoding_name() == "jpeg" => Failure::Codec("mjpeg".to_owned()),
            Some(other) => Failure::Codec(other.encoding_name().to_owned()),
            None => Failure::NoVideoTrack,
        });
    };
    let audio = of("audio", &["mpeg4-generic", "pcma", "pcmu"])
        // Without parameters the SDP was bad; a picture without sound is better than none.
        .filter(|index| streams[*index].parameters().is_some());
    Ok(Chosen { video, audio })
}

/// Takes what a session gives.
struct Receiver<'a> {
    chosen: Chosen,
    feed: &'a mut Feed,
    sync: Sync,
}

impl Receiver<'_> {
    fn take(&mut self, item: CodecItem, demuxed: &Demuxed) -> Result<(), Failure> {
        match item {
            CodecItem::VideoFrame(frame) if frame.stream_id() == self.chosen.video => {
                self.video(frame, demuxed)
            }
            CodecItem::AudioFrame(frame) if Some(frame.stream_id()) == self.chosen.audio => {
                self.audio(&frame);
                Ok(())
            }
            CodecItem::Rtcp(packet) => {
                self.report(&packet, demuxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn video(&mut self, frame: VideoFrame, demuxed: &Demuxed) -> Result<(), Failure> {
        if frame.data().len() > MAX_PICTURE {
            let size = frame.data().len() >> 20;
            return Err(Failure::Protocol(format!("a picture of {size} MiB")));
        }
        if frame.has_new_parameters() || self.feed.current_tracks().is_none() {
            self.learn(demuxed)?;
        }
        let rate = frame.timestamp().clock_rate().get();
        let pts = rescale(frame.timestamp().elapsed(), rate, VIDEO_CLOCK);
        let key = frame.is_random_access_point();
        self.feed.video(pts, key, Bytes::from(frame.into_data()));
        Ok(())
    }

    /// Reads the parameters that the camera has sent so far.
    fn learn(&mut self, demuxed: &Demuxed) -> Result<(), Failure> {
        let streams = demuxed.streams();
        let Some(ParametersRef::Video(video)) = streams[self.chosen.video].parameters() else {
            return Ok(());
        };
        let codec = match video.codec_params().clone() {
            VideoParametersCodec::H264 { sps, pps } => VideoCodec::H264 { sps, pps },
            VideoParametersCodec::H265 { vps, sps, pps } => VideoCodec::H265 { vps, sps, pps },
            other => return Err(Failure::Codec(format!("{other:?}"))),
        };
        let bad = |error: headworks_media::Error| Failure::Protocol(error.to_string());
        let audio = match self.chosen.audio {
            Some(index) => audio_parameters(&streams[index]).map_err(bad)?,
            None => None,
        };
        self.feed.tracks(Arc::new(Tracks {
            video: VideoParameters::new(codec).map_err(bad)?,
            audio,
        }));
        Ok(())
    }

    fn audio(&mut self, frame: &AudioFrame) {
        let length = frame.frame_length().get();
        let payload = Bytes::copy_from_slice(frame.data());
        self.feed
            .audio(frame.timestamp().elapsed(), length, payload);
    }

    fn report(&mut self, packet: &ReceivedCompoundPacket, demuxed: &Demuxed) {
        let track = if packet.stream_id() == self.chosen.video {
            TrackKind::Video
        } else {
            TrackKind::Audio
        };
        let (Some(time), Some(wall)) = (packet.rtp_timestamp(), wall_clock(packet)) else {
            return;
        };
        let Some(audio) = self.chosen.audio else {
            return;
        };
        if let Some(later) = self.sync.report(track, wall, time.elapsed_secs()) {
            let rate = f64::from(demuxed.streams()[audio].clock_rate_hz());
            tracing::debug!(seconds = later, "sound corrected by sender reports");
            self.feed.correct_audio((later * rate) as i64);
        }
    }
}

/// The wall clock of the sender report in the packet, if there is one.
fn wall_clock(packet: &ReceivedCompoundPacket) -> Option<u64> {
    let mut reports = packet.pkts().filter_map(|p| p.as_sender_report().ok()?);
    Some(reports.next()?.ntp_timestamp().0)
}

fn audio_parameters(
    stream: &retina::client::Stream,
) -> Result<Option<AudioParameters>, headworks_media::Error> {
    let Some(ParametersRef::Audio(audio)) = stream.parameters() else {
        return Ok(None);
    };
    let Some(clock_rate) = NonZeroU32::new(audio.clock_rate()).map(NonZeroU32::get) else {
        return Ok(None);
    };
    let g711 = |law| AudioParameters::G711 {
        law,
        clock_rate,
        channels: u8::try_from(audio.channels().get()).unwrap_or(1),
    };
    match stream.encoding_name() {
        "pcma" => Ok(Some(g711(G711Law::A))),
        "pcmu" => Ok(Some(g711(G711Law::Mu))),
        _ => AudioParameters::aac(Bytes::copy_from_slice(audio.extra_data()), clock_rate).map(Some),
    }
}
