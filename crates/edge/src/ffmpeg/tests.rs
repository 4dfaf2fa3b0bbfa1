use headworks_testkit::tool;
use tokio::io::AsyncWriteExt as _;

use super::*;

fn ffmpeg(tasks: &Tasks) -> Ffmpeg {
    let config = Config {
        program: tool::FFMPEG.into(),
        ..Config::default()
    };
    Ffmpeg::new(config, tasks.clone())
}

#[tokio::test]
async fn bytes_go_through() {
    let tasks = Tasks::new();
    // Half a second of silence in A-law, as 16-bit samples.
    let arguments = "-f alaw -ar 8000 -ac 1 -i pipe:0 -f s16le -ar 8000 pipe:1";
    let mut child = ffmpeg(&tasks)
        .start("test", arguments.split(' '))
        .expect("starts");
    let mut input = child.input.take().expect("has one");
    input.write_all(&[0xd5; 4000]).await.expect("reads");
    drop(input);
    let mut out = Vec::new();
    child.output.read_to_end(&mut out).await.expect("writes");
    assert_eq!(out.len(), 8000);
    assert_eq!(child.end().await, "FFmpeg has ended");
    tasks.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn the_end_of_a_child_is_explained() {
    let tasks = Tasks::new();
    let arguments = ["-i", "/nowhere/at/all.mp4", "-f", "null", "-"];
    let mut child = ffmpeg(&tasks).start("test", arguments).expect("starts");
    let mut nothing = Vec::new();
    child.output.read_to_end(&mut nothing).await.expect("ends");
    let words = child.end().await;
    assert!(words.starts_with("FFmpeg ended with status "), "{words}");
    assert!(words.contains("No such file or directory"), "{words}");
    tasks.shutdown(Duration::from_secs(10)).await;
}

/// A grandchild speaks when the child is gone, or never.
#[tokio::test]
async fn the_last_words_are_waited_for_but_not_for_ever() {
    let tasks = Tasks::new();
    let told = |script: &'static str| {
        let config = Config {
            program: "/bin/sh".into(),
            ..Config::default()
        };
        let mut command = Command::new(config.program.clone());
        command.args(["-c", script]);
        let child = Ffmpeg::new(config, tasks.clone()).spawn("test", command);
        child.expect("starts").end()
    };
    // As long as nobody has waited for the child, its number is taken.
    let late = told("(while kill -0 $$ 2>&-; do :; done; echo late >&2) & exit 3").await;
    assert_eq!(late, "FFmpeg ended with status 3: late");
    let never = timeout(PATIENCE, told("sleep 60 & echo $! >&2; exit 3"));
    let words = never.await.expect("is not waited for");
    let grandchild = words.strip_prefix("FFmpeg ended with status 3: ");
    let grandchild = grandchild.expect("told its number");
    let killed = std::process::Command::new("kill").arg(grandchild).status();
    assert!(killed.expect("runs").success());
    tasks.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_child_that_is_dropped_is_killed() {
    let tasks = Tasks::new();
    let arguments = "-re -f lavfi -i anullsrc -f null -".split(' ');
    let child = ffmpeg(&tasks).start("test", arguments).expect("starts");
    drop(child);
    // Its log ends with it, which the tasks wait for.
    tasks.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    let config = Config {
        program: "/nowhere/ffmpeg".into(),
        ..Config::default()
    };
    let tasks = Tasks::new();
    let error = Ffmpeg::new(config, tasks).start("test", ["-version"]);
    assert_eq!(
        error.expect_err("is not there").kind(),
        io::ErrorKind::NotFound
    );
}

#[test]
fn what_is_installed_can_be_executed() {
    let folder = tempfile::tempdir().expect("makes a directory");
    let config = |program: &str| Config {
        program: folder.path().join(program),
        ..Config::default()
    };
    let make = |name: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, "").expect("writes");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("sets");
    };
    assert_eq!(config("ffmpeg").are_installed(), (false, false));
    make("ffmpeg", 0o644);
    assert_eq!(config("ffmpeg").are_installed(), (false, false));
    make("ffmpeg", 0o755);
    assert_eq!(config("ffmpeg").are_installed(), (true, false));
    make("ffprobe", 0o755);
    assert_eq!(config("ffmpeg").are_installed(), (true, true));
    let shell = Config {
        program: "sh".into(),
        ..Config::default()
    };
    assert!(shell.are_installed().0, "it is in PATH");
}
