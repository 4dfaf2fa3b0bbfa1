use super::*;

fn parse(text: &str) -> Description {
    Description::parse(text.as_bytes()).unwrap()
}

const CAMERA: &str = "v=0\r\n\
    o=- 1001 1 IN IP4 192.168.1.64\r\n\
    s=VCP IPC Realtime stream\r\n\
    c=IN IP4 192.168.1.64\r\n\
    t=0 0\r\n\
    a=control:rtsp://192.168.1.64/Streaming/Channels/101/\r\n\
    a=range:npt=0-\r\n\
    m=video 0 RTP/AVP 96\r\n\
    b=AS:5000\r\n\
    a=control:trackID=video\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 profile-level-id=4D0014; packetization-mode=1; sprop-parameter-sets=Z00AH5pkAoAt/4C3AQEBQAAA+gAAMNQ6GAB=,aO48gA==\r\n\
    a=recvonly\r\n\
    m=audio 0 RTP/AVP 8\r\n\
    a=control:trackID=audio\r\n\
    a=Media_header:MEDIAINFO=abc;\r\n\
    m=application 0 RTP/AVP 107\r\n\
    a=control:trackID=meta\r\n\
    a=rtpmap:107 vnd.onvif.metadata/90000\r\n\
    m=audio 0 RTP/AVP 0\r\n\
    a=control:trackID=back\r\n\
    a=sendonly\r\n";

#[test]
fn a_cameras_description() {
    let found = parse(CAMERA);
    assert_eq!(found.name, "VCP IPC Realtime stream");
    assert_eq!(
        found.control.as_deref(),
        Some("rtsp://192.168.1.64/Streaming/Channels/101/")
    );
    assert_eq!(found.range.as_deref(), Some("npt=0-"));
    let [video, audio, metadata, back] = &found.media[..] else {
        panic!("{found:?}");
    };
    assert_eq!((&video.kind, video.bandwidth), (&Kind::Video, Some(5000)));
    let format = video.format().unwrap();
    assert_eq!(
        (format.payload_type, &*format.codec, format.clock_rate),
        (96, "H264", 90_000)
    );
    assert_eq!(format.fmtp.get("Packetization-Mode"), Some("1"));
    let sets = "Z00AH5pkAoAt/4C3AQEBQAAA+gAAMNQ6GAB=,aO48gA==";
    assert_eq!(format.fmtp.get("sprop-parameter-sets"), Some(sets));
    assert_eq!(
        audio.format(),
        Some(&Format::new(8, "PCMA", 8000).with_channels(1))
    );
    assert_eq!(
        audio.attributes,
        [("media_header".to_owned(), "MEDIAINFO=abc;".to_owned())]
    );
    assert_eq!(metadata.kind, Kind::Other("application".to_owned()));
    assert_eq!(back.direction, Direction::SendOnly);
    let playable: Vec<_> = found.media.iter().map(Media::is_playable).collect();
    assert_eq!(playable, [true, true, true, false]);
}

#[test]
fn what_is_written_is_read() {
    let found = parse(CAMERA);
    let text = found.to_string();
    assert_eq!(parse(&text), found);
    assert!(text.starts_with("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=VCP IPC"));

    let mut evil = Description::new("a\r\nb");
    let format = Format::new(96, "h264", 90_000).with_fmtp("a=b\r\nm=x");
    evil.media = vec![Media::new(Kind::Video, format).with_control("t\n1")];
    assert_eq!(
        evil.to_string(),
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=ab\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 a=bm=x\r\na=control:t1\r\n"
    );
}

/// One text for each thing that was seen in the field.
#[test]
fn odd_lines_are_forgiven() {
    let first = |text: &str| parse(text).media[0].clone();
    // Bare line feeds, bare carriage returns, nothing before the media, no end of line.
    for text in [
        "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000",
        "m=video 0 RTP/AVP 96\ra=rtpmap:96 H264/90000",
    ] {
        assert_eq!(first(text).formats[0].codec, "H264");
    }
    // Tabs, blanks, upper case, zero bytes at the end.
    let media = first("\tm = VIDEO\t0  RTP/AVP\t96 \r\n A=RTPMAP:\t96  h265 / 90000 \r\n\0\0");
    assert_eq!(
        (
            &media.kind,
            &*media.formats[0].codec,
            media.formats[0].clock_rate
        ),
        (&Kind::Video, "H265", 90_000)
    );
    // Parameters without a blank, and in two lines.
    let media = first(
        "m=video 0 RTP/AVP 96\r\na=fmtp:96packetization-mode=1;\r\na=fmtp:96 sprop-sps=QgE=;x\r\n",
    );
    let fmtp = &media.formats[0].fmtp;
    assert_eq!(
        (
            fmtp.get("packetization-mode"),
            fmtp.get("sprop-sps"),
            fmtp.get("x")
        ),
        (Some("1"), Some("QgE="), Some(""))
    );
    // A payload type that the m= line does not list, or lists otherwise.
    let media = first("m=video 0 RTP/AVP\r\na=rtpmap:96 H264/90000\r\n");
    assert_eq!(media.format().map(|f| f.payload_type), Some(96));
    // A count of ports, no port at all, a payload type out of range.
    assert_eq!(
        first("m=audio 49170/2 RTP/AVP 0 200 x 8\r\n").formats.len(),
        2
    );
    let media = first("m=audio RTP/AVP 0\r\n");
    assert_eq!((&*media.protocol, media.formats.len()), ("RTP/AVP", 1));
    // No clock rate, and no codec.
    let media = first("m=audio 0 RTP/AVP 8 97\r\na=rtpmap:8 PCMA\r\na=rtpmap:97\r\na=rtpmap\r\n");
    assert_eq!(
        (media.formats[0].clock_rate, &*media.formats[1].codec),
        (8000, "")
    );
    // Lines of other kinds, without an equals sign, not UTF-8.
    let bytes = b"v=0\r\n\xff\xfe\r\nhello\r\nzz=1\r\nk=x\r\ns=\xe4\r\nm=video 0 RTP/AVP 26\r\n";
    let found = Description::parse(bytes).unwrap();
    assert_eq!(
        (&*found.name, &*found.media[0].formats[0].codec),
        ("\u{fffd}", "JPEG")
    );
}

#[test]
fn directions_are_inherited() {
    let found = parse(
        "a=sendonly\nm=video 0 RTP/AVP 96\nm=audio 0 RTP/AVP 0\na=inactive\nm=audio 0 RTP/AVP 0\n",
    );
    let directions: Vec<_> = found.media.iter().map(|media| media.direction).collect();
    assert_eq!(
        directions,
        [
            Direction::SendOnly,
            Direction::Inactive,
            Direction::SendOnly
        ]
    );
    // Pictures have no back channel.
    assert!(found.media[0].is_playable() && !found.media[2].is_playable());
}

#[test]
fn there_are_limits() {
    let error = Description::parse(b"v=0\r\ns=x\r\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a session description, found no m= line in 10 bytes: \"v=0\\r\\ns=x\\r\\n\""
    );
    let many = "m=video 0 RTP/AVP 96\n".repeat(MOST_MEDIA + 1);
    let offset = 21 * MOST_MEDIA;
    assert_eq!(
        Description::parse(many.as_bytes()),
        Err(Error::TooManyMedia { offset })
    );
    assert_eq!(
        Description::parse(&[b'a'; LONGEST + 1]),
        Err(Error::TooLong {
            length: LONGEST + 1
        })
    );
    let text = format!(
        "m=video 0 RTP/AVP {}\n{}",
        "96 ".repeat(100),
        "a=x:1\n".repeat(200)
    );
    let media = parse(&text).media.remove(0);
    assert_eq!(
        (media.formats.len(), media.attributes.len()),
        (MOST_FORMATS, MOST_ATTRIBUTES)
    );
}
