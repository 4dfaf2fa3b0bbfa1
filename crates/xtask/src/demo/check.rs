//! `cargo xtask demo --check`: proves with foreign decoders that the demo works.

use std::time::Duration;

use anyhow::{bail, ensure};
use headworks_testkit::{Interrupt, Player, Seen, Stopwatch, http, judge, wait_until};

use crate::{
    api::Urls,
    cargo, setup,
    stage::{self, Stage},
};

/// How much of each stream is decoded.
const SECONDS: u32 = 4;
/// The cameras send 15 pictures a second; the first ones may be spent on finding a key frame.
const PICTURES: u64 = 40;
/// A killed camera that is back must be seen again within this.
const BACK: Duration = Duration::from_secs(10);

/// Prints a line for every promise; an error if one is broken.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::packages()?;
    setup::modern_ffmpeg()?;
    let binary = cargo::build_headworks(false)?;
    let interrupt = Interrupt::hold()?;
    println!("demo: starting headworks and two cameras …");
    let mut stage = Stage::set(binary, stage::any_addresses())?;
    let mut list = CheckList {
        interrupt,
        broken: 0,
    };
    pictures(&mut list, &stage)?;
    refusals(&mut list, &stage)?;
    comeback(&mut list, &mut stage)?;
    drop(stage);
    if list.broken > 0 {
        bail!("{} of the checks failed", list.broken);
    }
    println!("demo: everything works");
    Ok(())
}

fn pictures(list: &mut CheckList, stage: &Stage) -> anyhow::Result<()> {
    let gate = stage
        .api
        .token_issue(Some(&stage.user), &stage.gate.id, 600)?;
    let yard = stage.api.token_issue(None, &stage.yard.id, 600)?;
    list.check("gate, HLS: H.264 and AAC (ffprobe)", || {
        judged(&judge::probe(&gate.hls, SECONDS)?, ["h264", "aac"])
    })?;
    list.check("gate, FLV: H.264 and AAC (ffprobe)", || {
        judged(&judge::probe(&gate.flv, SECONDS)?, ["h264", "aac"])
    })?;
    list.check("gate, RTMP: H.264 and AAC (FFmpeg)", || {
        judged(&judge::decode(&gate.rtmp, SECONDS)?, ["h264", "aac"])
    })?;
    list.check("gate, RTSP: H.264 and AAC (FFmpeg)", || {
        judged(&judge::decode(&gate.rtsp, SECONDS)?, ["h264", "aac"])
    })?;
    list.check("yard, HLS: H.265, and AAC made of G.711 (FFmpeg)", || {
        judged(&judge::decode(&yard.hls, SECONDS)?, ["hevc", "aac"])
    })?;
    list.check("yard, FLV: H.265 and the same AAC (newer FFmpeg)", || {
        judged(&judge::decode_modern(&yard.flv, SECONDS)?, ["hevc", "aac"])
    })?;
    list.check("yard, RTSP: H.265 and its own G.711 (FFmpeg)", || {
        judged(&judge::decode(&yard.rtsp, SECONDS)?, ["hevc", "pcm_alaw"])
    })
}

/// Enough pictures, sound if there should be, the right codecs, and not one complaint.
fn judged<const N: usize>(seen: &Seen, codecs: [&str; N]) -> anyhow::Result<String> {
    ensure!(seen.errors.is_empty(), "{}", seen.errors.join("\n"));
    ensure!(
        seen.codecs() == codecs,
        "the codecs are {:?}",
        seen.codecs()
    );
    ensure!(seen.pictures() >= PICTURES, "{} pictures", seen.pictures());
    let counts: Vec<_> = seen.tracks.iter().map(|t| t.frames.to_string()).collect();
    ensure!(
        seen.tracks.iter().all(|track| track.frames > 0),
        "{counts:?}"
    );
    Ok(format!("{} frames, no error", counts.join(" + ")))
}

fn refusals(list: &mut CheckList, stage: &Stage) -> anyhow::Result<()> {
    let Stage {
        api, gate, yard, ..
    } = stage;
    let good = api.token_issue(Some(&stage.user), &gate.id, 600)?;
    list.check("the user's token on the other camera: 403", || {
        for url in [&good.hls, &good.flv, &good.page] {
            refused(&url.replace(&gate.id, &yard.id), 403)?;
        }
        Ok("at the edge".to_owned())
    })?;
    list.check("a token of the user for the other camera: 403", || {
        let (status, code) = api.token_refusal(&stage.user, &yard.id)?;
        ensure!(status == 403, "HTTP {status} {code}");
        Ok("at the controller".to_owned())
    })?;
    list.check("no token: 401", || {
        for url in [&good.hls, &good.flv, &good.page] {
            refused(url.split('?').next().unwrap_or_default(), 401)?;
        }
        Ok(String::new())
    })?;
    list.check("a tampered token: 401", || {
        refused(&good.hls.replace(&good.token, &tampered(&good)), 401)?;
        Ok(String::new())
    })?;
    list.check("an expired token: 401", || {
        let short = api.token_issue(Some(&stage.user), &gate.id, 1)?;
        let watch = Stopwatch::start();
        // Whole seconds, and two more in which an edge's clock may be behind.
        wait_until("the edge refuses it", Duration::from_secs(6), || {
            refused(&short.hls, 401).ok()
        })?;
        Ok(format!(
            "issued for 1 s, {:.1} s ago",
            watch.elapsed().as_secs_f32()
        ))
    })
}

/// The token with another signature: one character in its middle is changed, since the last one
/// carries padding bits that nobody reads.
fn tampered(urls: &Urls) -> String {
    let mut token: Vec<char> = urls.token.chars().collect();
    let at = urls.token.rfind('.').unwrap_or_default() + 10;
    if let Some(character) = token.get_mut(at) {
        *character = if *character == 'A' { 'B' } else { 'A' };
    }
    token.into_iter().collect()
}

fn refused(url: &str, status: u16) -> anyhow::Result<()> {
    let answer = http::get(url)?;
    ensure!(answer.status == status, "HTTP {} for {url}", answer.status);
    ensure!(
        answer.header("content-type") == Some("application/problem+json"),
        "the answer is {:?}",
        answer.header("content-type")
    );
    Ok(())
}

fn comeback(list: &mut CheckList, stage: &mut Stage) -> anyhow::Result<()> {
    let urls = stage
        .api
        .token_issue(Some(&stage.user), &stage.gate.id, 600)?;
    list.check(
        "a killed camera comes back while an FLV viewer stays",
        || {
            let mut viewer = Player::start(&urls.flv)?;
            viewer.wait_for_pictures(15, Duration::from_secs(15))?;
            stage.gate.camera.kill();
            let before = viewer.seen().pictures();
            stage.gate.camera.restart()?;
            let watch = Stopwatch::start();
            viewer.wait_for(BACK, |seen| seen.pictures() >= before + 30)?;
            Ok(format!(
                "two seconds of picture after {:.1} s",
                watch.elapsed().as_secs_f32()
            ))
        },
    )?;
    list.check("and HLS goes on as well (ffprobe)", || {
        let seen = judge::probe(&urls.hls, SECONDS)?;
        ensure!(seen.pictures() >= 15, "{seen:?}");
        Ok(format!("{} pictures", seen.pictures()))
    })
}

/// Prints a line for each check.
struct CheckList {
    interrupt: Interrupt,
    broken: u32,
}

impl CheckList {
    /// Runs one check; its text says more on the same line. Only Ctrl-C ends the list early.
    fn check(
        &mut self,
        promise: &str,
        look: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let result = look();
        if self.interrupt.wait(Duration::ZERO) {
            bail!("interrupted");
        }
        match result {
            Ok(more) => println!("  ✓ {promise:<56} {more}"),
            Err(error) => {
                self.broken += 1;
                println!("  ✗ {promise}");
                for line in format!("{error:#}").lines() {
                    println!("      {line}");
                }
            }
        }
        Ok(())
    }
}
