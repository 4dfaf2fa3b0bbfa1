use proptest::prelude::*;

use super::*;
use crate::{
    AudioParameters, Frame, TrackKind, Tracks,
    parameters::tests::{aac, h264, h265},
    ts::Muxer,
};

fn opus() -> AudioParameters {
    AudioParameters::Opus {
        channels: 2,
        pre_skip: 312,
    }
}

/// Three seconds of 25 pictures per second, and sound of `length` samples per packet.
fn frames(first: i64, slice: [u8; 2], rate: i64, length: i64) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut sound = first * rate / 90_000;
    for index in 0..75_i64 {
        let dts = first + index * 3600;
        let key = index % 25 == 0;
        // From less than a cell to more than a PES packet can say.
        let size = [20, 180, 3000, 70_000][index as usize % 4];
        let mut payload = (size as u32).to_be_bytes().to_vec();
        payload.push(slice[usize::from(!key)]);
        payload.resize(4 + size, index as u8 | 1);
        frames.push(Frame {
            track: TrackKind::Video,
            dts,
            pts: dts + (index % 3) * 3600,
            key,
            payload: payload.into(),
        });
        while length > 0 && sound * 90_000 < dts * rate {
            frames.push(Frame {
                track: TrackKind::Audio,
                dts: sound,
                pts: sound,
                key: true,
                payload: vec![0xfc; 400].into(),
            });
            sound += length;
        }
    }
    frames
}

fn mux(tracks: &Tracks, frames: &[Frame]) -> Vec<u8> {
    let mut muxer = Muxer::new(tracks.clone()).expect("carried");
    frames.iter().flat_map(|frame| muxer.write(frame)).collect()
}

fn demux(stream: &[u8], cut: usize) -> (Vec<Demuxed>, Losses) {
    let mut demuxer = Demuxer::default();
    let mut found = Vec::new();
    for piece in stream.chunks(cut) {
        demuxer.push(piece);
        found.extend(std::iter::from_fn(|| demuxer.poll()).map(|event| event.expect("no error")));
    }
    demuxer.finish();
    found.extend(std::iter::from_fn(|| demuxer.poll()).map(|event| event.expect("no error")));
    (found, demuxer.losses())
}

/// What [`demux`] has to find; sound may come out before a picture that it follows.
fn sorted(events: &[Demuxed]) -> (Vec<&Demuxed>, Vec<&Demuxed>, Vec<&Demuxed>) {
    let of = |wanted: fn(&Demuxed) -> bool| events.iter().filter(|event| wanted(event)).collect();
    (
        of(|event| matches!(event, Demuxed::Tracks(_))),
        of(|event| matches!(event, Demuxed::Video { .. })),
        of(|event| matches!(event, Demuxed::Audio { .. })),
    )
}

fn expected(tracks: &Tracks, frames: &[Frame], length: u32) -> Vec<Demuxed> {
    let mut events = vec![Demuxed::Tracks(tracks.clone().into())];
    events.extend(frames.iter().map(|frame| match frame.track {
        TrackKind::Video => Demuxed::Video {
            dts: frame.dts,
            pts: frame.pts,
            key: frame.key,
            payload: frame.payload.clone(),
        },
        TrackKind::Audio => Demuxed::Audio {
            timestamp: frame.pts,
            length,
            payload: frame.payload.clone(),
        },
    }));
    events
}

#[test]
fn what_we_write_reads_back() {
    for (video, slice) in [(h264(), [0x65, 0x41]), (h265(), [0x26, 0x02])] {
        for (audio, rate, length) in [
            (Some(aac()), 48_000, 1024),
            (Some(opus()), 48_000, 960),
            (None, 1, 0),
        ] {
            let tracks = Tracks {
                video: video.clone(),
                audio,
            };
            let frames = frames(900_000, slice, rate, length);
            let stream = mux(&tracks, &frames);
            let (found, losses) = demux(&stream, 1316);
            assert_eq!(losses, Losses::default());
            assert_eq!(
                sorted(&found),
                sorted(&expected(&tracks, &frames, length as u32))
            );
        }
    }
}

#[test]
fn a_stream_is_understood_however_it_is_cut() {
    let tracks = Tracks {
        video: h264(),
        audio: Some(aac()),
    };
    let stream = mux(&tracks, &frames(900_000, [0x65, 0x41], 48_000, 1024)[..40]);
    let (whole, _) = demux(&stream, stream.len());
    for cut in [1, 187, 189, 5000] {
        let (found, losses) = demux(&stream, cut);
        assert_eq!(losses, Losses::default());
        assert!(found == whole, "cut into {cut}");
    }
}

#[test]
fn time_goes_on_over_33_bits() {
    let tracks = Tracks {
        video: h264(),
        audio: None,
    };
    let frames = frames((1 << 33) - 7200, [0x65, 0x41], 1, 0);
    let (found, _) = demux(&mux(&tracks, &frames), 1316);
    assert_eq!(found, expected(&tracks, &frames, 0));
}

#[test]
fn a_lost_cell_costs_one_frame() {
    let tracks = Tracks {
        video: h264(),
        audio: None,
    };
    let frames = frames(900_000, [0x65, 0x41], 1, 0);
    let stream = mux(&tracks, &frames);
    // Within the third picture, which has 17 cells.
    let before: usize = mux(&tracks, &frames[..2]).len();
    let lost = before + 5 * CELL;
    let stream = [&stream[..lost], &stream[lost + CELL..]].concat();
    let (found, losses) = demux(&stream, 1316);
    assert_eq!((losses.gaps, losses.frames), (1, 1));
    let mut all = expected(&tracks, &frames, 0);
    all.remove(3);
    assert!(found == all);
}

#[test]
fn a_cell_that_comes_twice_counts_once() {
    let tracks = Tracks {
        video: h264(),
        audio: Some(aac()),
    };
    let frames = frames(900_000, [0x65, 0x41], 48_000, 1024);
    let stream = mux(&tracks, &frames);
    let twice: Vec<u8> = stream
        .chunks(CELL)
        .flat_map(|cell| [cell, cell].concat())
        .collect();
    let (found, losses) = demux(&twice, 1316);
    assert_eq!(losses, Losses::default());
    assert!(found == demux(&stream, 1316).0);
}

/// The counter has four bits: behind such a loss it says what it said before.
#[test]
fn a_loss_of_fifteen_cells_is_no_repetition() {
    let tracks = Tracks {
        video: h264(),
        audio: None,
    };
    let frames = frames(900_000, [0x65, 0x41], 1, 0);
    let sizes: Vec<_> = (0..frames.len())
        .map(|count| mux(&tracks, &frames[..count]).len())
        .collect();
    // The third picture has 17 cells, and no table stands before the fourth.
    let end = sizes[3];
    assert_eq!(end - sizes[2], 17 * CELL);
    let stream = mux(&tracks, &frames);
    let stream = [&stream[..end - 15 * CELL], &stream[end..]].concat();
    let (found, losses) = demux(&stream, 1316);
    assert_eq!((losses.gaps, losses.frames), (1, 1));
    let mut all = expected(&tracks, &frames, 0);
    all.remove(3);
    assert!(found == all);
}

#[test]
fn sync_is_found_again() {
    let tracks = Tracks {
        video: h264(),
        audio: None,
    };
    let frames = frames(900_000, [0x65, 0x41], 1, 0);
    let stream = mux(&tracks, &frames);
    let first = mux(&tracks, &frames[..3]).len();
    let stream = [b"garbage", &stream[..first], &[0; 100], &stream[first..]].concat();
    let (found, losses) = demux(&stream, 1316);
    assert_eq!((losses.skipped, losses.gaps), (107, 0));
    assert!(found == expected(&tracks, &frames, 0));
}

#[test]
fn what_is_not_supported_is_named_once() {
    let pat = psi::write_pat(0x1000);
    let pmt = psi::write_pmt(0, 0x100, &[(0x1b, 0x100, vec![]), (0x11, 0x101, vec![])]);
    let radio = psi::write_pmt(1, 0x101, &[(0x0f, 0x101, vec![])]);
    let mut stream = Vec::new();
    for (pid, table) in [(0, &pat), (0x1000, &pmt), (0x1000, &pmt), (0x1000, &radio)] {
        let mut counter = 0;
        let length = table.len();
        let none = packet::Adaptation::default();
        packet::CellWriter::new(&mut stream, pid, &mut counter, none, length).put(table);
    }
    let mut demuxer = Demuxer::default();
    demuxer.push(&stream);
    demuxer.finish();
    let errors: Vec<_> = std::iter::from_fn(|| demuxer.poll())
        .map(|event| event.expect_err("nothing else").to_string())
        .collect();
    assert_eq!(
        errors,
        [
            "sound in AAC in LATM is not supported",
            "bad MPEG-TS, program map at byte 564: the program has no picture",
        ]
    );
}

#[test]
fn what_is_no_stream_is_said() {
    let mut demuxer = Demuxer::default();
    let page = b"<html>".repeat(20_000);
    demuxer.push(&page);
    let error = demuxer.poll().expect("an error").expect_err("an error");
    assert_eq!(
        error.to_string(),
        "bad MPEG-TS, cell at byte 65535: no cells in 65536 bytes, which go on as ml><html><html><"
    );
    assert!(demuxer.poll().is_none());
    assert!(demuxer.buffer.len() < CELL);
}

#[test]
fn frames_of_aac_may_lie_across_packets() {
    let mut frames = frames(900_000, [0x65, 0x41], 48_000, 1024);
    frames.truncate(4);
    let mut stream = mux(
        &Tracks {
            video: h264(),
            audio: Some(aac()),
        },
        &frames[..1],
    );
    let header = match aac() {
        AudioParameters::Aac { parsed, .. } => parsed.adts_header(10).expect("carried"),
        _ => unreachable!("it is AAC"),
    };
    let unit = [&header[..], &[1; 10]].concat();
    let elementary = unit.repeat(3);
    // The second packet begins in the middle of the second unit, and tells when the third is due.
    let mut counter = 0;
    for (pts, data) in [(900_000, &elementary[..25]), (903_840, &elementary[25..])] {
        let mut pes = Vec::new();
        crate::ts::pes::write_header(&mut pes, 0xc0, pts, pts, data.len());
        pes.extend_from_slice(data);
        let none = packet::Adaptation::default();
        packet::CellWriter::new(&mut stream, 0x101, &mut counter, none, pes.len()).put(&pes);
    }
    let (found, _) = demux(&stream, 188);
    let times: Vec<_> = found
        .iter()
        .filter_map(|event| match event {
            Demuxed::Audio { timestamp, .. } => Some(*timestamp),
            _ => None,
        })
        .collect();
    assert_eq!(times, [480_000, 481_024, 482_048]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_streams_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        cut in 1_usize..3000,
        with_opus: bool,
    ) {
        let tracks = Tracks { video: h265(), audio: Some(if with_opus { opus() } else { aac() }) };
        let mut stream = mux(&tracks, &frames(900_000, [0x26, 0x02], 48_000, 1024)[..9]);
        for (at, value) in damage {
            let at = at.index(stream.len());
            stream[at] = value;
        }
        let mut demuxer = Demuxer::default();
        for piece in stream.chunks(cut) {
            demuxer.push(piece);
            while demuxer.poll().is_some() {}
            prop_assert!(demuxer.buffer.len() <= 2 * CELL);
        }
        demuxer.finish();
    }

    #[test]
    fn garbage_never_panics(cells in prop::collection::vec((0_u16..4, prop::collection::vec(any::<u8>(), CELL - 4)), 1..40)) {
        let tracks = Tracks { video: h264(), audio: Some(aac()) };
        let mut demuxer = Demuxer::default();
        demuxer.push(&mux(&tracks, &frames(900_000, [0x65, 0x41], 48_000, 1024)[..1]));
        for (pid, cell) in cells {
            let pid = [0, 0x100, 0x101, 0x1000][usize::from(pid)];
            let start = 0x4000 * u16::from(cell[0] & 1);
            let [high, low] = (start | pid).to_be_bytes();
            demuxer.push(&[SYNC, high, low, 0x10 | cell[1]]);
            demuxer.push(&cell);
            while demuxer.poll().is_some() {}
        }
        demuxer.finish();
    }
}
