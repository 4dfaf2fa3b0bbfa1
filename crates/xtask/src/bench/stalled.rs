//! `cargo xtask bench stalled`: memory over time, with a viewer that reads nothing.
//!
//! One Headworks for each protocol and one without a viewer, all with the same stream. They are told
//! to bear such a viewer for an hour; by themselves they would close it after 15 s.

use std::{io::Write as _, net::TcpStream, path::Path, thread, time::Duration};

use anyhow::{Context, bail};

use super::{
    clip,
    edge::Edge,
    machine,
    part::Part,
    rtsp::ALIVE,
    statistics::median,
    usage::resident_bytes,
    viewers::{self, Protocol},
};

const MEGABITS: u32 = 2;
const SAMPLES_PER_MINUTE: usize = 6;
const BETWEEN: Duration = Duration::from_secs(60 / SAMPLES_PER_MINUTE as u64);
const PATIENCE: Duration = Duration::from_secs(30);
/// Of what is "flat". In ten minutes the stream has 150 MB.
const AT_MOST_BYTES: f64 = 4e6;
const BEAR: (&str, &str) = ("HUB__VIEWER_STALL", "1h");

/// One Headworks and its viewer.
struct Patient {
    name: &'static str,
    edge: Edge,
    protocol: Option<Protocol>,
    /// Open, and never read.
    viewer: Option<TcpStream>,
    /// Resident memory, bytes.
    samples: Vec<f64>,
    /// How many viewers the edge counts.
    watching: u64,
}

/// How many minutes.
pub(super) fn parse(arguments: &[&str]) -> anyhow::Result<usize> {
    match arguments {
        [] => Ok(10),
        ["--minutes", minutes] => Ok(minutes.parse()?),
        _ => bail!("unknown: {}", arguments.join(" ")),
    }
}

/// Measures, and returns what is to be read.
pub(super) fn run(minutes: usize, binary: &Path) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let clip = directory.path().join("clip.flv");
    clip::make(&clip, MEGABITS)?;
    let kinds = [
        ("nobody", None),
        ("RTMP", Some(Protocol::Rtmp)),
        ("HTTP-FLV", Some(Protocol::Flv)),
        ("RTSP, TCP", Some(Protocol::RtspTcp)),
    ];
    let edges = kinds.map(|_| Edge::published(binary.to_owned(), &[BEAR]));
    let edges = edges.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let clip = clip.to_str().context("a path in UTF-8")?;
    let targets = edges.iter().map(|(_, url)| url.as_str());
    let arguments: Vec<_> = ["source", clip].into_iter().chain(targets).collect();
    let mut source = Part::start(&arguments)?;
    source.line(PATIENCE)?;
    let mut patients = Vec::new();
    for ((name, protocol), (edge, _)) in kinds.into_iter().zip(edges) {
        patients.push(Patient::new(name, protocol, edge)?);
    }
    for sample in 0..=minutes * SAMPLES_PER_MINUTE {
        if sample > 0 {
            thread::sleep(BETWEEN);
        }
        source.ensure_running()?;
        for patient in &mut patients {
            patient.sample()?;
        }
    }
    let mut text = machine::line();
    text.push_str(&format!(
        "\none {MEGABITS} Mbit/s stream, one viewer that reads nothing, {minutes} minutes\n\n"
    ));
    text.push_str(&table(&patients, minutes));
    Ok(text)
}

impl Patient {
    fn new(name: &'static str, protocol: Option<Protocol>, edge: Edge) -> anyhow::Result<Self> {
        edge.wait_until_live()?;
        let urls = edge.urls()?;
        let viewer = match protocol {
            None => None,
            Some(protocol) => {
                let url = match protocol {
                    Protocol::Rtmp => &urls.rtmp,
                    Protocol::Flv => &urls.flv,
                    _ => &urls.rtsp,
                };
                Some(viewers::stall(protocol, url).with_context(|| format!("watch over {name}"))?)
            }
        };
        Ok(Self {
            name,
            edge,
            protocol,
            viewer,
            samples: Vec::new(),
            watching: 0,
        })
    }

    fn sample(&mut self) -> anyhow::Result<()> {
        self.samples.push(resident_bytes(self.edge.pid())? as f64);
        self.watching = self.edge.viewers()?;
        if self.protocol == Some(Protocol::RtspTcp)
            && let Some(viewer) = &mut self.viewer
        {
            // If the edge has closed it, it is missing from the last viewers.
            let _ = viewer.write_all(&ALIVE);
        }
        Ok(())
    }

    /// From the second fifth to the last: the first fills buffers.
    fn growth(&self) -> f64 {
        let fifth = self.samples.len().div_ceil(5);
        let early = median(
            &self.samples[fifth.min(self.samples.len() - 1)..(2 * fifth).min(self.samples.len())],
        );
        let late = median(&self.samples[self.samples.len().saturating_sub(fifth)..]);
        late.unwrap_or_default() - early.unwrap_or_default()
    }
}

/// A column for each patient, a line for each minute.
fn table(patients: &[Patient], minutes: usize) -> String {
    let line = |first: &str, cell: &dyn Fn(&Patient) -> String| {
        let cells = patients
            .iter()
            .map(|patient| format!("{:>12}", cell(patient)));
        format!("{first:<16}{}\n", cells.collect::<String>())
    };
    let mut text = line("RSS, MB", &|patient| patient.name.to_owned());
    for minute in 0..=minutes {
        text.push_str(&line(&format!("minute {minute}"), &|patient| {
            let sample = patient.samples.get(minute * SAMPLES_PER_MINUTE);
            sample.map_or("–".to_owned(), |bytes| format!("{:.1}", bytes / 1e6))
        }));
    }
    text.push_str(&line("viewers at last", &|patient| {
        patient.watching.to_string()
    }));
    text.push_str(&line("growth", &|patient| {
        format!("{:+.1}", patient.growth() / 1e6)
    }));
    text.push_str(&line(
        &format!("at most {:.0} MB", AT_MOST_BYTES / 1e6),
        &|patient| {
            // One that was closed shows nothing.
            let watches = patient.watching == u64::from(patient.viewer.is_some());
            machine::mark(watches && patient.growth() <= AT_MOST_BYTES).to_owned()
        },
    ));
    text
}
