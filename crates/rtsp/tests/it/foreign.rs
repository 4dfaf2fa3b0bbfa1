//! Foreign peers: GStreamer's server, FFmpeg as publisher and as player.

use anyhow::Context;
use headworks_rtsp::{
    Client, Server, Start,
    auth::{self, Credentials},
    sdp::{Description, Format, Kind, Media as SdpMedia},
    server::{self, Asked, Event, Grant, Offer},
};
use headworks_testkit::{Audio, Camera, CameraOptions, Deadline, Login, Scheme, tool};

use crate::{
    memory::client_config,
    recorder::Recorder,
    wire::{ClientWire, Media, SOON, ServerWire, To, Visit, now, ports, run, udp_pair},
};

const ODD: &str = "p@ss:w/rd";

#[test]
fn cameras_play_over_tcp_and_udp_with_odd_passwords() {
    for scheme in [Scheme::Digest, Scheme::Basic] {
        let camera = Camera::start(CameraOptions {
            audio: Audio::Aac,
            login: Some(Login {
                scheme,
                username: "admin".to_owned(),
                password: ODD.to_owned(),
            }),
            ..CameraOptions::default()
        })
        .unwrap();
        for udp in [false, true] {
            let config = client_config(&camera.url(), Some(("admin", ODD)));
            let client = Client::play(config, now());
            let mut wire = ClientWire::connect(camera.port(), client).unwrap();
            let enough = |w: &ClientWire| {
                w.rtp.len() == 2 && w.rtp.iter().all(|count| *count >= 20) && w.rtcp >= 1
            };
            wire.until(udp, enough).unwrap();
            assert!(wire.playing);
            assert_eq!(wire.client.skipped().bytes, 0);
            wire.client.teardown(now());
            wire.until(udp, |w| w.closed).unwrap();
        }
        let config = client_config(&camera.url(), Some(("admin", "guess")));
        let mut wire = ClientWire::connect(camera.port(), Client::play(config, now())).unwrap();
        let error = wire.until(false, |w| w.playing).unwrap_err();
        assert_eq!(error.to_string(), "wrong user name or password");

        let config = client_config(&camera.url(), None);
        let mut wire = ClientWire::connect(camera.port(), Client::play(config, now())).unwrap();
        let error = wire.until(false, |w| w.playing).unwrap_err();
        assert_eq!(error.to_string(), "it asks for a user name and a password");
    }
}

#[test]
fn a_path_that_is_not_there_is_said_so() {
    let camera = Camera::start(CameraOptions::default()).unwrap();
    let url = camera.url().replace("/live", "/dead");
    let client = Client::play(client_config(&url, None), now());
    let mut wire = ClientWire::connect(camera.port(), client).unwrap();
    let error = wire.until(false, |w| w.playing).unwrap_err();
    assert_eq!(error.to_string(), format!("there is nothing at {url}"));
}

/// Takes a publisher with the key `k3y` in, by whatever it offers first.
fn take_in(server: &mut Server, event: &Event, media: &mut Media) -> Result<(), server::Error> {
    match event {
        Event::Announce(asked, _) => match asked.secret("key").as_deref() {
            Some("k3y") => server.accept_announce(now()),
            _ => server.challenge(now(), auth::Schemes::Basic, false),
        },
        Event::Setup(setup) => {
            let grant = match setup.offers[0] {
                Offer::Tcp { channels } => Grant::Tcp {
                    channels: channels.unwrap_or((0, 1)),
                    ssrc: None,
                },
                Offer::Udp { client } => {
                    let pair = udp_pair().expect("two ports");
                    let server = ports(&pair);
                    media.sockets.push(pair);
                    Grant::Udp {
                        client,
                        server,
                        source: None,
                        ssrc: None,
                    }
                }
            };
            server.accept_setup(now(), grant)
        }
        Event::Record { .. } => server.accept_record(now()),
        _ => Ok(()),
    }
}

#[test]
fn ffmpeg_publishes_over_tcp_and_udp() {
    let listening = ServerWire::listen().unwrap();
    let port = listening.port();
    for url in [
        format!("rtsp://127.0.0.1:{port}/live/gate?key=k3y"),
        format!("rtsp://any:k3y@127.0.0.1:{port}/live/gate"),
    ] {
        for transport in ["tcp", "udp"] {
            let mut ffmpeg = run(
                tool::FFMPEG,
                &[
                    "-nostdin",
                    "-loglevel",
                    "warning",
                    "-re",
                    "-f",
                    "lavfi",
                    "-i",
                    "testsrc=size=160x120:rate=15",
                    "-f",
                    "lavfi",
                    "-i",
                    "sine=sample_rate=48000",
                    "-t",
                    "3",
                    "-c:v",
                    "libx264",
                    "-preset",
                    "ultrafast",
                    "-g",
                    "15",
                    "-c:a",
                    "aac",
                    "-f",
                    "rtsp",
                    "-rtsp_transport",
                    transport,
                    &url,
                ],
            )
            .unwrap();
            let visit = listening.serve(&mut ffmpeg, take_in, |_| false).unwrap();
            assert!(visit.torn_down, "{visit:?}");
            assert!(
                visit.rtp[0] >= 45 && visit.rtp[1] >= 10,
                "{transport}: {visit:?}"
            );
            assert!(visit.rtcp >= 2, "{visit:?}");
            let announced = visit.events.iter().rev().find_map(|event| match event {
                Event::Announce(asked, description) => Some((asked, description)),
                _ => None,
            });
            check_announced(announced.unwrap());
        }
    }
}

/// Its tracks are not in the order of their controls.
#[test]
fn gstreamer_publishes_over_tcp_and_udp() {
    let listening = ServerWire::listen().unwrap();
    let port = listening.port();
    for (url, transport) in [
        (format!("rtsp://127.0.0.1:{port}/live/gate?key=k3y"), "tcp"),
        (format!("rtsp://any:k3y@127.0.0.1:{port}/live/gate"), "udp"),
    ] {
        let arguments = ["-c", include_str!("publisher.py"), url.as_str(), transport];
        let mut publisher = run("/usr/bin/python3", &arguments).unwrap();
        let enough = |visit: &Visit| {
            let tracks = visit.rtp.iter().filter(|count| **count >= 45).count();
            tracks == 2 && visit.rtcp >= 2
        };
        let visit = listening.serve(&mut publisher, take_in, enough).unwrap();
        assert!(enough(&visit), "{visit:?}\n{}", publisher.tail());
    }
}

fn check_announced((asked, description): (&Asked, &Description)) {
    assert_eq!(asked.url.path(), "/live/gate");
    assert_eq!(asked.url.username(), "");
    let [video, audio] = &description.media[..] else {
        panic!("{description:?}");
    };
    assert_eq!((&video.kind, &audio.kind), (&Kind::Video, &Kind::Audio));
    let (video, audio) = (
        video.format().expect("has one"),
        audio.format().expect("has one"),
    );
    assert_eq!((&*video.codec, video.clock_rate), ("H264", 90_000));
    assert!(video.fmtp.get("sprop-parameter-sets").is_some());
    assert_eq!((&*audio.codec, audio.clock_rate), ("MPEG4-GENERIC", 48_000));
    assert!(audio.fmtp.get("config").is_some());
}

/// One track of sound, which needs no codec of ours.
fn silence() -> Description {
    let mut description = Description::new("silence");
    description.control = Some("*".to_owned());
    description.range = Some("npt=now-".to_owned());
    let format = Format::new(0, "PCMU", 8000);
    description.media = vec![SdpMedia::new(Kind::Audio, format).with_control("trackID=0")];
    description
}

/// Two of them.
fn two_silences() -> Description {
    let mut description = silence();
    let second = Format::new(8, "PCMA", 8000);
    let second = SdpMedia::new(Kind::Audio, second).with_control("trackID=1");
    description.media.push(second);
    description
}

/// Plays silence to who has the token `t0ken`.
fn play_to(server: &mut Server, event: &Event, media: &mut Media) -> Result<(), server::Error> {
    match event {
        Event::Describe(asked) => match asked.secret("token").as_deref() {
            Some("t0ken") => server.accept_describe(now(), &two_silences()),
            _ => server.challenge(now(), auth::Schemes::Basic, false),
        },
        Event::Setup(setup) => {
            let grant = match setup.offers[0] {
                // Not what it has proposed.
                Offer::Tcp { .. } => {
                    let channel = 4 + 2 * u8::try_from(setup.track).expect("few tracks");
                    media.to.push(To::Channel(channel));
                    Grant::Tcp {
                        channels: (channel, channel + 1),
                        ssrc: None,
                    }
                }
                Offer::Udp { client } => {
                    media.to.push(To::Port(client.0));
                    let pair = udp_pair().expect("two ports");
                    let server = ports(&pair);
                    media.sockets.push(pair);
                    Grant::Udp {
                        client,
                        server,
                        source: None,
                        ssrc: Some(0xabc),
                    }
                }
            };
            server.accept_setup(now(), grant)
        }
        Event::Play { tracks, .. } => {
            media.playing = true;
            let start = |track: &usize| Start {
                track: *track,
                seq: Some(1),
                rtptime: Some(400),
            };
            let starts: Vec<_> = tracks.iter().map(start).collect();
            server.accept_play(now(), &starts)
        }
        _ => Ok(()),
    }
}

#[test]
fn ffmpeg_plays_over_tcp_and_udp_with_a_token() {
    let listening = ServerWire::listen().unwrap();
    let port = listening.port();
    for url in [
        format!("rtsp://127.0.0.1:{port}/live/gate?token=t0ken"),
        format!("rtsp://any:t0ken@127.0.0.1:{port}/live/gate"),
        format!("rtsp://t0ken:@127.0.0.1:{port}/live/gate"),
    ] {
        for transport in ["tcp", "udp"] {
            let mut ffmpeg = run(
                tool::FFMPEG,
                &[
                    "-nostdin",
                    "-loglevel",
                    "error",
                    "-rtsp_transport",
                    transport,
                    "-i",
                    &url,
                    "-t",
                    "2",
                    "-map",
                    "0:a:0",
                    "-map",
                    "0:a:1",
                    "-f",
                    "null",
                    "-",
                ],
            )
            .unwrap();
            let visit = listening.serve(&mut ffmpeg, play_to, |_| false).unwrap();
            assert!(visit.torn_down, "{visit:?}");
            let status = ffmpeg.wait(SOON).context("ends").unwrap();
            assert!(status.success(), "{url} {transport}: {}", ffmpeg.tail());
            assert_eq!(ffmpeg.tail(), "");
            check_login(&visit, url.contains('@'));
        }
    }
}

/// GStreamer resolves controls by RFC 3986, and keeps the query.
#[test]
fn gstreamer_plays_over_tcp_and_udp_with_a_token() {
    let listening = ServerWire::listen().unwrap();
    let port = listening.port();
    for url in [
        format!("rtsp://127.0.0.1:{port}/live/gate?token=t0ken"),
        format!("rtsp://any:t0ken@127.0.0.1:{port}/live/gate"),
    ] {
        for transport in ["tcp", "udp"] {
            let script = include_str!("player.py");
            let arguments = ["-c", script, url.as_str(), transport];
            let mut player = run("/usr/bin/python3", &arguments).unwrap();
            listening.serve(&mut player, play_to, |_| false).unwrap();
            let status = player.wait(SOON).context("ends").unwrap();
            assert!(status.success(), "{url} {transport}: {}", player.tail());
        }
    }
}

/// Credentials come only after a 401.
fn check_login(visit: &Visit, by_password: bool) {
    let asked: Vec<_> = visit
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Describe(asked) => Some(asked.credentials.clone()),
            _ => None,
        })
        .collect();
    if by_password {
        assert!(
            matches!(asked[..], [None, Some(Credentials::Basic(_))]),
            "{asked:?}"
        );
    } else {
        assert_eq!(asked, [None]);
    }
}

#[test]
fn ffprobe_without_a_token_is_told_401() {
    let listening = ServerWire::listen().unwrap();
    let url = format!("rtsp://127.0.0.1:{}/live/gate", listening.port());
    let mut ffprobe = run(tool::FFPROBE, &["-loglevel", "error", &url]).unwrap();
    let visit = listening.serve(&mut ffprobe, play_to, |_| false).unwrap();
    // It tries again, without knowing more.
    assert!((1..=2).contains(&visit.events.len()), "{visit:?}");
    assert!(!ffprobe.wait(SOON).unwrap().success());
    assert!(
        ffprobe.tail().contains("401 Unauthorized"),
        "{}",
        ffprobe.tail()
    );
}

#[test]
fn gstreamer_records_what_we_push() {
    let server = Recorder::start("admin", ODD).unwrap();
    for udp in [false, true] {
        let config = client_config(&server.url(), Some(("admin", ODD)));
        let client = Client::record(config, now(), silence());
        let mut wire = ClientWire::connect(server.port(), client).unwrap();
        wire.until(udp, |w| w.ready).unwrap();
        let mut media = Media::default();
        let deadline = Deadline::after(SOON);
        let mut recorded = 0;
        while recorded < 20 {
            assert!(!deadline.has_passed(), "{recorded} packets are recorded");
            media.sent += 1;
            let packet = media.packet(0);
            wire.push(&packet).unwrap();
            assert!(wire.step(udp).unwrap());
            recorded += server
                .packets
                .try_iter()
                .filter(|size| *size == 400)
                .count();
        }
        wire.client.teardown(now());
        wire.until(udp, |w| w.closed).unwrap();
    }
}
