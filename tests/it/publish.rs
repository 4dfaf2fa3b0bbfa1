//! Publishers as encoders are: FFmpeg with a stream key, which may be the wrong one, may be bound,
//! and may be taken away.

use std::{process::Command, time::Duration};

use headworks_testkit::{Process, Signal, tool, wait_until};
use headworks_types::{
    AuditResult, CameraId, CameraSource, CameraState, PublishProtocol, StreamKey, StreamKeyCreate,
    StreamKeyCreated, StreamKeyUpdate,
};
use serde_json::json;

use crate::scene::{Api, SOON, Scene, pulled};

/// How soon a publisher ends, from the call that ends it.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A camera that is published.
fn stage(api: &Api) -> CameraId {
    let mut create = pulled("rtsp://127.0.0.1/");
    create.source = CameraSource::Publish;
    let camera = api.call(api.client.camera_create(&create));
    let waits = |record: &headworks_types::Camera| record.status.state == CameraState::Idle;
    api.wait_for(camera.id, "the edge waits for its publisher", waits);
    camera.id
}

fn key(api: &Api, camera: CameraId, bounds: serde_json::Value) -> StreamKeyCreated {
    let mut new = bounds;
    new["name"] = json!("ffmpeg");
    let new: StreamKeyCreate = serde_json::from_value(new).expect("parses");
    api.call(api.client.stream_key_create(camera, &new))
}

/// `rtmp://…/live/cam_…?key=hwsk_…`
fn rtmp(api: &Api, key: &StreamKeyCreated) -> String {
    let camera = api.view(key.stream_key.camera_id);
    let urls = camera.publish_urls.expect("the camera is on a node");
    let mut url = urls.rtmp.expect("the node has RTMP").url;
    let pairs = &mut url.query_pairs_mut();
    pairs.append_pair("key", key.secret.expose());
    pairs.finish().to_string()
}

/// FFmpeg, which publishes for ever.
fn publish(url: &str) -> Process {
    let mut command = Command::new(tool::FFMPEG);
    command
        .args(["-nostdin", "-hide_banner", "-nostats"])
        .args(["-loglevel", "level+info", "-re", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=320x240:rate=25", "-c:v", "libx264"])
        .args(["-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"])
        .args(["-f", "flv", url]);
    Process::spawn(command, Signal::Kill, |_, _| {}).expect("ffmpeg starts")
}

/// What a publisher said that was turned away.
fn refusal(mut process: Process) -> String {
    let status = process.wait(SOON);
    assert!(status.is_some_and(|status| !status.success()), "it goes on");
    process.tail()
}

fn view(api: &Api, key: &StreamKeyCreated) -> StreamKey {
    api.call(api.client.stream_key_view(key.stream_key.id))
}

#[test]
fn a_key_shows_who_used_it_and_ends_its_publisher_within_two_seconds() {
    let up = Scene::up();
    let api = &up.api;
    let camera = stage(api);
    let revoked = key(api, camera, json!({}));
    let narrowed = key(api, camera, json!({"protocols": ["rtmp"]}));
    let narrow = StreamKeyUpdate {
        protocols: Some(Some([PublishProtocol::Rtmps].into())),
        ..StreamKeyUpdate::default()
    };
    let ends: [(&StreamKeyCreated, &dyn Fn(), &str); 2] = [
        (
            &revoked,
            &|| {
                api.call(api.client.stream_key_revoke(revoked.stream_key.id));
            },
            "the stream key was revoked",
        ),
        (
            &narrowed,
            &|| {
                let id = narrowed.stream_key.id;
                api.call(api.client.stream_key_update(id, &narrow));
            },
            "the stream key was changed",
        ),
    ];
    for (key, end, words) in ends {
        assert_eq!(view(api, key).last_used, None);
        let mut publisher = publish(&rtmp(api, key));
        let live = api.wait_for_state(camera, CameraState::Live).status;
        let used = wait_until("its use is shown", SOON, || view(api, key).last_used);
        let used = used.expect("is shown");
        assert!(used.address.is_loopback());
        assert_eq!(used.protocol, PublishProtocol::Rtmp);
        assert_eq!(Some(used.node_id), live.node_id);
        let since = live.publisher.expect("somebody publishes").since;
        // The database has microseconds.
        assert_eq!(used.at.timestamp_micros(), since.timestamp_micros());
        end();
        assert!(publisher.wait(AT_ONCE).is_some(), "it publishes on");
        assert!(publisher.tail().contains(words), "{}", publisher.tail());
        let idle = api.wait_for_state(camera, CameraState::Idle).status;
        assert!(idle.message.contains(words), "{}", idle.message);
        assert_eq!(view(api, key).last_used, Some(used), "it stays known");
    }
}

#[test]
fn a_key_for_another_network_or_protocol_is_refused() {
    let up = Scene::up();
    let api = &up.api;
    let camera = stage(api);
    for (bounds, reason, code) in [
        (
            json!({"networks": ["192.0.2.0/24"]}),
            "the stream key is not for this network",
            "wrong_network",
        ),
        (
            json!({"protocols": ["rtmps", "rtsp"]}),
            "the stream key is not for this protocol",
            "wrong_protocol",
        ),
    ] {
        let key = key(api, camera, bounds);
        let said = refusal(publish(&rtmp(api, &key)));
        let words = "this stream key is not valid for this camera here";
        assert!(said.contains(words), "{said}");
        api.wait_for(camera, "the operator sees why", |record| {
            let refused = record.status.refused.as_ref();
            refused.is_some_and(|refused| refused.reason == reason)
        });
        let record = wait_until("the audit log has it", SOON, || {
            let actor = key.stream_key.id.to_string();
            let page = api.call(api.client.audit_list().by(&actor));
            page.items.into_iter().next()
        });
        let record = record.expect("is there");
        assert_eq!(record.action, "publish_start");
        assert_eq!(record.object, Some(camera.to_string()));
        assert_eq!(record.result, AuditResult::Refused);
        assert_eq!(record.code.as_deref(), Some(code));
        assert_eq!(view(api, &key).last_used, None, "it was not used");
    }
}
