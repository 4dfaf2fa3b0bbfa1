//! A running Headworks with all its doors open, and the media to send through it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::{
    Clip, Outcome, Part, Row, play,
    publish::{Ffmpeg, Publisher},
    site::{Site, Source},
    verdict,
    watch::watch,
};
use crate::{
    Launch, Process, certificate::Certificate, headworks::temporary_directory, process::lock,
};

/// How much longer clips are than what is watched of them: all starts and waits.
const SPARE: u32 = 60;

/// A running Headworks, and a directory for what peers read and write.
#[derive(Debug)]
pub struct Lab {
    pub(super) here: Site,
    /// Another Headworks, which is a peer; started when a row first wants it.
    there: Mutex<Option<Arc<Site>>>,
    binary: Option<PathBuf>,
    seconds: u32,
    tls: Certificate,
    clips: Mutex<BTreeMap<Clip, PathBuf>>,
    names: AtomicU32,
    directory: tempfile::TempDir,
}

impl Lab {
    /// Starts Headworks. Rows watch `seconds` of their stream.
    pub fn start(launch: Launch, seconds: u32) -> anyhow::Result<Self> {
        let directory = temporary_directory()?;
        let tls = Certificate::make(directory.path())?;
        let path = |path: &Path| path.display().to_string();
        let binary = launch.binary.clone();
        let here = Site::up(
            launch
                .env("HEADWORKS__EDGE__RTMPS_LISTEN", "127.0.0.1:0")
                .env("HEADWORKS__EDGE__RTSPS_LISTEN", "127.0.0.1:0")
                .env("HEADWORKS__EDGE__TLS__CERTIFICATE", path(&tls.certificate))
                .env("HEADWORKS__EDGE__TLS__KEY", path(&tls.key))
                .env("HEADWORKS__EDGE__PULL__FILES", path(directory.path())),
        )?;
        Ok(Self {
            here,
            there: Mutex::default(),
            binary,
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
        self.here.log()
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
        self.here.call("DELETE", &path, None)?;
        outcome
    }

    /// What comes in is judged as a viewer of FLV gets it: FFmpeg's newer version knows all codecs
    /// in it.
    fn judged(&self, row: &Row, camera: &str) -> anyhow::Result<Outcome> {
        let input = play::input(&[], &self.here.play_url(camera, "flv")?);
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
        self.directory.path().join(format!("{}{end}", self.name()))
    }

    /// A name that nothing has yet.
    fn name(&self) -> String {
        self.names.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn published(&self, publisher: Publisher, clip: Clip, file: &Path) -> anyhow::Result<Source> {
        self.published_at(&self.here, publisher, clip, file)
    }

    /// A camera of `site` that is published, and has a picture.
    pub(super) fn published_at(
        &self,
        site: &Site,
        publisher: Publisher,
        clip: Clip,
        file: &Path,
    ) -> anyhow::Result<Source> {
        let id = site.create(&self.name(), &json!({"type": "publish"}))?;
        let address = site.publish_address(&id, publisher.scheme())?;
        let peers = vec![publisher.start(self, clip, file, &address)?];
        site.live(Source { id, peers })
    }

    fn pulled(&self, (source, peers): (Value, Vec<Process>)) -> anyhow::Result<Source> {
        let id = self.here.create(&self.name(), &source)?;
        self.here.live(Source { id, peers })
    }

    /// The other Headworks.
    pub(super) fn there(&self) -> anyhow::Result<Arc<Site>> {
        let mut there = lock(&self.there);
        if let Some(site) = &*there {
            return Ok(Arc::clone(site));
        }
        let launch = Launch {
            binary: self.binary.clone(),
            ..Launch::default()
        };
        let site = Arc::new(Site::up(launch)?);
        *there = Some(Arc::clone(&site));
        Ok(site)
    }
}
