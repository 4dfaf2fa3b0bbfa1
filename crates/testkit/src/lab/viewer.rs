//! Somebody who watches a numbered camera, and connects anew when that ends.
//!
//! A numbered camera paints the number of each picture into a strip at the top: 20 blocks, 15 bits
//! of the number, 4 of a check, and a grey one. FFmpeg decodes the pictures and turns each strip into
//! a line of text: dark is `0`, bright is `1`, and grey is the line's end. What was decoded is so
//! known picture by picture, through all that encoders and servers do to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{History, What};
use crate::{Place, Process, Signal, Stream, tool, wait_until};

const BITS: usize = 19;
/// Numbers begin again after so many.
const NUMBERS: u64 = 1 << 15;
/// Before it connects anew.
const PAUSE: Duration = Duration::from_millis(300);

/// A running viewer. It ends when this is dropped.
#[derive(Debug)]
pub struct Viewer {
    name: String,
    /// One more than the last number that it has seen.
    seen: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Viewer {
    /// Watches what `url` gives, asked anew for each connection, and writes what it sees into the
    /// history as `name`. Without bytes for `patience` the player gives up.
    pub fn start(
        name: &str,
        place: Place,
        patience: Duration,
        history: &History,
        mut url: impl FnMut() -> Option<String> + Send + 'static,
    ) -> Self {
        let (seen, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (history, actor) = (history.clone(), name.to_owned());
        let (last, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(url) = url() {
                    watch(&actor, &place, patience, &url, &history, &last, &stopped);
                }
                thread::sleep(PAUSE);
            }
        });
        Self {
            name: name.to_owned(),
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// What it is called in the history.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it has seen a picture with at least this number.
    pub fn wait_for(&self, number: u64, limit: Duration) -> anyhow::Result<()> {
        let what = format!("{} sees picture {number}", self.name);
        wait_until(what, limit, || {
            (self.seen.load(Ordering::Relaxed) > number).then_some(())
        })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection, until it ends or is told to.
fn watch(
    actor: &str,
    place: &Place,
    patience: Duration,
    url: &str,
    history: &History,
    last: &Arc<AtomicU64>,
    stopped: &AtomicBool,
) {
    let mut command = place.command(tool::FFMPEG);
    let micros = patience.as_micros().to_string();
    command.args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "error"]);
    if url.starts_with("rtsp") {
        command.args(["-rtsp_transport", "tcp", "-timeout", &micros]);
    } else {
        command.args(["-rw_timeout", &micros]);
    }
    command
        // With more threads, a decoder keeps pictures back until others come. It knows the codec
        // within a picture or two.
        .args(["-threads", "1"])
        .args(["-probesize", "64k", "-analyzeduration", "500k", "-i", url])
        .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-vf"])
        .arg(format!(
            "crop=iw:16:0:0,scale={}:1:flags=area,format=gray,\
             lut=y='if(lt(val,80),48,if(gt(val,176),49,10))'",
            BITS + 1
        ))
        .args(["-flush_packets", "1", "-f", "rawvideo", "pipe:1"]);
    let (writer, name, seen) = (history.clone(), actor.to_owned(), Arc::clone(last));
    let now = history.clone();
    let player = Process::spawn(command, Signal::Kill, move |stream, line| {
        if stream == Stream::Output {
            let picture = read(line).map(|number| unwrap(number, now.pictures()));
            if let Some(number) = picture {
                seen.fetch_max(number + 1, Ordering::Relaxed);
            }
            writer.write(
                &name,
                picture.map_or(What::Broken, |number| What::Picture { number }),
            );
        }
    });
    let Ok(mut player) = player else {
        return;
    };
    history.write(actor, What::Connected { url: base(url) });
    while !stopped.load(Ordering::Relaxed) {
        if player.wait(Duration::from_millis(100)).is_some() {
            let why = player.tail().lines().last().unwrap_or("").to_owned();
            return history.write(actor, What::Ended { why });
        }
    }
}

/// Without the token.
fn base(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// The number in the strip, if that is whole.
fn read(strip: &str) -> Option<u64> {
    let word = (strip.len() == BITS).then(|| u64::from_str_radix(strip, 2).ok())??;
    let (number, check) = (word >> 4, word & 15);
    let wanted = (number ^ number >> 4 ^ number >> 8 ^ number >> 12) & 15;
    (check == wanted).then_some(number)
}

/// The one of the numbers that end so which is nearest to what the camera makes now.
fn unwrap(number: u64, now: u64) -> u64 {
    let turn = now / NUMBERS;
    [turn.saturating_sub(1), turn, turn + 1]
        .map(|turn| turn * NUMBERS + number)
        .into_iter()
        .min_by_key(|one| one.abs_diff(now))
        .unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_read_and_checked() {
        // 0b101_1010_0011 = 1443: 3 ^ 10 ^ 5 = 12.
        assert_eq!(read("0000101101000111100"), Some(1443));
        assert_eq!(read("0000101101000111101"), None, "one bit is wrong");
        assert_eq!(read("000010110100011110"), None, "too short");
        assert_eq!(read(""), None);
    }

    #[test]
    fn numbers_that_began_again_are_told_apart() {
        assert_eq!(unwrap(5, 100), 5);
        assert_eq!(unwrap(32_767, 32_770), 32_767);
        assert_eq!(unwrap(2, 32_770), 32_770);
        assert_eq!(unwrap(1, 65_535), 65_537);
    }
}
