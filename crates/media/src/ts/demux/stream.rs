//! One stream of a program: its cells make PES packets, and these make frames.

use bytes::Bytes;

use super::{
    super::{CELL_PAYLOAD, packet::Cell, pes},
    Output,
};
use crate::{
    AudioParameters, AudioSpecificConfig, OPUS_CLOCK, VIDEO_CLOCK,
    aac::AdtsReader,
    nal::{NalFormat, NalTrack, split_annex_b},
    opus, rescale,
};

/// What becomes of the PES packets of a stream.
pub(super) trait Content {
    /// The largest packet that is taken, bytes.
    const MAX_PACKET: usize;

    /// A whole packet; false if it was of no use.
    fn packet(&mut self, packet: pes::Packet<'_>, random_access: bool, output: &mut Output)
    -> bool;

    /// What began in a packet before will not be completed.
    fn interrupt(&mut self);
}

/// Cells of one PID.
#[derive(Debug)]
pub(super) struct Pids<C> {
    pub(super) pid: u16,
    pub(super) content: C,
    counter: Option<u8>,
    /// What the last cell carried.
    last: Vec<u8>,
    packet: Vec<u8>,
    random_access: bool,
    /// False until a packet begins, and behind a loss.
    is_open: bool,
}

impl<C: Content> Pids<C> {
    pub(super) fn new(pid: u16, content: C) -> Self {
        Self {
            pid,
            content,
            counter: None,
            last: Vec::with_capacity(CELL_PAYLOAD),
            packet: Vec::new(),
            random_access: false,
            is_open: false,
        }
    }

    pub(super) fn take(&mut self, cell: &Cell<'_>, output: &mut Output) {
        if cell.payload.is_empty() {
            return;
        }
        let before = self.counter.replace(cell.counter);
        // Sent twice (§2.4.3.3). What differs is another cell, behind a loss of 15 or 31.
        let is_copy = before == Some(cell.counter) && self.last == cell.payload;
        if is_copy && !cell.discontinuity {
            return;
        }
        self.last.clear();
        self.last.extend_from_slice(cell.payload);
        let goes_on = before.is_none_or(|before| (before + 1) & 0xf == cell.counter);
        if !goes_on && !cell.discontinuity {
            output.losses.gaps += 1;
            self.lose(output);
        } else if !goes_on && !cell.starts {
            // What goes on here began elsewhere.
            self.lose(output);
        }
        if cell.starts {
            self.complete(output);
            self.is_open = true;
            self.random_access = cell.random_access;
        }
        if !self.is_open {
            return;
        }
        self.packet.extend_from_slice(cell.payload);
        if self.packet.len() > C::MAX_PACKET {
            self.lose(output);
        } else if pes::length(&self.packet).is_some_and(|length| self.packet.len() >= length) {
            self.complete(output);
        }
    }

    pub(super) fn finish(&mut self, output: &mut Output) {
        self.complete(output);
    }

    fn lose(&mut self, output: &mut Output) {
        if self.is_open {
            output.losses.frames += 1;
        }
        self.close();
        self.content.interrupt();
    }

    fn complete(&mut self, output: &mut Output) {
        if !self.is_open {
            return;
        }
        let length = pes::length(&self.packet).unwrap_or(self.packet.len());
        let packet = self.packet.get(..length).and_then(pes::parse);
        let useful =
            packet.is_some_and(|packet| self.content.packet(packet, self.random_access, output));
        if useful {
            self.close();
        } else {
            self.lose(output);
        }
    }

    fn close(&mut self) {
        self.is_open = false;
        self.packet.clear();
    }
}

/// Unwraps 33 bits of 90 kHz.
#[derive(Debug, Default)]
struct Clock {
    last: Option<i64>,
}

impl Clock {
    fn unwrap(&mut self, stamp: u64) -> i64 {
        let time = self.near(stamp);
        self.last = Some(time);
        time
    }

    /// Without going on.
    fn near(&self, stamp: u64) -> i64 {
        let stamp = stamp as i64;
        self.last.map_or(stamp, |last| {
            // The difference of two numbers of 33 bits, with a sign.
            last + ((stamp.wrapping_sub(last) << 31) >> 31)
        })
    }
}

/// H.264 or H.265.
#[derive(Debug)]
pub(super) struct Picture {
    track: NalTrack,
    clock: Clock,
}

impl Picture {
    pub(super) fn new(format: NalFormat) -> Self {
        Self {
            track: NalTrack::new(format),
            clock: Clock::default(),
        }
    }

    pub(super) fn format(&self) -> NalFormat {
        self.track.format()
    }
}

impl Content for Picture {
    /// A key frame of 8K at the highest quality has less.
    const MAX_PACKET: usize = 15 << 20;

    fn packet(
        &mut self,
        packet: pes::Packet<'_>,
        random_access: bool,
        output: &mut Output,
    ) -> bool {
        let Some(pts) = packet.pts else {
            return false;
        };
        let dts = self.clock.unwrap(packet.dts.unwrap_or(pts));
        let pts = self.clock.near(pts);
        let picture = self.track.picture(split_annex_b(packet.data));
        if let Some(parameters) = self.track.take_changed() {
            output.assembler.set_video(parameters);
        }
        match picture {
            Ok(Some(picture)) if self.track.parameters().is_some() => {
                let key = random_access || picture.key;
                output.assembler.picture(dts, pts, key, picture.payload);
                true
            }
            Ok(_) => true,
            Err(error) => {
                output.errors.push_back(error);
                false
            }
        }
    }

    fn interrupt(&mut self) {}
}

/// A format of sound that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoundFormat {
    /// AAC in ADTS.
    Aac,
    /// Opus behind control headers.
    Opus { channels: u8 },
}

/// AAC or Opus.
#[derive(Debug)]
pub(super) struct Sound {
    format: SoundFormat,
    clock: Clock,
    /// Frames of AAC may go on in the next packet.
    adts: AdtsReader,
    /// Where the next frame begins, if no packet says it, in the clock of the track.
    next: Option<i64>,
}

impl Sound {
    pub(super) fn new(format: SoundFormat) -> Self {
        Self {
            format,
            clock: Clock::default(),
            adts: AdtsReader::default(),
            next: None,
        }
    }

    pub(super) fn format(&self) -> SoundFormat {
        self.format
    }

    /// `pts` is of the first frame that begins in `data`.
    fn aac(&mut self, pts: Option<i64>, data: &[u8], output: &mut Output) {
        let mut goes_on = self.adts.kept() > 0;
        let mut stamp = pts;
        self.adts.push(data);
        while let Some(frame) = self.adts.poll() {
            let Some((rate, length)) = aac_parameters(frame.config, output) else {
                continue;
            };
            let heard = match stamp {
                Some(pts) if !goes_on => {
                    stamp = None;
                    Some(rescale(pts, VIDEO_CLOCK, rate))
                }
                _ => self.next,
            };
            goes_on = false;
            self.sound(heard, length, frame.payload, output);
        }
    }

    fn opus(&mut self, pts: Option<i64>, mut data: &[u8], output: &mut Output) -> bool {
        let mut stamp = pts.map(|pts| rescale(pts, VIDEO_CLOCK, OPUS_CLOCK));
        while !data.is_empty() {
            let Some((packet, rest)) = opus_packet(data) else {
                return false;
            };
            let Some(length) = opus::packet_length(packet) else {
                return false;
            };
            let heard = stamp.take().or(self.next);
            self.sound(heard, length, Bytes::copy_from_slice(packet), output);
            data = rest;
        }
        true
    }

    fn sound(&mut self, heard: Option<i64>, length: u32, payload: Bytes, output: &mut Output) {
        if let Some(heard) = heard {
            output.assembler.sound(heard, length, payload);
            self.next = Some(heard + i64::from(length));
        }
    }
}

impl Content for Sound {
    /// Only pictures may have packets of unsaid length, which are longer than 16 bits can say
    /// (ISO/IEC 13818-1 §2.4.3.7). Each of the smallest frames costs ten times its bytes here.
    const MAX_PACKET: usize = 128 << 10;

    fn packet(&mut self, packet: pes::Packet<'_>, _: bool, output: &mut Output) -> bool {
        let pts = packet.pts.map(|pts| self.clock.unwrap(pts));
        match self.format {
            SoundFormat::Aac => {
                self.aac(pts, packet.data, output);
                true
            }
            SoundFormat::Opus { channels } => {
                // MPEG-TS does not tell the pre-skip; encoders begin with their usual one.
                output.assembler.set_audio(AudioParameters::Opus {
                    channels,
                    pre_skip: OPUS_PRE_SKIP,
                });
                self.opus(pts, packet.data, output)
            }
        }
    }

    fn interrupt(&mut self) {
        self.adts.clear();
        self.next = None;
    }
}

/// What libopus needs: 6.5 ms.
const OPUS_PRE_SKIP: u16 = 312;

/// Clock and length of the frames of this configuration.
fn aac_parameters(config: [u8; 2], output: &mut Output) -> Option<(u32, u32)> {
    let is_new = match output.assembler.audio() {
        Some(AudioParameters::Aac { config: before, .. }) => before[..] != config,
        _ => true,
    };
    if is_new {
        let rate = AudioSpecificConfig::parse(&config).ok()?.sample_rate;
        let config = Bytes::copy_from_slice(&config);
        let audio = AudioParameters::aac(config, rate).ok()?;
        output.assembler.set_audio(audio);
    }
    match output.assembler.audio()? {
        AudioParameters::Aac { parsed, .. } => {
            Some((parsed.sample_rate, parsed.frame_length.into()))
        }
        _ => None,
    }
}

/// One packet behind its control header: a prefix of eleven bits, three flags, the size in bytes
/// of 255, then what the flags announce.
fn opus_packet(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x7f, flags, rest @ ..] = data else {
        return None;
    };
    if flags & 0xe0 != 0xe0 {
        return None;
    }
    let last = rest.iter().position(|byte| *byte != 0xff)?;
    let size = last * 255 + usize::from(rest[last]);
    let mut rest = &rest[last + 1..];
    for trim in [0x10, 0x08] {
        if flags & trim != 0 {
            rest = rest.get(2..)?;
        }
    }
    if flags & 0x04 != 0 {
        let (length, behind) = rest.split_first()?;
        rest = behind.get(usize::from(*length)..)?;
    }
    rest.split_at_checked(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_33_bits_are_unwrapped() {
        let mut clock = Clock::default();
        let near_end = (1 << 33) - 10;
        assert_eq!(clock.unwrap(near_end), near_end as i64);
        assert_eq!(clock.near(20), (1 << 33) + 20);
        assert_eq!(clock.unwrap(5), (1 << 33) + 5);
        assert_eq!(clock.unwrap(near_end), near_end as i64);
        let mut later = Clock {
            last: Some(5 << 33),
        };
        assert_eq!(later.unwrap(7), (5 << 33) + 7);
    }

    #[test]
    fn opus_control_headers_are_read() {
        let mut packet = vec![0x7f, 0xf0, 0xff, 1, 0, 9];
        packet.resize(6 + 256, 7);
        packet.push(1);
        let (found, rest) = opus_packet(&packet).expect("parses");
        assert_eq!((found.len(), rest), (256, &[1][..]));
        assert_eq!(opus_packet(&[0x7f, 0xe0, 0xff]), None);
        assert_eq!(opus_packet(&[0x7f, 0xe0, 2, 0]), None);
    }
}
