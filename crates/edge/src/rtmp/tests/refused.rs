//! Who is turned away, and how it is told.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use headworks_testkit::{Player, Process, Signal, tool, wait_until};
use headworks_types::{OnConflict, edge::SlotReport};

use super::world::{AAC, H264, KEY, LIMIT, World, last_words, publish, stream_key};

const OTHER: &str = "hwsk_bbbbbbbbbbbb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

#[test]
fn publishers_are_told_why_and_so_is_the_operator() {
    let world = World::new();
    let mp3: &[&str] = &["-c:a", "libmp3lame"];
    let sorenson: &[&str] = &["-c:v", "flv", "-bf", "0"];
    let key = format!("?key={KEY}");
    let elsewhere = world.publish_url("rtmp").replace("0001?", "0002?");
    let no_key = "add the stream key: ?key=hwsk_";
    let wrong = "this stream key is not valid for this camera here";
    let cases = [
        (world.url("rtmp", ""), AAC, no_key, "no stream key"),
        (
            world.url("rtmp", &format!("?key={OTHER}")),
            AAC,
            wrong,
            "a wrong, revoked or foreign stream key",
        ),
        (
            world.url("rtmp", &key),
            mp3,
            "Server error: sound in MP3 (FLV sound format 2) is not supported",
            "sound in MP3 (FLV sound format 2) is not supported",
        ),
        (
            world.url("rtmp", &key),
            sorenson,
            "Server error: a picture in Sorenson H.263 (FLV codec 2) is not supported",
            "a picture in Sorenson H.263 (FLV codec 2) is not supported",
        ),
    ];
    for (url, codecs, words, reason) in cases {
        let said = last_words(publish(tool::FFMPEG, &[H264, AAC, codecs], &url));
        assert!(said.contains(words), "{said}");
        let refused = world.report().refused.expect("somebody was refused");
        assert_eq!(refused.reason, reason);
    }
    // Cameras that are not here are told nothing of.
    let said = last_words(publish(tool::FFMPEG, &[H264, AAC], &elsewhere));
    assert!(said.contains(wrong), "{said}");
    let application = world.publish_url("rtmp").replace("/live/", "/other/");
    let said = last_words(publish(tool::FFMPEG, &[H264, AAC], &application));
    assert!(said.contains("this address names no camera"), "{said}");
    world.stop();
}

#[test]
fn a_publisher_goes_when_another_takes_over_or_its_key_is_revoked() {
    let world = World::new();
    world.desire(vec![
        stream_key(KEY, OnConflict::Reject),
        stream_key(OTHER, OnConflict::Takeover),
    ]);
    let mut first = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url("rtmp"));
    world.wait_for_live(&mut first);
    let url = world.url("rtmp", &format!("?key={OTHER}"));
    let mut second = publish(tool::FFMPEG, &[H264, AAC], &url);
    let said = last_words(first);
    assert!(said.contains("another publisher took over"), "{said}");
    let said = last_words(publish(
        tool::FFMPEG,
        &[H264, AAC],
        &world.publish_url("rtmp"),
    ));
    let taken = "somebody else is publishing this camera";
    assert!(said.contains(taken), "{said}");
    world.wait_for_live(&mut second);
    world.desire(vec![stream_key(KEY, OnConflict::Reject)]);
    let said = last_words(second);
    assert!(said.contains("the stream key was revoked"), "{said}");
    world.stop();
}

#[test]
fn players_are_told_why() {
    let world = World::new();
    let cases = [
        (world.url("rtmp", ""), "add a playback token"),
        (
            world.url("rtmp", "?token=x"),
            "this is not a playback token",
        ),
        (
            world.play_url("rtmp").replace("/live/", "/other/"),
            "there is no such camera here",
        ),
    ];
    for (url, words) in cases {
        let player = Player::start(&url)
            .expect("starts")
            .wait_for(LIMIT, |_| false);
        let said = player.expect_err("it ends").to_string();
        assert!(said.contains(words), "{said}");
    }
    world.stop();
}

#[test]
fn everybody_is_told_when_the_edge_stops() {
    let world = World::new();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url("rtmp"));
    world.wait_for_live(&mut publisher);
    let mut player = Player::start(&world.play_url("rtmp")).expect("starts");
    player.wait_for_pictures(5, LIMIT).expect("plays");
    let mut command = Command::new("rtmpdump");
    let url = world.play_url("rtmp");
    command.args(["--live", "--verbose", "--rtmp", &url, "--flv", "/dev/null"]);
    let other = Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts");
    let both = |report: &SlotReport| report.viewers == 2;
    world.wait_for("the other player", both);
    wait_until("it plays", LIMIT, || {
        other.tail().contains("NetStream.Play.Start").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error:#}: {}", other.tail()));
    world.stop();
    let said = last_words(publisher);
    assert!(said.contains("this edge stops"), "{said}");
    player.wait_for(LIMIT, |seen| seen.ended).expect("ends");
    let said = last_words(other);
    assert!(said.contains("NetStream.Play.UnpublishNotify"), "{said}");
}

#[test]
fn garbage_and_crowds_are_closed() {
    let world = World::with(2);
    world.desire(vec![stream_key(KEY, OnConflict::Reject)]);
    let connect = || {
        let socket = TcpStream::connect(("127.0.0.1", world.rtmp)).expect("connects");
        socket.set_read_timeout(Some(LIMIT)).expect("is set");
        socket
    };
    let ends = |mut socket: TcpStream| {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = socket.read_to_end(&mut rest);
        rest
    };
    let mut garbage = connect();
    garbage.write_all(&[0xff; 4096]).expect("writes");
    assert_eq!(ends(garbage), b"");
    let mut web = connect();
    web.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("writes");
    let answer = String::from_utf8_lossy(&ends(web)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    // Two have their place; the third finds none until one of them goes.
    let crowd = [connect(), connect()];
    assert_eq!(ends(connect()), b"");
    drop(crowd);
    wait_until("a place", LIMIT, || {
        let socket = connect();
        let brief = Some(Duration::from_millis(100));
        socket.set_read_timeout(brief).expect("is set");
        let read = (&socket).read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            .then_some(())
    })
    .expect("is free");
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url("rtmp"));
    world.wait_for_live(&mut publisher);
    world.stop();
}

#[test]
fn an_encoder_that_sends_more_than_its_key_allows_is_told() {
    let world = World::with(2000);
    let mut key = stream_key(KEY, OnConflict::Reject);
    key.bounds.max_bitrate_kbit = Some(64);
    world.desire(vec![key]);
    let url = world.publish_url("rtmp");
    let said = last_words(publish(tool::FFMPEG, &[H264, AAC], &url));
    let reason = "it sent more than 64 kbit/s, the most that the stream key allows";
    assert!(said.contains(reason), "{said}");
    let refused = |report: &SlotReport| report.refused.as_ref().map(|one| one.reason.clone());
    let report = world.wait_for("the operator sees it", |report| refused(report).is_some());
    assert_eq!(refused(&report).as_deref(), Some(reason));
    let again = last_words(publish(tool::FFMPEG, &[H264, AAC], &url));
    assert!(again.contains("wait ten seconds, and send less"), "{again}");
    world.stop();
}
