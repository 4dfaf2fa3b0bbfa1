//! An OpenTelemetry collector (OTLP over HTTP) that keeps what it is sent in a file.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// It listens as long as the process lives.
pub(super) struct Collector {
    pub(super) url: String,
}

impl Collector {
    pub(super) fn start(path: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let file = Arc::new(Mutex::new(File::create(path).expect("is made")));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let file = Arc::clone(&file);
                thread::spawn(move || while keep(&stream, &file).is_some() {});
            }
        });
        Self {
            url: format!("http://{address}"),
        }
    }
}

/// Reads one request to its end; none when the sender has gone.
fn keep(mut stream: &TcpStream, file: &Mutex<File>) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    file.lock().ok()?.write_all(&body).ok()?;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}
