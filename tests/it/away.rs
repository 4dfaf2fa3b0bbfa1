//! The controller is killed, and so is an edge: who may publish and watch still may, and the audit
//! log gets every record once.

use std::fs;

use headworks_testkit::{Headworks, Launch, Player, Publisher, http, wait_until};
use headworks_types::{
    AuditResult, CameraId, CameraSource, CameraState, StartMode, StreamKeyCreate, Viewing,
};

use crate::{
    parts::Cluster,
    restream::camera_with_sound,
    scene::{Api, SOON, pulled},
};

/// A camera that encoders publish, with a key and a viewer.
struct Door {
    id: CameraId,
    publish: String,
    watch: String,
    viewer: Player,
}

impl Door {
    fn new(api: &Api) -> Self {
        let mut create = pulled("rtsp://127.0.0.1/");
        create.name = "door".to_owned();
        create.source = CameraSource::Publish;
        let id = api.call(api.client.camera_create(&create)).id;
        api.wait_for_state(id, CameraState::Idle);
        let key: StreamKeyCreate =
            serde_json::from_str(r#"{"name": "encoder"}"#).expect("is a key");
        let key = api.call(api.client.stream_key_create(id, &key));
        let urls = key.publish_urls.expect("is on a node");
        let rtmp = urls.rtmp.expect("has RTMP").url;
        let watch = api.urls(id).flv.to_string();
        Self {
            id,
            publish: rtmp.to_string(),
            viewer: Player::start(&watch).expect("starts"),
            watch,
        }
    }

    /// Publishes until a viewer has seen it; returns while it goes on.
    fn begin(&mut self) -> Publisher {
        let publisher = Publisher::start(&self.publish).expect("starts");
        self.viewer.wait_for_pictures(5, SOON).expect("is seen");
        publisher
    }

    fn publish(&mut self) {
        self.begin().stop(SOON).expect("stops");
    }
}

/// Records of publishers that wait on the edge's disk.
fn waiting(cluster: &Cluster, action: &str) -> usize {
    let files = fs::read_dir(cluster.data_of("edge-1").join("audit")).expect("is there");
    let texts = files
        .flatten()
        .filter_map(|file| fs::read_to_string(file.path()).ok());
    texts
        .map(|text| text.matches(&format!("\"{action}\"")).count())
        .sum()
}

fn wait_for_waiting(cluster: &Cluster, action: &str, count: usize) {
    let what = format!("{count} records of {action} wait");
    wait_until(what, SOON, || {
        (waiting(cluster, action) >= count).then_some(())
    })
    .expect("they do");
}

/// How many publishers have begun and ended, by the audit log.
fn publishers(cluster: &Cluster, door: CameraId) -> (usize, usize) {
    let (api, key) = (&cluster.api, &cluster.admin_key);
    let url = format!("{}v1/audit?camera_id={door}&limit=1000", api.client.base());
    let listed = http::call("GET", &url, key, None)
        .and_then(http::Answer::ok)
        .expect("answers");
    let listed = listed.json().expect("is JSON");
    let records = listed["items"].as_array().expect("is a list");
    let count = |action: &str| {
        let of = records.iter().filter(|record| record["action"] == action);
        of.inspect(|record| assert_eq!(record["result"], AuditResult::Ok.as_str()))
            .count()
    };
    (count("publish_start"), count("publish_end"))
}

/// Opens `url` and says what becomes of that.
fn status(url: &str) -> u16 {
    http::send("GET", url, &[], b"").expect("answers").status
}

/// The same edge at the same addresses.
fn again(cluster: &Cluster, http: &str, rtmp: &str) -> Headworks {
    let address = |url: &str| {
        let url: url::Url = url.parse().expect("is a URL");
        format!("127.0.0.1:{}", url.port().expect("has one"))
    };
    let launch = Launch::default()
        .env("HEADWORKS__EDGE__HTTP_LISTEN", address(http))
        .env("HEADWORKS__EDGE__RTMP_LISTEN", address(rtmp));
    cluster.edge_again("edge-1", launch)
}

#[test]
fn publishers_and_viewers_go_on_alone_and_each_record_of_them_arrives_once() {
    // Players need not wait whether there is sound.
    let camera = camera_with_sound();
    let mut cluster = Cluster::start();
    let mut edge = cluster.edge("edge-1");
    cluster.wait_until_ready(1);
    let api = &cluster.api;
    let gate = api.add_live(&camera);
    let mut sensitive = pulled(&camera.url());
    sensitive.name = "vault".to_owned();
    sensitive.start = StartMode::OnDemand;
    sensitive.viewing = Viewing {
        sensitive: true,
        ..Viewing::default()
    };
    let vault = api.call(api.client.camera_create(&sensitive)).id;
    api.wait_for_state(vault, CameraState::Idle);
    let (gate, vault) = (api.urls(gate), api.urls(vault));
    let mut door = Door::new(api);

    // What the last record of these becomes of is open: the answer to it may be lost.
    door.publish();
    cluster.controller.kill();
    door.publish();
    door.publish();
    assert_eq!(status(gate.flv.as_str()), 200, "a token opens what it did");
    assert_eq!(status(vault.page.as_str()), 200);

    let cut_off = door.begin();
    wait_for_waiting(&cluster, "publish_end", 2);
    wait_for_waiting(&cluster, "publish_start", 3);
    edge.kill();
    drop(cut_off);
    let _edge = again(&cluster, gate.flv.as_str(), &door.publish);
    wait_until("the edge works from its disk", SOON, || {
        let open = http::send("GET", gate.flv.as_str(), &[], b"");
        open.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .expect("it does");
    assert_eq!(
        status(vault.page.as_str()),
        503,
        "who may not, it does not know"
    );
    door.viewer = Player::start(&door.watch).expect("starts");
    door.publish();

    cluster.restart();
    door.publish();
    // The queue keeps its order: when the last is there, all are.
    wait_until("the last record is there", SOON, || {
        (publishers(&cluster, door.id).1 >= 5).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", publishers(&cluster, door.id)));
    // The one who was cut off with the edge has no end.
    assert_eq!(publishers(&cluster, door.id), (6, 5));
    wait_until("the edge knows again who may not", SOON, || {
        (status(vault.page.as_str()) == 200).then_some(())
    })
    .expect("it does");
}
