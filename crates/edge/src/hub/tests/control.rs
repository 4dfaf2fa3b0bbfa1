//! Viewers that are steered, and those that get datagrams.

use std::io::ErrorKind;

use headworks_media::TrackKind;
use headworks_rtp::{Packet, rtcp};
use tokio::net::UdpSocket;

use super::*;

/// Reads RTSP's interleaved packets, and answers between them.
struct Rtsp(TcpStream);

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Packet { channel: u8, sequence: u16 },
    Report { channel: u8 },
    Answer(Vec<u8>),
}

impl Rtsp {
    /// Answers of these tests have four bytes.
    async fn hear(&mut self) -> Heard {
        let mut head = [0; 4];
        let read = self.0.read_exact(&mut head);
        timeout(LIMIT, read).await.expect("in time").expect("reads");
        if head[0] != b'$' {
            return Heard::Answer(head.to_vec());
        }
        let channel = head[1];
        let mut packet = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
        let read = self.0.read_exact(&mut packet);
        timeout(LIMIT, read).await.expect("in time").expect("reads");
        if channel % 2 == 1 {
            return Heard::Report { channel };
        }
        let sequence = Packet::parse(&packet.into()).expect("is RTP").sequence;
        Heard::Packet { channel, sequence }
    }

    async fn packet(&mut self) -> u16 {
        loop {
            match self.hear().await {
                Heard::Packet { sequence, .. } => return sequence,
                Heard::Report { .. } => {}
                Heard::Answer(answer) => panic!("no answer is due: {answer:?}"),
            }
        }
    }
}

impl World {
    fn pictures(&mut self, count: usize) {
        for index in 0..count {
            let frame = testing::picture(0, index == 0, 500);
            self.publisher.video(self.pts, frame.key, frame.payload);
            self.pts += 3600;
            self.publisher.wake();
        }
    }

    async fn play(&self, sink: Sink, format: Format, start: Option<Start>) -> ViewerHandle {
        let (handle, control) = control();
        let head = match format {
            Format::RtpUdp => Bytes::new(),
            _ => Bytes::from_static(b"PLAY"),
        };
        let stream = self.stream();
        self.hub
            .add_viewer(NewViewer {
                sink,
                format,
                selection: Selection::All,
                head,
                guard: stream.add_viewer_for(Some(format.sound())),
                stream,
                start,
                control: Some(control),
                watch_until: self.clock.monotonic() + LIMIT,
                connection: None,
                session: None,
            })
            .await;
        handle
    }
}

async fn pair() -> (TcpStream, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let client = TcpStream::connect(listener.local_addr().expect("bound"));
    let (client, server) = tokio::join!(client, listener.accept());
    let server = server.expect("accepts").0;
    (client.expect("connects"), Arc::new(server))
}

#[tokio::test(flavor = "multi_thread")]
async fn rtsp_starts_where_it_says_pauses_goes_on_and_gives_the_socket_back() {
    let mut world = World::new(Config::default());
    world.pictures(3);
    let (client, server) = pair().await;
    let mut client = Rtsp(client);
    let start = world.stream().start().expect("has a key frame");
    let first = start.rtp(TrackKind::Video).sequence;
    let sink = Sink::Tcp(Arc::clone(&server));
    let handle = world.play(sink, Format::RtpInterleaved, Some(start)).await;
    assert_eq!(client.hear().await, Heard::Answer(b"PLAY".to_vec()));
    assert_eq!(client.hear().await, Heard::Report { channel: 1 });
    // Parameter sets and the picture in one packet: both fit.
    for index in 0..3 {
        assert_eq!(client.packet().await, first.wrapping_add(index));
    }

    handle.send(Bytes::from_static(b"OPT1")).expect("has room");
    assert_eq!(client.hear().await, Heard::Answer(b"OPT1".to_vec()));
    handle.pause();
    handle.send(Bytes::from_static(b"PAUS")).expect("has room");
    assert_eq!(client.hear().await, Heard::Answer(b"PAUS".to_vec()));
    world.pictures(5);
    handle.send(Bytes::from_static(b"OPT2")).expect("has room");
    assert_eq!(client.hear().await, Heard::Answer(b"OPT2".to_vec()));
    let start = world.stream().start().expect("has a key frame");
    let first = start.rtp(TrackKind::Video).sequence;
    handle.send(Bytes::from_static(b"PLA2")).expect("has room");
    handle.resume(start);
    assert_eq!(client.hear().await, Heard::Answer(b"PLA2".to_vec()));
    for index in 0..5 {
        assert_eq!(client.packet().await, first.wrapping_add(index));
    }

    handle.send(Bytes::from_static(b"TEAR")).expect("has room");
    handle.end();
    assert_eq!(client.hear().await, Heard::Answer(b"TEAR".to_vec()));
    assert_eq!(handle.left().await, Leave::Asked);
    world.pictures(5);
    server.writable().await.expect("is open");
    assert_eq!(server.try_write(b"OPT3").expect("writes"), 4);
    assert_eq!(client.hear().await, Heard::Answer(b"OPT3".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_handle_ends_the_viewer() {
    let mut world = World::new(Config::default());
    world.pictures(3);
    let (_client, server) = pair().await;
    let sink = Sink::Tcp(server);
    drop(world.play(sink, Format::RtpInterleaved, None).await);
    until("the viewer is forgotten", || world.stream().viewers() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_one_who_takes_nothing_are_bounded() {
    let mut world = World::new(Config::default());
    world.pictures(3);
    let (_client, server) = pair().await;
    while server.try_write(&[0; 65_536]).is_ok() {}
    let sink = Sink::Tcp(server);
    let handle = world.play(sink, Format::RtpInterleaved, None).await;
    let answer = Bytes::from_static(&[b'A'; 1024]);
    let taken = (0..1000).take_while(|_| handle.send(answer.clone()).is_ok());
    assert!(taken.count() <= 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_of_other_codecs_has_to_come_again() {
    let mut world = World::new(Config::default());
    world.pictures(3);
    let (_client, server) = pair().await;
    let sink = Sink::Tcp(server);
    let rtsp = world.play(sink, Format::RtpInterleaved, None).await;
    let (_client, server) = pair().await;
    let flv = world.play(Sink::Tcp(server), Format::Flv, None).await;
    world.publisher.start_session(testing::tracks_with_sound());
    world.pictures(3);
    assert_eq!(rtsp.left().await, Leave::Changed);
    world.stream().set_final(true);
    drop(world.publisher);
    assert_eq!(flv.left().await, Leave::StreamEnded, "it could follow");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_to_the_ports_of_their_tracks() {
    let mut world = World::new(Config::default());
    world.publisher.start_session(testing::tracks_with_sound());
    let bind = || async { UdpSocket::bind("127.0.0.1:0").await.expect("binds") };
    let (rtp, rtcp) = (bind().await, bind().await);
    let peer = UdpPeer {
        rtp: rtp.local_addr().expect("bound"),
        rtcp: rtcp.local_addr().expect("bound"),
    };
    let sink = UdpSink {
        rtp: Arc::new(bind().await),
        rtcp: Arc::new(bind().await),
        video: Some(peer),
        audio: None,
    };
    // Several packets of equal length, which the kernel cuts.
    let frame = testing::picture(0, true, 20_000);
    world.publisher.video(0, true, frame.payload);
    world.publisher.audio(0, 160, testing::sound(0).payload);
    world.publisher.wake();
    let start = world.stream().start().expect("has a key frame");
    let first = start.rtp(TrackKind::Video);
    let sink = Sink::Udp(Box::new(sink));
    let handle = world.play(sink, Format::RtpUdp, Some(start)).await;
    let mut buffer = [0; 2000];
    let mut packets = 0;
    loop {
        let count = timeout(LIMIT, rtp.recv(&mut buffer)).await;
        let count = count.expect("in time").expect("receives");
        let packet = Bytes::copy_from_slice(&buffer[..count]);
        let packet = Packet::parse(&packet).expect("is RTP");
        assert_eq!(packet.sequence, first.sequence.wrapping_add(packets));
        assert_eq!(
            (packet.ssrc, packet.timestamp),
            (first.ssrc, first.timestamp)
        );
        packets += 1;
        if packet.marker {
            break;
        }
    }
    assert!(packets > 10);
    let count = timeout(LIMIT, rtcp.recv(&mut buffer)).await;
    let count = count.expect("in time").expect("receives");
    assert!(rtcp::parse(&buffer[..count]).is_ok());
    let more = rtp
        .try_recv(&mut buffer)
        .expect_err("sound was not asked for");
    assert_eq!(more.kind(), ErrorKind::WouldBlock);
    handle.end();
    assert_eq!(handle.left().await, Leave::Asked);
}
