use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, Error> {
    let mut reader = Reader::new(Limits::default(), 0);
    let mut input = Bytes::copy_from_slice(bytes);
    let mut read = Vec::new();
    while let Some(message) = reader.next(&mut input)? {
        read.push((message.timestamp, message.payload.to_vec()));
    }
    Ok(read)
}

fn times(bytes: &[u8]) -> Vec<u32> {
    read(bytes)
        .unwrap()
        .into_iter()
        .map(|(time, _)| time)
        .collect()
}

/// Format 0, one byte long, on chunk stream 4.
fn full(time: [u8; 3]) -> Vec<u8> {
    vec![4, time[0], time[1], time[2], 0, 0, 1, 8, 1, 0, 0, 0]
}

#[test]
fn format_3_repeats_the_step() {
    let mut bytes = full([0, 0, 40]);
    bytes.extend_from_slice(b"a");
    bytes.extend_from_slice(&[0xc4, b'b']); // after an absolute time: by that time
    bytes.extend_from_slice(&[0x84, 0, 0, 10, b'c']);
    bytes.extend_from_slice(&[0xc4, b'd', 0xc4, b'e']);
    assert_eq!(times(&bytes), [40, 80, 90, 100, 110]);
}

#[test]
fn time_wraps() {
    let mut bytes = full([0xff, 0xff, 0xff]);
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, b'a']);
    bytes.extend_from_slice(&[0x84, 0, 0, 10, b'b']);
    assert_eq!(times(&bytes), [u32::MAX, 9]);
}

#[test]
fn an_extended_time_may_or_may_not_be_repeated() {
    let mut start = full([0xff, 0xff, 0xff]);
    start[6] = 200;
    start.extend_from_slice(&0x0100_0000_u32.to_be_bytes());
    start.extend_from_slice(&[7; 128]);
    let repeated = [&start[..], &[0xc4, 1, 0, 0, 0], &[7; 72]].concat();
    let omitted = [&start[..], &[0xc4], &[7; 72]].concat();
    for bytes in [repeated, omitted] {
        assert_eq!(read(&bytes), Ok(vec![(0x0100_0000, vec![7; 200])]));
    }
}

#[test]
fn messages_of_two_chunk_streams_interleave() {
    let mut video = vec![6, 0, 0, 5, 0, 0, 130, 9, 1, 0, 0, 0];
    video.extend_from_slice(&[1; 128]);
    video.extend_from_slice(&full([0, 0, 6]));
    video.extend_from_slice(&[2, 0xc6, 1, 1]);
    assert_eq!(read(&video), Ok(vec![(6, vec![2]), (5, vec![1; 130])]));
}

#[test]
fn long_chunk_stream_ids() {
    for (basic, id) in [(&[0, 255][..], 319), (&[1, 255, 255][..], 65_599)] {
        let read = Basic::read(basic).unwrap();
        assert_eq!((read.id, read.length), (id, basic.len()));
        assert_eq!(Basic::read(&basic[..basic.len() - 1]), None);
    }
}

#[test]
fn one_piece_is_not_copied() {
    let bytes = Bytes::from([&full([0, 0, 0])[..], b"a"].concat());
    let payload = Reader::new(Limits::default(), 0)
        .next(&mut bytes.clone())
        .unwrap()
        .unwrap()
        .payload;
    assert_eq!(payload.as_ptr(), bytes[12..].as_ptr());
}

#[test]
fn limits_tell_the_byte() {
    let say = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    let long = |kind, length: [u8; 3]| {
        [
            5, 0, 0, 0, length[0], length[1], length[2], kind, 0, 0, 0, 0,
        ]
    };
    assert_eq!(
        say(&long(20, [4, 0, 1])),
        "byte 0: command or data message of 262145, at most 262144 allowed"
    );
    assert!(say(&long(9, [0xff; 3])).contains("video message of 16777215"));
    assert!(say(&long(1, [0, 0, 65])).contains("control message of 65"));
    assert!(say(&[0xc4]).contains("without a full header"));
    let many: Vec<u8> = (0..65)
        .flat_map(|id| [0, id, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0])
        .collect();
    assert_eq!(
        say(&many),
        "byte 832: chunk streams: 65, at most 64 allowed"
    );
    // Three messages of 8 MiB at once, of which only some bytes come.
    let begun: Vec<u8> = (3..6)
        .flat_map(|id| {
            let mut bytes = long(9, [0x80, 0, 0]).to_vec();
            bytes[0] = id;
            bytes.resize(12 + 128, 0);
            bytes
        })
        .collect();
    assert!(say(&begun).contains("incomplete messages of 25165824"));
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut reader = Reader::new(Limits::default(), 0);
    let mut begun = full([0, 0, 0]);
    begun[6] = 200;
    begun.resize(12 + 128, 0);
    assert_eq!(reader.next(&mut begun.into()), Ok(None));
    assert_eq!(reader.partial, 200);
    reader.abort(4);
    assert_eq!(reader.partial, 0);
    let again = [&full([0, 0, 9])[..], b"x"].concat();
    assert!(reader.next(&mut again.into()).unwrap().is_some());
}

#[test]
fn chunk_sizes_that_are_none() {
    let mut reader = Reader::new(Limits::default(), 0);
    assert!(reader.set_chunk_size(0).is_err());
    assert!(reader.set_chunk_size(0x8000_0000).is_err());
    assert!(reader.set_chunk_size(0x7fff_ffff).is_ok());
}

proptest! {
    #[test]
    fn garbage_does_not_panic_however_it_is_cut(
        bytes in prop::collection::vec(prop_oneof![Just(0), Just(4), Just(0xc4), Just(0xff), any::<u8>()], 0..600),
        step in 1_usize..64,
        chunk_size in 1_u32..300,
    ) {
        let mut whole = Reader::new(Limits::default(), 0);
        let mut cut = Reader::new(Limits::default(), 0);
        whole.set_chunk_size(chunk_size).unwrap();
        cut.set_chunk_size(chunk_size).unwrap();
        let mut input = Bytes::copy_from_slice(&bytes);
        let mut expected = Vec::new();
        while let Ok(Some(message)) = whole.next(&mut input) {
            expected.push(message);
        }
        let mut found = Vec::new();
        let mut held = Bytes::new();
        'all: for part in bytes.chunks(step) {
            held = [&held[..], part].concat().into();
            loop {
                match cut.next(&mut held) {
                    Ok(Some(message)) => found.push(message),
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
            prop_assert!(held.len() < 20);
        }
        prop_assert_eq!(found, expected);
    }
}
