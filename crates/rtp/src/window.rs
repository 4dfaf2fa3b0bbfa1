//! Packets of UDP in the order in which they were sent.
//!
//! A packet that is next goes through at once. One that comes early waits until those before it
//! have come, or until it has waited too long, or until too many wait. Nothing is counted twice,
//! and a sender that starts anew (another source, a jump of numbers) is followed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::Packet;

/// RFC 3550 §A.1: a jump further ahead than this, or further back than [`MAX_MISORDER`], is a
/// restart if the next packet confirms it.
const MAX_DROPOUT: i64 = 3000;
const MAX_MISORDER: i64 = 128;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Packets. 0 is for transports that keep the order: what is missing is lost at once.
    pub packets: usize,
    /// Bytes of payload.
    pub bytes: usize,
    /// How long a packet waits for those before it.
    pub wait: Duration,
}

impl Limits {
    /// For UDP: what a camera sends in 100 ms at 50 Mbit/s.
    pub const DATAGRAMS: Self = Self {
        packets: 512,
        bytes: 1 << 20,
        wait: Duration::from_millis(100),
    };

    /// For RTP inside of a TCP connection.
    pub const STREAM: Self = Self {
        packets: 0,
        bytes: 0,
        wait: Duration::ZERO,
    };
}

/// What has happened to packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Went through.
    pub received: u64,
    /// Were never seen in time.
    pub lost: u64,
    /// Came after they had been given up, and were dropped.
    pub late: u64,
    /// Came again, and were dropped.
    pub duplicate: u64,
    /// Came after one that was sent later, and in time.
    pub reordered: u64,
    /// How often the sender started anew.
    pub restarts: u64,
}

/// A packet whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The packet.
    pub packet: Packet,
    /// How many before it are missing.
    pub lost: u32,
    /// It starts a new numbering; how much is missing before it is unknown.
    pub restart: bool,
}

/// Puts one sender's packets in order.
#[derive(Debug)]
pub struct Window {
    limits: Limits,
    sender: Option<Sender>,
    ready: VecDeque<Ordered>,
    counters: Counters,
}

#[derive(Debug)]
struct Sender {
    ssrc: u32,
    /// The number of the next packet, counted without wraps.
    next: i64,
    /// Which of the 128 numbers before `next` have come; the lowest bit is the last.
    seen: u128,
    early: BTreeMap<i64, Early>,
    bytes: usize,
    /// A packet far from the others, and what the next number of a restart would be.
    stray: Option<(Packet, u16)>,
}

#[derive(Debug)]
struct Early {
    packet: Packet,
    came: Instant,
}

impl Window {
    /// Waits for the first packet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sender: None,
            ready: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes a packet that came at `now`.
    pub fn push(&mut self, now: Instant, packet: Packet) {
        let Some(sender) = &mut self.sender else {
            return self.start(packet, false);
        };
        if sender.ssrc != packet.ssrc {
            return self.start(packet, true);
        }
        let ahead = i64::from(packet.sequence.wrapping_sub(sender.next as u16) as i16);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            return self.stray(packet);
        }
        sender.stray = None;
        let number = sender.next + ahead;
        if ahead < 0 {
            if sender.seen >> (-ahead - 1) & 1 == 1 {
                self.counters.duplicate += 1;
            } else {
                self.counters.late += 1;
            }
        } else if sender.early.contains_key(&number) {
            self.counters.duplicate += 1;
        } else {
            let came_after_later = sender.early.range(number..).next().is_some();
            self.counters.reordered += u64::from(came_after_later);
            sender.bytes += packet.payload.len();
            sender.early.insert(number, Early { packet, came: now });
            self.release(now);
        }
    }

    /// The next packet in order, if its turn has come.
    pub fn poll(&mut self, now: Instant) -> Option<Ordered> {
        if self.ready.is_empty() {
            self.release(now);
        }
        self.ready.pop_front()
    }

    /// When [`Self::poll`] has more to give even if nothing comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let sender = self.sender.as_ref()?;
        let first = sender.early.values().map(|early| early.came).min()?;
        Some(first + self.limits.wait)
    }

    /// Whose packets these are; `None` before the first.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.sender.as_ref().map(|sender| sender.ssrc)
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn stray(&mut self, packet: Packet) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        let following = packet.sequence.wrapping_add(1);
        match sender.stray.replace((packet, following)) {
            Some((first, expected)) if expected.wrapping_add(1) == following => {
                if let Some((second, _)) = sender.stray.take() {
                    self.start(first, true);
                    self.push_in_order(second);
                }
            }
            Some(_) => self.counters.late += 1,
            None => {}
        }
    }

    /// The packet is the first of a numbering.
    fn start(&mut self, packet: Packet, restart: bool) {
        self.flush();
        self.counters.restarts += u64::from(restart);
        self.counters.received += 1;
        self.sender = Some(Sender {
            ssrc: packet.ssrc,
            next: i64::from(packet.sequence) + 1,
            seen: 1,
            early: BTreeMap::new(),
            bytes: 0,
            stray: None,
        });
        self.ready.push_back(Ordered {
            packet,
            lost: 0,
            restart,
        });
    }

    fn push_in_order(&mut self, packet: Packet) {
        if let Some(sender) = &mut self.sender {
            let number = sender.next;
            self.give(number, packet);
        }
    }

    /// Gives what has its turn.
    fn release(&mut self, now: Instant) {
        while let Some(sender) = &mut self.sender
            && let Some(first) = sender.early.first_entry()
        {
            let number = *first.key();
            let is_next = number == sender.next;
            let limits = self.limits;
            let full = sender.early.len() > limits.packets || sender.bytes > limits.bytes;
            let waited = |early: &Early| now.saturating_duration_since(early.came) >= limits.wait;
            if !is_next && !full && !sender.early.values().any(waited) {
                return;
            }
            let Some((_, early)) = sender.early.pop_first() else {
                return;
            };
            sender.bytes -= early.packet.payload.len();
            self.give(number, early.packet);
        }
    }

    /// Gives all that waits.
    fn flush(&mut self) {
        while let Some(sender) = &mut self.sender
            && let Some((number, early)) = sender.early.pop_first()
        {
            self.give(number, early.packet);
        }
    }

    fn give(&mut self, number: i64, packet: Packet) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        let lost = (number - sender.next).clamp(0, MAX_DROPOUT) as u32;
        sender.seen = sender.seen.checked_shl(lost + 1).unwrap_or(0) | 1;
        sender.next = number + 1;
        self.counters.lost += u64::from(lost);
        self.counters.received += 1;
        self.ready.push_back(Ordered {
            packet,
            lost,
            restart: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn packet(ssrc: u32, sequence: u16) -> Packet {
        Packet {
            marker: false,
            payload_type: 96,
            sequence,
            timestamp: 0,
            ssrc,
            payload: Bytes::from_static(b"1234"),
        }
    }

    fn poll(window: &mut Window, now: Instant) -> Vec<(u16, u32)> {
        std::iter::from_fn(|| window.poll(now))
            .map(|ordered| (ordered.packet.sequence, ordered.lost))
            .collect()
    }

    /// Pushes all at once and polls.
    fn run(window: &mut Window, now: Instant, sequences: &[u16]) -> Vec<(u16, u32)> {
        for sequence in sequences {
            window.push(now, packet(1, *sequence));
        }
        poll(window, now)
    }

    #[test]
    fn early_packets_wait_for_others_and_numbers_wrap() {
        let (mut window, now) = (Window::new(Limits::DATAGRAMS), testing::origin());
        let found = run(&mut window, now, &[65_534, 0, 1, 65_535, 65_535, 2, 0]);
        assert_eq!(found, [(65_534, 0), (65_535, 0), (0, 0), (1, 0), (2, 0)]);
        let counters = window.counters();
        assert_eq!((counters.reordered, counters.duplicate), (1, 2));
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn they_do_not_wait_for_ever() {
        let (mut window, now) = (Window::new(Limits::DATAGRAMS), testing::origin());
        assert_eq!(run(&mut window, now, &[10, 13]), [(10, 0)]);
        let deadline = window.deadline().expect("one waits");
        assert_eq!(deadline, now + Limits::DATAGRAMS.wait);
        let before = deadline
            .checked_sub(Duration::from_millis(1))
            .expect("is later");
        assert_eq!(run(&mut window, before, &[15]), []);
        assert_eq!(poll(&mut window, deadline), [(13, 2)]);
        assert_eq!(run(&mut window, deadline, &[12, 14]), [(14, 0), (15, 0)]);
        let counters = window.counters();
        assert_eq!((counters.lost, counters.late), (2, 1));
    }

    #[test]
    fn only_so_many_wait() {
        let limits = Limits {
            packets: 2,
            ..Limits::DATAGRAMS
        };
        let (mut window, now) = (Window::new(limits), testing::origin());
        assert_eq!(run(&mut window, now, &[1, 3, 5, 7]), [(1, 0), (3, 1)]);
        let limits = Limits {
            bytes: 9,
            ..Limits::DATAGRAMS
        };
        let mut window = Window::new(limits);
        assert_eq!(
            run(&mut window, now, &[1, 3, 4, 5]),
            [(1, 0), (3, 1), (4, 0), (5, 0)]
        );
    }

    #[test]
    fn in_a_stream_nothing_waits() {
        let (mut window, now) = (Window::new(Limits::STREAM), testing::origin());
        assert_eq!(
            run(&mut window, now, &[1, 3, 2, 4]),
            [(1, 0), (3, 1), (4, 0)]
        );
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn a_jump_has_to_be_confirmed() {
        let (mut window, now) = (Window::new(Limits::DATAGRAMS), testing::origin());
        assert_eq!(run(&mut window, now, &[1, 30_000, 2]), [(1, 0), (2, 0)]);
        assert_eq!(run(&mut window, now, &[20_000, 20_001, 20_002]).len(), 3);
        assert_eq!(window.counters().restarts, 1);
    }

    #[test]
    fn another_source_is_followed() {
        let (mut window, now) = (Window::new(Limits::DATAGRAMS), testing::origin());
        run(&mut window, now, &[1, 3]);
        window.push(now, packet(2, 900));
        let last: Vec<_> = std::iter::from_fn(|| window.poll(now)).collect();
        assert_eq!(last.len(), 2, "what has waited comes first");
        assert!(last[1].restart && last[1].packet.ssrc == 2);
    }

    proptest! {
        #[test]
        fn order_is_kept_and_nothing_is_counted_twice(
            start: u16, shuffle in prop::collection::vec((0_u16..40, 0_u64..30, 0_u8..10), 1..300),
            packets in 0_usize..20,
        ) {
            let limits = Limits { packets, ..Limits::DATAGRAMS };
            let (mut window, mut now) = (Window::new(limits), testing::origin());
            let mut last = None;
            let (mut given, mut lost, mut pushed) = (0, 0, 0);
            for (number, (back, later, copies)) in shuffle.iter().enumerate() {
                now += Duration::from_millis(*later);
                let sequence = start.wrapping_add((number as u16).saturating_sub(*back));
                for _ in 0..=u8::from(*copies == 0) {
                    window.push(now, packet(1, sequence));
                    pushed += 1;
                }
                while let Some(ordered) = window.poll(now) {
                    let sequence = ordered.packet.sequence;
                    if let Some(last) = last {
                        prop_assert_eq!(sequence.wrapping_sub(last), ordered.lost as u16 + 1);
                    }
                    last = Some(sequence);
                    given += 1;
                    lost += u64::from(ordered.lost);
                }
                prop_assert!(window.deadline().is_none_or(|deadline| deadline > now));
            }
            let waiting = window.sender.as_ref().map_or(0, |sender| sender.early.len() as u64);
            prop_assert!(waiting <= packets as u64);
            let counters = window.counters();
            prop_assert_eq!((counters.received, counters.lost), (given, lost));
            prop_assert_eq!(given + waiting + counters.late + counters.duplicate, pushed);
        }

        #[test]
        fn any_numbers_never_panic(packets in prop::collection::vec((0_u32..2, any::<u16>()), 0..100)) {
            let (mut window, now) = (Window::new(Limits::DATAGRAMS), testing::origin());
            for (ssrc, sequence) in packets {
                window.push(now, packet(ssrc, sequence));
            }
            poll(&mut window, now + Limits::DATAGRAMS.wait);
            prop_assert_eq!(window.deadline(), None);
        }
    }
}
