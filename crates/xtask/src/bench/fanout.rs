//! `cargo xtask bench fanout`: processor time to serve one stream to many HTTP-FLV viewers, beside
//! a bare loop of writes in the same run. See `README.md` in this directory.

use std::{env, fs, process::Command, sync::mpsc, time::Duration};

use anyhow::{Context, bail, ensure};
use headworks_testkit::{Audio, Camera, CameraOptions, Headworks, Launch, Process, Signal, Stream};

use super::viewers::{Plan, Window};
use crate::{api::Api, cargo, setup};

const WARM_UP: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(30);
/// All viewers must have got the same, give or take what is on its way when a window ends.
const EVEN: f64 = 0.97;

/// What can be chosen on the command line.
struct Size {
    rounds: usize,
    seconds: u64,
    viewers: usize,
}

pub(super) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let size = Size::parse(arguments)?;
    setup::packages()?;
    let binary = cargo::build_headworks(true)?;
    // The measuring processes are us, and should not cost more than they must.
    cargo::run(&mut cargo::cargo(&[
        "build",
        "--package",
        "xtask",
        "--release",
    ]))?;

    let camera = Camera::start(CameraOptions {
        audio: Audio::Aac,
        width: 640,
        height: 360,
        fps: 25,
        key_frame_every: 50,
        bitrate_kbit: 2000,
        pattern: "snow",
        ..CameraOptions::default()
    })?;
    let headworks = Headworks::up(Launch {
        binary: Some(binary),
        ..Launch::default()
    })?;
    let api = Api {
        url: headworks.api().to_owned(),
        key: headworks
            .admin_key()
            .context("has an admin key")?
            .to_owned(),
    };
    let id = api.camera_create("bench", &camera)?;
    api.wait_until_live(&id, PATIENCE)?;
    let url = api.token_issue(None, &id, 600)?.flv;
    let (bare, bare_url) = start_bare(&url)?;

    let (mut ours, mut measure) = (Vec::new(), Vec::new());
    for round in 1..=size.rounds {
        for (name, server, url, windows) in [
            ("headworks", headworks.pid(), &url, &mut ours),
            ("bare loop", bare.pid(), &bare_url, &mut measure),
        ] {
            let window = size.measure(server, url)?;
            println!(
                "round {round}  {name}  {:.4} CPU s/Gbit  {:.0} Mbit/s",
                cost(&window),
                window.bytes as f64 * 8e-6 / size.seconds as f64
            );
            windows.push(window);
        }
    }
    print_table(&size, &ours, &measure);
    Ok(())
}

impl Size {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut size = Self {
            rounds: 5,
            seconds: 10,
            viewers: 200,
        };
        for pair in arguments.chunks(2) {
            match pair {
                ["--rounds", number] => size.rounds = number.parse()?,
                ["--seconds", number] => size.seconds = number.parse()?,
                ["--viewers", number] => size.viewers = number.parse()?,
                _ => bail!("unknown: {}", pair.join(" ")),
            }
        }
        Ok(size)
    }

    /// Lets the viewers watch `url` and measures `server` meanwhile.
    fn measure(&self, server: u32, url: &str) -> anyhow::Result<Window> {
        let plan = Plan {
            url: url.to_owned(),
            viewers: self.viewers,
            server,
            warm_up: WARM_UP,
            window: Duration::from_secs(self.seconds),
        };
        let (mut process, line) = start_part(&["viewers", &plan.to_json()])?;
        let limit = WARM_UP + plan.window + PATIENCE;
        let Ok(line) = line.recv_timeout(limit) else {
            process.wait(PATIENCE);
            bail!("the viewers measured nothing\n{}", process.tail());
        };
        let window = Window::parse(&line)?;
        ensure!(
            window.least as f64 >= window.most as f64 * EVEN,
            "the viewers got different amounts: {} to {} bytes",
            window.least,
            window.most
        );
        Ok(window)
    }
}

/// Starts the bare loop and returns where it serves.
fn start_bare(url: &str) -> anyhow::Result<(Process, String)> {
    let (process, line) = start_part(&["bare", url])?;
    let line = line
        .recv_timeout(PATIENCE)
        .with_context(|| format!("the bare loop does not start\n{}", process.tail()))?;
    let ready: serde_json::Value = serde_json::from_str(&line)?;
    Ok((process, format!("http://127.0.0.1:{}/", ready["port"])))
}

/// Starts this program, as compiled for release, with the lines of its standard output.
fn start_part(arguments: &[&str]) -> anyhow::Result<(Process, mpsc::Receiver<String>)> {
    let mut command = Command::new(cargo::target().join("release/xtask"));
    command.args(["bench", "part"]).args(arguments);
    let (lines, line) = mpsc::channel();
    let process = Process::spawn(command, Signal::Kill, move |stream, line| {
        if stream == Stream::Output {
            let _ = lines.send(line.to_owned());
        }
    })?;
    Ok((process, line))
}

/// Processor seconds per gigabit that reached a viewer.
fn cost(window: &Window) -> f64 {
    window.cpu / (window.bytes as f64 * 8e-9)
}

fn print_table(size: &Size, ours: &[Window], measure: &[Window]) {
    let costs = |windows: &[Window]| windows.iter().map(cost).collect::<Vec<_>>();
    let (ours, measure) = (costs(ours), costs(measure));
    let ratios: Vec<_> = ours.iter().zip(&measure).map(|(a, b)| a / b).collect();
    println!(
        "\none 2 Mbit/s stream (H.264 25 fps, AAC) to {} HTTP-FLV viewers, {} rounds of {} s\n{}\n",
        size.viewers,
        size.rounds,
        size.seconds,
        machine()
    );
    println!(
        "{:<24}{:>8}   lowest to highest",
        "CPU s per viewer-Gbit", "median"
    );
    for (name, values) in [("headworks", &ours), ("bare loop of writes", &measure)] {
        println!("{name:<24}{}", spread(values));
    }
    println!("{:<24}{}", "headworks / bare", spread(&ratios));
}

fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return String::new();
    };
    format!(
        "{:>8.3}   {first:.3} to {last:.3}",
        sorted[sorted.len() / 2]
    )
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model.to_owned())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores, {model}, {} {}",
        env::consts::OS,
        kernel.trim()
    )
}
