//! Segments in, frames out.

use headworks_media::ts::Demuxer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout},
    sync::mpsc,
};

use super::{Item, Piece};
use crate::{
    ffmpeg::Ffmpeg,
    ingest::{failure::Failure, source::transport},
};

/// Fragmented MP4 in, MPEG-TS out, as it is.
const REMUX: &str = "-f mp4 -i pipe:0 -map 0:V:0 -map 0:a:0? -c copy -strict -2 \
                     -f mpegts -flush_packets 1 pipe:1";

type Pieces = mpsc::Receiver<Piece>;
type Items = mpsc::Sender<Item>;

/// Runs until there are no more pieces, or nobody wants their frames.
pub(super) async fn run(ffmpeg: &Ffmpeg, mut pieces: Pieces, items: Items) -> Result<(), Failure> {
    let mut next = pieces.recv().await;
    while let Some(piece) = next {
        if piece.starts_anew && items.send(Item::Begin).await.is_err() {
            return Ok(());
        }
        next = match piece.init {
            None => transport_stream(piece, &mut pieces, &items).await?,
            Some(_) => fragmented(ffmpeg, piece, &mut pieces, &items).await?,
        };
    }
    Ok(())
}

/// Understands a run of pieces; returns the first that does not belong to it.
async fn transport_stream(
    first: Piece,
    pieces: &mut Pieces,
    items: &Items,
) -> Result<Option<Piece>, Failure> {
    let mut demuxer = Demuxer::default();
    let mut piece = first;
    loop {
        demuxer.push(&piece.bytes);
        // No frame reaches into the next segment.
        demuxer.finish();
        if !send(&mut demuxer, items).await? {
            return Ok(None);
        }
        match pieces.recv().await {
            Some(next) if next.init.is_none() && !next.starts_anew => piece = next,
            other => return Ok(other),
        }
    }
}

/// The same for pieces with one initialization section.
async fn fragmented(
    ffmpeg: &Ffmpeg,
    first: Piece,
    pieces: &mut Pieces,
    items: &Items,
) -> Result<Option<Piece>, Failure> {
    let mut child = ffmpeg
        .start("hls", REMUX.split_whitespace())
        .map_err(|error| Failure::Because(format!("FFmpeg does not start: {error}")))?;
    let Some(input) = child.input.take() else {
        return Err(Failure::Internal);
    };
    let (next, read) = tokio::join!(write(first, pieces, input), read(&mut child.output, items),);
    if read? {
        Ok(next)
    } else {
        Err(Failure::Because(child.end().await))
    }
}

/// Writes pieces until one does not belong to the run; returns that.
async fn write(first: Piece, pieces: &mut Pieces, mut input: ChildStdin) -> Option<Piece> {
    let init = first.init.clone();
    let mut written = input.write_all(init.as_deref().unwrap_or_default()).await;
    let mut piece = first;
    loop {
        if written.is_ok() {
            written = input.write_all(&piece.bytes).await;
        }
        // If it takes no more, then nothing comes out of it either, and that says why.
        if written.is_err() {
            return None;
        }
        match pieces.recv().await {
            Some(next) if next.init == init && !next.starts_anew => piece = next,
            other => return other,
        }
    }
}

/// Reads frames until there are no more; false if there were none at all.
async fn read(output: &mut ChildStdout, items: &Items) -> Result<bool, Failure> {
    let mut demuxer = Demuxer::default();
    let mut buffer = vec![0; 64 << 10];
    let mut has_found = false;
    loop {
        let count = output.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            demuxer.finish();
            send(&mut demuxer, items).await?;
            return Ok(has_found);
        }
        demuxer.push(&buffer[..count]);
        has_found = true;
        if !send(&mut demuxer, items).await? {
            return Ok(true);
        }
    }
}

/// False if nobody wants it.
async fn send(demuxer: &mut Demuxer, items: &Items) -> Result<bool, Failure> {
    let mut found = Vec::new();
    let outcome = transport::take(demuxer, |frame| found.push(frame));
    for frame in found {
        if items.send(Item::Found(frame)).await.is_err() {
            return Ok(false);
        }
    }
    outcome.map(|()| true)
}
