//! One push: waits for the right and for a picture, connects, and starts anew when it fails.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use headworks_bootstrap::Clock;
use headworks_media::ts;
use headworks_types::{
    RestreamAudio, RestreamSigning, RestreamVideo, ShownUrl, UrlRenewal,
    edge::{RestreamWork, SlotState},
};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Config, Job,
    board::Board,
    encode::Encoder,
    failure::Failure,
    fence::{Fence, Permit},
    link::{Link, Meter},
    push::{End, Leave, Push, changed},
    rtmp, rtsp, sign,
    source::{Copied, Source},
};
use crate::{
    backoff::{self, Backoff},
    ffmpeg::Ffmpeg,
    hub::{Hub, NoPicture, Reader, Sound, Start, Stream, ViewerGuard},
    printable::printable,
    secrets::Secrets,
    turns::Turns,
};

/// How often a camera that gives no picture is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long the last words to a target may take; then the connection is cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// After a power cut all pushes begin together; targets do not like that.
const SPREAD: Duration = Duration::from_millis(300);

/// A connection is made anew before its timestamps wrap (at 24.8 days).
const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

/// What all workers share.
pub(super) struct Around {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) hub: Hub,
    pub(super) ffmpeg: Ffmpeg,
    pub(super) fence: Fence,
    pub(super) connects: Turns,
    pub(super) sent: Counter,
}

pub(super) struct Worker {
    pub(super) around: Arc<Around>,
    pub(super) board: Arc<Board>,
    pub(super) desired: watch::Receiver<Arc<Job>>,
    pub(super) stop: CancellationToken,
}

/// A camera that gives a picture.
struct Camera {
    stream: Arc<Stream>,
    start: Start,
    sound: Sound,
    /// The camera is pulled as long as it is pushed.
    _guard: ViewerGuard,
}

/// Where to connect now.
struct Target {
    url: String,
    expires_at: Option<DateTime<Utc>>,
    secrets: Secrets,
}

impl Worker {
    /// Until it is to stop; then shortly after.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let cut = async {
            stop.cancelled().await;
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            () = self.work() => {}
            () = cut => {}
        }
    }

    /// Pushes whenever that is allowed. What has to stop at once is dropped in the middle.
    async fn work(&mut self) {
        let (around, stop) = (Arc::clone(&self.around), self.stop.clone());
        self.board.set(
            SlotState::Idle,
            "waits until a controller has confirmed that this node pushes",
        );
        // Until it may go on, what cut it off is the reason why it does not push.
        while !stop.is_cancelled() {
            let permit = tokio::select! {
                permit = around.fence.permit() => permit,
                () = stop.cancelled() => return,
            };
            tokio::select! {
                biased;
                () = permit.lapsed() => {
                    self.board.disconnected();
                    self.board.failed(
                        "stopped: no controller has answered for a while, and another node may \
                         push now",
                    );
                    tracing::warn!(
                        restream.id = %self.desired.borrow().work.id,
                        "the lease was not renewed in time; the push is cut off"
                    );
                }
                () = self.push(&permit) => return,
            }
        }
    }

    /// Connects again and again, until it is to stop.
    async fn push(&mut self, permit: &Permit) {
        let config = &self.around.config;
        let mut backoff = Backoff::new(config.retry_min, config.retry_max);
        loop {
            let job = Arc::clone(&self.desired.borrow_and_update());
            let mut secrets = Secrets::default();
            let mut was_well = false;
            let attempt = self.attempt(&job, permit, &mut secrets, &mut was_well);
            // A bug in what writes media must not end the push for ever.
            let outcome = AssertUnwindSafe(attempt).catch_unwind().await;
            self.board.disconnected();
            if was_well {
                backoff.reset();
            }
            let failure = match outcome.unwrap_or(Err(Failure::Internal)) {
                Ok(End::Stop) => return,
                Ok(End::Changed) => {
                    backoff.reset();
                    continue;
                }
                Ok(End::Renew | End::NoPicture) => continue,
                Err(failure) => failure,
            };
            let why = secrets.hide(&failure.to_string());
            let wait = backoff.next(backoff::random());
            if self.board.failed(&why) {
                tracing::warn!(
                    restream.id = %job.work.id, restream.name = job.work.name,
                    url = %ShownUrl(&job.work.url), error = printable(&why), "the push does not get through"
                );
            }
            tracing::debug!(restream.id = %job.work.id, retry_in = ?wait, "it is tried again");
            tokio::select! {
                () = sleep(wait) => {}
                () = changed(&mut self.desired, &job) => backoff.reset(),
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// One connection, from the camera's picture to its end.
    async fn attempt(
        &mut self,
        job: &Arc<Job>,
        permit: &Permit,
        secrets: &mut Secrets,
        was_well: &mut bool,
    ) -> Result<End, Failure> {
        let around = Arc::clone(&self.around);
        let board = Arc::clone(&self.board);
        let mut leave = Leave {
            desired: self.desired.clone(),
            job: Arc::clone(job),
            stop: self.stop.clone(),
            renew_at: None,
            quiet_at: far_from(around.clock.monotonic()),
        };
        let camera = tokio::select! {
            camera = wait_for_camera(&around, job, &board) => camera,
            end = leave.leave() => return Ok(end),
        };
        if board.report().state != SlotState::Failed {
            let message = format!("connects to {}", ShownUrl(&job.work.url));
            board.set(SlotState::Connecting, message);
        }
        board.attempt();
        let target = Target::sign(&job.work, &around.clock)?;
        *secrets = target.secrets;
        let connect = connect(&around, job, permit, &board, &camera);
        let (link, source) = tokio::select! {
            connected = connect => connected?,
            end = leave.leave() => return Ok(end),
        };
        let now = around.clock.monotonic();
        let renewal = renew_in(&job.work.signing, target.expires_at, around.clock.now());
        leave.renew_at = Some(now + renewal.map_or(LONGEST, |renewal| renewal.min(LONGEST)));
        leave.quiet_at = now + around.config.camera_grace;
        let tracks = match source.tracks() {
            Some(tracks) => Arc::clone(tracks),
            None => Arc::clone(camera.start.description.tracks_for(camera.sound)),
        };
        let mut push = Push {
            config: &around.config,
            clock: &around.clock,
            source,
            tracks,
            leave,
            board: &board,
            url_expires_at: target.expires_at,
            live_since: None,
        };
        let outcome = if is_rtsp(&job.work.url) {
            rtsp::run(&mut push, &target.url, link).await
        } else {
            rtmp::run(&mut push, &target.url, link).await
        };
        *was_well = push.was_well();
        outcome
    }
}

fn is_rtsp(url: &Url) -> bool {
    url.scheme().starts_with("rtsp")
}

/// Practically never.
fn far_from(now: Instant) -> Instant {
    now + LONGEST
}

/// Lets the camera be pulled, and waits until it gives a picture.
async fn wait_for_camera(around: &Around, job: &Job, board: &Board) -> Camera {
    let mut guard = None;
    loop {
        let Some(stream) = around.hub.stream(job.key.camera_id) else {
            board.set(SlotState::Idle, "this node does not have the camera");
            guard = None;
            sleep(LOOK).await;
            continue;
        };
        let wanted = wanted_sound(&job.work, None);
        if !guard
            .as_ref()
            .is_some_and(|guard: &ViewerGuard| guard.is_of(&stream))
        {
            guard = Some(stream.add_restream(wanted));
        }
        match stream.wait_for_picture(LOOK).await {
            Ok(()) => {
                let sound = wanted_sound(&job.work, Some(&stream));
                let guard = match guard.take() {
                    Some(guard) if sound == wanted => guard,
                    _ => stream.add_restream(sound),
                };
                if sound == Sound::Aac {
                    stream.wait_for_aac().await;
                }
                if let Some(start) = stream.start() {
                    return Camera {
                        stream,
                        start,
                        sound,
                        _guard: guard,
                    };
                }
            }
            Err(NoPicture::Because(words)) => {
                let message = format!("the camera gives no picture: {words}");
                board.set(SlotState::Idle, message);
            }
            Err(NoPicture::Ended) => {}
        }
        sleep(LOOK).await;
    }
}

/// Which sound the push takes. What is encoded anew goes through MPEG-TS, which does not carry all.
fn wanted_sound(work: &RestreamWork, stream: Option<&Stream>) -> Sound {
    if work.audio == RestreamAudio::Aac {
        return Sound::Aac;
    }
    let start = stream.and_then(Stream::start);
    let audio = start.and_then(|start| start.description.tracks.audio.clone());
    match (work.video, audio) {
        (RestreamVideo::H264 { .. }, Some(audio)) if !ts::carries(&audio) => Sound::Aac,
        _ => Sound::Original,
    }
}

/// Connects, and then starts to encode if that is wanted.
async fn connect(
    around: &Around,
    job: &Job,
    permit: &Permit,
    board: &Arc<Board>,
    camera: &Camera,
) -> Result<(Link, Source), Failure> {
    let config = &around.config;
    let link = {
        sleep(SPREAD.mul_f64(backoff::random())).await;
        let gate = config.outbound.gate(&job.work.outbound_allow);
        let open = Link::open(
            &gate,
            &job.work.url,
            job.work.tls_verify,
            config.stall,
            around.clock.clone(),
            permit.clone(),
            Meter {
                board: Arc::clone(board),
                total: around.sent.clone(),
            },
        );
        let limit = config.connect_timeout;
        around
            .connects
            .attempt(limit, open)
            .await
            .unwrap_or(Err(Failure::Timeout(limit)))?
    };
    // What the camera has sent meanwhile would only be late.
    let start = camera.stream.start();
    let start = start.as_ref().unwrap_or(&camera.start);
    let reader = Reader::new(Arc::clone(&camera.stream), camera.sound, start);
    let copied = Copied::new(reader, camera.sound, config.jumps, around.clock.clone());
    let source = match job.work.video {
        RestreamVideo::Copy => Source::Copied(copied),
        RestreamVideo::H264 { .. } => {
            let encoder = Encoder::start(&around.ffmpeg, &job.work.video, copied).await?;
            board.encodes(encoder.process());
            Source::Encoded(Box::new(encoder))
        }
    };
    Ok((link, source))
}

impl Target {
    fn sign(work: &RestreamWork, clock: &Clock) -> Result<Self, Failure> {
        let signed = sign::sign(
            &work.url,
            work.stream_key.as_ref(),
            &work.signing,
            clock.now(),
            rand::random(),
        )?;
        let url = signed.url.expose().to_owned();
        let password = work
            .credentials
            .as_ref()
            .map(|known| known.password.expose());
        let key = work
            .stream_key
            .as_ref()
            .map(headworks_types::Secret::expose);
        let query = match &work.signing {
            RestreamSigning::Query { query: Some(query) } => Some(query.expose()),
            _ => None,
        };
        let others = password.into_iter().chain(key).chain(query);
        Ok(Self {
            secrets: Secrets::new(&url, &ShownUrl(&work.url).plain(), others),
            url,
            expires_at: signed.expires_at,
        })
    }
}

/// In how long the connection is to be made anew, since its URL expires then.
fn renew_in(
    signing: &RestreamSigning,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Duration> {
    const LEAST: Duration = Duration::from_secs(5);
    const MOST: Duration = Duration::from_secs(60);
    let (RestreamSigning::Alibaba { renew, .. } | RestreamSigning::Tencent { renew, .. }) = signing
    else {
        return None;
    };
    if *renew == UrlRenewal::Never {
        return None;
    }
    let left = (expires_at? - now).to_std().unwrap_or_default();
    let early = (left / 10).clamp(LEAST, MOST);
    Some(left.saturating_sub(early).max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_renewed_before_it_expires() {
        let now = DateTime::UNIX_EPOCH;
        let signing = |renew: &str| -> RestreamSigning {
            let json = serde_json::json!({"type": "tencent", "primary_key": "k", "renew": renew});
            serde_json::from_value(json).expect("is a signing")
        };
        let expires = |seconds| Some(now + Duration::from_secs(seconds));
        let early = signing("reconnect_before_expiry");
        for (lifetime, after) in [(60, 54), (3600, 3540), (100, 90), (3, 5)] {
            let renewal = renew_in(&early, expires(lifetime), now);
            assert_eq!(renewal, Some(Duration::from_secs(after)), "{lifetime}");
        }
        assert_eq!(renew_in(&signing("never"), expires(60), now), None);
        assert_eq!(renew_in(&RestreamSigning::None, None, now), None);
    }
}
