//! RTP over UDP with clients: one pair of sockets for all of them, who are told apart by the
//! ports that they send from.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use bytes::Bytes;
use headworks_bootstrap::Tasks;
use headworks_rtsp::Packet;
use tokio::{net::UdpSocket, sync::mpsc, task::yield_now};

use crate::{
    hub::{UdpPeer, UdpSink},
    udp::{Memory, Pair},
};

/// Packets of one client that may wait for its task: what a camera sends in 150 ms at 50 Mbit/s.
/// More are lost, as UDP may lose them anywhere.
pub(super) const WAITING: usize = 1024;

/// So many packets are taken at once before others have their turn.
const AT_ONCE: usize = 256;

/// The UDP of all sessions. Clones are the same.
#[derive(Clone)]
pub(crate) struct Datagrams(Arc<Inner>);

struct Inner {
    rtp: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    ports: (u16, u16),
    is_v6: bool,
    /// Who is waited for at which address. As many as there are tracks in sessions.
    clients: Mutex<HashMap<SocketAddr, Client>>,
}

struct Client {
    track: usize,
    kind: Packet,
    sender: mpsc::Sender<Came>,
}

/// A packet that has come.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) track: usize,
    pub(super) kind: Packet,
    pub(super) data: Bytes,
}

/// The place of one client's track; dropping it frees its ports.
pub(super) struct Registration {
    datagrams: Datagrams,
    addresses: [SocketAddr; 2],
}

impl Datagrams {
    /// Opens the sockets: RTP at `address`, RTCP at the port behind it. They are read until
    /// `tasks` stops.
    pub(crate) async fn bind(address: SocketAddr, tasks: &Tasks) -> anyhow::Result<Self> {
        let Pair { rtp, rtcp } = Pair::bind(address).await.with_context(|| {
            format!("edge.rtsp_udp_listen: take {address} and the port behind it")
        })?;
        let bound = rtp.local_addr().context("edge.rtsp_udp_listen")?;
        let datagrams = Self(Arc::new(Inner {
            rtp: Arc::new(rtp),
            rtcp: Arc::new(rtcp),
            ports: (bound.port(), bound.port() + 1),
            is_v6: bound.is_ipv6(),
            clients: Mutex::default(),
        }));
        for kind in [Packet::Rtp, Packet::Rtcp] {
            let (stop, datagrams) = (tasks.token(), datagrams.clone());
            tasks.spawn("rtp datagrams", async move {
                stop.run_until_cancelled(datagrams.read(kind)).await;
            });
        }
        Ok(datagrams)
    }

    /// RTP and RTCP.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.0.ports
    }

    /// Where a viewer's packets go.
    pub(super) fn sink(&self, video: Option<UdpPeer>, audio: Option<UdpPeer>) -> UdpSink {
        UdpSink {
            rtp: Arc::clone(&self.0.rtp),
            rtcp: Arc::clone(&self.0.rtcp),
            video,
            audio,
        }
    }

    /// A client's ports, as addresses of our sockets' family.
    pub(super) fn peer(&self, client: IpAddr, ports: (u16, u16)) -> UdpPeer {
        let address = match client {
            IpAddr::V4(v4) if self.0.is_v6 => v4.to_ipv6_mapped().into(),
            other => other,
        };
        UdpPeer {
            rtp: SocketAddr::new(address, ports.0),
            rtcp: SocketAddr::new(address, ports.1),
        }
    }

    /// Sends RTCP. If it is lost, another follows.
    pub(super) fn report(&self, to: &UdpPeer, bytes: &[u8]) {
        let _ = self.0.rtcp.try_send_to(bytes, to.rtcp);
    }

    /// From now on gives `sender` what comes from a client's ports. `None` if somebody else at
    /// that address has one of them.
    pub(super) fn register(
        &self,
        client: IpAddr,
        ports: (u16, u16),
        track: usize,
        sender: &mpsc::Sender<Came>,
    ) -> Option<Registration> {
        let addresses = [ports.0, ports.1].map(|port| SocketAddr::new(client, port));
        let mut clients = self.clients();
        if ports.0 == ports.1
            || addresses
                .iter()
                .any(|address| clients.contains_key(address))
        {
            return None;
        }
        for (address, kind) in addresses.into_iter().zip([Packet::Rtp, Packet::Rtcp]) {
            let sender = sender.clone();
            if let Entry::Vacant(place) = clients.entry(address) {
                place.insert(Client {
                    track,
                    kind,
                    sender,
                });
            }
        }
        Some(Registration {
            datagrams: self.clone(),
            addresses,
        })
    }

    /// Reads one of the sockets for ever.
    async fn read(&self, kind: Packet) {
        let socket = match kind {
            Packet::Rtp => &self.0.rtp,
            Packet::Rtcp => &self.0.rtcp,
        };
        let mut memory = Memory::default();
        loop {
            if let Err(error) = socket.readable().await {
                tracing::error!(%error, "UDP cannot be read");
                return;
            }
            for _ in 0..AT_ONCE {
                match memory.receive(socket) {
                    Ok((data, from)) => self.take(kind, data, from),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A viewer's machine says that nobody listens there.
                    Err(_) => {}
                }
            }
            yield_now().await;
        }
    }

    /// What comes from nobody that we know is dropped.
    fn take(&self, kind: Packet, data: Bytes, from: SocketAddr) {
        let clients = self.clients();
        if let Some(client) = clients.get(&from)
            && client.kind == kind
        {
            let track = client.track;
            let _ = client.sender.try_send(Came { track, kind, data });
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<SocketAddr, Client>> {
        self.0
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut clients = self.datagrams.clients();
        for address in &self.addresses {
            clients.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_go_to_whom_they_belong() {
        let tasks = Tasks::new();
        let datagrams = Datagrams::bind(([127, 0, 0, 1], 0).into(), &tasks)
            .await
            .expect("binds");
        let Pair { rtp, rtcp } = Pair::bind(([127, 0, 0, 1], 0).into()).await.expect("binds");
        let ports = Pair { rtp, rtcp };
        let client = IpAddr::from([127, 0, 0, 1]);
        let (sender, mut receiver) = mpsc::channel(4);
        let place = datagrams.register(client, ports.ports(), 3, &sender);
        assert!(place.is_some());
        let again = datagrams.register(client, ports.ports(), 4, &sender);
        assert!(again.is_none(), "the ports are taken");
        let to = |port| SocketAddr::new(client, port);
        let server = datagrams.ports();
        // RTP at the port for reports means nothing.
        ports.rtp.send_to(b"x", to(server.1)).await.expect("sends");
        ports
            .rtcp
            .send_to(b"report", to(server.1))
            .await
            .expect("sends");
        let came = receiver.recv().await.expect("comes");
        assert_eq!(
            (came.track, came.kind, &came.data[..]),
            (3, Packet::Rtcp, &b"report"[..])
        );
        ports
            .rtp
            .send_to(b"media", to(server.0))
            .await
            .expect("sends");
        let came = receiver.recv().await.expect("comes");
        assert_eq!((came.kind, &came.data[..]), (Packet::Rtp, &b"media"[..]));
        drop(place);
        assert!(datagrams.clients().is_empty());
        tasks.shutdown(std::time::Duration::from_secs(5)).await;
    }
}
