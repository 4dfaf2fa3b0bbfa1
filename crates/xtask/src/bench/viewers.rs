//! Many viewers in one process that only counts bytes, and what the server used up for them
//! meanwhile.
//!
//! They come one after the other over two seconds, and stay. Everyone reads in full until the end of
//! its first key frame. From then on, a few of them go on reading and look at the stamps of pictures;
//! the others have the kernel throw the bytes away (`MSG_TRUNC`).

mod crowd;
mod opening;
mod viewer;

use std::{
    fmt,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::usage::{cpu_seconds, resident_bytes};
use crowd::Crowd;
use opening::Opening;

/// How long it takes until all have come.
const ARRIVAL: Duration = Duration::from_secs(2);
/// How long the last may take to its first key frame.
const FIRST_KEY: Duration = Duration::from_secs(15);
/// Between that and the window.
const WARM_UP: Duration = Duration::from_secs(1);
/// About so many look at the stamps of all pictures.
const READERS: usize = 25;

/// How a viewer watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Flv,
    Rtmp,
    RtspTcp,
    RtspUdp,
    /// Packets of RTP by no protocol.
    BareUdp,
}

const PROTOCOLS: [(&str, Protocol); 5] = [
    ("flv", Protocol::Flv),
    ("rtmp", Protocol::Rtmp),
    ("rtsp-tcp", Protocol::RtspTcp),
    ("rtsp-udp", Protocol::RtspUdp),
    ("bare-udp", Protocol::BareUdp),
];

/// How to measure; all by the command line, as JSON.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) protocol: Protocol,
    pub(super) url: String,
    pub(super) viewers: usize,
    /// The server's process.
    pub(super) server: u32,
    pub(super) window: Duration,
}

/// What one window gave.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    /// Processor time of the server, seconds.
    pub(super) cpu: f64,
    /// What all viewers received, bytes.
    pub(super) bytes: u64,
    /// What the viewer with the least received.
    pub(super) least: u64,
    /// What the viewer with the most received.
    pub(super) most: u64,
    /// Resident memory of the server at the end, bytes.
    pub(super) resident: u64,
    /// From `connect` to the end of the first key frame, one for each viewer, ns.
    pub(super) joins: Vec<u64>,
    /// From the source to a viewer, one for each picture that was looked at, ns.
    pub(super) delays: Vec<u64>,
}

impl Protocol {
    fn name(self) -> &'static str {
        let mut all = PROTOCOLS.iter();
        all.find(|(_, protocol)| *protocol == self)
            .map_or("", |(name, _)| *name)
    }

    fn parse(name: &str) -> anyhow::Result<Self> {
        let mut all = PROTOCOLS.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, protocol)| *protocol)
            .with_context(|| format!("no such protocol: {name}"))
    }
}

impl Plan {
    pub(super) fn to_json(&self) -> String {
        json!({
            "protocol": self.protocol.name(), "url": self.url, "viewers": self.viewers,
            "server": self.server, "window_ms": self.window.as_millis() as u64,
        })
        .to_string()
    }

    /// How long it takes at most.
    pub(super) fn limit(&self) -> Duration {
        ARRIVAL + FIRST_KEY + WARM_UP + self.window + Duration::from_secs(20)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let text = |key: &str| value[key].as_str().with_context(|| format!("no {key}"));
        Ok(Self {
            protocol: Protocol::parse(text("protocol")?)?,
            url: text("url")?.to_owned(),
            viewers: usize::try_from(number(&value, "viewers")?)?,
            server: u32::try_from(number(&value, "server")?)?,
            window: Duration::from_millis(number(&value, "window_ms")?),
        })
    }
}

impl Window {
    fn to_json(&self) -> Value {
        json!({
            "cpu": self.cpu, "bytes": self.bytes, "least": self.least, "most": self.most,
            "resident": self.resident, "joins": self.joins, "delays": self.delays,
        })
    }

    pub(super) fn parse(value: &Value) -> anyhow::Result<Self> {
        let list = |key: &str| {
            let list = value[key].as_array().with_context(|| format!("no {key}"))?;
            Ok::<_, anyhow::Error>(list.iter().filter_map(Value::as_u64).collect())
        };
        Ok(Self {
            cpu: value["cpu"].as_f64().context("no cpu")?,
            bytes: number(value, "bytes")?,
            least: number(value, "least")?,
            most: number(value, "most")?,
            resident: number(value, "resident")?,
            joins: list("joins")?,
            delays: list("delays")?,
        })
    }
}

fn number(value: &Value, key: &str) -> anyhow::Result<u64> {
    value[key].as_u64().with_context(|| format!("no {key}"))
}

impl Window {
    /// Processor seconds of the server per gigabit that reached a viewer.
    pub(super) fn cost(&self) -> f64 {
        self.cpu / (self.bytes as f64 * 8e-9)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.4} CPU s/Gbit  {:.2} Gbit in all",
            self.cost(),
            self.bytes as f64 * 8e-9
        )
    }
}

/// A viewer that says what it has to say, and then reads nothing more.
pub(super) fn stall(protocol: Protocol, url: &str) -> anyhow::Result<TcpStream> {
    let (mut opening, host, first) = Opening::tcp(protocol, url)?;
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(FIRST_KEY))?;
    connection.write_all(&first)?;
    let mut buffer = [0; 4096];
    loop {
        let count = connection.read(&mut buffer)?;
        ensure!(count > 0, "the server has closed the connection");
        let (send, plays) = opening.input(&buffer[..count])?;
        connection.write_all(&send)?;
        if plays {
            return Ok(connection);
        }
    }
}

/// The process: comes, warms up, measures one window, prints it.
pub(super) fn run(plan: &str) -> anyhow::Result<()> {
    let plan = Plan::parse(plan)?;
    let mut crowd = Crowd::new(plan.protocol, &plan.url, plan.viewers, READERS)?;
    crowd.arrive(ARRIVAL)?;
    let late = crowd.wait_for_keys(FIRST_KEY)?;
    ensure!(
        late == 0,
        "{late} viewers have no key frame after {FIRST_KEY:?}"
    );
    crowd.read_for(WARM_UP)?;
    crowd.forget_delays();
    let (cpu, before) = (cpu_seconds(plan.server)?, crowd.received());
    crowd.read_for(plan.window)?;
    let cpu = cpu_seconds(plan.server)? - cpu;
    let received = crowd.received();
    let received = || received.iter().zip(&before).map(|(a, b)| a - b);
    let window = Window {
        cpu,
        bytes: received().sum(),
        least: received().min().unwrap_or_default(),
        most: received().max().unwrap_or_default(),
        resident: resident_bytes(plan.server)?,
        joins: crowd.joins(),
        delays: crowd.delays(),
    };
    println!("{}", window.to_json());
    Ok(())
}
