//! Who gets in, and who does not.

use bytes::BytesMut;
use headworks_client::NodeCredentials;
use headworks_types::{
    Secret,
    edge::{CONTROLLER_NAME, DirectoryUpdate, node_name},
};
use rcgen::{CertificateParams, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::{
    super::{
        link::{Failure, Link, Wanted},
        wire::{self, Ask, Decoder, Refusal, Tell},
    },
    *,
};
use crate::{
    agent::Identity,
    peer,
    testing::{Authority, authority},
};

/// Connects to edge 1 with this, and gives what it says until it ends the connection.
async fn knock(world: &World, config: ClientConfig, say: &[u8]) -> Result<Vec<u8>, String> {
    let talk = async {
        let mut stream = shake(world, config).await?;
        stream.write_all(say).await?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await?;
        Ok::<_, std::io::Error>(said)
    };
    soon(talk).await.map_err(|error| error.to_string())
}

async fn shake(world: &World, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(world.edges[0].address).await?;
    let name = ServerName::try_from("relay").expect("is a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

fn calls(credentials: &NodeCredentials) -> ClientConfig {
    peer::client_config(credentials, id(1)).expect("is fine")
}

fn hello() -> BytesMut {
    let mut out = BytesMut::new();
    Ask::Hello {
        version: wire::VERSION,
        camera: camera(),
        epoch: 1,
        origin: Some(id(1)),
    }
    .write(&mut out);
    Ask::Play { resume: None }.write(&mut out);
    out
}

fn told(said: &[u8]) -> Vec<Tell> {
    let mut decoder = Decoder::default();
    decoder.buffer().extend_from_slice(said);
    std::iter::from_fn(|| decoder.next().expect("are messages")).collect()
}

/// What an authority vouches for, under any name and for any time.
fn certified(name: &str, expired: bool) -> NodeCredentials {
    let key = KeyPair::generate().expect("makes a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("is a name");
    if expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    }
    NodeCredentials {
        certificate: authority().sign(&params, &key),
        key: Secret::new(key.serialize_pem()),
        authority: authority().node(id(1)).authority,
    }
}

#[tokio::test]
async fn only_nodes_that_the_directory_knows_get_in() {
    let world = World::new(&["a", "b"]).await;
    let hello = hello();

    let other = Authority::new().node(id(2));
    let mut stranger = other.clone();
    stranger.authority = authority().node(id(1)).authority;
    for (refused, why) in [
        (stranger, "another authority"),
        (certified(&node_name(id(2)), true), "expired"),
        (certified(CONTROLLER_NAME, false), "a controller"),
        (certified("example.com", false), "anybody"),
    ] {
        let said = knock(&world, calls(&refused), &hello).await;
        assert!(said.as_ref().map_or(true, Vec::is_empty), "{why}: {said:?}");
    }
    let refused = &world.edges[0].relays.counters().refused;
    until(|| refused.get() == 4).await;

    let unknown = authority().node(id(9));
    let said = knock(&world, calls(&unknown), &hello)
        .await
        .expect("shakes hands");
    let why = Refusal::Stranger;
    assert_eq!(told(&said), [Tell::Refused { why }]);

    let known = authority().node(id(2));
    let mut stream = soon(shake(&world, calls(&known))).await.expect("gets in");
    stream.write_all(&hello).await.expect("is heard");
    let mut first = [0; 7];
    soon(stream.read_exact(&mut first))
        .await
        .expect("is answered");
    assert_eq!(told(&first), [Tell::Welcome { version: 1 }]);
    world.stop().await;
}

#[tokio::test]
async fn an_edge_waits_until_it_is_a_node_and_then_takes_each_new_certificate() {
    let world = World::new(&["a", "b"]).await;
    let edge = &world.edges[0];
    let shown = async || {
        let stream = soon(shake(&world, calls(&authority().node(id(2))))).await;
        let stream = stream.expect("gets in");
        let certificates = stream.get_ref().1.peer_certificates().expect("are shown");
        certificates[0].clone()
    };
    let (before, again) = (shown().await, shown().await);
    assert_eq!(before, again);
    let renewed: Identity = world::identity(id(1));
    edge.own.set(&renewed);
    assert_ne!(shown().await, before);
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_is_removed_is_cut_off() {
    let world = World::new(&["a", "b"]).await;
    let mut film = started(&world);
    let mut viewer = world.watch(1);
    viewer.take(PAIR).await;
    world.edges[0].directory.update(DirectoryUpdate {
        removed_peers: vec![id(2)],
        ..DirectoryUpdate::default()
    });
    viewer.says("it does not know this edge").await;
    world.edges[0].directory.update(DirectoryUpdate {
        peers: vec![world.edges[1].peer()],
        ..DirectoryUpdate::default()
    });
    film.roll(4);
    viewer.take(4 * PAIR).await;
    world.stop().await;
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let world = World::new(&["a", "b", "b"]).await;
    let mut film = started(&world);
    let mut viewer = world.watch(1);
    viewer.take(PAIR).await;
    let known = authority().node(id(3));
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 5000],
        [&hello()[..], &hello()[..]].concat(),
        [&hello()[..], &[0xff; 64]].concat(),
        hello()[..20].to_vec(),
    ] {
        let mut stream = soon(shake(&world, calls(&known))).await.expect("gets in");
        stream.write_all(&garbage).await.expect("is read");
        stream.shutdown().await.expect("ends");
        let mut said = Vec::new();
        // However it ends, it does.
        let _ = soon(stream.read_to_end(&mut said)).await;
        assert!(said.len() < 100_000);
    }
    film.roll(10);
    assert_whole(&viewer.take(10 * PAIR).await);
    until(|| world.edges[0].relays.counters().outgoing.get() == 1).await;
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_camera_is_said_to_be_one() {
    let world = World::new(&["a", "b"]).await;
    let shared = &world.edges[1].relays.0;
    let wanted = Wanted {
        camera: uuid::Uuid::from_u128(404).into(),
        epoch: 1,
        origin: None,
    };
    let refused = soon(Link::connect(shared, wanted, id(1), Some(None))).await;
    assert!(matches!(refused, Err(Failure::Refused(Refusal::Unknown))));
    // Who answers is who was asked for, whatever the address.
    let mut peer = world.edges[0].peer();
    peer.id = id(7);
    world.edges[1].directory.update(DirectoryUpdate {
        peers: vec![peer],
        ..DirectoryUpdate::default()
    });
    let another = soon(Link::connect(shared, wanted, id(7), None)).await;
    assert!(matches!(another, Err(Failure::Socket(_) | Failure::Closed)));
    world.stop().await;
}

/// The old origin is cut off from the controller, and still learns that its work is another's.
#[tokio::test]
async fn a_newer_assignment_ends_the_work_of_an_older_one() {
    let world = World::new(&["a", "a", "b"]).await;
    let asks = |epoch, origin| Wanted {
        camera: camera(),
        epoch,
        origin: Some(id(origin)),
    };
    let shared = &world.edges[2].relays.0;
    let old = &world.edges[0];
    for harmless in [asks(1, 2), asks(7, 1), asks(7, 99)] {
        let link = soon(Link::connect(shared, harmless, id(1), None)).await;
        let link = link.expect("answers");
        assert_eq!(link.source().epoch, 1, "the higher one is told");
        assert_eq!(old.directory.route(camera()).expect("is known").epoch, 1);
    }
    assert_eq!(old.ingests.epoch(camera()), Some(1));
    let link = soon(Link::connect(shared, asks(2, 2), id(1), None)).await;
    drop(link.expect("answers"));
    until(|| old.ingests.epoch(camera()).is_none()).await;
    let route = old.directory.route(camera()).expect("is known");
    assert_eq!((route.epoch, route.origin), (2, Some(id(2))));
    world.stop().await;
}
