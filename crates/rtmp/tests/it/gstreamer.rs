//! GStreamer, whose RTMP is neither FFmpeg's nor librtmp's, publishes and plays.

use std::{process::Command, thread, time::Duration};

use anyhow::Context;
use headworks_rtmp::MediaKind;
use headworks_testkit::{Process, Signal, Stream};

use crate::socket::{listen, record, replay};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a pipeline to its end. Prints how many buffers came to the element named `count`.
const RUN: &str = r#"
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipeline = Gst.parse_launch(sys.argv[1])
seen = 0
def count(pad, info):
    global seen
    seen += 1
    return Gst.PadProbeReturn.OK
counter = pipeline.get_by_name("count")
if counter:
    counter.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
pipeline.set_state(Gst.State.PLAYING)
ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
message = pipeline.get_bus().timed_pop_filtered(50 * Gst.SECOND, ends)
if message is None or message.type == Gst.MessageType.ERROR:
    sys.exit("no end" if message is None else str(message.parse_error()))
pipeline.set_state(Gst.State.NULL)
print(seen)
"#;

/// What it printed comes through `said`.
fn run(pipeline: &str) -> anyhow::Result<(Process, std::sync::mpsc::Receiver<String>)> {
    let (print, said) = std::sync::mpsc::channel();
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", RUN, pipeline]);
    let process = Process::spawn(command, Signal::Kill, move |stream, line| {
        if stream == Stream::Output {
            let _ = print.send(line.to_owned());
        }
    })?;
    Ok((process, said))
}

#[test]
fn gstreamer_publishes_and_plays() -> anyhow::Result<()> {
    let (listener, port) = listen();
    let (mut publisher, _) = run(&format!(
        "videotestsrc num-buffers=75 ! video/x-raw,width=640,height=360,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse \
         ! flvmux name=mux streamable=true \
         ! rtmp2sink location=rtmp://127.0.0.1:{port}/live/cam?key=k \
         audiotestsrc num-buffers=130 ! audio/x-raw,rate=44100,channels=2 ! voaacenc \
         ! aacparse ! mux."
    ))?;
    let recording = record(&listener).with_context(|| publisher.tail())?;
    let status = publisher.wait(PATIENCE).context("it does not end")?;
    assert!(status.success(), "{}", publisher.tail());
    let target = &recording.target;
    assert_eq!((&*target.app, &*target.name), ("live", "cam"));
    assert_eq!(target.query.parameter("key").as_deref(), Some("k"));
    let count = |kind| {
        recording
            .media
            .iter()
            .filter(|media| media.kind == kind)
            .count()
    };
    // A picture in a message each, and what the muxer puts around them.
    assert!((76..=77).contains(&count(MediaKind::Video)));
    assert!(count(MediaKind::Audio) > 120);

    let (listener, port) = listen();
    let pictures = thread::scope(|scope| {
        let server = scope.spawn(|| replay(&listener, &recording.media));
        let (mut player, said) = run(&format!(
            "rtmp2src location=rtmp://127.0.0.1:{port}/live/cam ! flvdemux name=demux \
             demux.video ! queue ! h264parse ! fakesink name=count"
        ))?;
        player.wait(PATIENCE).context("it does not end")?;
        server.join().expect("no panic")?;
        said.try_recv().with_context(|| player.tail())
    })?;
    assert_eq!(pictures, "75");
    Ok(())
}
