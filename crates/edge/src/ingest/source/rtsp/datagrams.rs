//! RTP over UDP from a camera: a pair of sockets for each track.

use std::{
    io,
    net::IpAddr,
    task::{Context, Poll},
};

use bytes::Bytes;
use headworks_rtp::rtcp;
use headworks_rtsp::Packet;

use super::Came;
use crate::{
    ingest::failure::Failure,
    udp::{Memory, Pair},
};

/// So many packets are taken at once at most.
pub(super) const AT_ONCE: usize = 128;

/// The sockets of one session.
pub(super) struct Datagrams {
    tracks: Vec<Track>,
    memory: Memory,
}

struct Track {
    index: usize,
    sockets: Pair,
    /// Where its packets come from: anybody can send to our ports.
    peer: Option<IpAddr>,
    /// Where to report to.
    server: Option<(u16, u16)>,
}

impl Datagrams {
    /// Opens sockets at `local` for tracks of these indices.
    pub(super) async fn bind(local: IpAddr, tracks: &[usize]) -> Result<Self, Failure> {
        let mut found = Vec::new();
        for index in tracks {
            let sockets = Pair::bind((local, 0).into()).await.map_err(|error| {
                tracing::warn!(%error, "no UDP ports for a camera");
                Failure::Internal
            })?;
            found.push(Track {
                index: *index,
                sockets,
                peer: None,
                server: None,
            });
        }
        Ok(Self {
            tracks: found,
            memory: Memory::default(),
        })
    }

    /// The ports of each track.
    pub(super) fn ports(&self) -> impl Iterator<Item = (usize, (u16, u16))> {
        let tracks = self.tracks.iter();
        tracks.map(|track| (track.index, track.sockets.ports()))
    }

    /// Where a track comes from, and where its reports go.
    pub(super) fn set_peer(&mut self, index: usize, peer: IpAddr, server: Option<(u16, u16)>) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.index == index) {
            (track.peer, track.server) = (Some(peer.to_canonical()), server);
        }
    }

    /// Sends something first: packets that look like answers pass firewalls and NAT.
    pub(super) async fn open_paths(&self) {
        /// An RTP packet without content: version 2, nothing else.
        const NOTHING: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let report = rtcp::receiver_report(0, "headworks", &[]);
        for track in &self.tracks {
            if let (Some(peer), Some(server)) = (track.peer, track.server) {
                let Pair { rtp, rtcp } = &track.sockets;
                let _ = rtp.send_to(&NOTHING, (peer, server.0)).await;
                let _ = rtcp.send_to(&report, (peer, server.1)).await;
            }
        }
    }

    /// Sends a report about a track. If it is lost, another follows.
    pub(super) async fn report(&self, index: usize, report: &Bytes) {
        let track = self.tracks.iter().find(|track| track.index == index);
        if let Some(track) = track
            && let (Some(peer), Some(server)) = (track.peer, track.server)
        {
            let _ = track.sockets.rtcp.send_to(report, (peer, server.1)).await;
        }
    }

    /// Waits for packets; at most [`AT_ONCE`]. Losing the future loses nothing.
    pub(super) async fn receive(&mut self) -> Vec<Came> {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Vec<Came>> {
        let mut came = Vec::new();
        for track in &self.tracks {
            let Pair { rtp, rtcp } = &track.sockets;
            for (kind, socket) in [(Packet::Rtp, rtp), (Packet::Rtcp, rtcp)] {
                // A failed read (a port that nobody listens on) makes it ready too.
                while came.len() < AT_ONCE && socket.poll_recv_ready(context).is_ready() {
                    match self.memory.receive(socket) {
                        Ok((data, from)) if track.peer == Some(from.ip()) => {
                            let track = track.index;
                            came.push(Came { track, kind, data });
                        }
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => tracing::debug!(%error, "UDP from a camera"),
                    }
                }
            }
        }
        if came.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(came)
        }
    }
}
