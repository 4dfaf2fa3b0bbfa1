//! A running Headworks with all its doors open, and the media to send through it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Clip, Outcome, Part, Row, play,
    publish::{Ffmpeg, Publisher},
    verdict,
    watch::watch,
};
use crate::{
    Headworks, Launch, Process, certificate::Certificate, headworks::temporary_directory, http,
    process::lock, wait_until,
};

/// From a peer's start to its picture.
const LIVE: Duration = Duration::from_secs(40);
/// How much longer clips are than what is watched of them: all starts and waits.
const SPARE: u32 = 60;

/// A running Headworks, and a directory for what peers read and write.
#[derive(Debug)]
pub struct Lab {
    headworks: Headworks,
    key: String,
    seconds: u32,
    tls: Certificate,
    clips: Mutex<BTreeMap<Clip, PathBuf>>,
    names: AtomicU32,
    directory: tempfile::TempDir,
}

/// A camera with whoever gives its media.
pub(super) struct Source {
    pub(super) id: String,
    peers: Vec<Process>,
}

impl Lab {
    /// Starts Headworks. Rows watch `seconds` of their stream.
    pub fn start(launch: Launch, seconds: u32) -> anyhow::Result<Self> {
        let directory = temporary_directory()?;
        let tls = Certificate::make(directory.path())?;
        let path = |path: &Path| path.display().to_string();
        let headworks = Headworks::up(
            launch
                .env("HEADWORKS__EDGE__RTMPS_LISTEN", "127.0.0.1:0")
                .env("HEADWORKS__EDGE__RTSPS_LISTEN", "127.0.0.1:0")
                .env("HEADWORKS__EDGE__TLS__CERTIFICATE", path(&tls.certificate))
                .env("HEADWORKS__EDGE__TLS__KEY", path(&tls.key))
                .env("HEADWORKS__EDGE__PULL__FILES", path(directory.path())),
        )?;
        let key = headworks.admin_key().context("it prints a key")?.to_owned();
        Ok(Self {
            headworks,
            key,
            seconds,
            tls,
            clips: Mutex::default(),
            names: AtomicU32::new(0),
            directory,
        })
    }

    /// Lets media flow as the row says, and judges what arrives.
    #[must_use]
    pub fn run(&self, row: &Row) -> Outcome {
        self.attempt(row)
            .unwrap_or_else(|error| Outcome::of_error(&error))
    }

    /// Runs rows, `at_once` at a time, and gives their outcomes in their order. `on_end` hears of
    /// each when it has ended, with its number.
    pub fn run_all(
        &self,
        rows: &[Row],
        at_once: usize,
        on_end: impl Fn(usize, &Row, &Outcome) + Sync,
    ) -> Vec<Outcome> {
        let next = Mutex::new(rows.iter().enumerate());
        let work = || {
            let mut done = Vec::new();
            loop {
                let Some((index, row)) = lock(&next).next() else {
                    return done;
                };
                let outcome = self.run(row);
                on_end(index, row, &outcome);
                done.push((index, outcome));
            }
        };
        let mut done: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once.max(1)).map(|_| scope.spawn(work)).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, Vec<_>>| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().flat_map(join).collect()
        });
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What Headworks logged last.
    #[must_use]
    pub fn log(&self) -> String {
        self.headworks.log()
    }

    /// The certificate of this lab's servers, Headworks among them.
    pub(super) fn tls(&self) -> &Certificate {
        &self.tls
    }

    /// How much of a stream is watched.
    pub(super) fn seconds(&self) -> u32 {
        self.seconds
    }

    fn attempt(&self, row: &Row) -> anyhow::Result<Outcome> {
        let file = self.clip(row.clip)?;
        let source = match row.part {
            Part::Publish(publisher) => self.published(publisher, row.clip, &file)?,
            Part::Serve(server) => self.pulled(server.start(self, row.clip, &file)?)?,
            Part::Push(_) | Part::Play(_) => {
                self.published(Publisher::usual(row.clip), row.clip, &file)?
            }
        };
        let outcome = match row.part {
            Part::Play(viewer) => viewer.watch(self, &source.id, row),
            Part::Push(target) => target.watch(self, &source.id, row),
            Part::Publish(_) | Part::Serve(_) => self.judged(row, &source.id),
        };
        let path = format!("/v1/cameras/{}", source.id);
        let outcome = outcome.map_err(|error| verdict::with_words(error, &source.words()));
        self.call("DELETE", &path, None)?;
        outcome
    }

    /// What comes in is judged as a viewer of FLV gets it: FFmpeg's newer version knows all codecs
    /// in it.
    fn judged(&self, row: &Row, camera: &str) -> anyhow::Result<Outcome> {
        let input = play::input(&[], &self.play_url(camera, "flv")?);
        let seen = watch(Ffmpeg::Modern.command(self)?, &input, self.seconds)?;
        Ok(row.judge(&seen, self.seconds))
    }

    /// The file with the clip, made when it is first asked for.
    fn clip(&self, clip: Clip) -> anyhow::Result<PathBuf> {
        let mut clips = lock(&self.clips);
        if let Some(path) = clips.get(&clip) {
            return Ok(path.clone());
        }
        let path = self.directory.path().join(format!("{}.mkv", clip.file()));
        clip.make(&path, self.seconds + SPARE)?;
        clips.insert(clip, path.clone());
        Ok(path)
    }

    /// A path that nothing has yet.
    pub(super) fn path(&self, end: &str) -> PathBuf {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        self.directory.path().join(format!("{number}{end}"))
    }

    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Option<Value>> {
        let url = format!("{}{path}", self.headworks.api());
        let answer = http::call(method, &url, &self.key, body)
            .and_then(http::Answer::ok)
            .with_context(|| format!("{method} {path}"))?;
        Ok(if answer.body.is_empty() {
            None
        } else {
            Some(answer.json()?)
        })
    }

    fn create(&self, source: &Value) -> anyhow::Result<String> {
        let name = self.names.fetch_add(1, Ordering::Relaxed).to_string();
        let body = json!({"name": name, "source": source});
        let created = self.call("POST", "/v1/cameras", Some(&body))?;
        let id = created.and_then(|camera| Some(camera["id"].as_str()?.to_owned()));
        id.context("the new camera has an id")
    }

    fn published(&self, publisher: Publisher, clip: Clip, file: &Path) -> anyhow::Result<Source> {
        let id = self.create(&json!({"type": "publish"}))?;
        let url = self.publish_url(&id, publisher.scheme())?;
        let peers = vec![publisher.start(self, clip, file, &url)?];
        self.live(Source { id, peers })
    }

    fn pulled(&self, (source, peers): (Value, Vec<Process>)) -> anyhow::Result<Source> {
        let id = self.create(&source)?;
        self.live(Source { id, peers })
    }

    /// Waits for the picture.
    fn live(&self, source: Source) -> anyhow::Result<Source> {
        let path = format!("/v1/cameras/{}", source.id);
        let mut status = Value::Null;
        wait_until("a picture", LIVE, || {
            status = self.call("GET", &path, None).ok()??["status"].take();
            (status["state"] == "live").then_some(())
        })
        .map_err(|_| {
            let words = source.words();
            anyhow::anyhow!("no picture in {LIVE:?}; the camera is {status}\n{words}")
        })?;
        Ok(source)
    }

    /// Waits until a push is under way.
    pub(super) fn wait_for_restream(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/v1/restreams/{id}");
        let mut status = Value::Null;
        wait_until("the push", LIVE, || {
            status = self.call("GET", &path, None).ok()??["status"].take();
            (status["state"] == "live").then_some(())
        })
        .with_context(|| format!("the restream is {status}"))
    }

    /// Where to publish the camera, with a new key in it.
    fn publish_url(&self, camera: &str, scheme: &str) -> anyhow::Result<String> {
        let mut at = Value::Null;
        let path = format!("/v1/cameras/{camera}/stream_keys");
        wait_until("an address to publish to", LIVE, || {
            let answer = self.call("POST", &path, Some(&json!({"name": "interop"})));
            at = answer.ok()??["publish_urls"].take();
            at.is_object().then_some(())
        })?;
        let (door, base) = door(scheme);
        let url = at[door]["url"].as_str().or(at[door].as_str());
        let url = url.with_context(|| format!("no {door} in {at}"))?;
        Ok(url.replacen(base, scheme, 1))
    }

    /// Where to watch the camera, with a new token in it: `flv`, `rtmpt`, ….
    pub(super) fn play_url(&self, camera: &str, scheme: &str) -> anyhow::Result<String> {
        let body = json!({"camera_ids": [camera], "expires_in_seconds": 600});
        let issued = self.call("POST", "/v1/playback_tokens", Some(&body))?;
        let urls = issued.map(|mut token| token["cameras"][0]["urls"].take());
        let urls = urls.context("no answer")?;
        let (door, base) = door(scheme);
        let url = urls[door].as_str();
        let url = url.with_context(|| format!("no {door} in {urls}"))?;
        Ok(if base == scheme {
            url.to_owned()
        } else {
            url.replacen(base, scheme, 1)
        })
    }
}

impl Source {
    /// What its peers said last.
    fn words(&self) -> String {
        let tails: Vec<_> = self.peers.iter().map(Process::tail).collect();
        tails.join("\n")
    }
}

/// Which of the addresses is for this scheme, and how that begins. The tunnels go through the same
/// doors as what is in them.
fn door(scheme: &str) -> (&str, &str) {
    match scheme {
        "rtmpt" => ("rtmp", "rtmp"),
        "rtmpts" => ("rtmps", "rtmps"),
        _ => (scheme, scheme),
    }
}
