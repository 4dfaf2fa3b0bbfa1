use proptest::{collection::vec, option, prelude::*};

use super::*;

fn hex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn pictures() -> impl Strategy<Value = headworks_media::VideoCodec> {
    use headworks_media::VideoCodec::{Av1, H264, H265};
    prop_oneof![
        Just(H264 {
            sps: hex("6764001eacd940a02ff97011000003000100000300320f162d96"),
            pps: hex("68ebe3cb22c0"),
        }),
        Just(H265 {
            vps: hex("40010c01ffff01600000030090000003000003005d959809"),
            sps: hex(
                "42010101600000030090000003000003005da00280802d165959a4932bc05a020000030002000003003210"
            ),
            pps: hex("4401c172b46240"),
        }),
        Just(Av1 {
            sequence_header: hex("0a0b000000043cfecc02f80040"),
        }),
    ]
}

fn sounds() -> impl Strategy<Value = headworks_media::AudioParameters> {
    use headworks_media::{AudioParameters, G711Law};
    let aac = (1..96_000_u32).prop_map(|clock_rate| {
        let config = Bytes::from_static(&[0x11, 0x90]);
        AudioParameters::aac(config, clock_rate).expect("parses")
    });
    let g711 = (any::<bool>(), 1..=u32::MAX, 1..=u8::MAX);
    let g711 = g711.prop_map(|(a, clock_rate, channels)| AudioParameters::G711 {
        law: if a { G711Law::A } else { G711Law::Mu },
        clock_rate,
        channels,
    });
    let opus = (1..=2_u8, any::<u16>());
    let opus = opus.prop_map(|(channels, pre_skip)| AudioParameters::Opus { channels, pre_skip });
    prop_oneof![aac, g711, opus]
}

/// All that a stream can be made of.
pub(crate) fn tracks() -> impl Strategy<Value = Tracks> {
    (pictures(), option::of(sounds())).prop_map(|(codec, audio)| Tracks {
        video: headworks_media::VideoParameters::new(codec).expect("parses"),
        audio,
    })
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u128>().prop_map(|number| Uuid::from_u128(number).into())
}

fn frames() -> impl Strategy<Value = Relayed> {
    let times = (-LATEST..LATEST, 0..1_000_000_i64);
    let payload = vec(any::<u8>(), 0..300);
    let flags = any::<[bool; 3]>();
    (any::<u64>(), times, flags, payload).prop_map(|(sequence, (dts, later), flags, payload)| {
        let [is_video, key, starts_session] = flags;
        Relayed {
            sequence,
            starts_session,
            frame: Frame {
                track: if is_video {
                    TrackKind::Video
                } else {
                    TrackKind::Audio
                },
                dts,
                pts: (dts + later).min(LATEST),
                key: key || !is_video,
                payload: payload.into(),
            },
        }
    })
}

fn source() -> impl Strategy<Value = Source> {
    let path = vec(node(), 1..=MAX_PATH);
    (any::<i64>(), option::of(any::<u64>()), path).prop_map(|(epoch, incarnation, path)| Source {
        epoch,
        incarnation,
        path,
    })
}

fn tell() -> impl Strategy<Value = Tell> {
    let refused = 0..Refusal::ALL.len();
    let status = (0..4_u8, ".{0,100}");
    prop_oneof![
        any::<u16>().prop_map(|version| Tell::Welcome { version }),
        refused.prop_map(|why| Tell::Refused {
            why: Refusal::ALL[why],
        }),
        source().prop_map(Tell::Source),
        tracks().prop_map(|tracks| Tell::Tracks(Arc::new(tracks))),
        frames().prop_map(Tell::Frame),
        status.prop_map(|(number, words)| Tell::Status {
            state: state(number).expect("is one"),
            words,
        }),
        Just(Tell::Alive),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let hello = (
        any::<u16>(),
        any::<u128>(),
        any::<i64>(),
        option::of(node()),
    );
    let leave = (any::<i64>(), option::of(node()));
    let place = option::of(any::<(u64, u64)>());
    prop_oneof![
        hello.prop_map(|(version, camera, epoch, origin)| Ask::Hello {
            version,
            camera: Uuid::from_u128(camera).into(),
            epoch,
            origin,
        }),
        place.prop_map(|place| Ask::Play {
            resume: place.map(|(incarnation, sequence)| Place {
                incarnation,
                sequence,
            }),
        }),
        leave.prop_map(|(epoch, origin)| Ask::Leave { epoch, origin }),
    ]
}

/// Everything that comes out when the bytes come in pieces of these sizes, and what goes wrong.
fn read<M: Message>(bytes: &[u8], sizes: &[usize]) -> (Vec<M>, Option<Error>) {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap_or(&1)).clamp(1, rest.len());
        let (piece, behind) = rest.split_at(size);
        rest = behind;
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        // Room is made for what has come, not for what was announced.
        assert!(decoder.buffer().capacity() <= 2 * bytes.len() + 64);
    }
    (found, None)
}

proptest! {
    #[test]
    fn what_is_told_arrives_however_it_is_cut(
        told in vec(tell(), 0..12),
        sizes in vec(1..700_usize, 1..9),
    ) {
        let mut bytes = BytesMut::new();
        told.iter().for_each(|tell| tell.write(&mut bytes));
        prop_assert_eq!(read(&bytes, &sizes), (told, None));
    }

    #[test]
    fn so_does_what_is_asked(asked in vec(ask(), 0..12), sizes in vec(1..40_usize, 1..9)) {
        let mut bytes = BytesMut::new();
        asked.iter().for_each(|ask| ask.write(&mut bytes));
        prop_assert_eq!(read(&bytes, &sizes), (asked, None));
    }

    #[test]
    fn garbage_is_refused_or_harmless(
        start in prop_oneof![Just(vec![]), vec(any::<u8>(), 0..40)],
        kind in prop_oneof![Just(b"HPLWROTFSA".to_vec()), vec(any::<u8>(), 1..4)],
        lengths in vec(0..90_u32, 1..5),
        body in vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = start;
        for (kind, length) in kind.iter().zip(lengths.iter().cycle()) {
            bytes.push(*kind);
            bytes.extend(length.to_be_bytes());
            bytes.extend(&body[..body.len().min(*length as usize)]);
        }
        read::<Tell>(&bytes, &[7, 1]);
        read::<Ask>(&bytes, &[7, 1]);
    }

    #[test]
    fn what_was_changed_on_the_way_does_not_harm(
        told in vec(tell(), 1..4),
        changes in vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = BytesMut::new();
        told.iter().for_each(|tell| tell.write(&mut bytes));
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        read::<Tell>(&bytes, &[1000]);
    }
}

#[test]
fn other_protocols_and_giants_are_refused_at_their_first_bytes() {
    let first = |bytes: &[u8]| read::<Ask>(bytes, &[bytes.len()]).1;
    assert_eq!(first(b"GET / HTTP/1.1\r\n\r\n"), Some(Error::Kind(b'G')));
    let length = u32::from_be_bytes(*b"EAD ");
    let kind = b'H';
    assert_eq!(
        first(b"HEAD / HTTP/1.1"),
        Some(Error::Length { kind, length })
    );
    let mut foreign = BytesMut::new();
    put(&mut foreign, kind::HELLO, |out| out.put_slice(&[0; 40]));
    assert_eq!(first(&foreign), Some(Error::Foreign));
    let giant = (FRAME_HEAD + MAX_PAYLOAD + 1) as u32;
    let mut frame = vec![kind::FRAME];
    frame.extend(giant.to_be_bytes());
    let error = read::<Tell>(&frame, &[5]).1;
    let expected = Error::Length {
        kind: kind::FRAME,
        length: giant,
    };
    assert_eq!(error, Some(expected));
}

#[test]
fn later_versions_may_say_more_in_their_greeting() {
    let hello = Ask::Hello {
        version: 7,
        camera: Uuid::from_u128(1).into(),
        epoch: 3,
        origin: None,
    };
    let mut bytes = BytesMut::new();
    hello.write(&mut bytes);
    let length = bytes.len() - HEAD + 4;
    bytes[1..HEAD].copy_from_slice(&(length as u32).to_be_bytes());
    bytes.put_slice(b"more");
    assert_eq!(read(&bytes, &[100]), (vec![hello], None));
}

#[test]
fn long_words_are_cut_between_letters() {
    let status = Tell::Status {
        state: SlotState::Failed,
        words: "ä".repeat(MAX_WORDS),
    };
    let mut bytes = BytesMut::new();
    status.write(&mut bytes);
    let expected = Tell::Status {
        state: SlotState::Failed,
        words: "ä".repeat(MAX_WORDS / 2),
    };
    assert_eq!(read(&bytes, &[100]), (vec![expected], None));
}
