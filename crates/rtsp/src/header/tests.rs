use super::*;

fn transport(value: &str) -> Transport {
    Transport::parse(value).remove(0)
}

#[test]
fn transports_of_clients() {
    let found = Transport::parse(
        "RTP/AVP/TCP;unicast;interleaved=0-1, RTP/AVP;unicast;client_port=5000-5001;mode=\"PLAY\",\
         RTP/AVP;multicast;ttl=9,RTP/SAVP;unicast;client_port=1-2,rtp/avp/udp;client_port=7;mode=RECORD,,;",
    );
    assert_eq!(
        found[0],
        Transport {
            interleaved: Some((0, 1)),
            ..Transport::new(Lower::Tcp)
        }
    );
    assert_eq!(
        found[1],
        Transport {
            client_port: Some((5000, 5001)),
            ..Transport::new(Lower::Udp)
        }
    );
    assert_eq!(found[2].lower, Lower::Multicast);
    assert!(!found[3].is_rtp_avp);
    let odd = Transport {
        client_port: Some((7, 8)),
        record: true,
        ..Transport::new(Lower::Udp)
    };
    assert_eq!(found[4..], [odd]);
}

#[test]
fn transports_of_servers() {
    let found =
        transport("RTP/AVP;unicast;source=10.0.0.9;client_port=1-2;server_port=3-4;ssrc= 0012ABcd");
    let all = Transport {
        client_port: Some((1, 2)),
        server_port: Some((3, 4)),
        source: Some("10.0.0.9".parse().unwrap()),
        ssrc: Some(0x12_abcd),
        ..Transport::new(Lower::Udp)
    };
    assert_eq!(found, all);
    assert_eq!(transport(&all.to_string()), all);
    assert_eq!(
        all.to_string(),
        "RTP/AVP;unicast;client_port=1-2;source=10.0.0.9;server_port=3-4;ssrc=0012ABCD"
    );
    // Values that make no sense are as if not given.
    let odd = transport(
        "RTP/AVP;source=camera;server_port=99999-1;interleaved=255;ssrc=xyz;client_port=65535",
    );
    assert_eq!(odd, Transport::new(Lower::Udp));
}

#[test]
fn sessions() {
    let seconds = |s| Some(Duration::from_secs(s));
    for (value, id, timeout) in [
        ("12345678", "12345678", None),
        ("12345678;timeout=30", "12345678", seconds(30)),
        (" 1234 5678 ; Timeout = 30 ", "1234 5678", seconds(30)),
        ("a;x=1;timeout=abc", "a", None),
    ] {
        assert_eq!(parse_session(value), Some((id.to_owned(), timeout)));
    }
    assert_eq!(parse_session(";timeout=1"), None);
}

#[test]
fn rtp_infos() {
    let info = |url: &str, seq, rtptime| RtpInfo {
        url: url.to_owned(),
        seq,
        rtptime,
    };
    for (value, expected) in [
        (
            "url=rtsp://a/1;seq=5;rtptime=7,url=rtsp://a/2;seq=6;rtptime=8",
            vec![
                info("rtsp://a/1", Some(5), Some(7)),
                info("rtsp://a/2", Some(6), Some(8)),
            ],
        ),
        (
            "URL=\"trackID=1\"; seq=5 , url=trackID=2",
            vec![
                info("trackID=1", Some(5), None),
                info("trackID=2", None, None),
            ],
        ),
        (
            "url=rtsp://a/x,y;z=1;seq=65536;rtptime=-1",
            vec![info("rtsp://a/x,y;z=1", None, None)],
        ),
        ("seq=1", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(RtpInfo::parse(value), expected, "{value}");
    }
    let one = info("rtsp://a/1", Some(5), None);
    assert_eq!(one.to_string(), "url=rtsp://a/1;seq=5");
}
