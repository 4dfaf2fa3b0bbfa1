//! RTCP (RFC 3550 §6): what both ends tell each other about a stream.

use std::time::Duration;

use bytes::{BufMut, Bytes};

use crate::Error;

const VERSION: u8 = 2 << 6;
const PADDING: u8 = 1 << 5;

/// Packet types (§12.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// An item of a source description (§6.5.1).
const CNAME: u8 = 1;

const HEADER: usize = 4;
const BLOCK: usize = 24;
/// As many as the header's five bits count.
const MAX_BLOCKS: usize = 31;

/// One packet out of a compound packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A sender's (§6.4.1).
    Sender {
        /// Who reports.
        ssrc: u32,
        /// What it sends.
        info: SenderInfo,
        /// What it receives.
        blocks: Vec<Block>,
    },
    /// A receiver's (§6.4.2).
    Receiver {
        /// Who reports.
        ssrc: u32,
        /// What it receives.
        blocks: Vec<Block>,
    },
    /// The lasting name of a source (§6.5.1).
    Name {
        /// Whose.
        ssrc: u32,
        /// Text; bytes that are not UTF-8 are replaced.
        cname: String,
    },
    /// A source ends (§6.6).
    Bye {
        /// Which.
        ssrc: u32,
    },
}

/// What a sender says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The wall clock: seconds since 1900 in the upper, their fraction in the lower 32 bits.
    pub ntp: u64,
    /// The same moment in RTP time.
    pub timestamp: u32,
    /// Packets sent since the start; wraps.
    pub packets: u32,
    /// Bytes of payload sent since the start; wraps.
    pub octets: u32,
}

/// How one source is received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block {
    /// Which source.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost since the start; 24 bits with sign.
    pub lost: i32,
    /// The highest sequence number, with the number of wraps in the upper 16 bits.
    pub highest: u32,
    /// How much packets' travel times differ, in RTP ticks.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's wall clock; 0 before the first.
    pub last_report: u32,
    /// How long ago that came, in 1/65536 seconds.
    pub delay: u32,
}

/// True if the datagram is RTCP, where it shares a port with RTP (RFC 5761 §4).
#[must_use]
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [_, 192..=223, ..])
}

/// The wall clock as NTP writes it, from the time since 1970.
#[must_use]
pub fn ntp(since_1970: Duration) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    since_1970.as_secs().wrapping_add(FROM_1900_TO_1970) << 32 | fraction
}

/// Parses a compound packet. Types that we do not know are skipped, and so is everything behind
/// the first that makes no sense; it is an error if nothing did.
pub fn parse(bytes: &[u8]) -> Result<Vec<Report>, Error> {
    let mut reports = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match parse_one(&mut rest, &mut reports) {
            Ok(()) => {}
            Err(reason) if reports.is_empty() => {
                let offset = bytes.len() - rest.len();
                return Err(Error::packet("RTCP packet", bytes, offset, reason));
            }
            Err(_) => break,
        }
    }
    Ok(reports)
}

fn parse_one(rest: &mut &[u8], reports: &mut Vec<Report>) -> Result<(), &'static str> {
    let Some((&[first, kind, high, low], body)) = rest.split_first_chunk::<HEADER>() else {
        return Err("a header has 4 bytes");
    };
    if first & 0xc0 != VERSION {
        return Err("the version is 2");
    }
    // Cameras exist that write a length that is too long.
    let length = 4 * usize::from(u16::from_be_bytes([high, low]));
    let (mut body, after) = body.split_at(length.min(body.len()));
    if first & PADDING != 0
        && let Some(padding) = body.last()
    {
        body = &body[..body.len().saturating_sub(usize::from(*padding))];
    }
    let count = usize::from(first & 0x1f);
    let found = match kind {
        SENDER_REPORT => sender_report_of(body, count),
        RECEIVER_REPORT => word(body, 0).map(|ssrc| Report::Receiver {
            ssrc,
            blocks: blocks_of(&body[4..], count),
        }),
        SOURCE_DESCRIPTION => name_of(body),
        BYE => {
            let sources = (0..count).map_while(|index| word(body, 4 * index));
            reports.extend(sources.map(|ssrc| Report::Bye { ssrc }));
            None
        }
        _ => None,
    };
    if found.is_none() && matches!(kind, SENDER_REPORT | RECEIVER_REPORT) {
        return Err("a report has a source and its numbers");
    }
    reports.extend(found);
    *rest = after;
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
    Some(u32::from_be_bytes(*word))
}

fn sender_report_of(body: &[u8], count: usize) -> Option<Report> {
    let info = SenderInfo {
        ntp: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
        timestamp: word(body, 12)?,
        packets: word(body, 16)?,
        octets: word(body, 20)?,
    };
    Some(Report::Sender {
        ssrc: word(body, 0)?,
        info,
        blocks: blocks_of(&body[24..], count),
    })
}

/// As many as the header counts: what follows is for extensions of a profile (§6.4.3).
fn blocks_of(bytes: &[u8], count: usize) -> Vec<Block> {
    let block = |bytes: &[u8]| {
        let losses = word(bytes, 4)?;
        Some(Block {
            ssrc: word(bytes, 0)?,
            fraction_lost: (losses >> 24) as u8,
            // Extends the sign of 24 bits.
            lost: (losses << 8) as i32 >> 8,
            highest: word(bytes, 8)?,
            jitter: word(bytes, 12)?,
            last_report: word(bytes, 16)?,
            delay: word(bytes, 20)?,
        })
    };
    let blocks = bytes.chunks_exact(BLOCK).take(count);
    blocks.filter_map(block).collect()
}

/// The name in the first chunk.
fn name_of(body: &[u8]) -> Option<Report> {
    let ssrc = word(body, 0)?;
    let mut items = &body[4..];
    while let [kind @ (1..=255), length, rest @ ..] = items {
        let (text, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == CNAME {
            let cname = String::from_utf8_lossy(text).into_owned();
            return Some(Report::Name { ssrc, cname });
        }
        items = after;
    }
    None
}

/// A sender's report of one stream, as a compound packet with its name (§6.1).
#[must_use]
pub fn sender_report(ssrc: u32, cname: &str, info: SenderInfo) -> Bytes {
    let mut out = Vec::with_capacity(64);
    header(&mut out, 0, SENDER_REPORT, 24);
    out.put_u32(ssrc);
    out.put_u64(info.ntp);
    out.put_u32(info.timestamp);
    out.put_u32(info.packets);
    out.put_u32(info.octets);
    name(&mut out, ssrc, cname);
    out.into()
}

/// A receiver's report, as a compound packet with its name (§6.1). Only the first 31 blocks fit.
#[must_use]
pub fn receiver_report(ssrc: u32, cname: &str, blocks: &[Block]) -> Bytes {
    let blocks = &blocks[..blocks.len().min(MAX_BLOCKS)];
    let mut out = Vec::with_capacity(64);
    header(
        &mut out,
        blocks.len(),
        RECEIVER_REPORT,
        4 + BLOCK * blocks.len(),
    );
    out.put_u32(ssrc);
    for block in blocks {
        out.put_u32(block.ssrc);
        out.put_u32(u32::from(block.fraction_lost) << 24 | block.lost as u32 & 0x00ff_ffff);
        out.put_u32(block.highest);
        out.put_u32(block.jitter);
        out.put_u32(block.last_report);
        out.put_u32(block.delay);
    }
    name(&mut out, ssrc, cname);
    out.into()
}

/// The end of our stream: an empty report, our name, and BYE (§6.1, §6.6).
#[must_use]
pub fn bye(ssrc: u32, cname: &str) -> Bytes {
    let mut out = receiver_report(ssrc, cname, &[]).to_vec();
    header(&mut out, 1, BYE, 4);
    out.put_u32(ssrc);
    out.into()
}

fn header(out: &mut Vec<u8>, count: usize, kind: u8, body: usize) {
    out.extend_from_slice(&[VERSION | count as u8, kind]);
    out.put_u16((body / 4) as u16);
}

fn name(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    // The list of items ends with one to four zeros.
    let items = 2 + cname.len();
    let padded = (items / 4 + 1) * 4;
    header(out, 1, SOURCE_DESCRIPTION, 4 + padded);
    out.put_u32(ssrc);
    out.extend_from_slice(&[CNAME, cname.len() as u8]);
    out.extend_from_slice(cname);
    out.put_bytes(0, padded - items);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO: SenderInfo = SenderInfo {
        ntp: 0xe8a0_0000_8000_0000,
        timestamp: 3,
        packets: 4,
        octets: 5,
    };

    #[test]
    fn a_sender_report_and_its_name() {
        for cname in ["", "a", "ab", "abc", "camera@headworks"] {
            let bytes = sender_report(7, cname, INFO);
            assert_eq!(bytes.len() % 4, 0);
            let expected = [
                Report::Sender {
                    ssrc: 7,
                    info: INFO,
                    blocks: Vec::new(),
                },
                Report::Name {
                    ssrc: 7,
                    cname: cname.to_owned(),
                },
            ];
            assert_eq!(parse(&bytes).expect("parses"), expected);
            assert!(is_rtcp(&bytes));
        }
    }

    #[test]
    fn the_end() {
        let reports = parse(&bye(7, "me")).expect("parses");
        assert_eq!(reports.last(), Some(&Report::Bye { ssrc: 7 }));
        assert_eq!(reports.len(), 3);
    }

    #[test]
    fn the_end_of_several() {
        let reports = parse(&[0x82, 203, 0, 3, 0, 0, 0, 7, 0, 0, 0, 8, 3, b'o', b'u', b't']);
        let expected = [Report::Bye { ssrc: 7 }, Report::Bye { ssrc: 8 }];
        assert_eq!(reports.expect("parses"), expected);
    }

    #[test]
    fn what_follows_the_blocks_is_none() {
        let mut bytes = receiver_report(9, "me", &[Block::default(); 2]).to_vec();
        bytes[0] = VERSION | 1;
        let Report::Receiver { blocks, .. } = &parse(&bytes).expect("parses")[0] else {
            panic!("a receiver's report");
        };
        assert_eq!(blocks.len(), 1);
    }

    #[test]
    fn wall_clocks() {
        // 2024-01-01 00:00:00.5 UTC.
        let time = Duration::new(1_704_067_200, 500_000_000);
        assert_eq!(ntp(time), 0xe93c_7f00 << 32 | 1 << 31);
    }

    #[test]
    fn what_is_readable_is_read() {
        let good = sender_report(7, "me", INFO);
        // An application's packet in front, a length that is too long at the end.
        let mut bytes = vec![0x80, 204, 0, 1, 1, 2, 3, 4];
        bytes.extend_from_slice(&good[..28]);
        bytes[8 + 3] = 99;
        assert_eq!(parse(&bytes).expect("parses").len(), 1);
        // Garbage behind it.
        assert_eq!(
            parse(&[&good[..], &[9, 9]].concat()).expect("parses").len(),
            2
        );
        let error = parse(&good[..20]).expect_err("is refused");
        assert_eq!(
            error.to_string(),
            "bad RTCP packet of 20 bytes at byte 0: a report has a source and its numbers"
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, kind in 198_u8..206) {
            let _ = parse(&bytes);
            bytes.splice(0..0, [VERSION | 3 | PADDING, kind, 0, 4]);
            let _ = parse(&bytes);
        }

        #[test]
        fn blocks_come_back(ssrc: u32, fraction_lost: u8, lost in -0x80_0000..0x80_0000, highest: u32, jitter: u32, last_report: u32, delay: u32, count in 0_usize..40) {
            let block = Block { ssrc, fraction_lost, lost, highest, jitter, last_report, delay };
            let reports = parse(&receiver_report(9, "me", &vec![block; count])).expect("parses");
            let expected = Report::Receiver { ssrc: 9, blocks: vec![block; count.min(MAX_BLOCKS)] };
            prop_assert_eq!(&reports[0], &expected);
        }
    }
}
