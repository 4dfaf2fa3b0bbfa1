//! Many HTTP-FLV viewers in one process that only counts bytes, and what the server used up for
//! them meanwhile. A process of its own, so that its work is not the server's.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream as StdStream},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use headworks_testkit::Deadline;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde_json::json;

/// The kernel counts processor time in hundredths of a second (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// How to measure; all by the command line, as JSON.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) url: String,
    pub(super) viewers: usize,
    /// The server's process.
    pub(super) server: u32,
    pub(super) warm_up: Duration,
    pub(super) window: Duration,
}

/// What one window gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Processor time of the server, seconds.
    pub(super) cpu: f64,
    /// What all viewers received, bytes.
    pub(super) bytes: u64,
    /// What the viewer with the least received.
    pub(super) least: u64,
    /// What the viewer with the most received.
    pub(super) most: u64,
}

impl Plan {
    pub(super) fn to_json(&self) -> String {
        json!({
            "url": self.url, "viewers": self.viewers, "server": self.server,
            "warm_up_ms": self.warm_up.as_millis() as u64,
            "window_ms": self.window.as_millis() as u64,
        })
        .to_string()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let number = |key: &str| value[key].as_u64().with_context(|| format!("no {key}"));
        Ok(Self {
            url: value["url"].as_str().context("no url")?.to_owned(),
            viewers: usize::try_from(number("viewers")?)?,
            server: u32::try_from(number("server")?)?,
            warm_up: Duration::from_millis(number("warm_up_ms")?),
            window: Duration::from_millis(number("window_ms")?),
        })
    }
}

impl Window {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let number = |key: &str| value[key].as_u64().with_context(|| format!("no {key}"));
        Ok(Self {
            cpu: value["cpu"].as_f64().context("no cpu")?,
            bytes: number("bytes")?,
            least: number("least")?,
            most: number("most")?,
        })
    }
}

/// The process: connects, warms up, measures one window, prints it.
pub(super) fn run(plan: &str) -> anyhow::Result<()> {
    let plan = Plan::parse(plan)?;
    let mut crowd = Crowd::connect(&plan)?;
    crowd.read_for(plan.warm_up)?;
    let (cpu, before) = (cpu_seconds(plan.server)?, crowd.received.clone());
    crowd.read_for(plan.window)?;
    let cpu = cpu_seconds(plan.server)? - cpu;
    let received: Vec<u64> = crowd
        .received
        .iter()
        .zip(before)
        .map(|(a, b)| a - b)
        .collect();
    println!(
        "{}",
        json!({
            "cpu": cpu,
            "bytes": received.iter().sum::<u64>(),
            "least": received.iter().min(),
            "most": received.iter().max(),
        })
    );
    Ok(())
}

struct Crowd {
    poll: Poll,
    sockets: Vec<TcpStream>,
    received: Vec<u64>,
    buffer: Vec<u8>,
}

impl Crowd {
    fn connect(plan: &Plan) -> anyhow::Result<Self> {
        let rest = plan.url.strip_prefix("http://").context("an http:// URL")?;
        let (host, path) = rest.split_once('/').context("has a path")?;
        let address: SocketAddr = host.parse().context("has an address and a port")?;
        let poll = Poll::new()?;
        let mut sockets = Vec::new();
        for index in 0..plan.viewers {
            let mut socket = StdStream::connect(address)?;
            write!(socket, "GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
            let mut status = [0; 12];
            socket.set_read_timeout(Some(Duration::from_secs(10)))?;
            socket.read_exact(&mut status)?;
            ensure!(&status == b"HTTP/1.1 200", "viewer {index} is refused");
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry()
                .register(&mut socket, Token(index), Interest::READABLE)?;
            sockets.push(socket);
        }
        Ok(Self {
            poll,
            received: vec![0; sockets.len()],
            sockets,
            buffer: vec![0; 256 * 1024],
        })
    }

    fn read_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let deadline = Deadline::after(time);
        let mut events = Events::with_capacity(1024);
        while !deadline.has_passed() {
            self.poll.poll(&mut events, Some(deadline.left()))?;
            for event in &events {
                let Token(index) = event.token();
                loop {
                    match self.sockets[index].read(&mut self.buffer) {
                        Ok(0) => bail!("viewer {index} was closed"),
                        Ok(bytes) => self.received[index] += bytes as u64,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error).context("a viewer reads"),
                    }
                }
            }
        }
        Ok(())
    }
}

/// User and system time of a process and all its threads so far.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(") ").context("a stat line")?;
    let ticks = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| Ok(ticks.parse::<u32>()?))
        .sum::<anyhow::Result<u32>>()?;
    Ok(f64::from(ticks) / TICKS_PER_SECOND)
}
