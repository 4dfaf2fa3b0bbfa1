//! Every operation of the API has a command, which calls that operation and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// Operations without a command, and why.
const WITHOUT: &[(&str, &str)] = &[
    (
        "auth_oidc_begin",
        "a browser's: the provider sends it back to a page",
    ),
    (
        "auth_oidc_complete",
        "a browser's: the provider sends it back to a page",
    ),
    (
        "camera_bulk_create",
        "a program's; `restream import` takes lists of people",
    ),
    (
        "camera_live",
        "players open it; `playback` prints where it leads",
    ),
    (
        "camera_watch",
        "browsers open it; `playback` prints where it leads",
    ),
    (
        "restream_update",
        "`restream start` and `stop` switch it; another target is another restream",
    ),
];

/// What is typed for each operation; `CAM` and so on stand for ids, `FILE` for files.
const COMMANDS: &[(&str, &str)] = &[
    ("access_explain", "access explain --user USR --camera CAM"),
    (
        "api_key_create",
        "api-key create --name a --scope camera.ptz --expires 2030-01-01T00:00:00Z",
    ),
    ("api_key_list", "api-key list"),
    ("api_key_revoke", "api-key revoke KEY"),
    ("api_key_view", "api-key view KEY"),
    (
        "audit_export",
        "audit export --actor USR --action camera_update --object CAM --result refused",
    ),
    (
        "audit_list",
        "audit list --camera CAM --since 2026-01-01T00:00:00Z --until 2027-01-01T00:00:00Z",
    ),
    (
        "auth_change_password",
        "auth change-password --password-file SECRET --new-password-file SECRET",
    ),
    ("auth_oidc_list", "auth providers"),
    ("auth_refresh", "auth refresh --refresh-token-file SECRET"),
    (
        "auth_sign_in",
        "sign-in --email a@b.c --password-file SECRET",
    ),
    ("auth_sign_out", "auth sign-out"),
    ("auth_sign_out_everywhere", "auth sign-out --everywhere"),
    ("auth_view", "auth view"),
    ("camera_create", "camera create --name a --publish"),
    ("camera_delete", "camera delete CAM"),
    ("camera_explain", "camera explain CAM"),
    ("camera_group_create", "camera-group create --name a"),
    ("camera_group_delete", "camera-group delete CGRP"),
    ("camera_group_list", "camera-group list"),
    ("camera_group_update", "camera-group move CGRP"),
    ("camera_group_view", "camera-group view CGRP"),
    ("camera_list", "camera list"),
    (
        "camera_playback",
        "playback CAM --zone lyon --address 192.0.2.7 --viewer ann",
    ),
    (
        "camera_update",
        "camera update CAM --name a --enabled false",
    ),
    ("camera_view", "camera view CAM"),
    ("cluster_release_brake", "cluster release-brake --for 60s"),
    ("cluster_view", "cluster status"),
    ("event_list", "event list --after 7"),
    ("grant_create", "grant create --user USR --camera CAM"),
    ("grant_delete", "grant delete GRANT"),
    (
        "grant_list",
        "grant list --user-group UGRP --camera-group CGRP",
    ),
    ("grant_view", "grant view GRANT"),
    ("join_token_create", "join-token create --name a"),
    ("join_token_list", "join-token list"),
    ("join_token_revoke", "join-token revoke JOIN"),
    ("jwks_view", "signing-key public"),
    ("move_list", "camera moves CAM"),
    ("node_cancel_drain", "node cancel-drain NODE"),
    ("node_cordon", "node cordon NODE"),
    ("node_delete", "node remove NODE --force"),
    ("node_drain", "node drain NODE --deadline 5m --wait"),
    ("node_list", "node list"),
    ("node_revoke", "node revoke NODE"),
    ("node_uncordon", "node uncordon NODE"),
    (
        "plan_preview",
        "plan preview --cordon NODE --drain NODE --kill NODE --remove NODE --add e9:lyon:north:10 \
         --disable CAM --remove-camera CAM",
    ),
    ("node_view", "node view NODE"),
    (
        "playback_key_create",
        "playback-key create --name a --public-key-file JWK --whole-project",
    ),
    ("playback_key_list", "playback-key list"),
    ("playback_key_revoke", "playback-key revoke PKEY"),
    ("playback_key_view", "playback-key view PKEY"),
    (
        "playback_token_issue",
        "token issue --camera CAM --viewer ann --ip 192.0.2.0/24",
    ),
    ("playback_token_revoke", "token revoke abc"),
    ("project_create", "project create --name a"),
    ("project_list", "project list"),
    (
        "project_update",
        "project update PRJ --outbound-allow 10.0.0.0/8",
    ),
    ("project_view", "project view PRJ"),
    (
        "restream_create",
        "restream create --camera CAM --name a --url rtmp://a/b",
    ),
    ("restream_delete", "restream delete RST"),
    (
        "restream_import",
        "restream import IMPORT --target rtmp://a/b/{name}",
    ),
    ("restream_list", "restream list"),
    ("restream_list_of_camera", "restream list --camera CAM"),
    ("restream_restart", "restream restart RST"),
    ("restream_start", "restream start RST"),
    ("restream_stop", "restream stop RST"),
    ("restream_view", "restream view RST"),
    ("role_create", "role create --name a --action camera.ptz"),
    ("role_delete", "role delete ROLE"),
    ("role_list", "role list"),
    ("role_update", "role update ROLE --name a"),
    ("role_view", "role view ROLE"),
    ("session_end", "session end SESS"),
    (
        "session_list",
        "session list --camera CAM --user USR --node NODE",
    ),
    ("session_view", "session view SESS"),
    ("signing_key_list", "signing-key list"),
    ("signing_key_revoke", "signing-key revoke KID"),
    ("signing_key_rotate", "signing-key rotate"),
    (
        "slot_list",
        "slot list --camera CAM --node NODE --role ingest --state live",
    ),
    ("stream_key_create", "stream-key create CAM --name a"),
    ("stream_key_list", "stream-key list CAM"),
    ("stream_key_revoke", "stream-key revoke SKEY"),
    ("stream_key_rotate", "stream-key rotate SKEY"),
    (
        "stream_key_update",
        "stream-key update SKEY --network 192.0.2.0/24 --any-protocol",
    ),
    ("stream_key_view", "stream-key view SKEY"),
    ("user_create", "user create --name a --max-sessions 2"),
    ("user_delete", "user delete USR"),
    ("user_group_create", "user-group create --name a"),
    ("user_group_delete", "user-group delete UGRP"),
    ("user_group_list", "user-group list"),
    ("user_group_list_of_user", "user-group list --user USR"),
    ("user_group_member_add", "user-group add UGRP USR"),
    ("user_group_member_list", "user-group members UGRP"),
    ("user_group_member_remove", "user-group remove UGRP USR"),
    ("user_group_update", "user-group rename UGRP a"),
    ("user_group_view", "user-group view UGRP"),
    ("user_link", "user link USR --provider corp --subject a"),
    ("user_list", "user list"),
    ("user_revoke_sessions", "user revoke-sessions USR"),
    ("user_unlink", "user unlink USR --provider corp --subject a"),
    (
        "user_update",
        "user update USR --enabled false --max-sessions 0",
    ),
    ("user_view", "user view USR"),
];

/// What stands for an id, the id's prefix, and its name in paths.
const IDS: &[(&str, &str, &str)] = &[
    ("USR", "usr", "user_id"),
    ("CAM", "cam", "camera_id"),
    ("KEY", "key", "api_key_id"),
    ("CGRP", "cgrp", "camera_group_id"),
    ("GRANT", "grant", "grant_id"),
    ("UGRP", "ugrp", "user_group_id"),
    ("JOIN", "join", "join_token_id"),
    ("NODE", "node", "node_id"),
    ("PKEY", "pkey", "playback_key_id"),
    ("PRJ", "prj", "project_id"),
    ("RST", "rst", "restream_id"),
    ("ROLE", "role", "role_id"),
    ("SESS", "sess", "session_id"),
    ("SKEY", "skey", "stream_key_id"),
];

const NUMBER: &str = "00000000000000000000000000000001";
const JWK: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}"#;

/// Method and path with parameters, by operation.
fn documented() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/headworks.json");
    let text = std::fs::read_to_string(path).expect("`cargo xtask openapi` writes it");
    let document: Value = serde_json::from_str(&text).expect("is JSON");
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("has paths") {
        for (method, operation) in item.as_object().expect("has methods") {
            if let Some(name) = operation["operationId"].as_str() {
                let called = format!("{} {path}", method.to_uppercase());
                operations.insert(name.to_owned(), called);
            }
        }
    }
    operations
}

/// `/v1/cameras/cam_…` as `/v1/cameras/{camera_id}`.
fn template(path: &str) -> String {
    let path = path.split('?').next().expect("has a path");
    let mut path = path.replace("KID", "{kid}");
    for (_, prefix, name) in IDS {
        path = path.replace(&format!("/{prefix}_{NUMBER}"), &format!("/{{{name}}}"));
    }
    path
}

/// A server that refuses everything and remembers what it was asked. It ends with the test.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let remember = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let line = refuse(&stream.expect("connects"));
                remember.lock().expect("not poisoned").push(line);
            }
        });
        Self { address, asked }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

/// Reads a request, refuses it, and returns `GET /path`.
fn refuse(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("is text");
        line.trim_end().to_owned()
    };
    let first = line();
    let mut length = 0;
    loop {
        let header = line().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(text) = header.strip_prefix("content-length: ") {
            length = text.parse().expect("is a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("is whole");
    let problem = r#"{"type":"about:blank","title":"Conflict","status":409,"code":"conflict","detail":"it is so"}"#;
    let head =
        "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-type: application/problem+json";
    let mut out = stream;
    write!(
        out,
        "{head}\r\ncontent-length: {}\r\n\r\n{problem}",
        problem.len()
    )
    .expect("answers");
    let mut parts = first.split(' ');
    let (method, path) = (parts.next(), parts.next());
    format!(
        "{} {}",
        method.expect("has one"),
        template(path.expect("has one"))
    )
}

#[test]
fn every_operation_has_a_command() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    let listed = COMMANDS
        .iter()
        .chain(WITHOUT)
        .map(|(name, _)| (*name).to_owned());
    assert_eq!(listed.collect::<BTreeSet<_>>(), documented);
    assert_eq!(
        COMMANDS.len() + WITHOUT.len(),
        documented.len(),
        "each once"
    );
}

#[test]
fn every_command_calls_its_operation() {
    let documented = documented();
    let server = Server::start();
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let files = BTreeMap::from([
        ("SECRET", file("secret", "correct horse battery\n")),
        ("JWK", file("jwk", JWK)),
        (
            "IMPORT",
            file("cameras.csv", "name,url\ngate,rtsp://10.0.0.1/1\n"),
        ),
    ]);
    for (operation, typed) in COMMANDS {
        let words = typed.split(' ').map(|word| {
            let id = IDS.iter().find(|(name, ..)| *name == word);
            let id = id.map(|(_, prefix, _)| format!("{prefix}_{NUMBER}"));
            id.or_else(|| files.get(word).cloned())
                .unwrap_or_else(|| word.to_owned())
        });
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_headworks"))
            .args(words)
            .args([
                "--api",
                &format!("http://{}", server.address),
                "--key",
                "hwak_a_b",
            ])
            .env_remove("HEADWORKS_API_KEY")
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(
            server.take(),
            [documented[*operation].as_str()],
            "{typed}: {stderr}"
        );
        assert_eq!(status.code(), Some(1), "{typed}: {stderr}");
        assert!(stdout.is_empty(), "{typed}");
        assert_eq!(stderr, "error: it is so\n", "{typed}");
    }
}
