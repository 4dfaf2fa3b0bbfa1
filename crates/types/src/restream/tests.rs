use proptest::prelude::*;

use super::*;
use crate::{CameraSource, PullFormat};

fn create(extra: serde_json::Value) -> RestreamCreate {
    let mut json = serde_json::json!({"name": "cloud", "url": "rtmp://push.example.com/live/gate"});
    let (Some(json), serde_json::Value::Object(extra)) = (json.as_object_mut(), extra) else {
        panic!("are objects");
    };
    json.extend(extra);
    serde_json::from_value(serde_json::Value::Object(json.clone())).expect("parses")
}

fn pointers(value: &impl Validate) -> Vec<String> {
    let mut found = Violations::default();
    value.validate(&mut found);
    found.into_fields().into_iter().map(|f| f.pointer).collect()
}

#[test]
fn a_name_and_a_url_are_enough() {
    let restream = create(serde_json::json!({}));
    assert_eq!(pointers(&restream), [""; 0]);
    assert!(restream.enabled && restream.tls_verify);
    assert_eq!(restream.video, RestreamVideo::Copy);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let restream = create(serde_json::json!({
        "url": "srt://root:pw@host/a#b",
        "transport": "udp",
        "credentials": {"username": "a", "password": "b"},
        "stream_key": "a b",
        "video": {"type": "h264", "bitrate_kbit": 1, "gop": 0, "width": 33},
        "signing": {"type": "query", "query": "?a=b"},
    }));
    assert_eq!(
        pointers(&restream),
        [
            "/url",
            "/url",
            "/url",
            "/transport",
            "/credentials",
            "/stream_key",
            "/signing/query",
            "/video/bitrate_kbit",
            "/video/gop",
            "/video/width"
        ]
    );
}

#[test]
fn the_key_that_signs_must_be_there() {
    let alibaba = |signing| pointers(&create(serde_json::json!({"signing": signing})));
    let missing = serde_json::json!({"type": "alibaba"});
    assert_eq!(alibaba(missing), ["/signing/primary_key"]);
    let secondary = serde_json::json!({"type": "tencent", "primary_key": "a", "key": "secondary"});
    assert_eq!(alibaba(secondary), ["/signing/secondary_key"]);
    let wrong = serde_json::json!({
        "type": "alibaba", "primary_key": "a", "uid": "a-b", "lifetime_seconds": 1
    });
    assert_eq!(
        alibaba(wrong),
        ["/signing/uid", "/signing/lifetime_seconds"]
    );
    let pathless = create(serde_json::json!({
        "url": "rtmp://push.example.com", "signing": {"type": "tencent", "primary_key": "a"}
    }));
    assert_eq!(pointers(&pathless), ["/url"]);
}

#[test]
fn what_cannot_work_is_refused() {
    let target = |json| pointers(&create(json));
    let udp = serde_json::json!({"url": "rtsps://push.example.com/gate", "transport": "udp"});
    assert_eq!(target(udp), ["/transport"], "it would go in the clear");
    let udp = serde_json::json!({"url": "rtsp://push.example.com/gate", "transport": "udp"});
    assert_eq!(target(udp), [""; 0]);
    for url in ["rtmp://host", "rtmps://host/", "rtsp://host:0/gate"] {
        assert_eq!(target(serde_json::json!({"url": url})), ["/url"], "{url}");
    }
    let keyed = serde_json::json!({"url": "rtmp://host", "stream_key": "live/gate"});
    assert_eq!(target(keyed), [""; 0]);
    let rtsp = serde_json::json!({"url": "rtsp://host"});
    assert_eq!(target(rtsp), [""; 0], "RTSP knows a server without a path");
}

#[test]
fn whole_minutes_need_two_of_them() {
    let alibaba = |variant: &str, seconds: u32| {
        pointers(&create(serde_json::json!({"signing": {
            "type": "alibaba", "variant": variant, "primary_key": "a", "lifetime_seconds": seconds
        }})))
    };
    assert_eq!(alibaba("b", 119), ["/signing/lifetime_seconds"]);
    assert_eq!(alibaba("b", 120), [""; 0]);
    assert_eq!(alibaba("a", 60), [""; 0]);
}

#[test]
fn secrets_do_not_reach_debug_output() {
    let restream = create(serde_json::json!({
        "stream_key": "hush-1",
        "credentials": {"username": "a", "password": "hush-2"},
        "signing": {"type": "alibaba", "primary_key": "hush-3", "secondary_key": "hush-4"},
    }));
    assert!(!format!("{restream:?}").contains("hush"));
}

fn template(url: &str) -> RestreamTemplate {
    serde_json::from_value(serde_json::json!({"name": "cloud", "url": url})).expect("parses")
}

fn gate(name: &str) -> Placeholders<'_> {
    Placeholders {
        name,
        external_id: None,
        camera_id: CameraId::from(uuid::Uuid::nil()),
        index: 3,
    }
}

#[test]
fn placeholders_are_filled_and_encoded() {
    let restream = template("rtmp://push.example.com/live/{name}-{index}?c={camera_id}");
    let url = restream.restream(gate("Gate/2 ü")).expect("is a URL").url;
    assert_eq!(
        url.as_str(),
        "rtmp://push.example.com/live/Gate%2F2%20%C3%BC-3\
         ?c=cam_00000000000000000000000000000000"
    );
    let without = template("rtmp://push.example.com/{external_id}");
    assert!(without.restream(gate("a")).is_err());
    for bad in [
        "rtmp://a/{b}",
        "rtmp://a/{name",
        "{name}",
        "http://a/{name}",
    ] {
        assert_eq!(pointers(&template(bad)), ["/url"], "{bad}");
    }
}

#[test]
fn an_item_is_a_camera_that_is_there_or_one_to_be() {
    let item =
        |json| pointers(&serde_json::from_value::<RestreamImportItem>(json).expect("parses"));
    let id = "cam_00000000000000000000000000000000";
    assert_eq!(
        item(serde_json::json!({"camera_id": id, "stream_key": "a"})),
        [""; 0]
    );
    assert_eq!(
        item(serde_json::json!({"camera_id": id, "name": "a"})),
        [""]
    );
    assert_eq!(
        item(serde_json::json!({"name": "a", "url": "rtsp://a/b"})),
        [""; 0]
    );
    assert_eq!(
        item(serde_json::json!({"name": "a", "url": "https://a/b"})),
        ["/format"]
    );
    let lax = serde_json::json!({
        "name": "a", "url": "https://a/b", "format": "flv", "tls_verify": false
    });
    assert_eq!(item(lax), [""; 0]);
    assert_eq!(item(serde_json::json!({})), ["/name", "/url"]);
    assert_eq!(
        item(serde_json::json!({"name": "", "url": "ftp://a/b"})),
        ["/name", "/url"]
    );
}

#[test]
fn a_camera_is_imported_as_it_is_described() {
    let item: RestreamImportItem = serde_json::from_value(serde_json::json!({
        "name": "a", "url": "https://a/b", "format": "hls", "tls_verify": false
    }))
    .expect("parses");
    let source = item.camera().expect("is a new one").source;
    let CameraSource::Pull {
        format, tls_verify, ..
    } = source
    else {
        panic!("{source:?}");
    };
    assert_eq!((format, tls_verify), (Some(PullFormat::Hls), false));
}

proptest! {
    #[test]
    fn no_template_panics(url: String, name: String) {
        let _ = template(&url).restream(gate(&name));
    }

    /// A name cannot change where the stream goes.
    #[test]
    fn a_name_stays_in_its_segment(name in "\\PC{1,20}") {
        prop_assume!(name != "." && name != "..");
        let restream = template("rtmp://push.example.com/live/{name}").restream(gate(&name));
        let url = restream.expect("is a URL").url;
        prop_assert_eq!(url.host_str(), Some("push.example.com"));
        prop_assert_eq!(url.path().matches('/').count(), 2);
        prop_assert_eq!((url.query(), url.fragment()), (None, None));
    }
}
