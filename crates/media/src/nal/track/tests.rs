use proptest::prelude::*;

use super::*;
use crate::{
    nal::{split_annex_b, tests::annex_b},
    parameters::tests::{h264, h265},
};

fn sets(video: &VideoParameters) -> Vec<Bytes> {
    match video.codec().clone() {
        VideoCodec::H264 { sps, pps } => vec![sps, pps],
        VideoCodec::H265 { vps, sps, pps } => vec![vps, sps, pps],
        VideoCodec::Av1 { .. } => unreachable!("no NAL units"),
    }
}

#[test]
fn parameter_sets_leave_the_picture_and_configure_the_track() {
    for (format, video, key, other, delimiter) in [
        (NalFormat::H264, h264(), 0x65, 0x41, 0x09),
        (NalFormat::H265, h265(), 0x26, 0x02, 0x46),
    ] {
        let mut track = NalTrack::new(format);
        let mut nals = vec![Bytes::from(vec![delimiter, 0xf0])];
        nals.extend(sets(&video));
        nals.push(Bytes::from(vec![key, 1, 7]));
        let stream = annex_b(&nals);
        let first = track
            .picture(split_annex_b(&stream))
            .expect("parses")
            .expect("a picture");
        assert!(first.key);
        assert_eq!(track.take_changed(), Some(&video));
        assert_eq!(first.payload[..], [0, 0, 0, 3, key, 1, 7]);
        assert_eq!(track.parameters(), Some(&video));
        let again = track
            .picture(split_annex_b(&stream))
            .expect("parses")
            .expect("a picture");
        assert!(again.key);
        assert_eq!(track.take_changed(), None);
        let stream = [0, 0, 1, other, 1, 9];
        let next = track
            .picture(split_annex_b(&stream))
            .expect("parses")
            .expect("a picture");
        assert!(!next.key);
        let alone = track
            .picture(split_annex_b(&annex_b(&nals[..3])))
            .expect("parses");
        assert_eq!(alone, None);
    }
}

#[test]
fn further_picture_parameter_sets_stay_with_the_pictures() {
    let video = h264();
    let mut nals = sets(&video);
    // pic_parameter_set_id 1.
    nals.push(Bytes::from_static(&[0x68, 0x4b, 0xe3, 0xcb]));
    let mut track = NalTrack::new(NalFormat::H264);
    assert_eq!(track.configure(nals.iter().map(|nal| &nal[..])), Ok(()));
    assert_eq!(track.take_changed(), Some(&video));
    let sample = Bytes::from_static(&[0, 0, 0, 2, 0x65, 7]);
    let key = track
        .sample(&sample, 4, 5)
        .expect("parses")
        .expect("a picture");
    assert_eq!(
        key.payload[..],
        [0, 0, 0, 4, 0x68, 0x4b, 0xe3, 0xcb, 0, 0, 0, 2, 0x65, 7]
    );
    let in_band = annex_b(&[nals[2].clone(), Bytes::from_static(&[0x41, 1])]);
    let picture = track
        .picture(split_annex_b(&in_band))
        .expect("parses")
        .expect("a picture");
    assert_eq!(
        picture.payload[..],
        [0, 0, 0, 4, 0x68, 0x4b, 0xe3, 0xcb, 0, 0, 0, 2, 0x41, 1]
    );
    assert_eq!(track.take_changed(), None);
}

#[test]
fn samples_of_any_length_size_become_four() {
    let mut track = NalTrack::new(NalFormat::H264);
    for (size, sample) in [
        (1, &[2, 0x65, 7, 2, 0x09, 0xf0][..]),
        (2, &[0, 2, 0x65, 7]),
        (3, &[0, 0, 2, 0x65, 7]),
        (4, &[0, 0, 0, 2, 0x65, 7]),
    ] {
        let sample = Bytes::copy_from_slice(sample);
        let picture = track
            .sample(&sample, size, 0)
            .expect("parses")
            .expect("a picture");
        assert_eq!(picture.payload[..], [0, 0, 0, 2, 0x65, 7]);
        let shared = picture.payload.as_ptr() == sample.as_ptr();
        assert_eq!(shared, size == 4, "copied only where it must be");
    }
    let error = track.sample(&Bytes::from_static(&[0, 0, 0, 9, 0x65]), 4, 5);
    assert_eq!(
        error.expect_err("too long").to_string(),
        "bad FLV, NAL unit at byte 5: it does not fit into the 5 bytes left"
    );
}

#[test]
fn a_broken_parameter_set_changes_nothing() {
    let mut track = NalTrack::new(NalFormat::H264);
    let video = h264();
    track
        .configure(sets(&video).iter().map(|nal| &nal[..]))
        .expect("parses");
    let broken = [&[0x67, 1, 2][..], &[0x65, 1]];
    assert!(track.picture(broken.into_iter()).is_err());
    assert_eq!(track.parameters(), Some(&video));
}

#[test]
fn a_parameter_set_that_no_record_holds_is_refused() {
    for (format, headers) in [
        (NalFormat::H264, &[[0x67, 0], [0x68, 0]][..]),
        (NalFormat::H265, &[[0x40, 1], [0x42, 1], [0x44, 1]]),
    ] {
        for header in headers {
            let mut track = NalTrack::new(format);
            let mut set = header.to_vec();
            set.resize(MAX_SET, 0);
            assert_eq!(track.picture([&set[..]].into_iter()), Ok(None));
            set.push(0);
            let error = track.picture([&set[..]].into_iter()).expect_err("refused");
            let text = error.to_string();
            assert!(
                text.ends_with("S of 65536 bytes: more than 65535 bytes"),
                "{text}"
            );
        }
    }
}

#[test]
fn the_first_parameter_set_is_not_read_again_for_each_further_one() {
    // 65,000 zeros, which nobody may count for each of the others.
    let mut first = vec![0x68];
    first.resize(65_000, 0);
    let further = [0x68, 0x4b];
    let nals = std::iter::once(&first[..]).chain(std::iter::repeat_n(&further[..], 100_000));
    let mut track = NalTrack::new(NalFormat::H264);
    let picture = track
        .picture(nals)
        .expect("parses")
        .expect("the others stay");
    assert_eq!(picture.payload.len(), 6 * 100_000);
    assert_eq!(track.sets.pps_id, None, "it has no number");
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, size in 1_usize..5) {
        for format in [NalFormat::H264, NalFormat::H265] {
            let mut track = NalTrack::new(format);
            let _ = track.picture(split_annex_b(&bytes));
            let _ = track.sample(&Bytes::from(bytes.clone()), size, 0);
        }
    }
}
