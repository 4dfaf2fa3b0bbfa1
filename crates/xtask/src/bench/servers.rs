//! All servers of a run, fed by one source.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::{
    clip,
    edge::Edge,
    nginx::Nginx,
    part::Part,
    usage::resident_bytes,
    viewers::{Plan, Protocol, Window},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The buffers of all are full by then.
const SETTLE: Duration = Duration::from_secs(8);
/// All viewers must have got the same, give or take what is on its way when a window ends.
const EVEN: f64 = 0.97;
/// The flush interval of the second Headworks.
pub(super) const FLUSH: &str = "50ms";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Contender {
    BareTcp,
    Nginx,
    Rtmp,
    Flv,
    RtspTcp,
    RtmpFlushed,
    FlvFlushed,
    BareUdp,
    RtspUdp,
}

/// In the order in which they serve, and are printed.
pub(super) const CONTENDERS: [(&str, Contender); 9] = [
    ("bare-writes", Contender::BareTcp),
    ("nginx-rtmp", Contender::Nginx),
    ("rtmp", Contender::Rtmp),
    ("flv", Contender::Flv),
    ("rtsp-tcp", Contender::RtspTcp),
    ("rtmp-50ms", Contender::RtmpFlushed),
    ("flv-50ms", Contender::FlvFlushed),
    ("bare-sendmmsg", Contender::BareUdp),
    ("rtsp-udp", Contender::RtspUdp),
];

impl Contender {
    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        let mut all = CONTENDERS.iter();
        all.find(|(_, contender)| *contender == self)
            .map_or("", |(name, _)| *name)
    }

    pub(super) fn parse(name: &str) -> anyhow::Result<Self> {
        let mut all = CONTENDERS.iter();
        let names = || CONTENDERS.map(|(name, _)| name).join(", ");
        all.find(|(known, _)| *known == name)
            .map(|(_, contender)| *contender)
            .with_context(|| format!("{name} is none of {}", names()))
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::BareTcp | Self::Flv | Self::FlvFlushed => Protocol::Flv,
            Self::Nginx | Self::Rtmp | Self::RtmpFlushed => Protocol::Rtmp,
            Self::RtspTcp => Protocol::RtspTcp,
            Self::RtspUdp => Protocol::RtspUdp,
            Self::BareUdp => Protocol::BareUdp,
        }
    }
}

/// Everything that runs. Dropped in this order.
pub(super) struct Servers {
    source: Part,
    bare_udp: (Part, u64),
    bare_tcp: (Part, u64),
    nginx: Nginx,
    immediate: Edge,
    flushed: Edge,
    /// Memory before there was any viewer, by process.
    idle: Vec<(u32, u64)>,
    _clip: TempDir,
}

impl Servers {
    /// Starts all of them on a stream of `megabits` per second.
    pub(super) fn start(binary: &Path, megabits: u32) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let clip = directory.path().join("clip.flv");
        clip::make(&clip, megabits)?;
        let (immediate, to_immediate) = Edge::published(binary.to_owned(), &[])?;
        let flush = [("HUB__FLUSH__RTMP", FLUSH), ("HUB__FLUSH__FLV", FLUSH)];
        let (flushed, to_flushed) = Edge::published(binary.to_owned(), &flush)?;
        let nginx = Nginx::start()?;
        let mut bare_tcp = Part::start(&["bare-tcp"])?;
        let ports = bare_tcp.line(PATIENCE)?;
        let to_bare = format!("flv://127.0.0.1:{}", ports["source"]);

        let clip = clip.to_str().context("a path in UTF-8")?;
        let targets = [&to_immediate, &to_flushed, &nginx.url(), &to_bare];
        let targets = targets.map(String::as_str);
        let mut source = Part::start(&[&["source", clip], &targets[..]].concat())?;
        source.line(PATIENCE)?;
        immediate.wait_until_live()?;
        flushed.wait_until_live()?;
        let mut bare_udp = Part::start(&["bare-udp", &immediate.urls()?.rtsp])?;
        let udp_port = bare_udp.line(PATIENCE)?["port"]
            .as_u64()
            .context("a port")?;
        let tcp_port = ports["port"].as_u64().context("a port")?;
        let mut servers = Self {
            source,
            bare_udp: (bare_udp, udp_port),
            bare_tcp: (bare_tcp, tcp_port),
            nginx,
            immediate,
            flushed,
            idle: Vec::new(),
            _clip: directory,
        };
        thread::sleep(SETTLE);
        servers.note_idle()?;
        Ok(servers)
    }

    fn note_idle(&mut self) -> anyhow::Result<()> {
        for (_, contender) in CONTENDERS {
            let pid = self.pid(contender);
            self.idle.push((pid, resident_bytes(pid)?));
        }
        Ok(())
    }

    /// Its process.
    pub(super) fn pid(&self, contender: Contender) -> u32 {
        match contender {
            Contender::BareTcp => self.bare_tcp.0.pid(),
            Contender::BareUdp => self.bare_udp.0.pid(),
            Contender::Nginx => self.nginx.pid(),
            Contender::Rtmp | Contender::Flv | Contender::RtspTcp | Contender::RtspUdp => {
                self.immediate.pid()
            }
            Contender::RtmpFlushed | Contender::FlvFlushed => self.flushed.pid(),
        }
    }

    /// Memory of its process before there was any viewer.
    pub(super) fn idle_bytes(&self, contender: Contender) -> u64 {
        let pid = self.pid(contender);
        let mut idle = self.idle.iter();
        idle.find(|(of, _)| *of == pid)
            .map_or(0, |(_, bytes)| *bytes)
    }

    fn url(&self, contender: Contender) -> anyhow::Result<String> {
        Ok(match contender {
            Contender::BareTcp => format!("http://127.0.0.1:{}/", self.bare_tcp.1),
            Contender::BareUdp => format!("rtp://127.0.0.1:{}/", self.bare_udp.1),
            Contender::Nginx => self.nginx.url(),
            Contender::Rtmp => self.immediate.urls()?.rtmp,
            Contender::Flv => self.immediate.urls()?.flv,
            Contender::RtspTcp | Contender::RtspUdp => self.immediate.urls()?.rtsp,
            Contender::RtmpFlushed => self.flushed.urls()?.rtmp,
            Contender::FlvFlushed => self.flushed.urls()?.flv,
        })
    }

    /// Lets `viewers` watch, and measures the server meanwhile.
    pub(super) fn measure(
        &mut self,
        contender: Contender,
        viewers: usize,
        window: Duration,
    ) -> anyhow::Result<Window> {
        let plan = Plan {
            protocol: contender.protocol(),
            url: self.url(contender)?,
            viewers,
            server: self.pid(contender),
            window,
        };
        let mut part = Part::start(&["viewers", &plan.to_json()])?;
        let measured = part.line(plan.limit());
        self.ensure_running()?;
        let window = Window::parse(&measured?)?;
        let (least, most) = (window.least, window.most);
        ensure!(
            least as f64 >= most as f64 * EVEN,
            "the viewers got different amounts: {least} to {most} bytes"
        );
        if window.delays.is_empty() {
            bail!("no viewer saw a stamp");
        }
        Ok(window)
    }

    /// Fails if a part of it has ended.
    pub(super) fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.source.ensure_running()?;
        self.bare_tcp.0.ensure_running()?;
        self.bare_udp.0.ensure_running()
    }
}
