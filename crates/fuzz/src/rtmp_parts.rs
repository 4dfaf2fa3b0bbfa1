//! The parsers of RTMP one by one.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use headworks_rtmp::{
    Handshake, Limits, MediaKind, Url,
    amf::{self, Value},
    chunk, tunnel, wire,
};

use crate::{
    input::{Budget, Input},
    sample,
};

pub(crate) fn amf(bytes: &[u8]) {
    let Ok(values) = amf::read_all(bytes, amf::Limits::default()) else {
        return;
    };
    let write = |values: &[Value]| {
        let mut out = Vec::new();
        values.iter().for_each(|value| amf::write(&mut out, value));
        out
    };
    let written = write(&values);
    let again = amf::read_all(&written, amf::Limits::default());
    let again = again.expect("what is written can be read");
    assert_eq!(write(&again), written, "{values:?}");
}

pub(crate) fn amf_seeds() -> Vec<Vec<u8>> {
    let metadata = sample::streams();
    let metadata = metadata.iter().map(headworks_media::flv::metadata_body);
    let mut seeds: Vec<_> = metadata.map(|body| body.to_vec()).collect();
    let mut connect = Vec::new();
    amf::write(&mut connect, &Value::string("connect"));
    let object = [
        ("app", Value::string("live")),
        ("fpad", Value::Boolean(true)),
    ];
    amf::write(&mut connect, &Value::object(object));
    seeds.push(connect);
    seeds
}

pub(crate) fn chunks(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut reader = chunk::Reader::new(Limits::default(), 3073);
    let (mut kept, mut budget) = (Bytes::new(), Budget::new());
    for piece in input.pieces(how) {
        budget.fed(piece.len());
        kept = [&kept[..], piece].concat().into();
        loop {
            match reader.next(&mut kept) {
                Ok(Some(message)) => {
                    budget.spend();
                    control(&mut reader, message.kind, &message.payload);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(kept.len() < 20, "{} bytes of a header", kept.len());
    }
}

/// What the reader's owner does on control messages (RTMP 1.0 §5.4.1, §5.4.2).
fn control(reader: &mut chunk::Reader, kind: u8, payload: &[u8]) {
    let Some(number) = payload.first_chunk().map(|four| u32::from_be_bytes(*four)) else {
        return;
    };
    match kind {
        1 => drop(reader.set_chunk_size(number)),
        2 => reader.abort(number),
        _ => {}
    }
}

pub(crate) fn chunk_seeds() -> Vec<Vec<u8>> {
    let mut plain = vec![0];
    for kind in [MediaKind::Audio, MediaKind::Video, MediaKind::Data] {
        plain.extend_from_slice(&wire::message(kind, 40, &[7; 100]));
    }
    // Chunk size 50, a message in three chunks of two kinds of header, one that is aborted, and
    // one with an extended timestamp.
    let mut hard = vec![3, 2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 50];
    hard.extend([4, 0, 0, 9, 0, 0, 120, 9, 1, 0, 0, 0]);
    for head in [&[][..], &[0xc4], &[0xc4]] {
        hard.extend_from_slice(head);
        hard.extend([5; 50]);
    }
    hard.truncate(hard.len() - 30);
    hard.extend([2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4]);
    hard.extend([
        0, 10, 0xff, 0xff, 0xff, 0, 0, 2, 8, 1, 0, 0, 0, 1, 2, 3, 4, 9, 9,
    ]);
    hard.extend([0x40, 10, 0, 0, 5, 0, 0, 1, 8, 1]);
    vec![plain, hard]
}

pub(crate) fn handshake(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut shake = match how & 8 {
        0 => Handshake::server(how.into()),
        _ => Handshake::client(how.into()),
    };
    let (mut kept, mut out) = (Bytes::new(), VecDeque::new());
    for piece in input.pieces(how) {
        let mut joined = BytesMut::from(&kept[..]);
        joined.extend_from_slice(piece);
        kept = joined.freeze();
        if shake.step(&mut kept, &mut out) != Ok(false) {
            break;
        }
    }
    assert!(out.len() <= 3, "{} blocks", out.len());
}

pub(crate) fn handshake_seeds() -> Vec<Vec<u8>> {
    let seed = |how: u8| [&[how, 3][..], &[0; 2 * 1536]].concat();
    (0..16).step_by(3).map(seed).collect()
}

/// Paths of RTMPT, and URLs.
pub(crate) fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut session = tunnel::Session::new(1000);
    for line in text.lines() {
        match tunnel::request(line) {
            Ok(tunnel::Request::Send(call) | tunnel::Request::Idle(call)) => {
                if session.request(call.sequence) == Ok(tunnel::Delivery::New) {
                    let _ = session.push(line.as_bytes());
                    session.answer();
                }
            }
            Ok(_) | Err(_) => {}
        }
        if let Ok(url) = Url::parse(line) {
            let again = Url::with_name(&url.tc_url(), &url.name);
            assert_eq!(again.as_ref(), Ok(&url), "{line}");
        }
    }
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let lines: [&[u8]; 3] = [
        b"/fcs/ident2\n/open/1\n/send/aB_-1/0\n/idle/aB_-1/1\n/idle/aB_-1/1\n/close/aB_-1/2",
        b"rtmp://edge:1935/live/cam?key=1\nrtmps://[::1]/app/deep/name\nrtmpt://u@h/a/n",
        b"/send/x/18446744073709551615\n/idle/x/0\nrtmp://host/live?key=a/b",
    ];
    lines.map(<[u8]>::to_vec).into()
}
