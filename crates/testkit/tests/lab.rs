//! The network of a lab does what it is told. It takes root, and says so where it is not.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use headworks_testkit::lab::{Cut, Host, Network, Site, missing};

/// Longer than any packet takes that gets through.
const LIMIT: Duration = Duration::from_millis(1500);
const PORT: u16 = 5000;
const BYTES: usize = 200_000;

/// A server that sends so many bytes to whoever connects.
fn serve(host: &Host) {
    let listener = host
        .namespace
        .with(|| TcpListener::bind(("0.0.0.0", PORT)))
        .expect("enters")
        .expect("listens");
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.set_write_timeout(Some(LIMIT));
            let _ = client.write_all(&vec![7; BYTES]);
        }
    });
}

/// How many bytes come from `server`.
fn fetch(host: &Host, server: &Host) -> usize {
    let address: SocketAddr = format!("{}:{PORT}", server.address)
        .parse()
        .expect("is an address");
    let fetched = host.namespace.with(|| {
        let mut server = TcpStream::connect_timeout(&address, LIMIT).ok()?;
        server.set_read_timeout(Some(LIMIT)).ok()?;
        let mut bytes = Vec::new();
        let _ = server.read_to_end(&mut bytes);
        Some(bytes.len())
    });
    fetched.expect("enters").unwrap_or(0)
}

#[test]
fn what_crosses_between_sites_is_counted_and_can_be_cut() {
    if let Some(missing) = missing() {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let network = Network::build().expect("can be built");
    let one = network.host(Site::A, "one", 11).expect("is made");
    let two = network.host(Site::B, "two", 11).expect("is made");
    let near = network.host(Site::A, "near", 12).expect("is made");
    serve(&one);
    let crossed = || network.bytes_from(Site::A).expect("is counted");

    assert_eq!(fetch(&near, &one), BYTES);
    assert_eq!(crossed(), 0, "it stays in the site");
    assert_eq!(fetch(&two, &one), BYTES);
    let once = usize::try_from(crossed()).expect("fits");
    assert!((BYTES..BYTES * 12 / 10).contains(&once), "{once}");

    network.part_sites().expect("parts");
    assert_eq!((fetch(&two, &one), fetch(&near, &one)), (0, BYTES));
    network.heal().expect("heals");
    for cut in [Cut::Both, Cut::In, Cut::Out] {
        one.cut(cut).expect("cuts");
        assert_eq!(fetch(&near, &one), 0, "{cut:?}");
    }
    one.join().expect("joins");
    network.plug(&one, false).expect("unplugs");
    assert_eq!(fetch(&near, &one), 0);
    network.plug(&one, true).expect("plugs in");
    network.lose(Site::A, 3).expect("loses");
    network.narrow(Site::A, 10).expect("narrows");
    assert_eq!(fetch(&near, &one), BYTES);
    assert_eq!(fetch(&two, &one), BYTES, "TCP repeats what is lost");
}
