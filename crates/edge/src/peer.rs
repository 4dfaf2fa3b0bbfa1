//! TLS between edges: each shows its node's certificate, and knows the other by its node id. The
//! cluster's authority vouches for both, so no edge needs a controller to know another.

use std::sync::Arc;

use anyhow::Context as _;
use headworks_bootstrap::tls::provider;
use headworks_client::NodeCredentials;
use headworks_types::{
    NodeId,
    edge::{node_name, node_of_name},
};
use tokio_rustls::rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, ServerName},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use webpki::EndEntityCert;

/// For connections to another node: nobody else is taken for it.
///
/// # Errors
/// When the credentials are damaged.
pub fn client_config(own: &NodeCredentials, peer: NodeId) -> anyhow::Result<ClientConfig> {
    Ok(own.client_config(&node_name(peer))?)
}

/// For a listener that only nodes of the cluster get through. Which one has come says [`is_node`].
///
/// # Errors
/// When the credentials are damaged.
pub fn server_config(own: &NodeCredentials) -> anyhow::Result<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(own.roots()?), provider())
        .build()
        .context("trust the cluster's authority")?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain()?, own.private_key()?)
        .context("use the node's certificate")?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Whose the certificate is, which a handshake has verified; `None` if it is no node's.
#[must_use]
pub fn node(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let mut names = parsed.valid_dns_names();
    names.find_map(node_of_name)
}

/// True if the certificate, which a handshake has verified, is this node's.
#[must_use]
pub fn is_node(certificate: &CertificateDer<'_>, node: NodeId) -> bool {
    let parsed = EndEntityCert::try_from(certificate);
    let name = ServerName::try_from(node_name(node));
    match (parsed, name) {
        (Ok(parsed), Ok(name)) => parsed.verify_is_valid_for_subject_name(&name).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};
    use uuid::Uuid;

    use super::*;
    use crate::testing::Authority;

    fn id(number: u128) -> NodeId {
        NodeId::from(Uuid::from_u128(number))
    }

    /// What the server makes of the client, if both take each other: the client calls node 1.
    async fn meet(server: &NodeCredentials, client: ClientConfig) -> Result<[bool; 2], String> {
        let (near, far) = tokio::io::duplex(4096);
        let acceptor = TlsAcceptor::from(Arc::new(server_config(server).expect("is fine")));
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("127.0.0.1").expect("is a name");
        let accept = async {
            let mut stream = acceptor.accept(far).await?;
            let shown = stream.get_ref().1.peer_certificates().expect("has shown");
            let known = [2, 3].map(|number| is_node(&shown[0], id(number)));
            assert_eq!(node(&shown[0]), known[0].then(|| id(2)));
            stream.write_all(b"!").await?;
            stream.shutdown().await?;
            Ok::<_, std::io::Error>(known)
        };
        let connect = async {
            let mut stream = connector.connect(name, near).await?;
            stream.read_u8().await
        };
        let (known, greeted) = tokio::join!(accept, connect);
        greeted.map_err(|error| error.to_string())?;
        known.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn edges_know_each_other_and_nobody_else() {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let (one, two) = (ours.node(id(1)), ours.node(id(2)));
        let calls = |own: &NodeCredentials, peer| client_config(own, id(peer)).expect("is fine");
        assert_eq!(meet(&one, calls(&two, 1)).await, Ok([true, false]));
        assert!(meet(&one, calls(&two, 3)).await.is_err(), "another node");

        let mut stranger = theirs.node(id(2));
        assert!(meet(&one, calls(&stranger, 1)).await.is_err());
        stranger.authority.clone_from(&one.authority);
        let refused = meet(&one, calls(&stranger, 1)).await;
        assert!(refused.is_err(), "its certificate is of another authority");

        let nobody = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("is known")
            .with_root_certificates(one.roots().expect("are fine"))
            .with_no_client_auth();
        assert!(meet(&one, nobody).await.is_err(), "shows nothing");
    }
}
