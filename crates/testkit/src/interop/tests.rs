//! The judge itself: what is good passes, and whatever is not good does not.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{Clip, Direction, Outcome, Row, play, rows, watch::watch};
use crate::tool;

const SECONDS: u32 = 4;

/// A row that wants B-frames and sound.
fn row() -> Row {
    let mut rows = rows().into_iter();
    let row = rows.find(|row| row.direction() == Direction::In && row.clip == Clip::H264_B);
    row.expect("there is one")
}

fn judge(path: &Path) -> anyhow::Result<Outcome> {
    let input = play::input(&[], &path.display().to_string());
    let seen = watch(Command::new(tool::FFMPEG), &input, SECONDS)?;
    Ok(row().judge(&seen, SECONDS))
}

/// The same packets, changed by these words of FFmpeg: options of the clip as its first input, and
/// of the output.
fn changed(clip: &Path, name: &str, input: &[&str], output: &[&str]) -> PathBuf {
    let path = clip.with_file_name(name);
    let done = Command::new(tool::FFMPEG)
        .args(["-nostdin", "-v", "error"])
        .args(input)
        .arg("-i")
        .arg(clip)
        .arg("-i")
        .arg(clip)
        .args(["-map", "0:v", "-map", "1:a", "-c", "copy"])
        .args(output)
        .arg(&path)
        .status();
    assert!(done.expect("ffmpeg runs").success(), "{name}");
    path
}

#[test]
fn what_is_good_passes_and_nothing_else() {
    let directory = tempfile::tempdir().expect("can be made");
    let clip = directory.path().join("clip.mkv");
    Clip::H264_B.make(&clip, SECONDS + 1).expect("is made");
    let good = judge(&clip).expect("is decoded");
    assert!(good.passed(), "{good:?}");
    assert_eq!(good.composition, Some(true));
    let offset = good.offset_ms.expect("is measured");
    assert!(offset.abs() <= 40.0, "{offset}");

    let early = ["-itsoffset", "-0.12"];
    let lost = ["-bsf:v", "setts=pts=DTS"];
    for (name, input, output, reason) in [
        ("early.mkv", &early[..], &[][..], "ms off"),
        ("lost.flv", &[], &lost, "composition times"),
        ("noise.mkv", &[], &["-bsf:v", "noise=200"], "[error]"),
        ("short.mkv", &[], &["-t", "2"], "pictures in 4 s"),
    ] {
        let bad = judge(&changed(&clip, name, input, output)).expect("opens");
        assert!(!bad.passed(), "{name}: {bad:?}");
        assert!(bad.reason().contains(reason), "{name}: {}", bad.reason());
    }
}

#[test]
fn garbage_is_no_stream() {
    let directory = tempfile::tempdir().expect("can be made");
    let path = directory.path().join("garbage.flv");
    std::fs::write(&path, [0x55; 65_536]).expect("can be written");
    let error = judge(&path).expect_err("nobody can decode this");
    let outcome = Outcome::of_error(&error);
    assert!(!outcome.passed());
    assert!(!outcome.reason().is_empty());
}
