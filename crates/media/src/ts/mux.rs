//! Frames in, cells out.

use bytes::{BufMut, Bytes};

use super::{
    CELL, EXTENSION, EXTENSION_OPUS, PAT_PID, REGISTRATION, TYPE_AAC_ADTS, TYPE_H264, TYPE_H265,
    TYPE_PRIVATE,
    packet::{self, Adaptation, CellWriter},
    pes, psi,
};
use crate::{
    AudioParameters, Error, Frame, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec, nal::NalFormat,
    rescale,
};

const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;

/// Tables stand before every key frame, and in between for players that have lost them.
const TABLES: i64 = VIDEO_CLOCK as i64 / 2;
/// The clock is sent with every picture, and this often where pictures are rare (§2.7.2 demands
/// 100 ms).
const CLOCK: i64 = VIDEO_CLOCK as i64 * 8 / 100;
/// How long a player has a frame before it is due.
const LEAD: i64 = VIDEO_CLOCK as i64 / 5;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// True if there is a known way to carry it.
#[must_use]
pub fn carries(audio: &AudioParameters) -> bool {
    match audio {
        AudioParameters::Aac { parsed, .. } => parsed.adts_header(0).is_some(),
        AudioParameters::Opus { .. } => true,
        AudioParameters::G711 { .. } => false,
    }
}

/// Writes MPEG-TS, each frame once for all viewers.
///
/// Counters go on from frame to frame, so that every frame has to be written, in order, whoever
/// reads. A viewer may join at any key frame: tables and parameter sets stand before it. One that
/// has left out frames sees a gap in the counters, as if it had lost them; or once in 16 times none,
/// which FFmpeg 5.1, GStreamer 1.22 and VLC 3 take as well as one that is announced.
#[derive(Debug, Clone)]
pub struct Muxer {
    tracks: Tracks,
    format: NalFormat,
    /// Delimiter and parameter sets, with start codes.
    delimiter: &'static [u8],
    sets: Vec<u8>,
    pmt_version: u8,
    counters: Counters,
    /// When tables and clock were last written, 90 kHz.
    tables: Option<i64>,
    clock: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    pat: u8,
    pmt: u8,
    video: u8,
    audio: u8,
}

impl Muxer {
    /// For a stream of `tracks`. Sound that MPEG-TS cannot carry is left out; a picture that it
    /// cannot carry is an error.
    pub fn new(tracks: Tracks) -> Result<Self, Error> {
        let (format, delimiter, sets) = picture(&tracks)?;
        Ok(Self {
            tracks,
            format,
            delimiter,
            sets,
            pmt_version: 0,
            counters: Counters::default(),
            tables: None,
            clock: None,
        })
    }

    /// The parameters have changed; a key frame follows.
    pub fn set_tracks(&mut self, tracks: Tracks) -> Result<(), Error> {
        (self.format, self.delimiter, self.sets) = picture(&tracks)?;
        self.tracks = tracks;
        self.pmt_version = (self.pmt_version + 1) & 0x1f;
        self.tables = None;
        Ok(())
    }

    /// One frame, in whole cells; empty if MPEG-TS cannot carry it.
    pub fn write(&mut self, frame: &Frame) -> Bytes {
        match frame.track {
            TrackKind::Video => self.write_picture(frame),
            TrackKind::Audio => self.write_sound(frame),
        }
    }

    fn write_picture(&mut self, frame: &Frame) -> Bytes {
        let sets = if frame.key { &self.sets[..] } else { &[] };
        let delimiter = self.delimiter;
        // A start code takes the place of each length.
        let data = delimiter.len() + sets.len() + frame.payload.len();
        let length = pes::header_length(frame.dts, frame.pts) + data;
        let adaptation = Adaptation {
            random_access: frame.key,
            pcr: Some(self.tick(frame.dts)),
        };
        let tables = self.tables_are_due(frame.dts, frame.key);
        let mut out = self.start(tables, CellWriter::size(adaptation, length));
        let mut header = Vec::with_capacity(32);
        pes::write_header(&mut header, pes::ID_VIDEO, frame.dts, frame.pts, data);
        let counter = &mut self.counters.video;
        let mut cells = CellWriter::new(&mut out, VIDEO_PID, counter, adaptation, length);
        cells.put(&header);
        cells.put(delimiter);
        cells.put(if frame.key { &self.sets } else { &[] });
        let mut rest = &frame.payload[..];
        while let Some((nal_length, behind)) = rest.split_first_chunk() {
            let nal_length = u32::from_be_bytes(*nal_length) as usize;
            let (nal, behind) = behind.split_at(nal_length.min(behind.len()));
            cells.put(&START_CODE);
            cells.put(nal);
            rest = behind;
        }
        // Nothing stands here in a well-formed frame; the length has been promised.
        cells.put(rest);
        out.into()
    }

    fn write_sound(&mut self, frame: &Frame) -> Bytes {
        let Some((id, mut framing)) = self.framing(&frame.payload) else {
            return Bytes::new();
        };
        let rate = self
            .tracks
            .audio
            .as_ref()
            .map_or(1, AudioParameters::clock_rate);
        let pts = rescale(frame.pts, rate, VIDEO_CLOCK);
        let data = framing.len() + frame.payload.len();
        let length = pes::header_length(pts, pts) + data;
        let adaptation = Adaptation {
            random_access: true,
            pcr: None,
        };
        let tables = self.tables_are_due(pts, false);
        let clock = self
            .clock
            .is_none_or(|last| pts - LEAD >= last + CLOCK)
            .then(|| self.tick(pts));
        let size = CellWriter::size(adaptation, length);
        let mut out = self.start(tables, if clock.is_some() { CELL } else { 0 } + size);
        if let Some(clock) = clock {
            packet::write_clock(&mut out, VIDEO_PID, self.counters.video, clock);
        }
        let mut header = Vec::with_capacity(32);
        pes::write_header(&mut header, id, pts, pts, data);
        header.append(&mut framing);
        let counter = &mut self.counters.audio;
        let mut cells = CellWriter::new(&mut out, AUDIO_PID, counter, adaptation, length);
        cells.put(&header);
        cells.put(&frame.payload);
        out.into()
    }

    /// The stream id of sound, and what stands before each of its packets.
    fn framing(&self, payload: &[u8]) -> Option<(u8, Vec<u8>)> {
        match self.tracks.audio.as_ref()? {
            AudioParameters::Aac { parsed, .. } => {
                Some((pes::ID_AUDIO, parsed.adts_header(payload.len())?.to_vec()))
            }
            AudioParameters::Opus { .. } => {
                // opus_control_header: a prefix of eleven bits, nothing to trim, and the size.
                let mut header = vec![0x7f, 0xe0];
                header.resize(2 + payload.len() / 255, 0xff);
                header.push((payload.len() % 255) as u8);
                Some((pes::ID_PRIVATE_1, header))
            }
            AudioParameters::G711 { .. } => None,
        }
    }

    /// What the clock says at `dts`; never less than before.
    fn tick(&mut self, dts: i64) -> i64 {
        let now = dts - LEAD;
        let clock = self.clock.map_or(now, |last| last.max(now));
        self.clock = Some(clock);
        clock
    }

    fn tables_are_due(&mut self, now: i64, key: bool) -> bool {
        let due = key || self.tables.is_none_or(|last| now - last >= TABLES);
        if due {
            self.tables = Some(now);
        }
        due
    }

    /// An allocation for so many bytes behind the tables.
    fn start(&mut self, tables: bool, size: usize) -> Vec<u8> {
        if !tables {
            return Vec::with_capacity(size);
        }
        let mut out = Vec::with_capacity(2 * CELL + size);
        let pat = psi::write_pat(PMT_PID);
        let pmt = psi::write_pmt(self.pmt_version, VIDEO_PID, &self.streams());
        write_table(&mut out, PAT_PID, &mut self.counters.pat, pat);
        write_table(&mut out, PMT_PID, &mut self.counters.pmt, pmt);
        out
    }

    fn streams(&self) -> Vec<psi::OwnStream> {
        let registration = |name: &[u8; 4]| [&[REGISTRATION, 4][..], name].concat();
        let mut streams = vec![match self.format {
            NalFormat::H264 => (TYPE_H264, VIDEO_PID, Vec::new()),
            NalFormat::H265 => (TYPE_H265, VIDEO_PID, registration(b"HEVC")),
        }];
        match self.tracks.audio.as_ref().filter(|audio| carries(audio)) {
            Some(AudioParameters::Aac { .. }) => {
                streams.push((TYPE_AAC_ADTS, AUDIO_PID, Vec::new()));
            }
            Some(AudioParameters::Opus { channels, .. }) => {
                let mut descriptors = registration(b"Opus");
                descriptors.extend_from_slice(&[EXTENSION, 2, EXTENSION_OPUS, *channels]);
                streams.push((TYPE_PRIVATE, AUDIO_PID, descriptors));
            }
            _ => {}
        }
        streams
    }
}

/// A table fills one cell, with stuffing behind it (§2.4.4).
fn write_table(out: &mut Vec<u8>, pid: u16, counter: &mut u8, mut payload: Vec<u8>) {
    payload.resize(super::CELL_PAYLOAD, 0xff);
    let mut cell = CellWriter::new(out, pid, counter, Adaptation::default(), payload.len());
    cell.put(&payload);
}

/// The format, its access unit delimiter, and its parameter sets with start codes.
fn picture(tracks: &Tracks) -> Result<(NalFormat, &'static [u8], Vec<u8>), Error> {
    let join = |sets: &[&Bytes]| {
        let mut out = Vec::new();
        for set in sets {
            out.put_slice(&START_CODE);
            out.put_slice(set);
        }
        out
    };
    match tracks.video.codec() {
        VideoCodec::H264 { sps, pps } => Ok((
            NalFormat::H264,
            &[0, 0, 0, 1, 0x09, 0xf0],
            join(&[sps, pps]),
        )),
        VideoCodec::H265 { vps, sps, pps } => Ok((
            NalFormat::H265,
            &[0, 0, 0, 1, 0x46, 0x01, 0x50],
            join(&[vps, sps, pps]),
        )),
        VideoCodec::Av1 { .. } => Err(Error::Unsupported {
            container: "MPEG-TS",
            what: "AV1".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
