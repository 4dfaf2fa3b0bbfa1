//! `cargo xtask demo`: the whole product on this machine, to look at.

pub(crate) mod check;

use std::time::Duration;

use headworks_testkit::Interrupt;

use crate::{
    api::Api,
    cargo, setup,
    stage::{PASSWORD, Stage, USER, USERNAME},
};

/// How long the printed tokens open a session; the longest that the API gives.
const TOKEN_SECONDS: u32 = 600;

/// Runs the demo until Ctrl-C and leaves nothing behind.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::packages()?;
    let binary = cargo::build_headworks(false)?;
    let interrupt = Interrupt::hold()?;
    println!("demo: starting headworks and two cameras …");
    let stage = Stage::set(binary)?;
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
    let foreign = hers.hls.replace(&gate.id, &yard.id);
    let bare = hers.hls.split('?').next().unwrap_or_default();
    let body = Api::token_body(Some(user), &gate.id, TOKEN_SECONDS);
    let Api { url, key } = api;
    println!(
        "
Headworks is up with two cameras. Both ask for {USERNAME} / {PASSWORD} (Digest).

  gate   H.264 + AAC            {}
  yard   H.265 + G.711 A-law    {}

Watch gate as {USER}, who has a grant on this camera only.

  browser   {}

  ffplay    ffplay -fflags nobuffer '{}'

  curl      curl '{}'

Watch yard with the admin key's own token.

  browser   {}

  ffplay    ffplay '{}'

No token, no picture: 401 without one, and 403 with {USER}'s token on the other camera.

  curl -i '{bare}'

  curl -i '{foreign}'

A token opens a picture for {} minutes. For a new one:

  curl '{url}/v1/playback_tokens' -H 'Authorization: Bearer {key}' \\
       -H 'Content-Type: application/json' -d '{body}'

  API       {url}
  its docs  {url}/docs
  admin key {key}

Ctrl-C ends everything.",
        gate.camera.url(),
        yard.camera.url(),
        hers.page,
        hers.flv,
        hers.hls,
        ours.page,
        ours.hls,
        TOKEN_SECONDS / 60,
    );
    Ok(())
}
