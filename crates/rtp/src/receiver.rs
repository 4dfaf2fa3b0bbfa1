//! One track that comes in: packets and reports go in, pictures, sound and reports come out.
//!
//! Feed what has come with the time when it came, then take [`Receiver::poll_event`] until there
//! is none, and call it again at [`Receiver::deadline`] if nothing has come before. Events are
//! made when they are asked for, so what waits inside is bounded by [`Limits`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use headworks_media::VideoParameters;

use crate::{
    Error, Media, Packet,
    clock::Timestamps,
    depacketize::{Depacketizer, Output, Outputs, Picture, Sound},
    rtcp::{self, Report},
    statistics::Statistics,
    window::{Counters, Limits, Ordered, Window},
};

/// How often we report (RFC 3550 §6.2: not below five seconds).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How a track is received.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long packets wait for others: [`Limits::DATAGRAMS`] or [`Limits::STREAM`].
    pub limits: Limits,
    /// Our own number in reports, random.
    pub ssrc: u32,
    /// Our name in reports.
    pub cname: String,
    /// The RTP time at which the session starts (`rtptime` of RTP-Info), if it was told.
    pub start: Option<u32>,
}

/// What a track gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What the pictures that follow are made of, where it differs from before.
    Parameters(Box<VideoParameters>),
    /// Parameter sets that we cannot read. What was known before no longer fits.
    BadParameters(headworks_media::Error),
    /// A picture, in decoding order.
    Picture(Picture),
    /// A packet of sound.
    Sound(Sound),
    /// Packets are missing here.
    Lost {
        /// How many.
        packets: u32,
    },
    /// The sender has started anew: earlier sender reports mean nothing any more.
    Restarted,
    /// The sender has told its wall clock.
    SenderReport {
        /// NTP format: seconds since 1900, and their fraction in the lower 32 bits.
        ntp: u64,
        /// The same moment in ticks of the track's clock since the session's start.
        timestamp: i64,
    },
    /// The sender says that it ends.
    Bye,
}

/// Receives one track.
#[derive(Debug)]
pub struct Receiver {
    payload_type: u8,
    /// A packet of the payload type that was told has come.
    type_is_right: bool,
    ssrc: u32,
    cname: String,
    window: Window,
    timestamps: Timestamps,
    statistics: Statistics,
    depacketizer: Depacketizer,
    outputs: Outputs,
    events: VecDeque<Event>,
    /// The last sender report, until it is told: who, its wall clock, and the same in RTP time.
    waiting_report: Option<(u32, u64, u32)>,
    report_at: Option<Instant>,
    foreign: u64,
}

impl Receiver {
    /// Waits for the first packet.
    #[must_use]
    pub fn new(media: &Media, options: Options) -> Self {
        Self {
            payload_type: media.payload_type,
            type_is_right: false,
            ssrc: options.ssrc,
            cname: options.cname,
            window: Window::new(options.limits),
            timestamps: Timestamps::new(media.clock_rate, options.start),
            statistics: Statistics::new(media.clock_rate),
            depacketizer: Depacketizer::new(media),
            outputs: Outputs::new(),
            events: VecDeque::new(),
            waiting_report: None,
            report_at: None,
            foreign: 0,
        }
    }

    /// Takes an RTP packet that came at `now`; RTCP too, since there are senders that use one
    /// channel for both. After an error the next packet may be good again.
    pub fn handle_rtp(&mut self, now: Instant, bytes: &Bytes) -> Result<(), Error> {
        if rtcp::is_rtcp(bytes) {
            return self.handle_rtcp(now, bytes);
        }
        let packet = Packet::parse(bytes)?;
        if !self.is_ours(packet.payload_type) {
            self.foreign += 1;
            return Ok(());
        }
        self.statistics.packet(now, &packet);
        self.report_at.get_or_insert(now + REPORT_EVERY);
        self.window.push(now, packet);
        Ok(())
    }

    /// Some cameras use another payload type than they have told; then it is the only one.
    fn is_ours(&mut self, payload_type: u8) -> bool {
        /// RFC 3389: the noise that stands for silence, beside other audio.
        const COMFORT_NOISE: u8 = 13;
        self.type_is_right |= payload_type == self.payload_type;
        payload_type == self.payload_type || !self.type_is_right && payload_type != COMFORT_NOISE
    }

    /// Takes an RTCP packet that came at `now`. What others say than the sender of the packets
    /// (RFC 3550 §6.6, §8.2) is ignored.
    pub fn handle_rtcp(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        for report in rtcp::parse(bytes)? {
            match report {
                Report::Sender { ssrc, info, .. } if self.may_be_sender(ssrc) => {
                    self.statistics.sender_report(now, info.ntp);
                    // One is waited with at most: only the last one counts.
                    self.waiting_report = Some((ssrc, info.ntp, info.timestamp));
                }
                // Once is enough.
                Report::Bye { ssrc }
                    if self.may_be_sender(ssrc) && self.events.back() != Some(&Event::Bye) =>
                {
                    self.events.push_back(Event::Bye);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn may_be_sender(&self, ssrc: u32) -> bool {
        self.window.ssrc().is_none_or(|known| known == ssrc)
    }

    /// The next event, in the order in which things were sent.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(match output {
                    Output::Picture(picture) => Event::Picture(picture),
                    Output::Sound(sound) => Event::Sound(sound),
                    Output::Parameters(parameters) => Event::Parameters(parameters),
                    Output::BadParameters(error) => Event::BadParameters(error),
                });
            }
            if let Some(event) = self.sender_report() {
                return Some(event);
            }
            match self.window.poll(now) {
                Some(ordered) => {
                    let event = self.take(&ordered);
                    if event.is_some() {
                        return event;
                    }
                }
                None => return self.events.pop_front(),
            }
        }
    }

    fn sender_report(&mut self) -> Option<Event> {
        let (ssrc, ntp, timestamp) = self.waiting_report?;
        let timestamp = self.timestamps.peek(timestamp)?;
        self.waiting_report = None;
        // Before the first packet anybody may have been the sender.
        if !self.may_be_sender(ssrc) {
            return None;
        }
        Some(Event::SenderReport { ntp, timestamp })
    }

    fn take(&mut self, ordered: &Ordered) -> Option<Event> {
        let packet = &ordered.packet;
        if ordered.restart {
            self.timestamps.restart(packet.timestamp);
        }
        let timestamp = self.timestamps.next(packet.timestamp);
        let lost = ordered.lost > 0 || ordered.restart;
        self.depacketizer
            .push(packet, timestamp, lost, &mut self.outputs);
        if ordered.restart {
            Some(Event::Restarted)
        } else {
            (ordered.lost > 0).then_some(Event::Lost {
                packets: ordered.lost,
            })
        }
    }

    /// When there is something to do even if nothing comes: events, or a report.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.window.deadline(), self.report_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Our report to the sender, if it is due: a compound packet for the track's RTCP channel.
    pub fn poll_report(&mut self, now: Instant) -> Option<Bytes> {
        if now < self.report_at? {
            return None;
        }
        self.report_at = Some(now + REPORT_EVERY);
        let block = self.statistics.block(now)?;
        Some(rtcp::receiver_report(self.ssrc, &self.cname, &[block]))
    }

    /// What has happened to packets so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.window.counters()
    }

    /// How many frames were dropped since parts of them were missing or made no sense.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.depacketizer.damaged()
    }

    /// How many packets of other payload types were ignored.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.foreign
    }
}
