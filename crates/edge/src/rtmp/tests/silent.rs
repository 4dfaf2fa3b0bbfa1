//! Who may not hear a camera gets pictures without sound: foreign decoders find no second stream.

use super::*;

type Judge = fn(&str, u32) -> anyhow::Result<Seen>;

/// Everything that is not RTSP.
#[test]
fn who_may_not_hear_gets_pictures_only() {
    let world = World::new();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url("rtmp"));
    world.wait_for_live(&mut publisher);
    let (loud, silent) = (world.token(), world.silent_token());
    let both = |judge: Judge, url: &(dyn Fn(&str) -> String + Sync)| {
        let heard = judge(&url(&loud), 2).expect("is judged");
        clean(&heard, &["h264", "aac"]);
        let seen = judge(&url(&silent), 2).expect("is judged");
        clean(&seen, &["h264"]);
    };
    let http = |file, more| {
        let world = &world;
        both(judge::probe, &|token| world.http_url(file, token) + more);
    };
    all(&[
        // What ffprobe counts by time it does not count with RTMP's metadata before it.
        &|| {
            both(judge::decode, &|token| {
                world.url("rtmp", &format!("?token={token}"))
            });
        },
        &|| http("stream.flv", ""),
        &|| http("stream.ts", ""),
        &|| http("index.m3u8", ""),
        &|| http("index.m3u8", "&ll=0"),
    ]);
    world.stop();
}
