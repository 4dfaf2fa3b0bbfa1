//! The API over TLS, with certificates that change.

use std::{path::Path, sync::Arc, time::Duration};

use headworks_bootstrap::tls::{Files, provider};
use headworks_controller::Config;
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName},
    },
};

use crate::{
    edge_cluster::eventually,
    harness::{Controller, config},
};

/// Puts a new certificate there; whoever trusts it gets it.
fn renew(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("is made");
    let put = |name: &str, text: String| {
        std::fs::write(directory.join("new"), text).expect("writes");
        std::fs::rename(directory.join("new"), directory.join(name)).expect("renames");
    };
    put("tls.key", made.signing_key.serialize_pem());
    put("tls.crt", made.cert.pem());
    made.cert.der().clone()
}

/// A connection to a controller that shows this certificate.
async fn connect(
    address: std::net::SocketAddr,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("is a root");
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("is a name");
    TlsConnector::from(Arc::new(client))
        .connect(name, socket)
        .await
}

async fn is_served(stream: &mut TlsStream<TcpStream>) {
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("writes");
    let mut answer = [0; 512];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer));
    let count = read.await.expect("in time").expect("reads");
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_new_certificate_is_shown_and_connections_stay(pool: PgPool) {
    // For its admin.
    Controller::start(&pool).await.stop().await;
    let directory = tempfile::tempdir().expect("makes a directory");
    let first = renew(directory.path());
    let config = Config {
        tls: Files {
            certificate: Some(directory.path().join("tls.crt")),
            key: Some(directory.path().join("tls.key")),
        },
        ..config(&pool)
    };
    let controller = Controller::start_with(&pool, config, "none").await;
    assert!(controller.service.has_tls());
    let address = controller.service.local_addr();
    let mut old = connect(address, &first).await.expect("connects");
    is_served(&mut old).await;
    let second = renew(directory.path());
    let mut new = eventually("the new certificate is shown", async || {
        connect(address, &second).await.ok()
    })
    .await;
    is_served(&mut new).await;
    is_served(&mut old).await;
    let plain = reqwest::get(format!("http://{address}/livez")).await;
    assert!(plain.is_err(), "nothing is said in the clear");
    controller.stop().await;
}
