use super::*;

fn read(input: &[u8]) -> (Vec<Message>, Option<Error>, Skipped) {
    read_with(Limits::default(), input)
}

fn read_with(limits: Limits, input: &[u8]) -> (Vec<Message>, Option<Error>, Skipped) {
    let mut decoder = Decoder::new(limits);
    decoder.feed(input);
    let mut found = Vec::new();
    loop {
        match decoder.next_message() {
            Ok(Some(message)) => found.push(message),
            Ok(None) => return (found, None, decoder.skipped()),
            Err(error) => return (found, Some(error), decoder.skipped()),
        }
    }
}

fn response(input: &[u8]) -> Response {
    match read(input).0.remove(0) {
        Message::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

fn frame(channel: u8, data: &'static [u8]) -> Message {
    let data = data.into();
    Message::Interleaved { channel, data }
}

const RTP: &[u8] = b"$\0\0\x0c\x80\x60\0\x01\0\0\0\0\0\0\0\x01";
const OK: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";

#[test]
fn what_is_written_is_read() {
    let mut request = Request::new(Method::SetParameter, "rtsp://a/b c");
    request.headers.push("CSeq", "7");
    request.body = "volume: 3".into();
    let bytes = request.encode();
    let expected =
        "SET_PARAMETER rtsp://a/b%20c RTSP/1.0\r\nCSeq: 7\r\nContent-Length: 9\r\n\r\nvolume: 3";
    assert_eq!(bytes, expected);
    let Message::Request(again) = read(&bytes).0.remove(0) else {
        panic!("a request");
    };
    assert_eq!(
        (again.method, again.headers.cseq()),
        (Method::SetParameter, Some(7))
    );
    assert_eq!(again.body, "volume: 3");
}

#[test]
fn no_value_can_add_a_line() {
    let mut response = Response::new(302);
    response.reason = "a\r\nb".to_owned();
    response.headers.push("Location", "rtsp://a\r\nSession: 1");
    let expected = "RTSP/1.0 302 a  b\r\nLocation: rtsp://a  Session: 1\r\n\r\n";
    assert_eq!(response.encode(), expected);
}

#[test]
fn odd_spelling_is_read() {
    for (first, status, reason) in [
        ("RTSP/1.0 200 OK", 200, "OK"),
        ("RTSP/1.0   200   OK ", 200, "OK"),
        ("RTSP/1.0\t404\tNot Found", 404, "Not Found"),
        ("RTSP/1.0 454Session Not Found", 454, "Session Not Found"),
        ("rtsp/1.0 200", 200, ""),
        ("RTSP/1.1 200 OK", 200, "OK"),
    ] {
        let found = response(format!("{first}\r\n\r\n").as_bytes());
        assert_eq!((found.status, &*found.reason), (status, reason), "{first}");
    }
    let found =
        response(b"\r\n\r\nRTSP/1.0 200 OK\ncseq : 2\nSESSION:  1 \nX: a\n\tb\nnonsense\n:\n\n");
    assert_eq!(found.headers.cseq(), Some(2));
    assert_eq!(found.headers.get("Session"), Some("1"));
    assert_eq!(found.headers.get("x"), Some("a b"));
}

#[test]
fn a_description_without_a_length_ends_with_the_next_message_or_with_silence() {
    let head = "RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n";
    let body = "v=0\r\nm=video 0 RTP/AVP 96\r\n\r\na=x\r\n";
    let all = [head.as_bytes(), body.as_bytes(), OK, RTP].concat();
    let (found, error, _) = read(&all);
    assert_eq!((found.len(), error), (3, None));
    assert!(matches!(&found[0], Message::Response(r) if r.body == body));

    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&[head, body, "a=unfinished"].concat().into_bytes());
    assert_eq!(decoder.next_message(), Ok(None));
    assert!(decoder.is_open_ended());
    let Some(Message::Response(found)) = decoder.finish_body() else {
        panic!("an answer");
    };
    assert_eq!(found.body, [body, "a=unfinished"].concat());
    assert!(decoder.finish_body().is_none());
}

#[test]
fn garbage_between_frames_is_passed_over_and_counted() {
    let garbage: &[u8] = b"\0\0$\x01\0\x09notrtp---RTSP$$\0xyz OPTIO";
    let all = [OK, RTP, garbage, RTP, garbage, OK, RTP].concat();
    let (found, error, skipped) = read(&all);
    assert_eq!(error, None);
    assert_eq!(found.len(), 5);
    assert_eq!(found[2], frame(0, &RTP[4..]));
    assert!(matches!(found[3], Message::Response(_)));
    assert_eq!(
        (skipped.times, skipped.bytes),
        (2, 2 * garbage.len() as u64)
    );
}

#[test]
fn a_line_of_text_that_is_no_message_is_passed_over() {
    let all = [OK, b"hello world\r\n", OK].concat();
    let (found, error, skipped) = read(&all);
    assert_eq!((found.len(), error, skipped.bytes), (2, None, 13));
}

#[test]
fn garbage_has_an_end() {
    let limits = Limits {
        garbage: 100,
        ..Limits::default()
    };
    let (found, error, _) = read_with(limits, &[OK, &[0; 100], OK, &[0; 200]].concat());
    assert_eq!(found.len(), 2);
    let offset = (2 * OK.len() + 100) as u64;
    assert!(
        matches!(error, Some(Error::Garbage { offset: o, bytes: 101.. }) if o == offset),
        "{error:?}"
    );
}

#[test]
fn other_protocols_are_named() {
    for (bytes, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            "not RTSP: looks like HTTP (\"HTTP/1.1 400 Bad Request\\r\\n\")",
        ),
        (
            b"GET / HTTP/1.1\r\n",
            "not RTSP: looks like HTTP (\"GET / HTTP/1.1\\r\\n\")",
        ),
        (
            b"\x16\x03\x01\x02\0\x01",
            "not RTSP: looks like TLS (\"\\u{16}\\u{3}\\u{1}\\u{2}\\0\\u{1}\")",
        ),
        (b"\x03\0\0", "not RTSP: looks like RTMP (\"\\u{3}\\0\\0\")"),
        (
            b"SSH-2.0-x\r\n",
            "not RTSP: looks like SSH (\"SSH-2.0-x\\r\\n\")",
        ),
        (
            b"OPTIONS * RTSP/2.0\r\n",
            "not RTSP: looks like RTSP 2.0 (\"OPTIONS * RTSP/2.0\\r\\n\")",
        ),
        (b"\0", "not RTSP: looks like something else (\"\\0\")"),
    ] {
        assert_eq!(read(bytes).1.unwrap().to_string(), words);
    }
}

#[test]
fn limits_hold_and_errors_tell_where() {
    let limits = Limits {
        line: 30,
        headers: 2,
        body: 10,
        frame: 8,
        garbage: 0,
    };
    let after = |bytes: &[u8]| {
        let error = read_with(limits, &[OK, bytes].concat()).1;
        error.map(|error| error.to_string())
    };
    for (bytes, words) in [
        (
            &b"OPTIONS * RTSP/1.0\r\nX: 0123456789012345678901234567890\r\n\r\n"[..],
            "byte 48: expected the end of a line within 30 bytes",
        ),
        (
            b"RTSP/1.0 200 OK, and so on without any end",
            "byte 28: expected the end of a line within 30 bytes",
        ),
        (
            b"RTSP/1.0 200 OK\r\na: 1\r\na: 2\r\na: 3\r\n\r\n",
            "byte 28: expected the end of the head within 2 header lines",
        ),
        (
            b"RTSP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n",
            "byte 28: a body of 11 bytes, expected at most 10",
        ),
        (
            b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
            "byte 28: expected a number of bytes as Content-Length, found \"-1\"",
        ),
        (
            b"$\x05\0\x09",
            "byte 28: a frame of 9 bytes on channel 5, expected at most 8",
        ),
        (
            b"\0",
            "byte 28: 1 bytes of garbage, expected a message or a frame",
        ),
    ] {
        assert_eq!(after(bytes).as_deref(), Some(words));
    }
    assert_eq!(
        after(b"RTSP/1.0 200 OK\r\na: 1\r\na: 2\r\n\r\n$\0\0\x08-version"),
        None
    );
}

#[test]
fn frames_have_a_header() {
    assert_eq!(frame_header(2, 0x1234), Some([b'$', 2, 0x12, 0x34]));
    assert_eq!(frame_header(2, 0x10000), None);
}
