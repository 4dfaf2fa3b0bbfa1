//! An edge as a whole, from outside, while no controller can be reached.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use headworks_bootstrap::{Tasks, config::load_from};
use headworks_edge::{Config, Service};
use headworks_testkit::http::{self, Answer};

/// A node that has joined once.
fn identity() -> String {
    let made = rcgen::generate_simple_self_signed(["node".to_owned()]).expect("is made");
    serde_json::json!({
        "node_id": "node_00000000000000000000000000000001",
        "key": made.signing_key.serialize_pem(),
        "certificate": made.cert.pem(),
        "authority": made.cert.pem(),
        "renew_at": "2100-01-01T00:00:00Z",
    })
    .to_string()
}

const STATE: &str = r#"{"revision":3,"slots":[],"bundle":{"jwks":{"keys":[]}},"epochs":[]}"#;

/// An edge that listens on a free port and whose controller is away.
fn config(data: &Path, more: &str) -> Config {
    let text = format!(
        "
        data = '{}'
        controller_url = 'https://127.0.0.1:1/'
        site = 'default'
        zone = 'default'
        capacity = 10
        http_listen = '127.0.0.1:0'
        rtmp_listen = '127.0.0.1:0'
        rtsp_listen = '127.0.0.1:0'
        relay_listen = '127.0.0.1:0'
        stop_deadline = '5s'
        ",
        data.display()
    );
    let more = more
        .split_once('=')
        .map(|(key, value)| (format!("HEADWORKS__{key}"), value.to_owned()));
    load_from(&text, None, more.into_iter()).expect("is a configuration")
}

struct Edge {
    directory: tempfile::TempDir,
    tasks: Tasks,
}

impl Edge {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("temporary directory"),
            tasks: Tasks::new(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).expect("writes");
    }

    async fn start(&self, more: &str) -> Result<Service, String> {
        let config = config(self.directory.path(), more);
        let started = Service::start(config, self.tasks.clone()).await;
        started.map_err(|error| format!("{error:#}"))
    }
}

fn get(service: &Service, path: &str) -> Answer {
    http::get(&format!("http://{}{path}", service.http_addr())).expect("answers")
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_from_what_is_on_disk() {
    let edge = Edge::new();
    edge.write("identity.json", &identity());
    edge.write("state.json", STATE);
    let service = edge.start("").await.expect("starts without a controller");
    assert_eq!(get(&service, "/livez").status, 200);
    assert_eq!(get(&service, "/readyz").status, 200);
    let metrics = get(&service, "/metrics");
    for line in [
        "headworks_edge_revision 3",
        "headworks_edge_connected 0",
        "headworks_edge_pulls{state=\"live\"} 0",
        "headworks_edge_sessions_opened_total 0",
        "# EOF",
    ] {
        assert!(text(&metrics).lines().any(|found| found == line), "{line}");
    }
    let camera = "/live/cam_00000000000000000000000000000001";
    assert_eq!(get(&service, &format!("{camera}/index.m3u8")).status, 401);
    let metrics = text(&get(&service, "/metrics"));
    assert!(
        metrics.contains("denied_total{reason=\"missing\"} 1"),
        "{metrics}"
    );
    assert_eq!(service.https_addr(), None);
    let rtmp = service.rtmp_addr().expect("listens");
    TcpStream::connect(rtmp).expect("connects");
    assert_eq!(service.rtmps_addr(), None);
    edge.tasks.shutdown(Duration::from_secs(5)).await;
    assert!(http::get(&format!("http://{}/livez", service.http_addr())).is_err());
    assert!(TcpStream::connect(rtmp).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn is_not_ready_before_it_knows_what_to_do() {
    let edge = Edge::new();
    edge.write("identity.json", &identity());
    let service = edge.start("").await.expect("starts");
    assert_eq!(get(&service, "/livez").status, 200);
    let answer = get(&service, "/readyz");
    assert_eq!(answer.status, 503);
    assert!(text(&answer).contains("no controller has said yet what to do"));
    edge.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn says_what_stands_in_its_way() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let edge = Edge::new();
    edge.write("identity.json", &identity());
    for key in ["http_listen", "rtmp_listen"] {
        let more = format!("{}={address}", key.to_uppercase());
        let error = edge.start(&more).await.expect_err("in use");
        let words = "is in use by another program; choose another port";
        assert_eq!(error, format!("edge.{key}: {address} {words}"));
    }

    let _first = edge.start("").await.expect("starts");
    let error = edge.start("").await.expect_err("in use");
    let directory = edge.directory.path().display();
    assert_eq!(error, format!("edge.data: another edge uses {directory}"));

    let fresh = Edge::new();
    let error = fresh.start("").await.expect_err("has no token");
    assert!(error.contains("edge.join_token is missing"), "{error}");

    let damaged = Edge::new();
    damaged.write("identity.json", "{");
    let error = damaged.start("").await.expect_err("is damaged");
    assert!(error.contains("identity.json is damaged"), "{error}");
    edge.tasks.shutdown(Duration::from_secs(5)).await;
}
