//! Certificates are replaced while everything runs, as foreign programs see it.

use std::{
    fs,
    process::{Command, Stdio},
};

use headworks_testkit::{Certificate, Headworks, Launch, Player, wait_until};
use serde_json::{Value, json};

use crate::{parts::text, restream::camera_with_sound, scene::SOON};

/// The API over HTTPS, by curl, which takes no certificate but this one.
struct Curl<'a> {
    up: &'a Headworks,
    certificate: &'a Certificate,
}

impl Curl<'_> {
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time"])
            .args(["30", "--cacert", text(&self.certificate.certificate)])
            .args(["--oauth2-bearer", self.up.admin_key().expect("has one")]);
        if let Some(body) = body {
            curl.args(["--json", &body.to_string()]);
        }
        let output = curl.arg(format!("{}{path}", self.up.api())).output();
        let output = output.expect("curl runs");
        if !output.status.success() {
            let (said, words) = (&output.stdout, &output.stderr);
            return Err(String::from_utf8_lossy(&[&**said, words].concat()).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).expect("is JSON"))
    }

    fn call(&self, path: &str, body: Option<&Value>) -> Value {
        self.ask(path, body).expect("is done")
    }
}

/// The certificate that is shown at the URL's host and port, as PEM.
fn shown(url: &str) -> String {
    let url: url::Url = url.parse().expect("is a URL");
    let (host, port) = (
        url.host_str().expect("has one"),
        url.port().expect("has one"),
    );
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("{host}:{port}")])
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = said
        .split_once("-----BEGIN")
        .unwrap_or_else(|| panic!("{output:?}"));
    let (pem, _) = rest.split_once("END CERTIFICATE-----").expect("is whole");
    format!("-----BEGIN{pem}END CERTIFICATE-----")
}

#[test]
fn a_new_certificate_is_shown_everywhere_and_whoever_watches_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = Certificate::make(directory.path()).expect("is made");
    let pem = || fs::read_to_string(&certificate.certificate).expect("is there");
    let mut launch = Launch::default();
    for part in ["CONTROLLER", "EDGE"] {
        launch = launch
            .env(
                format!("HEADWORKS__{part}__TLS__CERTIFICATE"),
                text(&certificate.certificate),
            )
            .env(
                format!("HEADWORKS__{part}__TLS__KEY"),
                text(&certificate.key),
            );
    }
    for protocol in ["HTTPS", "RTMPS", "RTSPS"] {
        launch = launch.env(format!("HEADWORKS__EDGE__{protocol}_LISTEN"), "127.0.0.1:0");
    }
    let camera = camera_with_sound();
    let up = Headworks::up(launch).expect("starts");
    let curl = Curl {
        up: &up,
        certificate: &certificate,
    };

    let login = camera.login().expect("has one");
    let create = json!({
        "name": "gate", "start": "always", "source": {"type": "pull", "url": camera.url()},
        "credentials": {"username": login.username, "password": login.password},
    });
    let id = curl.call("/v1/cameras", Some(&create))["id"].clone();
    let path = format!("/v1/cameras/{}", id.as_str().expect("has one"));
    wait_until("the camera is live", SOON, || {
        (curl.call(&path, None)["status"]["state"] == "live").then_some(())
    })
    .expect("it is");
    let token = curl.call("/v1/playback_tokens", Some(&json!({"camera_ids": [id]})));
    let urls = ["flv", "rtmps", "rtsps"].map(|name| {
        let url = token["cameras"][0]["urls"][name].as_str();
        url.unwrap_or_else(|| panic!("{name}: {token}")).to_owned()
    });
    let mut viewers = urls
        .each_ref()
        .map(|url| Player::start(url).expect("starts"));
    for viewer in &mut viewers {
        viewer.wait_for_pictures(5, SOON).expect("plays");
    }
    let doors: Vec<_> = urls.iter().map(String::as_str).chain([up.api()]).collect();
    let first = pem();
    for door in &doors {
        assert_eq!(shown(door), first.trim_end(), "{door}");
    }

    Certificate::make(directory.path()).expect("is made");
    assert_ne!(pem(), first);
    for door in doors {
        wait_until("the new certificate is shown", SOON, || {
            (shown(door) == pem().trim_end()).then_some(())
        })
        .unwrap_or_else(|error| panic!("{door}: {error}\n{}", up.log()));
    }
    curl.call(&path, None);
    for viewer in &mut viewers {
        viewer.wait_for_pictures(15, SOON).expect("plays on");
    }
}
