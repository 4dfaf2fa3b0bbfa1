//! Files as cameras.

use std::{path::Path, process::Command};

use headworks_testkit::tool;

use super::*;

/// Lets FFmpeg make a file.
fn make(path: &Path, arguments: &str) {
    let made = Command::new(tool::FFMPEG)
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .args(arguments.split_whitespace())
        .arg(path)
        .status()
        .expect("runs");
    assert!(made.success());
}

fn world(files: Option<&Path>) -> World {
    World::with(Config {
        files: files.map(Path::to_owned),
        retry_min: Duration::from_millis(50),
        retry_max: Duration::from_millis(200),
        ..Config::default()
    })
}

fn file(path: &str) -> Job {
    let mut job = slot("rtsp://unused/", None);
    job.work.source = CameraSource::File {
        path: path.to_owned(),
    };
    job
}

#[test]
fn the_files_of_a_folder_play_in_turn_and_viewers_stay() {
    let directory = tempfile::tempdir().expect("makes one");
    let folder = directory.path().join("demo 1");
    std::fs::create_dir(&folder).expect("makes one");
    make(
        &folder.join("a.mp4"),
        "testsrc=s=320x240:r=15:d=2 -f lavfi -i sine=d=2 -c:v libx264 -bf 2 -g 15 -c:a aac -shortest",
    );
    make(
        &folder.join("b: 2.mkv"),
        "testsrc2=s=160x120:r=15:d=2 -f lavfi -i sine=d=2 -c:v libx264 -g 15 -c:a pcm_s16le",
    );
    std::fs::write(folder.join("c.mp4"), "no media").expect("writes");
    std::fs::write(folder.join("notes.txt"), "nothing to play").expect("writes");
    let world = world(Some(directory.path()));
    world.start(file("demo 1"));
    let report = world.wait_for(SlotState::Live);
    assert_eq!(report.message, "H.264 320x240, AAC; a.mp4");
    let mut player = Player::start(&world.url("stream.flv")).expect("starts");
    // Two rounds: the files have 30 pictures each.
    let seen = player.wait_for_pictures(120, LIMIT).expect("plays on");
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert_eq!(seen.errors, Vec::<String>::new());
    world.stop();
}

#[test]
fn what_cannot_be_played_is_said_in_words() {
    let directory = tempfile::tempdir().expect("makes one");
    let media = directory.path().join("media");
    std::fs::create_dir(&media).expect("makes one");
    let picture = "testsrc=s=160x120:r=15:d=1";
    let outside = directory.path().join("outside.mp4");
    make(&outside, &format!("{picture} -c:v libx264"));
    std::os::unix::fs::symlink(&outside, media.join("link.mp4")).expect("links");
    make(
        &media.join("old.mpg"),
        &format!("{picture},fps=25 -c:v mpeg2video"),
    );
    make(&media.join("sound.mp4"), "sine=d=1 -c:a aac");
    // What names other files is no media here.
    std::fs::write(
        media.join("list.ts"),
        format!("ffconcat version 1.0\nfile '{}'\n", outside.display()),
    )
    .expect("writes");
    for (files, path, words) in [
        (
            None,
            "a.mp4",
            "this edge plays no files: edge.pull.files is not set",
        ),
        (Some(&media), "none.mp4", "there is no such file"),
        (
            Some(&media),
            "../outside.mp4",
            "a link leads out of the media directory",
        ),
        (
            Some(&media),
            "link.mp4",
            "a link leads out of the media directory",
        ),
        (Some(&media), "old.mpg", "unsupported codec mpeg2video"),
        (Some(&media), "sound.mp4", "camera has no video track"),
        (Some(&media), "list.ts", "is no media: "),
    ] {
        let world = world(files.map(std::path::PathBuf::as_path));
        world.start(file(path));
        let message = world.wait_for(SlotState::Failed).message;
        assert!(message.starts_with(words), "{path}: {message}");
        world.stop();
    }
}
