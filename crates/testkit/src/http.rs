//! A minimal HTTP client for `http://` on this machine: one request a connection.
//!
//! Tests use `headworks-client`; this is for requests that it would not send, and for tools that
//! should build without an asynchronous runtime.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, bail};

const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer whose body has not been read.
#[derive(Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    body: BufReader<TcpStream>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Gets `url` and reads all of it.
pub fn get(url: &str) -> anyhow::Result<Answer> {
    send("GET", url, &[], b"")?.read()
}

/// Sends a request with an API key and, if there is one, a JSON body.
pub fn call(
    method: &str,
    url: &str,
    key: &str,
    body: Option<&serde_json::Value>,
) -> anyhow::Result<Answer> {
    let mut headers = vec![("authorization", format!("Bearer {key}"))];
    if body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    send(method, url, &headers, body.as_bytes())?.read()
}

/// Sends a request and reads the head of the answer only, which is all that a live stream has
/// at first.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> anyhow::Result<Head> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("{url} is not an http:// URL"))?;
    let (host, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let address = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut stream =
        TcpStream::connect(&address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    stream.write_all(&[request.as_bytes(), body].concat())?;
    Head::parse(stream).with_context(|| format!("{method} {url}"))
}

impl Head {
    fn parse(stream: TcpStream) -> anyhow::Result<Self> {
        let mut body = BufReader::new(stream);
        let mut line = String::new();
        body.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("not an HTTP answer: {line:?}"))?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            if body.read_line(&mut line)? == 0 {
                bail!("the connection ended in the middle of the head");
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// Reads the body until it ends.
    pub fn read(self) -> anyhow::Result<Answer> {
        let Self {
            status,
            headers,
            body: mut stream,
        } = self;
        let header = |name: &str| {
            headers
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str())
        };
        let mut body = Vec::new();
        if header("transfer-encoding") == Some("chunked") {
            read_chunks(&mut stream, &mut body)?;
        } else if let Some(length) = header("content-length") {
            stream.take(length.parse()?).read_to_end(&mut body)?;
        } else {
            stream.read_to_end(&mut body)?;
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// The connection, with the body still in it as sent (perhaps in chunks).
    #[must_use]
    pub fn into_stream(self) -> BufReader<TcpStream> {
        self.body
    }
}

fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16)
            .with_context(|| format!("not the size of a chunk: {line:?}"))?;
        stream.by_ref().take(size).read_to_end(body)?;
        // The line that ends the chunk, or all of them.
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Fails unless the status is of the 2xx kind.
    pub fn ok(self) -> anyhow::Result<Self> {
        if !(200..300).contains(&self.status) {
            bail!(
                "HTTP {}: {}",
                self.status,
                String::from_utf8_lossy(&self.body)
            );
        }
        Ok(self)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}
