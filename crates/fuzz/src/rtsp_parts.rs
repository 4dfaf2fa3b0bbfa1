//! The parsers of RTSP one by one: messages, headers, authentication, SDP.

use std::time::Duration;

use headworks_media::Timeline;
use headworks_rtp::{
    Described, Event, Media, Options, Receiver,
    rtcp::{self, SenderInfo},
    window,
};
use headworks_rtsp::{
    auth::{Authenticator, Challenge, Credentials, Login, Realm, Schemes},
    header::{RtpInfo, Transport, parse_session},
    message::{Decoder, Limits},
    sdp::Description,
};

use crate::{
    input::{Budget, Input, start},
    rtsp::description,
};

/// What lines of RTSP and SDP consist of.
pub(crate) const WORDS: &[&str] = &[
    "RTSP/1.0 200 OK\r\n",
    "RTSP/1.0 401 \r\n",
    "RTSP/1.0 461 \r\n",
    "RTSP/1.0 302 \r\n",
    "OPTIONS * RTSP/1.0\r\n",
    "DESCRIBE ",
    "ANNOUNCE ",
    "SETUP ",
    "PLAY ",
    "RECORD ",
    "PAUSE ",
    "TEARDOWN ",
    "GET_PARAMETER ",
    "rtsp://a/b",
    "/trackID=0",
    " RTSP/1.0\r\n",
    "CSeq: 1\r\n",
    "Session: ",
    ";timeout=",
    "Content-Length: ",
    "Content-Base: ",
    "Content-Type: application/sdp\r\n",
    "Transport: ",
    "RTP/AVP/TCP;interleaved=0-1",
    "RTP/AVP;unicast;client_port=1-2",
    ";server_port=",
    ";source=",
    ";ssrc=",
    ";mode=record",
    "Authorization: Basic ",
    "Authorization: Digest ",
    "WWW-Authenticate: Digest ",
    "realm=\"",
    "nonce=\"",
    "qop=\"auth\"",
    "algorithm=SHA-256",
    "stale=true",
    "RTP-Info: url=",
    ";seq=",
    ";rtptime=",
    "Location: rtsp://",
    "Range: npt=",
    "Require: ",
    "v=0\r\n",
    "m=video 0 RTP/AVP 96\r\n",
    "m=audio 0 RTP/AVP 97\r\n",
    "a=control:",
    "a=rtpmap:96 H264/90000\r\n",
    "a=rtpmap:96 H265/90000\r\n",
    "a=rtpmap:97 MPEG4-GENERIC/48000/2\r\n",
    "a=rtpmap:97 MP4A-LATM/90000\r\n",
    "a=fmtp:96 ",
    "sprop-parameter-sets=",
    "sprop-vps=",
    "config=",
    "sizelength=",
    "a=range:npt=",
    "b=AS:",
];

/// Values of headers, one a line, whatever their name.
pub(crate) fn headers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let now = start();
    let realm = Realm::new("fuzz", [7; 32], Duration::from_secs(60), now);
    let mut authenticator = Authenticator::new(Some(login()), 1);
    for line in text.lines() {
        let _ = (
            Challenge::parse(line),
            RtpInfo::parse(line),
            parse_session(line),
        );
        for mut transport in Transport::parse(line) {
            // Other profiles are never written.
            transport.is_rtp_avp = true;
            let written = transport.to_string();
            assert_eq!(Transport::parse(&written), [transport], "{written}");
        }
        if let Some(Credentials::Digest(digest)) = Credentials::parse(line) {
            let _ = realm.verify(now, &digest, ("DESCRIBE", "rtsp://a/b"), "password");
        }
        if authenticator.challenged([line].into_iter()).is_ok()
            && let Some(written) = authenticator.authorize("DESCRIBE", "rtsp://a/b")
        {
            assert!(
                Credentials::parse(&written).is_some(),
                "{line} is answered by {written}"
            );
        }
    }
}

pub(crate) fn login() -> Login {
    Login {
        username: "user".to_owned(),
        password: "password".to_owned(),
    }
}

pub(crate) fn header_seeds() -> Vec<Vec<u8>> {
    let now = start();
    let realm = Realm::new("fuzz", [7; 32], Duration::from_secs(60), now);
    let mut lines = realm.challenges(now, Schemes::DigestOrBasic, true);
    for challenge in lines.clone() {
        let mut authenticator = Authenticator::new(Some(login()), 1);
        if authenticator.challenged([&*challenge].into_iter()).is_ok() {
            lines.extend(authenticator.authorize("DESCRIBE", "rtsp://a/b"));
        }
    }
    lines.extend(
        [
            "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0000abcd,RTP/AVP;unicast;client_port=5000-5001",
            "RTP/AVP;unicast;client_port=1-2;server_port=3-4;source=10.0.0.1;mode=\"RECORD\"",
            "url=rtsp://a/b/trackID=0;seq=1;rtptime=9,url=trackID=1;seq=2",
            "12345678;timeout=60",
        ]
        .map(str::to_owned),
    );
    let all = lines.join("\n").into_bytes();
    lines
        .into_iter()
        .map(String::into_bytes)
        .chain([all])
        .collect()
}

/// Messages and frames on a byte stream.
pub(crate) fn messages(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let limits = Limits::default();
    let most = limits
        .line
        .max(limits.body)
        .max(limits.frame)
        .max(limits.garbage)
        + 16;
    let (mut decoder, mut budget) = (Decoder::new(limits), Budget::new());
    for piece in input.pieces(how) {
        decoder.feed(piece);
        budget.fed(piece.len());
        loop {
            match decoder.next_message() {
                Ok(Some(_)) => budget.spend(),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(
            decoder.buffered() <= most,
            "{} bytes wait",
            decoder.buffered()
        );
    }
    let _ = decoder.finish_body();
    assert!(decoder.skipped().bytes <= bytes.len() as u64);
}

pub(crate) fn message_seeds() -> Vec<Vec<u8>> {
    let said = [crate::rtsp::server_seeds(), crate::rtsp::client_seeds()];
    let mut seeds = said.concat();
    seeds.push(
        b"\x04RTSP/1.0 200 OK\r\nContent-Length: 2\r\nA: b\r\n c\r\n\r\nxx$\0\0\x02ab\n".to_vec(),
    );
    seeds
}

/// A description, and what a receiver makes of its tracks.
pub(crate) fn sdp(bytes: &[u8]) {
    let Ok(description) = Description::parse(bytes) else {
        return;
    };
    let written = description.to_string();
    let again = Description::parse(written.as_bytes()).expect("our own");
    assert_eq!(again.media.len(), description.media.len(), "{written}");
    for media in &description.media {
        let _ = media.is_playable();
        for format in &media.formats {
            let described = Described {
                payload_type: format.payload_type,
                encoding: Some(&*format.codec).filter(|codec| !codec.is_empty()),
                clock_rate: Some(format.clock_rate).filter(|rate| *rate > 0),
                channels: format.channels,
                fmtp: Some(&format.fmtp.0),
            };
            if let Ok(track) = described.media() {
                receive(&track);
            }
        }
    }
}

/// A few packets at odd times: clock rates and configurations are the stranger's.
fn receive(track: &Media) {
    let options = Options {
        limits: window::Limits::STREAM,
        ssrc: 1,
        cname: String::new(),
        start: None,
    };
    let mut receiver = Receiver::new(track, options);
    let mut timeline = Timeline::default();
    timeline.restart(2, Some(track.clock_rate));
    let mut now = start();
    for (sequence, timestamp) in [
        (1_u8, 0_u32),
        (2, 3600),
        (3, 1 << 31),
        (4, 5),
        (200, u32::MAX),
    ] {
        now += Duration::from_secs(6);
        let mut packet = vec![0x80, 0x80 | track.payload_type, 0, sequence];
        packet.extend(u32::to_be_bytes(timestamp));
        packet.extend([0; 4]);
        packet.extend([1; 20]);
        let _ = receiver.handle_rtp(now, &packet.into());
        let info = SenderInfo {
            ntp: u64::from(timestamp) << 32,
            timestamp,
            packets: 1,
            octets: 1,
        };
        let _ = receiver.handle_rtcp(now, &rtcp::sender_report(0, "", info));
        while let Some(event) = receiver.poll_event(now) {
            match event {
                Event::Picture(picture) => {
                    timeline.video(picture.timestamp);
                }
                Event::Sound(sound) => {
                    timeline.audio(sound.timestamp, sound.length);
                }
                Event::SenderReport { timestamp, .. } => timeline.correct_audio(timestamp),
                _ => {}
            }
        }
        let _ = receiver.poll_report(now);
    }
}

pub(crate) fn sdp_seeds() -> Vec<Vec<u8>> {
    let ours = description().to_string().into_bytes();
    let camera =
        b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=Media\r\nb=AS:5050\r\nt=0 0\r\na=control:*\r\n\
        m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 H265/90000\r\na=rtpmap:97 H264/90000\r\n\
        a=fmtp:96 sprop-vps=QAEMAf//;sprop-sps=QgEB;sprop-pps=RAHB\r\na=control:trackID=1\r\n\
        m=audio 0 RTP/AVP 104 0 8\r\na=rtpmap:104 mpeg4-generic/16000/1\r\n\
        a=fmtp:104 profile-level-id=15; streamtype=5; mode=AAC-hbr; config=1408;SizeLength=13; \
        IndexLength=3; IndexDeltaLength=3\r\na=sendonly\r\n\
        m=audio 0 RTP/AVP 98\r\na=rtpmap:98 MP4A-LATM/44100/2\r\n\
        a=fmtp:98 cpresent=0;config=400024203fc0\r\nm=application 0 RTP/AVP 107\r\n\
        m=audio 0 RTP/AVP 99\r\na=rtpmap:99 PCMU/4294967295/255\r\n";
    vec![ours, camera.to_vec()]
}
