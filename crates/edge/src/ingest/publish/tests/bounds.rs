//! From where, by what and how fast a key may publish.

use std::net::IpAddr;

use headworks_types::Publisher;
use serde_json::{Value, json};

use super::*;

fn bounded(bounds: Value) -> StreamKeyDigest {
    StreamKeyDigest {
        bounds: serde_json::from_value(bounds).expect("parses"),
        ..digest(KEY, OnConflict::Reject)
    }
}

impl World {
    async fn publish_from(
        &self,
        address: &str,
        protocol: PublishProtocol,
    ) -> Result<Publication, Denied> {
        let address: IpAddr = address.parse().expect("is an address");
        let candidate = Candidate {
            key: KEY,
            protocol,
            address: (address, 4000).into(),
        };
        self.ingests.publish(Some(camera()), &candidate).await
    }

    fn refused(&self) -> String {
        let report = self.ingests.reports().remove(0);
        report.refused.expect("somebody was").reason
    }

    fn published(&self) -> Vec<Publisher> {
        self.ingests.reports().remove(0).published
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_opens_only_from_its_networks_and_by_its_protocols() {
    let world = World::new(vec![bounded(json!({
        "networks": ["192.0.2.0/24", "2001:db8::/32"],
        "protocols": ["rtmps", "rtsp"],
    }))]);
    world.wait_for_seat().await;
    for (address, protocol) in [
        ("192.0.2.1", PublishProtocol::Rtmps),
        ("::ffff:192.0.2.1", PublishProtocol::Rtsp),
        ("2001:db8::1", PublishProtocol::Rtsp),
    ] {
        let admitted = world.publish_from(address, protocol).await;
        assert!(admitted.is_ok(), "{address} {protocol:?}");
    }
    let network = Denied::Network(id(KEY));
    let elsewhere = world
        .publish_from("198.51.100.1", PublishProtocol::Rtmps)
        .await;
    assert_eq!(elsewhere.err(), Some(network));
    assert_eq!(
        world.refused(),
        "the stream key is not for this network",
        "whoever manages the camera sees it"
    );
    let protocol = Denied::Protocol(id(KEY));
    for other in [PublishProtocol::Rtmp, PublishProtocol::Rtmpts] {
        let refused = world.publish_from("192.0.2.1", other).await;
        assert_eq!(refused.err(), Some(protocol), "{other:?}");
    }
    assert_eq!(world.refused(), "the stream key is not for this protocol");
    let both = world
        .publish_from("198.51.100.1", PublishProtocol::Rtmp)
        .await;
    assert_eq!(both.err(), Some(network));
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_thief_cannot_tell_a_true_key_from_a_wrong_one() {
    let world = World::new(vec![bounded(json!({"networks": ["198.51.100.0/24"]}))]);
    world.wait_for_seat().await;
    let clock = Clock::system();
    let mut seen = Vec::new();
    for key in [KEY, OTHER] {
        let start = clock.monotonic();
        let denied = world.publish(key).await.err().expect("is refused");
        seen.push((denied.to_string(), clock.monotonic() - start));
    }
    assert_eq!(seen[0], seen[1]);
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_widened_opens_at_once() {
    let world = World::new(vec![bounded(json!({"networks": ["198.51.100.0/24"]}))]);
    world.wait_for_seat().await;
    let news = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.desire(vec![digest(KEY, OnConflict::Reject)]);
    };
    let (published, ()) = tokio::join!(world.publish(KEY), news);
    assert!(published.is_ok(), "{:?}", published.err());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_narrowed_ends_a_publisher_that_does_not_fit_any_more() {
    for (fits, does_not) in [
        (
            json!({"networks": ["192.0.2.0/24"]}),
            json!({"networks": ["192.0.2.128/25"]}),
        ),
        (
            json!({"protocols": ["rtmp", "rtmps"]}),
            json!({"protocols": ["rtmps"]}),
        ),
    ] {
        let world = World::new(vec![digest(KEY, OnConflict::Reject)]);
        world.wait_for_seat().await;
        let publication = world.publish(KEY).await.expect("is let in");
        let told = async |bounds: &Value| {
            world.desire(vec![bounded(bounds.clone())]);
            timeout(Duration::from_secs(60), publication.ended()).await
        };
        assert!(told(&fits).await.is_err(), "it may stay");
        assert_eq!(told(&does_not).await, Ok(Ended::Narrowed));
        drop(publication);
        world.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

/// Sends so many bytes in each tenth of a second, and says after how long that was too much.
async fn send(publication: &mut Publication, bytes: usize) -> Option<Duration> {
    let tenth = Duration::from_millis(100);
    for tenths in 0..600 {
        if let Err(ended) = publication.count(bytes) {
            assert_eq!(ended, Ended::TooFast(80));
            return Some(tenth * tenths);
        }
        tokio::time::sleep(tenth).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn who_sends_more_than_the_key_allows_has_to_go_and_may_not_come_back_at_once() {
    // 80 kbit/s are 1000 bytes in a tenth of a second.
    let world = World::new(vec![bounded(json!({"max_bitrate_kbit": 80}))]);
    world.wait_for_seat().await;
    let mut publication = world.publish(KEY).await.expect("is let in");
    assert_eq!(send(&mut publication, 1000).await, None);
    let took = send(&mut publication, 3000).await.expect("is too much");
    assert!(took <= Duration::from_secs(5), "{took:?}");
    let reason = "it sent more than 80 kbit/s, the most that the stream key allows";
    assert_eq!(world.refused(), reason);
    publication.leave(reason);
    assert!(world.status().1.ends_with(reason), "{:?}", world.status());

    let again = world.publish(KEY).await.err();
    assert_eq!(again, Some(Denied::TooFast(id(KEY))));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut publication = world.publish(KEY).await.expect("is let in");
    assert_eq!(send(&mut publication, 1000).await, None);
    drop(publication);
    // The last ten seconds were full: what comes now comes on top.
    let mut publication = world.publish(KEY).await.expect("is let in");
    let took = send(&mut publication, 4000).await.expect("is too much");
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop(publication);
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cap_counts_from_when_it_is_set() {
    let world = World::new(vec![digest(KEY, OnConflict::Reject)]);
    world.wait_for_seat().await;
    let mut publication = world.publish(KEY).await.expect("is let in");
    assert_eq!(send(&mut publication, 1_000_000).await, None);
    world.desire(vec![bounded(json!({"max_bitrate_kbit": 80}))]);
    let took = send(&mut publication, 2000).await.expect("is too much");
    let counted = Duration::from_secs(3)..Duration::from_secs(6);
    assert!(counted.contains(&took), "{took:?}");
    drop(publication);
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn who_used_which_key_last_is_told_also_when_nobody_publishes_any_more() {
    let keys = [KEY, OTHER].map(|key| digest(key, OnConflict::Reject));
    let world = World::new(keys.to_vec());
    world.wait_for_seat().await;
    assert_eq!(world.published(), []);
    drop(world.publish(OTHER).await.expect("is let in"));
    drop(world.publish(KEY).await.expect("is let in"));
    let by = PublishProtocol::Rtsps;
    drop(
        world
            .publish_from("192.0.2.9", by)
            .await
            .expect("is let in"),
    );
    let published = world.published();
    let ids: Vec<_> = published.iter().map(|one| one.stream_key_id).collect();
    assert_eq!(ids, [KEY, OTHER].map(id));
    let last = &published[0];
    assert_eq!(last.address, ([192, 0, 2, 9], 4000).into());
    assert_eq!(last.protocol, by);
    world.tasks.shutdown(Duration::from_secs(5)).await;
}
