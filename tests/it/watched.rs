//! Who has watched stands in the audit log, and who may not hear a camera does not.

use std::time::Duration;

use headworks_testkit::{Audio, CameraOptions, Player, http, judge, wait_until};
use headworks_types::{Action, AuditRecord, AuditResult, CameraId, PlaybackUrls};

use crate::{
    scene::{Api, SOON, Scene, camera, camera_with},
    session::{alice, alice_who_may, urls_for},
};

/// What the log has of the camera, by this action.
fn log(api: &Api, camera: CameraId, action: &str) -> Vec<AuditRecord> {
    let list = api.client.audit_list().to_camera(camera);
    api.call(list.of_action(action)).items
}

/// Waits for so many records.
fn wait_for_log(api: &Api, camera: CameraId, action: &str, count: usize) -> Vec<AuditRecord> {
    let found = wait_until("the audit log has it", SOON, || {
        let records = log(api, camera, action);
        (records.len() >= count).then_some(records)
    });
    let records = found.unwrap_or_else(|error| panic!("{error}: {:#?}", log(api, camera, action)));
    assert_eq!(records.len(), count, "{records:#?}");
    records
}

#[test]
fn the_audit_log_says_who_watched_and_who_was_refused() {
    let gate = camera();
    let up = Scene::up();
    let api = &up.api;
    let id = api.add_live(&gate);
    let (alice, _) = alice(api, id);
    let urls = urls_for(api, &alice, id);
    let rtsp = format!("{}&tcp", urls.rtsp.as_ref().expect("has RTSP"));
    for url in [rtsp.as_str(), urls.flv.as_str()] {
        let mut player = Player::start(url).expect("starts");
        player.wait_for_pictures(5, SOON).expect("plays");
    }
    let mut stranger = urls.flv.clone();
    stranger.set_query(None);
    let refused = http::get(stranger.as_str()).expect("answers");
    assert_eq!(refused.status, 401);

    let opened = wait_for_log(api, id, "session_open", 3);
    let (refused, opened): (Vec<_>, Vec<_>) = opened
        .into_iter()
        .partition(|record| record.result == AuditResult::Refused);
    let ended = wait_for_log(api, id, "session_end", 2);
    for record in opened.iter().chain(&ended) {
        assert_eq!(record.result, AuditResult::Ok, "{record:#?}");
        assert_eq!(record.actor, Some(alice.id.to_string()));
        assert!(record.node_id.is_some() && record.project_id.is_some());
    }
    for records in [&opened, &ended] {
        let mut protocols: Vec<_> = records.iter().map(|r| &r.detail["protocol"]).collect();
        protocols.sort_by_key(ToString::to_string);
        assert_eq!(protocols, ["flv", "rtsp"]);
    }
    for record in &ended {
        let bytes = record.detail["bytes"].as_u64();
        assert!(bytes.is_some_and(|bytes| bytes > 1000), "{record:#?}");
    }
    let [refused] = &refused[..] else {
        panic!("one stranger, and {refused:#?}");
    };
    assert_eq!(refused.code.as_deref(), Some("missing"));
    assert_eq!(refused.actor, None, "nobody knows who it was");
    let all = opened.iter().chain(&ended).chain([refused]);
    for record in all {
        assert!(record.address.is_some_and(|address| address.is_loopback()));
    }
}

#[test]
fn who_may_not_hear_sees_only_and_who_loses_it_is_thrown_out() {
    let gate = camera_with(CameraOptions {
        audio: Audio::Aac,
        ..CameraOptions::default()
    });
    let up = Scene::up();
    let api = &up.api;
    let id = api.add_live(&gate);
    let hear = [Action::CameraViewLive, Action::CameraViewAudio];
    let ways = |urls: &PlaybackUrls| {
        let rtsp = format!("{}&tcp", urls.rtsp.as_ref().expect("has RTSP"));
        [urls.hls.to_string(), urls.flv.to_string(), rtsp]
    };
    let (deaf, _) = alice(api, id);
    for url in ways(&urls_for(api, &deaf, id)) {
        let seen = judge::decode(&url, 1).expect("plays");
        assert_eq!(seen.codecs(), ["h264"], "{url}: {seen:?}");
    }
    let (hearing, grants) = alice_who_may(api, id, hear);
    let urls = urls_for(api, &hearing, id);
    for url in ways(&urls).into_iter().chain(ways(&api.urls(id))) {
        let seen = judge::decode(&url, 1).expect("plays");
        assert_eq!(seen.codecs(), ["h264", "aac"], "{url}: {seen:?}");
    }
    let mut player = Player::start(urls.flv.as_str()).expect("starts");
    player.wait_for_pictures(5, SOON).expect("plays");
    let listed = wait_until("it is listed", SOON, || {
        let listed = api.call(api.client.session_list().of_user(hearing.id).all());
        Some(listed).filter(|listed| !listed.is_empty())
    });
    let listed = listed.expect("is listed");
    assert!(listed.iter().all(|session| session.sound), "{listed:#?}");
    api.call(api.client.grant_delete(grants[1].id));
    let ended = wait_until("it ends", Duration::from_secs(10), || {
        player.seen().ended.then_some(())
    });
    ended.expect("who may not hear any more is thrown out");
    let again = http::get(urls.hls.as_str()).expect("answers");
    assert_eq!(again.status, 401, "the token says too much now");
    let url = urls_for(api, &hearing, id).flv;
    let seen = judge::decode(url.as_str(), 1).expect("plays");
    assert_eq!(seen.codecs(), ["h264"], "with a new one it is seen");
}
