//! Bytes from anywhere never panic, and never grow without bound.

use headworks_rtsp::{
    Client, Output, Server,
    auth::{Challenge, Credentials},
    header::{RtpInfo, Transport, parse_session},
    message::{Decoder, Limits},
    sdp::Description,
};
use proptest::prelude::*;

use crate::memory::{client_config, description, server_config, start};

/// Words of the protocol between random bytes: gets deeper than noise.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "RTSP/1.0 200 OK\r\n",
        "RTSP/1.0 401 x\r\n",
        "RTSP/1.0 461\n",
        "OPTIONS * RTSP/1.0\r\n",
        "DESCRIBE rtsp://a/b RTSP/1.0\r\n",
        "SETUP rtsp://a/b/trackID=0 RTSP/1.0\r\n",
        "PLAY rtsp://a/b RTSP/1.0\r\n",
        "ANNOUNCE rtsp://a/b RTSP/1.0\r\n",
        "RECORD rtsp://a/b RTSP/1.0\r\n",
        "PAUSE /b RTSP/1.0\r\n",
        "TEARDOWN /b RTSP/1.0\r\n",
        "CSeq: 1\r\n",
        "Session: 1;timeout=0\r\n",
        "Content-Length: 9\r\n",
        "Content-Type: application/sdp\r\n",
        "Transport: RTP/AVP;unicast;client_port=1-2\r\n",
        "Transport: RTP/AVP/TCP;interleaved=0-1\r\n",
        "WWW-Authenticate: Digest nonce=\"a\"\r\n",
        "Authorization: Basic OnA=\r\n",
        "RTP-Info: url=a;seq=1,b\r\n",
        "Location: rtsp://b\r\n",
        "Public: GET_PARAMETER\r\n",
        "Require: x\r\n",
        "\r\n",
        "\n",
        "$\0\0\u{1}x",
        "v=0\r\n",
        "m=video 0 RTP/AVP 96\r\n",
        "a=control:trackID=0\r\n",
        "a=rtpmap:96 H264/90000\n",
        "a=fmtp:96 a=b;c\n",
        "Digest ",
        "a=\"\\",
        "npt=",
        ",",
        ";",
        "=",
        " ",
        "\t",
    ]);
    let piece = prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn drain<E>(mut poll: impl FnMut() -> Output<E>) -> Vec<E> {
    let mut events = Vec::new();
    loop {
        match poll() {
            Output::Send(_) => {}
            Output::Event(event) => events.push(event),
            Output::Wait(_) => return events,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsers(bytes in almost()) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = Challenge::parse(&text);
        let _ = Credentials::parse(&text);
        let _ = Credentials::parse(&format!("Digest {text}"));
        let _ = Transport::parse(&text);
        let _ = RtpInfo::parse(&text);
        let _ = parse_session(&text);
        if let Ok(description) = Description::parse(&bytes) {
            let again = Description::parse(description.to_string().as_bytes());
            prop_assert_eq!(again.unwrap().media.len(), description.media.len());
        }
    }

    #[test]
    fn a_decoder_reads_the_same_from_any_split(bytes in almost(), at in any::<prop::sample::Index>()) {
        let read = |pieces: &[&[u8]]| {
            let mut decoder = Decoder::new(Limits::default());
            let mut found = Vec::new();
            for piece in pieces {
                decoder.feed(piece);
                loop {
                    match decoder.next_message() {
                        Ok(Some(message)) => found.push(message),
                        Ok(None) => break,
                        Err(error) => return (found, Some(error)),
                    }
                }
            }
            (found, None)
        };
        let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
        let whole = read(&[&bytes]);
        let split = read(&[first, second]);
        prop_assert_eq!(whole.0, split.0);
        prop_assert_eq!(whole.1.is_some(), split.1.is_some());
    }

    #[test]
    fn a_server(pieces in prop::collection::vec(almost(), 1..4), accept in any::<bool>()) {
        let now = start();
        let mut server = Server::new(server_config(now), now);
        for piece in pieces {
            if server.handle_input(now, &piece).is_err() {
                break;
            }
            for _event in drain(|| server.poll_output()) {
                // One of these fits, or none.
                if accept {
                    let _ = server.accept_describe(now, &description());
                    let _ = server.accept_announce(now);
                    let _ = server.accept_play(now, &[]);
                    let _ = server.accept_record(now);
                }
                let _ = server.refuse(now, 404, None);
            }
        }
    }

    #[test]
    fn a_client(pieces in prop::collection::vec(almost(), 1..4)) {
        let now = start();
        let mut client = Client::play(client_config("rtsp://a/b?c=d", Some(("a", "b"))), now);
        for piece in pieces {
            let result = client.handle_input(now, &piece);
            drain(|| client.poll_output());
            let _ = client.setup(now, &[(0, headworks_rtsp::client::Via::Tcp)]);
            if result.is_err() {
                break;
            }
        }
        let _ = client.handle_close(now);
        drain(|| client.poll_output());
    }
}
