//! `cargo xtask demo`: the whole product on this machine, to look at.

pub(crate) mod check;

use std::{io::IsTerminal, time::Duration};

use headworks_testkit::Interrupt;

use crate::{
    api::Api,
    cargo, setup,
    stage::{self, PASSWORD, Stage, USER, USERNAME},
};

/// How long the printed tokens open a session; the longest that the API gives.
const TOKEN_SECONDS: u32 = 600;

/// Runs the demo until Ctrl-C and leaves nothing behind.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::packages()?;
    let binary = cargo::build_headworks(false)?;
    let interrupt = Interrupt::hold()?;
    println!("demo: starting headworks and two cameras …");
    let stage = Stage::set(binary, stage::known_addresses())?;
    print_card(&stage)?;
    while !interrupt.wait(Duration::from_secs(3600)) {}
    println!("\ndemo: stopping …");
    drop(stage);
    println!("demo: nothing is left behind");
    Ok(())
}

fn print_card(stage: &Stage) -> anyhow::Result<()> {
    let Stage {
        api,
        gate,
        yard,
        user,
        ..
    } = stage;
    let hers = api.token_issue(Some(user), &gate.id, TOKEN_SECONDS)?;
    let ours = api.token_issue(None, &yard.id, TOKEN_SECONDS)?;
    let without = hers.hls.split('?').next().unwrap_or_default();
    let again = Api::token_body(Some(user), &gate.id, TOKEN_SECONDS);
    let refused = Api::token_body(Some(user), &yard.id, TOKEN_SECONDS);
    let Api { url, key } = api;
    let (bold, plain) = if std::io::stdout().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    println!(
        "
{bold}Headworks is up, with two cameras.{plain} Both ask for {USERNAME} / {PASSWORD} (Digest).

  gate   H.264 + AAC           {}
  yard   H.265 + G.711 A-law   {}

{bold}Watch gate{plain} as {USER}, who has a grant on this camera only.

  {bold}browser{plain}
{}

  {bold}ffplay{plain}, by HTTP-FLV, RTMP or RTSP
ffplay -fflags nobuffer '{}'
ffplay -fflags nobuffer '{}'
ffplay -fflags nobuffer '{}'

  {bold}curl{plain}
curl '{}'

{bold}Watch yard{plain} as the administrator, in a browser that knows H.265.

{}

{bold}No token, no picture.{plain} The edge answers 401:

curl -i '{without}'

{USER} gets no token for yard. The controller answers 403:

curl -i {url}/v1/playback_tokens -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' -d '{refused}'

{bold}A token opens a picture for {} minutes.{plain} For a new one:

curl {url}/v1/playback_tokens -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' -d '{again}'

  API         {url}
  reference   {url}/docs
  admin key   {key}

Ctrl-C ends everything.",
        gate.camera.url(),
        yard.camera.url(),
        hers.page,
        hers.flv,
        hers.rtmp,
        hers.rtsp,
        hers.hls,
        ours.page,
        TOKEN_SECONDS / 60,
    );
    Ok(())
}
