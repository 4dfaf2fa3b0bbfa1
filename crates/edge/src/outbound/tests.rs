//! What is open and what is closed, in every form in which an address can be written.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Each name has a list of answers; the last one stays.
#[derive(Default)]
struct Names(Mutex<HashMap<&'static str, Vec<Vec<&'static str>>>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = names.get_mut(host).map(|answers| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        });
        let found = found.ok_or_else(|| io::ErrorKind::NotFound.into());
        let parse = |texts: Vec<&str>| texts.into_iter().map(address).collect();
        Box::pin(async move { found.map(parse) })
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn list(texts: &[&str]) -> Vec<Network> {
    let parse = |text: &&str| text.parse().expect("a network");
    texts.iter().map(parse).collect()
}

pub(super) fn outbound(allow: &[&str], deny: &[&str]) -> Outbound {
    Outbound::new(Config {
        allow: Some(list(allow)),
        deny: list(deny),
    })
}

/// With a name that we make up.
pub(super) fn named_outbound(
    allow: &[&str],
    name: &'static str,
    answers: &[&[&'static str]],
) -> Outbound {
    let answers = answers.iter().map(|answer| answer.to_vec()).collect();
    Outbound {
        resolver: Arc::new(Names(Mutex::new([(name, answers)].into()))),
        ..outbound(allow, &[])
    }
}

fn named(allow: &[&str], name: &'static str, answers: &[&[&'static str]]) -> Gate {
    named_outbound(allow, name, answers).gate(&[])
}

fn is_open(gate: &Gate, text: &str) -> bool {
    gate.judge(address(text)).is_ok()
}

#[test]
fn a_machine_its_wire_and_its_cloud_are_closed_and_cameras_are_not() {
    let gate = Outbound::default().gate(&[]);
    for closed in [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "::ffff:0:169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:1:a9:fea9:fe00:0",
        "2001:0:7f00:1:8000:1234:3fff:fdf6",
        "2001:0:cb00:7101:8000:1234:80ff:fffe",
        "fd12::5efe:169.254.169.254",
        "2001:db8::200:5efe:127.0.0.1",
    ] {
        assert!(!is_open(&gate, closed), "{closed}");
    }
    for open in [
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.64",
        "100.64.0.1",
        "203.0.113.9",
        "fd12:3456::1",
        "2001:db8::1",
        "64:ff9b::192.0.2.1",
        "::ffff:0:192.0.2.1",
        "64:ff9b:1::192.168.1.64",
        "64:ff9b:1:c0a8:1:4000::",
        "2001:0:cb00:7101:8000:1234:3fff:fdf6",
        "fd12::5efe:192.168.1.64",
    ] {
        assert!(is_open(&gate, open), "{open}");
    }
}

#[test]
fn the_machines_own_lists_come_before_the_projects() {
    let outbound = outbound(&["127.0.0.1"], &["10.0.0.0/8", "127.0.0.0/8"]);
    let gate = outbound.gate(&list(&["10.1.0.0/16", "169.254.1.0/24", "127.0.0.2"]));
    assert!(is_open(&gate, "127.0.0.1"), "allow wins");
    assert!(is_open(&gate, "::ffff:127.0.0.1"));
    assert!(!is_open(&gate, "10.1.0.1"), "deny wins over the project");
    assert!(!is_open(&gate, "127.0.0.2"));
    assert!(is_open(&gate, "169.254.1.7"), "the project's");
    assert!(!is_open(&gate, "169.254.169.254"));
}

/// The forms that the system's resolver takes for addresses, as `inet_aton` does.
#[tokio::test]
async fn odd_forms_of_an_address_are_that_address() {
    let gate = Outbound::default().gate(&[]);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "localhost",
    ] {
        let found = gate.resolve(host).await;
        assert!(matches!(found, Err(Error::Closed(_))), "{host}: {found:?}");
    }
}

#[test]
fn urls_of_http_write_odd_forms_as_one() {
    let gate = Outbound::default().gate(&[]);
    for url in [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
    ] {
        assert!(gate.check(&url.parse().expect("a URL")).is_err(), "{url}");
    }
    let camera = "http://192.168.1.64/".parse().expect("a URL");
    assert!(gate.check(&camera).is_ok());
}

#[tokio::test]
async fn only_the_open_addresses_of_a_name_are_used() {
    let answers: &[&[&str]] = &[&["fe80::1", "192.168.1.64"], &["169.254.169.254"], &[]];
    let gate = named(&[], "camera", answers);
    let found = gate.resolve("camera").await.expect("one is open");
    assert_eq!(found, [address("192.168.1.64")]);
    let closed = gate.resolve("camera").await.expect_err("none is open");
    let words = "169.254.169.254 is closed to us (link-local); edge.outbound.allow opens it";
    assert_eq!(closed.to_string(), words);
    let none = gate.resolve("camera").await;
    assert!(matches!(none, Err(Error::Unresolved)));
}

/// A name that was good when somebody looked, and leads inside when it is used.
#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let answers: &[&[&str]] = &[&["127.0.0.1"], &["127.0.0.2"]];
    let gate = named(&["127.0.0.1"], "rebound", answers);
    let first = gate.connect("rebound", port, || true).await;
    let peer = first.expect("is open").expect("may").peer_addr();
    assert_eq!(peer.expect("is connected").ip(), address("127.0.0.1"));
    let second = gate.connect("rebound", port, || true).await;
    assert!(matches!(second, Err(Error::Closed(_))));
}

/// Answers one request with this head.
async fn answer_once(head: String) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let at = listener.local_addr().expect("bound");
    let answer = async move {
        let (mut socket, _) = listener.accept().await.expect("accepts");
        let mut request = vec![0; 4096];
        let length = socket.read(&mut request).await.expect("reads");
        socket.write_all(head.as_bytes()).await.expect("writes");
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    (at, tokio::spawn(answer))
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

async fn get(gate: &Gate, url: &str) -> Result<reqwest::StatusCode, crate::ingest::Failure> {
    let client = gate.client(true).build().expect("builds");
    let sent = client.get(url).basic_auth("user", Some("secret")).send();
    let answer = sent.await.map_err(reqwest::Error::without_url);
    let answer = answer.map_err(|error| crate::ingest::Failure::of(&error))?;
    Ok(answer.status())
}

#[tokio::test]
async fn redirects_lead_nowhere_that_is_closed() {
    let gate = named(&["127.0.0.1"], "inside", &[&["169.254.169.254"]]);
    for to in [
        "http://169.254.169.254/latest/",
        "http://2852039166/",
        "http://[::ffff:169.254.169.254]/",
        "http://127.0.0.2/",
        "http://inside/",
    ] {
        let (at, served) = answer_once(redirect(to)).await;
        let failure = get(&gate, &format!("http://{at}/")).await;
        let failure = failure.expect_err(to).to_string();
        assert!(failure.contains("is closed to us"), "{to}: {failure}");
        served.await.expect("was asked");
    }
}

#[tokio::test]
async fn an_open_redirect_is_followed_without_the_login() {
    let gate = outbound(&["127.0.0.0/8"], &[]).gate(&[]);
    let (there, served) = answer_once("HTTP/1.1 204 No Content\r\n\r\n".to_owned()).await;
    let (here, first) = answer_once(redirect(&format!("http://{there}/"))).await;
    let status = get(&gate, &format!("http://{here}/")).await;
    assert_eq!(status.map(|status| status.as_u16()), Ok(204));
    let has_login = |request: String| request.to_ascii_lowercase().contains("authorization:");
    assert!(has_login(first.await.expect("was asked")));
    assert!(!has_login(served.await.expect("was asked")));
}

#[tokio::test]
async fn a_redirect_to_something_else_is_said_in_words() {
    let gate = testing().gate(&[]);
    let (at, _served) = answer_once(redirect("ftp://127.0.0.1/")).await;
    let failure = get(&gate, &format!("http://{at}/")).await;
    let words = "it redirects to something that is not HTTP";
    assert_eq!(failure.expect_err("is not followed").to_string(), words);
}

proptest! {
    /// However an IPv4 address is wrapped, it is judged as itself.
    #[test]
    fn wrapping_an_address_opens_nothing(bits: u32) {
        let gate = Outbound::default().gate(&[]);
        let v4 = std::net::Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = v4.octets();
        let open = gate.judge(v4.into()).is_ok();
        let forms = [
            format!("::ffff:{v4}"),
            format!("64:ff9b::{v4}"),
            format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
            format!("::ffff:0:{v4}"),
            format!("fd12::5efe:{v4}"),
        ];
        for form in forms {
            prop_assert_eq!(is_open(&gate, &form), open, "{}", form);
        }
    }
}
