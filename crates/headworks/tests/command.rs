//! The commands as their users see them: texts, streams and exit codes.

use std::{
    io::Read as _,
    net::TcpListener,
    process::{Command, Output, Stdio},
};

/// Runs `headworks` with nothing of the developer's own settings.
fn headworks(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headworks"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"HEADWORKS_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.args(arguments.split(' ')).stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("is text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn an_api_that_is_not_there_is_named_with_a_hint() {
    let (code, output, error) = run(headworks("camera list --api http://127.0.0.1:1"));
    assert_eq!(code, Some(1));
    assert_eq!(output, "");
    assert_eq!(
        error,
        "error: cannot reach http://127.0.0.1:1/: Connection refused (os error 111)\n\n\
         hint: is Headworks running there? The address comes from --api or HEADWORKS_API\n"
    );
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    for wrong in [
        "camera",
        "camera create --name gate",
        "camera view usr_00000000000000000000000000000001",
        "grant create --cluster",
        "camera create --name gate --publish --file a.mp4",
        "stream-key create --name obs",
        "stream-key create cam_00000000000000000000000000000001",
        "stream-key create cam_00000000000000000000000000000001 --name a --expires soon",
        "token issue",
        "fly",
    ] {
        let (code, output, error) = run(headworks(wrong));
        assert_eq!(code, Some(2), "{wrong}: {error}");
        assert_eq!(output, "", "{wrong}");
        assert!(error.contains("--help"), "{wrong}: {error}");
    }
}

#[test]
fn all_that_is_wrong_with_the_configuration_is_said_at_once() {
    let mut edge = headworks("edge");
    edge.env("HEADWORKS__EDGE__SITE", " ")
        .env("HEADWORKS__EDGE__HTTP_ADVERTISE", "ftp://x/")
        .env("HEADWORKS__EDGE__RTMP_ADVERTISE", "rtsp://x/")
        .env("HEADWORKS__EDGE__RTSPS_ADVERTISE", "rtsps://x/")
        .env("HEADWORKS__EDGE__RTSP_LISTEN", "[::]:1935");
    let (code, output, error) = run(edge);
    assert_eq!(code, Some(1));
    assert_eq!(output, "");
    insta::assert_snapshot!("edge_configuration", error);
}

#[test]
fn what_means_nothing_together_is_refused_in_words() {
    let (code, output, error) = run(headworks("controller --new-admin-key reseal"));
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert_eq!(
        error,
        "error: --new-admin-key is for a controller that runs; `reseal` makes no key\n\n\
         hint: run them one after the other\n"
    );
}

#[test]
fn a_key_that_nobody_knows_is_named_with_its_source() {
    let mut controller = headworks("controller");
    controller.env("HEADWORKS__CONTROLLER__LISTNE", "x");
    let (code, _, error) = run(controller);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("environment variable HEADWORKS__CONTROLLER__LISTNE"),
        "{error}"
    );
    assert!(error.contains("`listne`"), "{error}");
}

#[test]
fn keys_are_not_shown_in_the_help() {
    let mut help = headworks("camera list --help");
    help.env("HEADWORKS_API_KEY", "hwak_do_not_show");
    let (code, output, _) = run(help);
    assert_eq!(code, Some(0));
    assert!(output.contains("HEADWORKS_API_KEY"), "{output}");
    assert!(!output.contains("do_not_show"), "{output}");
}

#[test]
fn the_api_documents_are_json_with_a_final_newline() {
    for document in ["openapi", "openapi --edge"] {
        let (code, output, error) = run(headworks(document));
        assert_eq!((code, error.as_str()), (Some(0), ""));
        assert!(output.ends_with("}\n") && !output.ends_with("\n\n"));
        serde_json::from_str::<serde_json::Value>(&output).expect("is JSON");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = headworks("openapi")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    let mut error = String::new();
    let mut stderr = child.stderr.take().expect("is piped");
    stderr.read_to_string(&mut error).expect("is text");
    assert!(child.wait().expect("ends").success(), "{error}");
    assert_eq!(error, "");
}

#[test]
fn an_edge_says_which_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut edge = headworks("edge");
    edge.env("HEADWORKS__EDGE__DATA", directory.path())
        .env("HEADWORKS__EDGE__CONTROLLER_URL", "https://127.0.0.1:1")
        .env("HEADWORKS__EDGE__HTTP_LISTEN", &address);
    let (code, _, error) = run(edge);
    assert_eq!(code, Some(1));
    assert!(
        error.ends_with(&format!(
            "error: edge.http_listen: {address} is in use by another program; choose another port\n"
        )),
        "{error}"
    );
}
