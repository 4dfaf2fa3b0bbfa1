//! Customers sign tokens themselves, as the examples of the documentation do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use headworks_testkit::http;
use headworks_types::ViewProtocol;
use serde_json::json;

use crate::scene::{Scene, camera};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/edge/src/access/examples")
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout)
        .expect("is text")
        .trim()
        .to_owned()
}

/// The example in TypeScript for a Node that does not know types: it names only these.
fn without_types(directory: &Path) -> PathBuf {
    let text = fs::read_to_string(examples().join("sign.ts")).expect("is there");
    let plain = text.replace(": string", "").replace(": object", "");
    let path = directory.join("sign.mjs");
    fs::write(&path, plain).expect("writes");
    path
}

#[test]
fn every_example_signs_a_token_that_opens_its_camera_and_no_other() {
    let (gate, yard) = (camera(), camera());
    let up = Scene::up();
    let api = &up.api;
    let (gate_id, yard_id) = (api.add_live(&gate), api.add_live(&yard));
    let directory = tempfile::tempdir().expect("a directory");
    let key = directory.path().join("playback.key");
    let mut openssl = Command::new("openssl");
    openssl
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&key);
    output(&mut openssl);
    let mut openssl = Command::new("openssl");
    let pem = output(openssl.args(["pkey", "-pubout", "-in"]).arg(&key));
    let new = json!({"name": "shop", "pem": pem, "bounds": {"camera_ids": [gate_id]}});
    let new = serde_json::from_value(new).expect("parses");
    let registered = api.call(api.client.playback_key_create(&new));
    let programs: [(&str, PathBuf); 3] = [
        ("/usr/bin/python3", examples().join("sign.py")),
        ("node", without_types(directory.path())),
        ("sh", examples().join("sign.sh")),
    ];
    for (program, example) in programs {
        let sign = |camera: &str| {
            let mut command = Command::new(program);
            command.arg(&example).arg(&key);
            output(command.args([&registered.id.to_string(), camera, "alice"]))
        };
        let open = |camera: &str, token: &str| {
            let url = format!(
                "{}/live/{camera}/index.m3u8?token={token}",
                up.headworks.http()
            );
            http::get(&url).expect("answers").status
        };
        let token = sign(&gate_id.to_string());
        assert_eq!(open(&gate_id.to_string(), &token), 200, "{program}");
        assert_eq!(open(&yard_id.to_string(), &token), 403, "{program}");
        let beyond = sign(&yard_id.to_string());
        assert_eq!(open(&yard_id.to_string(), &beyond), 403, "{program}");
    }
    let found = headworks_testkit::wait_until("it is listed", crate::scene::SOON, || {
        let all = api.call(api.client.session_list().of_camera(gate_id).all());
        all.into_iter().next()
    });
    let session = found.expect("watches");
    assert_eq!(session.viewer_id.as_deref(), Some("alice"));
    assert_eq!(session.subject, registered.id.to_string());
    assert_eq!(session.protocol, ViewProtocol::Hls);
    api.call(api.client.playback_key_revoke(registered.id));
    let url = format!("{}/live/{gate_id}/index.m3u8", up.headworks.http());
    headworks_testkit::wait_until("its tokens are refused", crate::scene::SOON, || {
        let mut command = Command::new("sh");
        command.arg(examples().join("sign.sh")).arg(&key);
        let names = [registered.id.to_string(), gate_id.to_string()];
        let token = output(command.args(names).arg("alice"));
        let status = http::get(&format!("{url}?token={token}"))
            .expect("answers")
            .status;
        (status == 401).then_some(())
    })
    .expect("is revoked");
}
