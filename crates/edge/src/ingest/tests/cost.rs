//! What a camera costs, and that one that floods us costs others nothing.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::*;

/// Answers as a camera does until it plays, then sends packets as fast as they are taken.
fn flood(listener: &TcpListener, sent: &AtomicU64) -> std::io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    let mut reader = BufReader::new(socket.try_clone()?);
    loop {
        let (mut line, mut request) = (String::new(), String::new());
        let mut sequence = String::new();
        while reader.read_line(&mut line)? > 2 {
            if request.is_empty() {
                request.clone_from(&line);
            }
            if line.starts_with("CSeq") {
                sequence.clone_from(&line);
            }
            line.clear();
        }
        let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:1\r\n";
        let more = match request.split(' ').next() {
            Some("DESCRIBE") => format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                sdp.len()
            ),
            Some("SETUP") => {
                "Session: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n".to_owned()
            }
            _ => "\r\n".to_owned(),
        };
        socket.write_all(format!("RTSP/1.0 200 OK\r\n{sequence}{more}").as_bytes())?;
        if request.starts_with("PLAY") {
            return send_for_ever(&mut socket, sent);
        }
    }
}

fn send_for_ever(socket: &mut TcpStream, sent: &AtomicU64) -> std::io::Result<()> {
    let mut number = 0_u16;
    loop {
        // A picture in each packet, none of them a key frame.
        let mut packet = vec![b'$', 0, 5, 0, 0x80, 0x80 | 96];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 90).to_be_bytes());
        packet.extend([0, 0, 0, 1, 0x41, 0x9a]);
        packet.resize(4 + 5 * 256, 0x55);
        socket.write_all(&packet)?;
        number = number.wrapping_add(1);
        sent.fetch_add(packet.len() as u64, Ordering::Relaxed);
    }
}

#[test]
fn a_camera_that_floods_us_costs_others_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("rtsp://{}/", listener.local_addr().expect("bound"));
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let camera = thread::spawn(move || flood(&listener, &counter));
    // All that the edge does is on one thread.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    let world = World::on(runtime.expect("starts"), Config::default());
    world.start(slot(&url, None));
    let past = |more: u64| {
        let before = sent.load(Ordering::Relaxed);
        wait_until("the flood", LIMIT, || {
            (sent.load(Ordering::Relaxed) > before + more).then_some(())
        })
        .expect("goes on");
    };
    past(16 << 20);
    for _ in 0..10 {
        let answer = headworks_testkit::http::get(&format!("{}/nothing", world.base));
        assert_eq!(answer.expect("answers").status, 404);
    }
    past(16 << 20);
    world.stop();
    assert!(camera.join().expect("ends").is_err(), "it was cut off");
}

/// `cargo test --release -p headworks-edge --lib -- --ignored --nocapture costs_little`
#[test]
#[ignore = "measures; of use only in a release build on an idle machine"]
fn a_camera_costs_little() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let camera = Camera::start(CameraOptions {
            width: 1280,
            height: 720,
            fps: 25,
            key_frame_every: 50,
            bitrate_kbit: 8000,
            pattern: "snow",
            audio: Audio::Aac,
            ..CameraOptions::default()
        })
        .expect("starts");
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("edge-worker");
        let runtime = runtime.enable_all().build();
        let world = World::on(runtime.expect("starts"), Config::default());
        let mut job = slot(&camera.url(), None);
        if transport == Transport::Udp {
            job = over_udp(job);
        }
        world.start(job);
        world.wait_for(SlotState::Live);
        let received = || world.ingests.load().received_bytes;
        let (before, cpu) = (received(), cpu_nanoseconds());
        wait_until("ten seconds of media", LIMIT, || {
            (received() > before + 10_000_000).then_some(())
        })
        .expect("comes");
        let (bytes, cpu) = (received() - before, cpu_nanoseconds() - cpu);
        let seconds = bytes as f64 * 8.0 / 8e6;
        let percent = cpu as f64 / 1e9 / seconds * 100.0;
        println!("8 Mbit/s over {transport:?}: {percent:.2} % of a core");
        assert!(percent < 1.0, "{percent:.2} % of a core");
        world.stop();
    }
}

/// Of the threads that the edge runs on.
fn cpu_nanoseconds() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("is Linux").flatten();
    let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
    tasks
        .filter(|task| read(task.path().join("comm")).trim() == "edge-worker")
        .map(|task| {
            let text = read(task.path().join("schedstat"));
            let used = text.split(' ').next().and_then(|used| used.parse().ok());
            used.unwrap_or(0)
        })
        .sum()
}
