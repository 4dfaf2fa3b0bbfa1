//! TLS with other edges, always with the newest certificate of this node.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use headworks_types::NodeId;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, rustls::pki_types::ServerName, server};

use crate::{
    agent::{Identity, Own},
    peer,
};

/// Does handshakes as this node, as soon as it is known which one that is.
pub(super) struct Tls {
    own: Own,
    /// Made of the identity beside it.
    acceptor: Mutex<Option<(Arc<Identity>, TlsAcceptor)>>,
}

impl Tls {
    pub(super) fn new(own: Own) -> Self {
        Self {
            own,
            acceptor: Mutex::default(),
        }
    }

    /// Who this edge is, if it is known.
    pub(super) fn node(&self) -> Option<NodeId> {
        Some(self.own.get()?.node_id)
    }

    /// Waits until it is known.
    pub(super) async fn known(&self) {
        let mut own = self.own.subscribe();
        // Its sender is here.
        let _ = own.wait_for(Option::is_some).await;
    }

    /// Lets a node in, and nobody else; says which one it is.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<(NodeId, server::TlsStream<TcpStream>)> {
        let stream = self.acceptor()?.accept(socket).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(<[_]>::first);
        let node = certificate.and_then(peer::node);
        let node = node.ok_or_else(|| io::Error::other("its certificate is no node's"))?;
        Ok((node, stream))
    }

    fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let own = self.identity()?;
        let mut kept = self.acceptor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, acceptor)) = &*kept
            && Arc::ptr_eq(of, &own)
        {
            return Ok(acceptor.clone());
        }
        let config = peer::server_config(&own.credentials()).map_err(io::Error::other)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        *kept = Some((own, acceptor.clone()));
        Ok(acceptor)
    }

    /// Shows who this edge is to `peer`, which has to be that node.
    pub(super) async fn connect(
        &self,
        socket: TcpStream,
        peer: NodeId,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let own = self.identity()?;
        let config = peer::client_config(&own.credentials(), peer).map_err(io::Error::other)?;
        // The verifier looks for the node's name, whatever is asked for here.
        let name = ServerName::try_from("relay").map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await
    }

    fn identity(&self) -> io::Result<Arc<Identity>> {
        let own = self.own.get();
        own.ok_or_else(|| io::Error::other("this edge is no node of a cluster yet"))
    }
}
