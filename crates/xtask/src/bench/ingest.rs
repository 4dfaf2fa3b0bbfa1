//! `cargo xtask bench ingest`: what it costs to pull one camera that nobody watches.

use std::{path::Path, thread, time::Duration};

use anyhow::bail;
use headworks_testkit::{Audio, Camera, CameraOptions};

use super::{
    edge::Edge,
    machine,
    statistics::{median, spread},
    usage::cpu_seconds,
};

/// Of the camera.
const MEGABITS: u32 = 8;
/// After a switch, until it has settled.
const SETTLE: Duration = Duration::from_secs(5);
/// Of one core.
const AT_MOST_PERCENT: f64 = 1.0;
/// No camera is watched for longer than this to find its rate.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be chosen on the command line.
pub(super) struct Options {
    rounds: usize,
    seconds: u64,
}

impl Options {
    pub(super) fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 5,
            seconds: 20,
        };
        for pair in arguments.chunks(2) {
            match pair {
                ["--rounds", number] => options.rounds = number.parse()?,
                ["--seconds", number] => options.seconds = number.parse()?,
                _ => bail!("unknown: {}", pair.join(" ")),
            }
        }
        Ok(options)
    }
}

/// Measures, and returns what is to be read.
pub(super) fn run(options: &Options, binary: &Path) -> anyhow::Result<String> {
    let camera = Camera::start(CameraOptions {
        audio: Audio::Aac,
        width: 1280,
        height: 720,
        fps: 25,
        key_frame_every: 50,
        bitrate_kbit: MEGABITS * 1000,
        pattern: "snow",
        ..CameraOptions::default()
    })?;
    let edge = Edge::pulled(binary.to_owned(), &camera)?;
    let window = Duration::from_secs(options.seconds);
    let (mut on, mut off, mut cost) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        edge.enable(true)?;
        camera.wait_for_playing(1, PATIENCE)?;
        edge.wait_until_live()?;
        let with = percent(edge.pid(), window)?;
        edge.enable(false)?;
        camera.wait_for_playing(0, PATIENCE)?;
        let without = percent(edge.pid(), window)?;
        println!("round {round}  with {with:.2} %  without {without:.2} %");
        on.push(with);
        off.push(without);
        cost.push(with - without);
    }
    let holds = median(&cost).is_some_and(|cost| cost <= AT_MOST_PERCENT);
    let holds = machine::mark(holds);
    Ok(format!(
        "{}\none {MEGABITS} Mbit/s camera (RTSP over TCP, H.264 and AAC), nobody watches, {} rounds of {} s\n\n\
         {:<28}{:^20}\n{:<28}{}\n{:<28}{}\n{:<28}{}  at most {AT_MOST_PERCENT:.2}  {holds}\n",
        machine::line(),
        options.rounds,
        options.seconds,
        "% of a core",
        "median low–high",
        "headworks with it",
        spread(&on, 2),
        "headworks without it",
        spread(&off, 2),
        "the camera",
        spread(&cost, 2),
    ))
}

/// Of one core, from now on.
fn percent(pid: u32, window: Duration) -> anyhow::Result<f64> {
    thread::sleep(SETTLE);
    let before = cpu_seconds(pid)?;
    thread::sleep(window);
    Ok((cpu_seconds(pid)? - before) / window.as_secs_f64() * 100.0)
}
