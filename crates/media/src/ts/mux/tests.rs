use super::*;
use crate::parameters::tests::{aac, av1, h264, h265};

fn picture(dts: i64, key: bool, size: usize) -> Frame {
    let mut payload = (size as u32).to_be_bytes().to_vec();
    payload.push(if key { 0x65 } else { 0x41 });
    payload.resize(4 + size, 7);
    Frame {
        track: TrackKind::Video,
        dts,
        pts: dts + 3600,
        key,
        payload: payload.into(),
    }
}

fn sound(dts: i64) -> Frame {
    Frame {
        track: TrackKind::Audio,
        dts,
        pts: dts,
        key: true,
        payload: Bytes::from_static(&[0x21, 0x10]),
    }
}

fn pids(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks(CELL)
        .map(|cell| u16::from_be_bytes([cell[1], cell[2]]) & 0x1fff)
        .collect()
}

fn muxer(audio: Option<AudioParameters>) -> Muxer {
    Muxer::new(Tracks {
        video: h264(),
        audio,
    })
    .expect("carried")
}

#[test]
fn tables_stand_before_key_frames_and_twice_a_second() {
    let mut muxer = muxer(Some(aac()));
    let key = muxer.write(&picture(900_000, true, 300));
    assert_eq!(pids(&key), [0, PMT_PID, VIDEO_PID, VIDEO_PID, VIDEO_PID]);
    assert_eq!(
        pids(&muxer.write(&picture(903_600, false, 50))),
        [VIDEO_PID]
    );
    assert_eq!(pids(&muxer.write(&sound(480_000))), [AUDIO_PID]);
    let later = muxer.write(&picture(945_000, false, 50));
    assert_eq!(pids(&later), [0, PMT_PID, VIDEO_PID]);
    let key = muxer.write(&picture(945_100, true, 50));
    assert_eq!(pids(&key)[..2], [0, PMT_PID]);
}

#[test]
fn rare_pictures_do_not_stop_the_clock() {
    let mut muxer = muxer(Some(aac()));
    muxer.write(&picture(900_000, true, 50));
    // 100 ms later, at 48 kHz.
    let bytes = muxer.write(&sound(484_800));
    assert_eq!(pids(&bytes), [VIDEO_PID, AUDIO_PID]);
    let clock = packet::parse(bytes.first_chunk().expect("a cell")).expect("parses");
    assert_eq!(
        (clock.payload.len(), clock.counter),
        (0, muxer.counters.video - 1)
    );
}

#[test]
fn an_output_is_one_exact_allocation() {
    let mut muxer = muxer(None);
    for size in [1, 100, 150, 170, 184, 1000, 70_000] {
        let bytes = muxer.write(&picture(900_000 + size as i64, false, size));
        assert_eq!(bytes.len() % CELL, 0);
        let vec = Vec::from(bytes);
        // Tables are in the first only.
        assert!(vec.capacity() - vec.len() <= 2 * CELL);
    }
}

#[test]
fn what_cannot_be_carried() {
    let error = Muxer::new(Tracks {
        video: av1(),
        audio: None,
    });
    assert_eq!(
        error.expect_err("AV1").to_string(),
        "MPEG-TS cannot carry AV1"
    );
    let g711 = AudioParameters::G711 {
        law: crate::G711Law::A,
        clock_rate: 8000,
        channels: 1,
    };
    assert!(!carries(&g711));
    let mut muxer = muxer(Some(g711));
    assert!(muxer.write(&sound(80_000)).is_empty());
    let tables = muxer.write(&picture(900_000, true, 10));
    // One stream of five bytes, nine before it, and the checksum.
    assert_eq!(tables[CELL + 7], 18);
}

#[test]
fn new_parameters_have_a_new_table() {
    let mut muxer = muxer(None);
    let before = muxer.write(&picture(900_000, true, 10));
    muxer
        .set_tracks(Tracks {
            video: h265(),
            audio: Some(aac()),
        })
        .expect("carried");
    let after = muxer.write(&picture(903_600, true, 10));
    assert_ne!(before[CELL..2 * CELL], after[CELL..2 * CELL]);
    assert_eq!(after[CELL + 10], 0xc3, "version 1");
}
