//! From where, and how many at once.

use headworks_types::edge::ViewPolicy;

use super::*;

impl World {
    fn open_from(&self, token: &str, change: impl FnOnce(&mut Client)) -> Option<Denied> {
        let mut client = client();
        change(&mut client);
        let opened = self.access.open(Some(token), self.camera, VIEW, &client);
        opened.err()
    }

    fn token_with(&self, claim: &str, value: Value) -> String {
        let mut claims = self.claims();
        claims[claim] = value;
        self.issuer.sign(&self.issuer.header(), &claims)
    }
}

#[test]
fn a_network_binds_the_token_and_its_ticket() {
    let world = World::new();
    let token = world.token_with("ip", json!("192.0.2.0/24"));
    let from = |address: &str| {
        let address = address.parse().expect("an address");
        world.open_from(&token, |client| client.address = address)
    };
    assert_eq!(from("192.0.2.255"), None);
    assert_eq!(from("::ffff:192.0.2.1"), None);
    assert_eq!(from("192.0.3.1"), Some(Denied::Network));
    assert_eq!(from("2001:db8::1"), Some(Denied::Network));
    let mut there = client();
    there.address = [192, 0, 2, 1].into();
    let session = world.access.open(Some(&token), world.camera, VIEW, &there);
    let ticket = world.access.ticket(&session.expect("opens"));
    let elsewhere = world.access.resume(&ticket, world.camera, &client());
    assert_eq!(elsewhere, Err(Denied::Network));
    for nonsense in ["192.0.2.0", "x", ""] {
        let token = world.token_with("ip", json!(nonsense));
        assert_eq!(world.open(&token), Err(Denied::Malformed), "{nonsense}");
    }
}

#[test]
fn an_origin_binds_the_token_and_its_ticket() {
    let world = World::new();
    let token = world.token_with("org", json!("https://a.example"));
    let from = |origin: Option<&str>| {
        let origin = origin.map(str::to_owned);
        world.open_from(&token, |client| client.origin = origin)
    };
    assert_eq!(from(Some("https://a.example")), None);
    for other in [None, Some("https://b.example"), Some("null"), Some("")] {
        assert_eq!(from(other), Some(Denied::Origin), "{other:?}");
    }
    let mut there = client();
    there.origin = Some("https://a.example".to_owned());
    let session = world.access.open(Some(&token), world.camera, VIEW, &there);
    let ticket = world.access.ticket(&session.expect("opens"));
    let elsewhere = world.access.resume(&ticket, world.camera, &client());
    assert_eq!(elsewhere, Err(Denied::Origin));
}

#[test]
fn a_shared_token_opens_no_more_sessions_than_it_says() {
    let world = World::new();
    let token = world.token_with("max", json!(2));
    let first = world.open(&token).expect("opens");
    let _second = world.open(&token).expect("opens");
    assert_eq!(world.open(&token), Err(Denied::TokenFull));
    assert_eq!(Denied::TokenFull.problem().status, 429);
    assert!(
        world
            .open(&world.issuer.token(world.camera, world.clock.now()))
            .is_ok()
    );
    drop(first);
    assert!(world.open(&token).is_ok());
    assert_eq!(
        world.open(&world.token_with("max", json!(0))),
        Err(Denied::TokenFull)
    );
    for nonsense in [json!(-1), json!("2"), json!(1.5)] {
        let found = world.open(&world.token_with("max", nonsense));
        assert_eq!(found, Err(Denied::Malformed));
    }
}

#[test]
fn a_page_that_is_loaded_again_is_the_same_viewer_and_its_address_is_for_nobody_else() {
    let world = World::new();
    let token = world.token_with("max", json!(2));
    let from = |address: &str| Client {
        address: address.parse().expect("an address"),
        ..testing::client(ViewProtocol::Hls)
    };
    let open = |address| {
        let client = from(address);
        world.access.open(Some(&token), world.camera, VIEW, &client)
    };
    let here = open("2001:db8::1").expect("opens");
    assert_eq!(open("2001:db8::2"), Ok(here.clone()), "the same network");
    let there = open("2001:db8:0:1::1").expect("opens");
    assert_ne!(here.about().id, there.about().id);
    assert_eq!(open("192.0.2.1"), Err(Denied::TokenFull));
    let ticket = world.access.ticket(&here);
    let resume = |address| {
        let client = from(address);
        world.access.resume(&ticket, world.camera, &client)
    };
    assert_eq!(resume("2001:db8::3"), Ok(here.clone()));
    assert_eq!(resume("2001:db8:0:1::1"), Err(Denied::Elsewhere));
    assert_eq!(resume("192.0.2.1"), Err(Denied::Elsewhere));
}

#[test]
fn a_limited_token_needs_a_name() {
    let world = World::new();
    let found = world.with_claims(|claims| {
        claims["max"] = json!(1);
        claims.as_object_mut().expect("an object").remove("jti");
    });
    assert_eq!(found, Some(Denied::Malformed));
}

#[test]
fn a_camera_has_its_own_limit() {
    let world = World::new();
    world.know(ViewPolicy {
        max_viewers: Some(1),
        ..ViewPolicy::default()
    });
    let session = world.session();
    let token = world.issuer.token(world.camera, world.clock.now());
    assert_eq!(world.open(&token), Err(Denied::CameraFull));
    drop(session);
    assert!(world.open(&token).is_ok());
}

#[test]
fn names_are_short_and_clean() {
    let world = World::new();
    for claim in ["sub", "vid", "jti"] {
        for name in [String::new(), "a".repeat(129), "a\nb".to_owned()] {
            let found = world.with_claims(|claims| claims[claim] = json!(name));
            assert_eq!(found, Some(Denied::Malformed), "{claim} {name:?}");
        }
    }
}
