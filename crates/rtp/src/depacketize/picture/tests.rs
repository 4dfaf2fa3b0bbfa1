use headworks_media::VideoCodec;

use super::*;
use crate::testing;

const IDR: &[u8] = &[0x65, 0x88, 1, 2, 3];
const SECOND_SLICE: &[u8] = &[0x65, 0x41, 4];
const INTER: &[u8] = &[0x41, 0x9a, 5];

/// Packets without loss.
struct Track {
    pictures: Pictures,
    out: Outputs,
}

impl Track {
    fn h264() -> Self {
        Self {
            pictures: Pictures::new(NalFormat::H264, Some(&testing::h264()), 90_000),
            out: Outputs::new(),
        }
    }

    fn h265() -> Self {
        Self {
            pictures: Pictures::new(NalFormat::H265, Some(&testing::h265()), 90_000),
            out: Outputs::new(),
        }
    }

    fn push(&mut self, timestamp: i64, marker: bool, payload: &[u8]) {
        let packet = Packet {
            marker,
            payload_type: 96,
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
            payload: Bytes::copy_from_slice(payload),
        };
        self.pictures.push(&packet, timestamp, false, &mut self.out);
    }

    /// The NAL units of the pictures so far.
    fn units(&mut self) -> Vec<Vec<Bytes>> {
        let pictures = self.pictures().into_iter();
        pictures.map(|picture| units(&picture.payload)).collect()
    }

    fn pictures(&mut self) -> Vec<Picture> {
        let outputs = self.out.drain(..);
        outputs
            .filter_map(|output| match output {
                Output::Picture(picture) => Some(picture),
                _ => None,
            })
            .collect()
    }

    fn keys(&mut self) -> Vec<bool> {
        self.pictures().iter().map(|picture| picture.key).collect()
    }
}

fn units(payload: &Bytes) -> Vec<Bytes> {
    let mut rest = payload.clone();
    let mut units = Vec::new();
    while !rest.is_empty() {
        let length = rest.split_to(LENGTH);
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        units.push(rest.split_to(length as usize));
    }
    units
}

fn parameter_sets_of_h264() -> [Bytes; 2] {
    match testing::h264().codec() {
        VideoCodec::H264 { sps, pps } => [sps.clone(), pps.clone()],
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_frames_do_not_have_is_left_out() {
    let mut track = Track::h264();
    let [sps, pps] = parameter_sets_of_h264();
    for (marker, unit) in [
        (false, &[9, 0xf0][..]),
        // A marker behind parameter sets ends nothing.
        (true, &sps),
        (true, &pps),
        (false, &[6, 5, 1, 7, 0x80]),
        (false, IDR),
        (false, &[12, 0xff, 0xff, 0x80]),
        // Zeros behind a NAL unit are not its own.
        (true, &[SECOND_SLICE, &[0, 0]].concat()),
    ] {
        track.push(0, marker, unit);
    }
    assert_eq!(track.units(), [[&[6, 5, 1, 7, 0x80], IDR, SECOND_SLICE]]);
}

#[test]
fn parameters_that_change() {
    let mut track = Track::h264();
    let [sps, pps] = parameter_sets_of_h264();
    let other = [&pps[..], &[0x55]].concat();
    track.push(0, false, &sps);
    track.push(0, false, &pps);
    track.push(0, true, IDR);
    assert_eq!(track.out.len(), 1, "nothing new");
    track.push(1, false, &other);
    track.push(1, true, IDR);
    let Some(Output::Parameters(parameters)) = track.out.get(1) else {
        panic!("{:?}", track.out);
    };
    let expected = VideoCodec::H264 {
        sps: sps.clone(),
        pps: other.into(),
    };
    assert_eq!(*parameters.codec(), expected);
    track.out.clear();
    // Damaged ones are told once, in front of the picture.
    track.push(2, false, &[0x67, 0xff]);
    track.push(2, true, IDR);
    track.push(3, true, INTER);
    let bad = |output: &Output| matches!(output, Output::BadParameters(_));
    let bad: Vec<_> = track.out.iter().map(bad).collect();
    assert_eq!(bad, [true, false, false]);
}

#[test]
fn a_set_replaces_only_the_one_of_its_number() {
    let mut track = Track::h264();
    let [sps, pps] = parameter_sets_of_h264();
    // pic_parameter_set_id 1, without 0 beside it.
    let second = [0x68, 0x5b, 0x77];
    track.push(0, false, &second);
    track.push(0, true, IDR);
    assert_eq!(track.out.len(), 1, "the parameters do not change");
    assert_eq!(track.units(), [[&second, IDR]]);
    // Number 0, changed.
    let other = [&pps[..], &[0x55]].concat();
    track.push(1, false, &second);
    track.push(1, false, &other);
    track.push(1, true, IDR);
    let Some(Output::Parameters(parameters)) = track.out.pop_front() else {
        panic!("{:?}", track.out);
    };
    let pps = other.into();
    assert_eq!(*parameters.codec(), VideoCodec::H264 { sps, pps });
    assert_eq!(track.units(), [[&second, IDR]]);
}

#[test]
fn a_second_set_of_a_kind_stays_in_its_picture() {
    let mut track = Track::h264();
    let [sps, pps] = parameter_sets_of_h264();
    let second = [0x68, 0x5b, 0x77];
    for timestamp in 0..2 {
        track.push(timestamp, false, &sps);
        track.push(timestamp, false, &pps);
        track.push(timestamp, false, &second);
        track.push(timestamp, false, &pps);
        track.push(timestamp, true, IDR);
    }
    assert_eq!(track.out.len(), 2, "the parameters do not change");
    assert_eq!(track.units(), [[&second, IDR], [&second, IDR]]);
}

#[test]
fn start_codes_where_rtp_has_none() {
    let [sps, pps] = parameter_sets_of_h264();
    let code = [0, 0, 0, 1];
    let all = [&sps[..], &code, &pps, &code, IDR, &code, SECOND_SLICE].concat();
    // In one packet, with a start code in front too.
    for payload in [all.clone(), [&code[..], &all].concat()] {
        let mut track = Track::h264();
        track.push(0, true, &payload);
        assert_eq!(track.units(), [[IDR, SECOND_SLICE]]);
    }
    // Cut into fragments, wherever that is.
    for cut in 2..all.len() - 1 {
        let mut track = Track::h264();
        track.push(0, false, &[&[0x7c, START | 7], &all[1..cut]].concat());
        track.push(0, true, &[&[0x7c, END | 7], &all[cut..]].concat());
        assert_eq!(track.units(), [[IDR, SECOND_SLICE]]);
    }
}

#[test]
fn fragments_without_an_end_and_without_a_start() {
    let mut track = Track::h264();
    track.push(0, false, &[0x7c, START | 5, 0x88, 1]);
    track.push(0, true, &[0x7c, 5, 2, 3]);
    // The end was forgotten: the next picture tells that this one is over.
    track.push(1, true, &[0x7c, END | 5, 2, 3]);
    assert_eq!(track.units(), [[IDR]]);
    assert_eq!(track.pictures.damaged(), 1);
    track.push(2, true, INTER);
    assert!(track.pictures()[0].gap);
}

#[test]
fn aggregates_of_all_kinds() {
    let mut track = Track::h264();
    let inside = [&[0, 5], IDR, &[0, 3], SECOND_SLICE].concat();
    track.push(0, true, &[&[0x78], &inside[..]].concat());
    track.push(1, true, &[&[0x79, 0, 7], &inside[..]].concat());
    assert_eq!(track.units(), [[IDR, SECOND_SLICE], [IDR, SECOND_SLICE]]);
    // Cut off, and of the interleaved mode.
    track.push(2, true, &[&[0x78], &inside[..9]].concat());
    track.push(3, true, &[&[0x7a, 0, 0], &inside[..]].concat());
    assert_eq!(track.units(), [] as [Vec<Bytes>; 0]);
    assert_eq!(track.pictures.damaged(), 2);
}

#[test]
fn where_viewers_can_start() {
    const NOW: &[u8] = &[6, 6, 1, 0xc4, 0x80];
    const LATER: &[u8] = &[6, 6, 1, 0x24, 0x80];
    let mut track = Track::h264();
    let mut picture = |timestamp, sei: Option<&[u8]>, slice| {
        if let Some(sei) = sei {
            track.push(timestamp, false, sei);
        }
        track.push(timestamp, true, slice);
        track.keys() == [true]
    };
    assert!(picture(0, None, IDR));
    assert!(!picture(3600, None, INTER));
    assert!(picture(7200, Some(NOW), INTER), "an open GOP");
    assert!(!picture(10_800, Some(LATER), INTER));
    assert!(
        picture(7200 + 900_001, Some(LATER), INTER),
        "nothing better for 10 s"
    );
    assert!(!picture(7200 + 903_600, Some(LATER), INTER));
}

#[test]
fn h265_has_layers_and_random_access() {
    const CRA: &[u8] = &[21 << 1, 1, 0x80, 7];
    const TRAIL: &[u8] = &[1 << 1, 1, 0x80, 7];
    let mut track = Track::h265();
    // An access unit delimiter, and a slice of an enhancement layer.
    track.push(0, false, &[35 << 1, 1, 0x50]);
    track.push(0, false, CRA);
    track.push(0, true, &[21 << 1, 9, 0x80, 7]);
    track.push(1, true, TRAIL);
    let pictures = track.pictures();
    assert_eq!(units(&pictures[0].payload), [CRA]);
    assert!(pictures[0].key && !pictures[1].key);
    // PACI says how to read what we do not know.
    track.push(2, true, &[50 << 1, 1, 0, 0, 0]);
    assert_eq!(track.pictures.damaged(), 1);
}

#[test]
fn pictures_have_a_limit() {
    let mut track = Track::h264();
    let part = vec![1; 60_000];
    track.push(0, false, &[&[0x7c, START | 5, 0x88], &part[..]].concat());
    for _ in 0..MAX_PICTURE / part.len() + 1 {
        track.push(0, false, &[&[0x7c, 5], &part[..]].concat());
    }
    assert!(track.pictures.current.bytes.len() <= MAX_PICTURE);
    track.push(0, true, &[0x7c, END | 5, 1]);
    for _ in 0..=MAX_UNITS {
        track.push(1, false, IDR);
    }
    track.push(1, true, IDR);
    assert_eq!(track.pictures(), []);
    assert_eq!(track.pictures.damaged(), 2);
}
