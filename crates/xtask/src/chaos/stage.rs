//! What is there before something breaks: cameras in both sites, a push, viewers, and a program that
//! changes things through the API all the time.

use std::{path::Path, thread, time::Duration};

use anyhow::Context;
use headworks_testkit::lab::{Lab, Site, Viewer, Watched, Writer};

use super::judge::Judged;

/// How long a first picture may take.
const FIRST: Duration = Duration::from_secs(60);
/// How long a picture may take to come back.
const BACK: Duration = Duration::from_secs(90);
/// How long everything runs before something breaks, and afterwards.
const CALM: Duration = Duration::from_secs(5);

/// A running installation with an audience.
pub(super) struct Stage {
    pub(super) lab: Lab,
    /// In site a; pushed.
    pub(super) gate: Watched,
    /// The edge that has it.
    pub(super) holder: usize,
    /// Those who watch it in the cluster.
    viewers: Vec<(usize, Viewer)>,
    seeker: Viewer,
    audience: Viewer,
    writer: Writer,
}

/// What a scenario has done.
pub(super) struct Done {
    /// When it broke something.
    pub(super) fault: f64,
    /// Since when there can be a new picture again; the fault itself where nothing else is said.
    pub(super) mended: f64,
    /// When it was over.
    pub(super) over: f64,
    /// Edges whose viewers may be interrupted.
    pub(super) struck: Vec<usize>,
    /// How soon the picture must be back, in seconds.
    pub(super) bar: Option<f64>,
}

impl Stage {
    pub(super) fn set(directory: &Path, binary: &Path) -> anyhow::Result<Self> {
        let mut lab = Lab::start(directory, binary)?;
        let gate = lab.camera(Site::A)?;
        lab.camera(Site::B)?;
        let holder = lab.holder(&gate)?;
        let audience = lab.push(&gate)?;
        let seeker = lab.seeker(&gate);
        let mut viewers = Vec::new();
        for (edge, protocol) in [(holder, "flv"), (holder, "rtsp")] {
            viewers.push((edge, lab.viewer(&gate, edge, protocol)?));
        }
        let writer = lab.writer();
        let now = lab.history.pictures();
        for viewer in viewers.iter().map(|(_, viewer)| viewer) {
            viewer.wait_for(now, FIRST)?;
        }
        seeker.wait_for(now, FIRST)?;
        audience.wait_for(now, FIRST)?;
        thread::sleep(CALM);
        Ok(Self {
            lab,
            gate,
            holder,
            viewers,
            seeker,
            audience,
            writer,
        })
    }

    /// Waits until somebody who looks for the picture, and the audience of the push, see one from
    /// after `time`.
    pub(super) fn wait_for_picture(&self, time: f64) -> anyhow::Result<()> {
        let number = (time * f64::from(headworks_testkit::lab::FPS)) as u64 + 1;
        self.seeker.wait_for(number, BACK)?;
        self.audience.wait_for(number, BACK)
    }

    /// Lets it run a while after all is well, and gives the time then.
    pub(super) fn settle(&self) -> f64 {
        thread::sleep(CALM);
        self.lab.history.now()
    }

    /// Looks what became of it all.
    pub(super) fn judge(self, name: &'static str, done: &Done) -> anyhow::Result<Judged> {
        let Self {
            lab,
            viewers,
            seeker,
            audience,
            writer,
            ..
        } = self;
        writer.finish().context("look what became of the changes")?;
        let history = lab.history.entries();
        let is_struck = |edge: usize| done.struck.contains(&edge);
        let names = |struck| {
            let of = viewers
                .iter()
                .filter(move |(edge, _)| is_struck(*edge) == struck);
            of.map(|(_, viewer)| viewer.name()).collect::<Vec<_>>()
        };
        let (harmed, unharmed) = (names(true), names(false));
        Ok(Judged::new(
            name,
            &history,
            done,
            &harmed,
            &unharmed,
            seeker.name(),
            audience.name(),
        ))
    }
}
