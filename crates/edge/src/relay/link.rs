//! A connection to another edge that has a camera.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use headworks_bootstrap::Clock;
use headworks_types::{CameraId, NodeId, edge::Peer};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::client::TlsStream;

use super::{
    Shared,
    listener::GOODBYE,
    wire::{self, Ask, Decoder, Place, Refusal, Source, Tell},
};
use crate::socket::make_room;

/// What to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) camera: CameraId,
    /// The assignment that is known here.
    pub(super) epoch: i64,
    pub(super) origin: Option<NodeId>,
}

/// Another edge that has answered.
pub(super) struct Link {
    peer: Arc<Peer>,
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    /// From where it has the camera, as it has said last.
    source: Source,
    /// When it has said something last.
    heard: Instant,
    silence: Duration,
    received: Counter,
    clock: Clock,
}

/// Why another edge does not give a camera, or no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the cluster does not know it")]
    Unknown,
    #[error("it relays to nobody")]
    NoAddress,
    #[error("it cannot be reached: {0}")]
    Socket(io::Error),
    #[error("it does not answer")]
    NoAnswer,
    #[error("it is silent")]
    Silent,
    #[error("it ended the connection")]
    Closed,
    #[error("{0}")]
    Refused(Refusal),
    #[error(transparent)]
    Wire(#[from] wire::Error),
    #[error("it speaks out of turn")]
    OutOfTurn,
    #[error("it has the camera by an assignment that is over")]
    Superseded,
    #[error("it has the camera from nobody")]
    Hungry,
    #[error("it gives no frame")]
    NoFrame,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Socket(error),
        }
    }
}

impl Link {
    /// Connects and greets. With `play`, frames follow.
    pub(super) async fn connect(
        shared: &Shared,
        wanted: Wanted,
        node: NodeId,
        play: Option<Option<Place>>,
    ) -> Result<Self, Failure> {
        let connect = Self::greet(shared, wanted, node, play);
        let connected = timeout(shared.config.pace.connect, connect).await;
        connected.unwrap_or(Err(Failure::NoAnswer))
    }

    async fn greet(
        shared: &Shared,
        wanted: Wanted,
        node: NodeId,
        play: Option<Option<Place>>,
    ) -> Result<Self, Failure> {
        let peer = shared.directory.peer(node).ok_or(Failure::Unknown)?;
        let url = peer.relay.as_ref().ok_or(Failure::NoAddress)?;
        let host = url.host_str().ok_or(Failure::NoAddress)?;
        // URLs write IPv6 addresses in brackets.
        let host = host.trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(443);
        let socket = TcpStream::connect((host, port)).await?;
        let _ = socket.set_nodelay(true);
        let stream = shared.tls.connect(socket, node).await?;
        let received = shared.counters.received(shared.is_near(&peer));
        let mut link = Self {
            source: Source {
                epoch: 0,
                incarnation: None,
                path: vec![node],
            },
            peer,
            stream,
            decoder: Decoder::default(),
            heard: shared.clock.monotonic(),
            silence: shared.config.pace.silence,
            received,
            clock: shared.clock.clone(),
        };
        link.hello(wanted, play).await?;
        Ok(link)
    }

    async fn hello(&mut self, wanted: Wanted, play: Option<Option<Place>>) -> Result<(), Failure> {
        let Wanted {
            camera,
            epoch,
            origin,
        } = wanted;
        let hello = Ask::Hello {
            version: wire::VERSION,
            camera,
            epoch,
            origin,
        };
        let play = play.map(|resume| Ask::Play { resume });
        self.ask([hello].into_iter().chain(play)).await?;
        match self.answer().await? {
            Tell::Welcome {
                version: wire::VERSION,
            } => {}
            Tell::Welcome { .. } => return Err(Failure::Refused(Refusal::Version)),
            _ => return Err(Failure::OutOfTurn),
        }
        match self.answer().await? {
            Tell::Source(_) => Ok(()),
            _ => Err(Failure::OutOfTurn),
        }
    }

    /// From now on, frames follow.
    pub(super) async fn play(&mut self, resume: Option<Place>) -> Result<(), Failure> {
        self.ask([Ask::Play { resume }]).await
    }

    /// Says goodbye, if that is taken soon.
    pub(super) async fn leave(mut self, epoch: i64, origin: Option<NodeId>) {
        let goodbye = async {
            self.ask([Ask::Leave { epoch, origin }]).await?;
            Ok::<_, Failure>(self.stream.shutdown().await?)
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    async fn ask(&mut self, all: impl IntoIterator<Item = Ask>) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        all.into_iter().for_each(|ask| ask.write(&mut out));
        self.stream.write_all(&out).await?;
        Ok(self.stream.flush().await?)
    }

    /// Whom it is a connection to.
    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// From where the other has the camera.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Nobody has listened for a while; what was said meanwhile is to come.
    pub(super) fn is_heard(&mut self) {
        self.heard = self.clock.monotonic();
    }

    /// What is told next; an end if nothing is for too long. Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Tell, Failure> {
        loop {
            if let Some(tell) = self.ready()? {
                return Ok(tell);
            }
            let heard = timeout_at(self.heard + self.silence, self.fill()).await;
            heard.unwrap_or(Err(Failure::Silent))?;
        }
    }

    /// What has been told already.
    pub(super) fn ready(&mut self) -> Result<Option<Tell>, Failure> {
        let tell = self.decoder.next()?;
        match &tell {
            Some(Tell::Refused { why }) => return Err(Failure::Refused(*why)),
            Some(Tell::Source(source)) => {
                if source.path.first() != Some(&self.peer.id) {
                    return Err(Failure::OutOfTurn);
                }
                self.source.clone_from(source);
            }
            _ => {}
        }
        Ok(tell)
    }

    /// The answer to a greeting, however long it takes.
    async fn answer(&mut self) -> Result<Tell, Failure> {
        loop {
            match self.ready()? {
                Some(tell) => return Ok(tell),
                None => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        make_room(self.decoder.buffer());
        match self.stream.read_buf(self.decoder.buffer()).await? {
            0 => Err(Failure::Closed),
            count => {
                self.heard = self.clock.monotonic();
                self.received.inc_by(count as u64);
                Ok(())
            }
        }
    }
}
