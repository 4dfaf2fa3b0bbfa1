//! Engines on blocking sockets, for foreign peers. Everything has a deadline.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use headworks_rtsp::{Client, Output, Packet, Server, client, header::Pair, message, server};
use headworks_testkit::{Deadline, Process, Signal};

/// How often a loop looks at everything.
const STEP: Duration = Duration::from_millis(10);
/// A busy machine starts GStreamer in some seconds.
pub(crate) const SOON: Duration = Duration::from_secs(40);

#[expect(clippy::disallowed_methods, reason = "real peers run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Two neighbouring UDP ports on loopback.
pub(crate) fn udp_pair() -> anyhow::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..100 {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        if port % 2 == 0
            && let Some(next) = port.checked_add(1)
            && let Ok(second) = UdpSocket::bind((Ipv4Addr::LOCALHOST, next))
        {
            for socket in [&first, &second] {
                socket.set_nonblocking(true)?;
            }
            return Ok((first, second));
        }
    }
    bail!("no two neighbouring ports are free")
}

pub(crate) fn ports((rtp, rtcp): &(UdpSocket, UdpSocket)) -> Pair<u16> {
    let port = |socket: &UdpSocket| socket.local_addr().map_or(0, |address| address.port());
    (port(rtp), port(rtcp))
}

/// A program that runs until it is dropped.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.args(arguments);
    Process::spawn(command, Signal::Kill, |_, _| {})
}

/// Reads what there is; `None` when the peer has closed.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<Option<usize>> {
    match stream.read(buffer) {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(Some(0)),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// A client on a socket.
pub(crate) struct ClientWire {
    pub(crate) client: Client,
    pub(crate) stream: TcpStream,
    pub(crate) udp: Vec<(UdpSocket, UdpSocket)>,
    /// Packets of RTP, by track.
    pub(crate) rtp: Vec<usize>,
    pub(crate) rtcp: usize,
    pub(crate) playing: bool,
    pub(crate) ready: bool,
    pub(crate) closed: bool,
    to: Option<client::Path>,
}

impl ClientWire {
    pub(crate) fn connect(port: u16, client: Client) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Self {
            client,
            stream,
            udp: Vec::new(),
            rtp: Vec::new(),
            rtcp: 0,
            playing: false,
            ready: false,
            closed: false,
            to: None,
        })
    }

    /// Runs one step; false when the peer has closed.
    pub(crate) fn step(&mut self, udp: bool) -> anyhow::Result<bool> {
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.stream.write_all(&bytes)?,
                Output::Wait(_) => break,
                Output::Event(event) => self.take(event, udp)?,
            }
        }
        let mut buffer = vec![0; 64 << 10];
        if self.closed {
            return Ok(true);
        }
        let Some(count) = read(&mut self.stream, &mut buffer)? else {
            return Ok(false);
        };
        self.client.handle_input(now(), &buffer[..count])?;
        self.client.handle_timeout(now())?;
        for (track, (rtp, rtcp)) in self.udp.iter().enumerate() {
            while rtp.recv(&mut buffer).is_ok() {
                self.rtp[track] += 1;
            }
            while rtcp.recv(&mut buffer).is_ok() {
                self.rtcp += 1;
            }
        }
        Ok(true)
    }

    fn take(&mut self, event: client::Event, udp: bool) -> anyhow::Result<()> {
        match event {
            client::Event::Described(description) => self.set_up(description.media.len(), udp)?,
            client::Event::Playing { .. } => self.playing = true,
            client::Event::Recording => self.ready = true,
            client::Event::Packet {
                track,
                kind: Packet::Rtp,
                ..
            } => self.rtp[track] += 1,
            client::Event::Packet { .. } => self.rtcp += 1,
            client::Event::Announced => self.set_up(1, udp)?,
            client::Event::SetUp { path, .. } => self.to = Some(path),
            client::Event::Closed => self.closed = true,
            other => bail!("unexpected: {other:?}"),
        }
        Ok(())
    }

    /// Sends a packet of the last track.
    pub(crate) fn push(&mut self, packet: &[u8]) -> anyhow::Result<()> {
        match self.to.context("a track is set up")? {
            client::Path::Tcp { channels } => {
                let header = message::frame_header(channels.0, packet.len()).context("fits")?;
                self.stream.write_all(&[&header, packet].concat())?;
            }
            client::Path::Udp { server, .. } => {
                let (rtp, _) = server.context("its ports are told")?;
                let (socket, _) = self.udp.last().context("has a socket")?;
                socket.send_to(packet, (Ipv4Addr::LOCALHOST, rtp))?;
            }
        }
        Ok(())
    }

    fn set_up(&mut self, tracks: usize, udp: bool) -> anyhow::Result<()> {
        self.rtp = vec![0; tracks];
        let mut plan = Vec::new();
        for track in 0..tracks {
            plan.push(if udp {
                let pair = udp_pair()?;
                let client = ports(&pair);
                self.udp.push(pair);
                (track, client::Via::Udp { client })
            } else {
                (track, client::Via::Tcp)
            });
        }
        Ok(self.client.setup(now(), &plan)?)
    }

    /// Runs until `done`.
    pub(crate) fn until(&mut self, udp: bool, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = Deadline::after(SOON);
        while !done(self) {
            if deadline.has_passed() {
                bail!("not in time: {:?} packets, {} reports", self.rtp, self.rtcp);
            }
            if !self.step(udp)? && !done(self) {
                bail!("closed by the peer");
            }
        }
        Ok(())
    }
}

/// A server on a socket, for one peer after the other.
pub(crate) struct ServerWire {
    listener: TcpListener,
}

/// What one peer has done.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    pub(crate) events: Vec<server::Event>,
    /// Packets of RTP, by track.
    pub(crate) rtp: Vec<usize>,
    pub(crate) rtcp: usize,
    pub(crate) torn_down: bool,
    pub(crate) closed: bool,
}

impl ServerWire {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener
            .local_addr()
            .map_or(0, |address| address.port())
    }

    fn accept(&self, peer: &mut Process) -> anyhow::Result<TcpStream> {
        let deadline = Deadline::after(SOON);
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    stream.set_read_timeout(Some(STEP))?;
                    stream.set_write_timeout(Some(SOON))?;
                    return Ok(stream);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
            if peer.wait(STEP).is_some() || deadline.has_passed() {
                bail!("nobody connects:\n{}", peer.tail());
            }
        }
    }

    /// Serves one connection of `peer` until it closes or `done`. `decide` answers what is asked;
    /// `feed` is called again and again while the peer plays, to send media.
    pub(crate) fn serve(
        &self,
        peer: &mut Process,
        mut decide: impl FnMut(&mut Server, &server::Event, &mut Media) -> Result<(), server::Error>,
        done: impl Fn(&Visit) -> bool,
    ) -> anyhow::Result<Visit> {
        let mut stream = self.accept(peer)?;
        let mut server = Server::new(crate::memory::server_config(now()), now());
        let mut media = Media::default();
        let mut visit = Visit::default();
        let mut buffer = vec![0; 64 << 10];
        let deadline = Deadline::after(SOON);
        while !visit.closed && !done(&visit) {
            if deadline.has_passed() {
                bail!("not in time: {visit:?}\n{}", peer.tail());
            }
            loop {
                match server.poll_output() {
                    // A player that has all that it wants does not wait for our answer. What it
                    // has said before is still to be read.
                    Output::Send(bytes) => drop(stream.write_all(&bytes)),
                    Output::Wait(_) => break,
                    Output::Event(event) => {
                        decide(&mut server, &event, &mut media).context("decide")?;
                        visit.take(event);
                    }
                }
            }
            media.send(&mut stream)?;
            match read(&mut stream, &mut buffer)? {
                Some(count) => server.handle_input(now(), &buffer[..count])?,
                None => visit.closed = true,
            }
            media.receive(&mut visit);
            server.handle_timeout(now());
        }
        Ok(visit)
    }
}

impl Visit {
    fn take(&mut self, event: server::Event) {
        match event {
            server::Event::Packet {
                track,
                kind: Packet::Rtp,
                ..
            } => self.count(track),
            server::Event::Packet { .. } => self.rtcp += 1,
            server::Event::Teardown => self.torn_down = true,
            other => self.events.push(other),
        }
    }

    fn count(&mut self, track: usize) {
        if self.rtp.len() <= track {
            self.rtp.resize(track + 1, 0);
        }
        self.rtp[track] += 1;
    }
}

/// The packets beside the protocol.
#[derive(Debug, Default)]
pub(crate) struct Media {
    /// Where a publisher's datagrams come in, by track.
    pub(crate) sockets: Vec<(UdpSocket, UdpSocket)>,
    /// To a player, by track: its RTP port, or the channel on its connection.
    pub(crate) to: Vec<To>,
    pub(crate) playing: bool,
    pub(crate) sent: u16,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum To {
    Channel(u8),
    Port(u16),
}

impl Media {
    fn receive(&self, visit: &mut Visit) {
        let mut buffer = [0; 2048];
        for (track, (rtp, rtcp)) in self.sockets.iter().enumerate() {
            while rtp.recv(&mut buffer).is_ok() {
                visit.count(track);
            }
            while rtcp.recv(&mut buffer).is_ok() {
                visit.rtcp += 1;
            }
        }
    }

    /// A twentieth of a second of silence (RFC 3550 §5.1): µ-law is payload type 0, A-law is 8.
    pub(crate) fn packet(&self, payload_type: u8) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sent.to_be_bytes());
        packet.extend((u32::from(self.sent) * 400).to_be_bytes());
        packet.extend((0xabc_u32 + u32::from(payload_type)).to_be_bytes());
        packet.extend([0xff; 400]);
        packet
    }

    /// The first track is µ-law, the second A-law.
    fn send(&mut self, stream: &mut TcpStream) -> anyhow::Result<()> {
        if !self.playing {
            return Ok(());
        }
        self.sent = self.sent.wrapping_add(1);
        for (track, to) in self.to.iter().enumerate() {
            let packet = self.packet(if track == 0 { 0 } else { 8 });
            match *to {
                To::Channel(channel) => {
                    let header = message::frame_header(channel, packet.len()).context("fits")?;
                    self.playing &= stream.write_all(&[&header, &*packet].concat()).is_ok();
                }
                To::Port(port) => {
                    if let Some((rtp, _)) = self.sockets.get(track) {
                        // Refused when the player has gone.
                        let _ = rtp.send_to(&packet, (Ipv4Addr::LOCALHOST, port));
                    }
                }
            }
        }
        Ok(())
    }
}
