//! RTMP inside TLS and HTTP.

use headworks_testkit::{judge, tool};
use headworks_types::PublishProtocol;

use super::{
    clean,
    world::{AAC, H264, World, all, publish},
};

#[test]
fn tls_and_http_carry_publishers_and_players() {
    for (scheme, protocol) in [
        ("rtmps", PublishProtocol::Rtmps),
        ("rtmpt", PublishProtocol::Rtmpt),
        ("rtmpts", PublishProtocol::Rtmpts),
    ] {
        let world = World::new();
        let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url(scheme));
        let report = world.wait_for_live(&mut publisher);
        assert_eq!(report.publisher.map(|who| who.protocol), Some(protocol));
        let decode = |scheme| {
            let seen = judge::decode(&world.play_url(scheme), 2);
            let seen = seen.unwrap_or_else(|error| panic!("{scheme}: {error:#}"));
            clean(&seen, &["h264", "aac"]);
        };
        all(&[&|| decode(scheme), &|| decode("rtmp")]);
        world.stop();
    }
}
