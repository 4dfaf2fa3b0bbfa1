//! The task that owns the FFmpeg which encodes the sound of one stream.
//!
//! It ends when its input does, and by itself when nobody has needed AAC for a while. An FFmpeg
//! that ends before is started again.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headworks_bootstrap::Clock;
use headworks_media::{AudioParameters, aac::AdtsReader};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Made, Packet, length, marks::Marks, matroska};
use crate::{
    backoff::{self, Backoff},
    ffmpeg::Ffmpeg,
    hub::{AAC_RATE, Stream},
};

/// An FFmpeg that takes nothing for this long hangs …
const STALL: Duration = Duration::from_secs(10);
/// … and so does one that owes this much of AAC, in ticks of its clock.
const DEBT: i64 = 30 * AAC_RATE as i64;

/// One that has run for this long was well.
const WELL: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Encoder {
    pub(super) ffmpeg: Ffmpeg,
    pub(super) sound: AudioParameters,
    /// What is buffered already.
    pub(super) past: Vec<Packet>,
    pub(super) input: mpsc::Receiver<Packet>,
    pub(super) output: mpsc::Sender<Made>,
    pub(super) stop: CancellationToken,
    pub(super) clock: Clock,
}

impl Encoder {
    /// Runs as long as somebody needs it.
    pub(super) async fn run(mut self, stream: Arc<Stream>) {
        let (stop, idle) = (self.stop.clone(), self.ffmpeg.idle());
        tokio::select! {
            () = stop.cancelled() => {}
            () = nobody_needs_it(&stream, idle) => {}
            () = self.encode() => {}
        }
    }

    /// Until the input ends.
    async fn encode(&mut self) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        loop {
            let started = self.clock.monotonic();
            let why = match self.session().await {
                Ok(()) => return,
                Err(why) => why,
            };
            if self.clock.monotonic() - started > WELL {
                backoff.reset();
            }
            if self.output.send(Made::Failed(why)).await.is_err() {
                return;
            }
            // What comes meanwhile is lost; it is not worth to be late for.
            let wait = sleep(backoff.next(backoff::random()));
            let drain = async { while self.input.recv().await.is_some() {} };
            tokio::select! {
                () = wait => {}
                () = drain => return,
            }
        }
    }

    /// One FFmpeg, from its start to its end. An error says what it died of.
    async fn session(&mut self) -> Result<(), String> {
        let channels = self.sound.channels();
        let started = self.ffmpeg.start("sound", arguments(channels));
        let mut child = started.map_err(|error| format!("FFmpeg does not start: {error}"))?;
        let Some(input) = child.input.take() else {
            return Err("FFmpeg has no input".to_owned());
        };
        let marks = Mutex::new(Marks::new(self.sound.clock_rate()));
        let past = std::mem::take(&mut self.past);
        let feed = feed(&self.sound, past, &mut self.input, input, &marks);
        let read = read(&mut child.output, &self.output, &marks);
        let outcome = tokio::select! {
            fed = feed => fed,
            read = read => read.map(|never| match never {}),
        };
        match outcome {
            Ok(()) => Ok(()),
            // Its own last words explain it best.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(child.end().await),
            Err(error) => Err(format!("FFmpeg encodes no sound: {error}")),
        }
    }
}

/// Returns when nobody has needed AAC for so long.
async fn nobody_needs_it(stream: &Stream, limit: Duration) {
    let mut demand = stream.aac_demand();
    loop {
        // The stream has the other end.
        let _ = demand.wait_for(|viewers| *viewers == 0).await;
        if timeout(limit, demand.wait_for(|viewers| *viewers > 0))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Matroska in, ADTS out, at once. What the sound lacks by its timestamps is filled with silence,
/// so that the number of samples keeps to them. Not `-fflags nobuffer`: it loses what FFmpeg looks
/// at to find out what there is.
fn arguments(channels: u8) -> Vec<String> {
    let bitrate = u32::from(channels) * 64;
    let text = format!(
        "-flags low_delay -probesize 32 -analyzeduration 0 -threads 1 -f matroska -i pipe:0 -vn \
         -af aresample=async=1:min_hard_comp=0.02:first_pts=0 \
         -c:a aac -ar {AAC_RATE} -ac {channels} -b:a {bitrate}k -flush_packets 1 -f adts pipe:1"
    );
    text.split(' ').map(str::to_owned).collect()
}

/// Returns when there is nothing more to feed.
async fn feed(
    sound: &AudioParameters,
    past: Vec<Packet>,
    packets: &mut mpsc::Receiver<Packet>,
    mut input: ChildStdin,
    marks: &Mutex<Marks>,
) -> io::Result<()> {
    write(&mut input, &matroska::head(sound).unwrap_or_default()).await?;
    let mut past = past.into_iter();
    loop {
        let next = match past.next() {
            Some(packet) => Some(packet),
            None => packets.recv().await,
        };
        let Some(packet) = next else { return Ok(()) };
        let Some(length) = length(sound, &packet.payload) else {
            continue;
        };
        let (time, debt) = {
            let mut marks = lock(marks);
            (marks.feed(packet.stamp, length), marks.ahead())
        };
        if debt > DEBT {
            return Err(io::Error::other("it takes sound and gives none"));
        }
        write(&mut input, &matroska::packet(time, &packet.payload)).await?;
    }
}

async fn write(input: &mut ChildStdin, bytes: &[u8]) -> io::Result<()> {
    let hangs = |_| io::Error::other(format!("it takes nothing for {} s", STALL.as_secs()));
    timeout(STALL, input.write_all(bytes))
        .await
        .map_err(hangs)?
}

/// Passes on what comes out, until nothing more does.
async fn read(
    output: &mut ChildStdout,
    made: &mpsc::Sender<Made>,
    marks: &Mutex<Marks>,
) -> io::Result<Infallible> {
    let mut reader = AdtsReader::default();
    let mut buffer = vec![0; 8 << 10];
    let ended = || io::Error::from(io::ErrorKind::BrokenPipe);
    loop {
        let count = output.read(&mut buffer).await?;
        if count == 0 {
            return Err(ended());
        }
        reader.push(&buffer[..count]);
        while let Some(frame) = reader.poll() {
            let Some(stamp) = lock(marks).make() else {
                continue;
            };
            let frame = Made::Aac {
                stamp,
                config: frame.config,
                payload: frame.payload,
            };
            made.send(frame).await.map_err(|_| ended())?;
        }
    }
}

fn lock(marks: &Mutex<Marks>) -> MutexGuard<'_, Marks> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}
