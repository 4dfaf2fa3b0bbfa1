//! The same over TLS: also what a writer shard writes.

use std::sync::Arc;

use headworks_bootstrap::tls::provider;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::*;
use crate::testing::acceptor;

impl World {
    /// A connection over TLS, and the directory of the certificate.
    async fn connect_safely(&self) -> TlsStream<TcpStream> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (directory, acceptor) = acceptor(&self.tasks);
        self.server
            .clone()
            .serve(listener, Some(acceptor), &self.tasks);
        let certificate = CertificateDer::from_pem_file(directory.path().join("tls.crt"));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.expect("is one")).expect("is a root");
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("has versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(address).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("is a name");
        let connected = TlsConnector::from(Arc::new(client)).connect(name, socket);
        connected.await.expect("shakes hands")
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(LIMIT, stream.read_u8()).await.expect("in time");
        head.push(byte.expect("an answer"));
    }
    String::from_utf8(head).expect("is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn flv_and_web_sockets_are_carried_to_the_end() {
    let mut world = World::new().await;
    world.play(60);
    let mut stream = world.connect_safely().await;
    let head = ask(&mut stream, &world.path("stream.flv"), "").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let mut start = [0; 4];
    stream.read_exact(&mut start).await.expect("media");
    assert_eq!(start, *b"FLV\x01");

    let mut stream = world.connect_safely().await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head = ask(&mut stream, &world.path("stream.flv"), upgrade).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut frame = [0; 2];
    stream.read_exact(&mut frame).await.expect("media");
    assert_eq!(frame[0], 0x82, "a whole binary message");
    // A close frame of a client, masked.
    stream
        .write_all(&[0x88, 0x80, 0, 0, 0, 0])
        .await
        .expect("writes");
    let mut rest = Vec::new();
    let end = timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    end.expect("in time").expect("ends in order");
}
