//! Sends datagrams: each run of them to many viewers with one system call (`sendmmsg`), and many
//! of them to each viewer at once where the kernel can cut them (`UDP_SEGMENT`).
//!
//! What costs is a datagram's way through the kernel: it is gone once for each run and viewer. So
//! runs to the same port that are due together, such as two packets of sound, are joined where
//! their lengths allow it.

use std::{
    io::{self, IoSlice},
    iter,
    net::SocketAddr,
    os::fd::AsRawFd as _,
    sync::Arc,
};

use headworks_media::TrackKind;
use headworks_rtp::{MAX_RUN_BYTES, MAX_RUN_PACKETS};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};
use tokio::net::UdpSocket;

use super::wire::Datagrams;

/// So many viewers are served with one system call. More save nothing that can be measured.
const MOST_AT_ONCE: usize = 64;

/// A viewer that gets datagrams. Viewers share the sockets, and tell each other apart by their own
/// ports.
pub(crate) struct UdpSink {
    /// Sends RTP.
    pub(crate) rtp: Arc<UdpSocket>,
    /// Sends RTCP.
    pub(crate) rtcp: Arc<UdpSocket>,
    /// Where pictures go, if it wants them; an address of the sockets' own family.
    pub(crate) video: Option<UdpPeer>,
    /// Where sound goes, if it wants it.
    pub(crate) audio: Option<UdpPeer>,
}

/// Where a viewer receives a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpPeer {
    /// RTP.
    pub(crate) rtp: SocketAddr,
    /// RTCP.
    pub(crate) rtcp: SocketAddr,
}

/// How datagrams went to a viewer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    /// Some found no room.
    pub(super) lost: bool,
    /// There is no way to it.
    pub(super) broken: bool,
}

/// Where a run goes for one of the viewers.
struct Target<'a> {
    viewer: usize,
    socket: &'a UdpSocket,
    address: SocketAddr,
}

/// Runs that go to the same port with one system call: all datagrams but the last have the same
/// length.
struct Joined<'a> {
    track: TrackKind,
    is_control: bool,
    segment: usize,
    length: usize,
    slices: Vec<IoSlice<'a>>,
}

/// Sends each of `runs` to each viewer that asked for its track; never waits. A viewer gets
/// nothing behind a run that it did not get.
pub(super) fn send<'a>(
    runs: impl Iterator<Item = &'a Datagrams>,
    viewers: &[&UdpSink],
) -> Vec<Sent> {
    let mut sent = vec![Sent::default(); viewers.len()];
    for run in &join(runs) {
        let well = |viewer: &usize| !sent[*viewer].lost && !sent[*viewer].broken;
        let numbered = viewers.iter().enumerate();
        let targets: Vec<_> = numbered
            .filter(|(viewer, _)| well(viewer))
            .filter_map(|(viewer, sink)| sink.target(viewer, run))
            .collect();
        for targets in targets.chunk_by(|a, b| std::ptr::eq(a.socket, b.socket)) {
            for targets in targets.chunks(MOST_AT_ONCE) {
                send_run(run, targets, &mut sent);
            }
        }
    }
    sent
}

/// Datagrams to one port stay in order.
fn join<'a>(runs: impl Iterator<Item = &'a Datagrams>) -> Vec<Joined<'a>> {
    let mut joined: Vec<Joined<'a>> = Vec::new();
    for run in runs {
        let before = joined.iter_mut().rfind(|before| before.goes_with(run));
        match before.filter(|before| before.can_take(run)) {
            Some(before) => {
                before.length += run.bytes.len();
                before.slices.push(IoSlice::new(&run.bytes));
            }
            None => joined.push(Joined {
                track: run.track,
                is_control: run.is_control,
                segment: run.segment.max(1),
                length: run.bytes.len(),
                slices: vec![IoSlice::new(&run.bytes)],
            }),
        }
    }
    joined
}

impl Joined<'_> {
    fn goes_with(&self, run: &Datagrams) -> bool {
        (self.track, self.is_control) == (run.track, run.is_control)
    }

    fn can_take(&self, run: &Datagrams) -> bool {
        let length = self.length + run.bytes.len();
        let is_alike = run.segment == self.segment || run.bytes.len() <= self.segment;
        self.length.is_multiple_of(self.segment)
            && is_alike
            && length <= MAX_RUN_BYTES
            && length.div_ceil(self.segment) <= MAX_RUN_PACKETS
    }
}

impl UdpSink {
    fn target(&self, viewer: usize, run: &Joined<'_>) -> Option<Target<'_>> {
        let peer = match run.track {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        };
        let peer = peer.as_ref()?;
        let (socket, address) = match run.is_control {
            true => (&self.rtcp, peer.rtcp),
            false => (&self.rtp, peer.rtp),
        };
        Some(Target {
            viewer,
            socket,
            address,
        })
    }
}

impl Sent {
    fn note(&mut self, result: io::Result<usize>) {
        match result {
            Ok(count) => self.bytes += count as u64,
            Err(error) if is_loss(&error) => self.lost = true,
            Err(_) => self.broken = true,
        }
    }
}

/// Sends a run to targets that share a socket.
fn send_run(run: &Joined<'_>, targets: &[Target<'_>], sent: &mut [Sent]) {
    let cut = u16::try_from(run.segment).unwrap_or(u16::MAX);
    let cut = (run.length > run.segment).then_some(&cut);
    let mut rest = targets;
    while let [first, others @ ..] = rest {
        match send_once(&run.slices, cut, rest) {
            Ok(count) => {
                let (taken, more) = rest.split_at(count.clamp(1, rest.len()));
                for target in taken {
                    sent[target.viewer].note(Ok(run.length));
                }
                rest = more;
            }
            // It is the first that failed: otherwise those before it would be told.
            Err(error) => {
                let result = match is_refused(&error) && cut.is_some() {
                    true => send_each(run, first),
                    false => Err(error),
                };
                sent[first.viewer].note(result);
                rest = others;
            }
        }
    }
}

/// Without help of the kernel.
fn send_each(run: &Joined<'_>, target: &Target<'_>) -> io::Result<usize> {
    let slices = run.slices.iter();
    let mut each = slices.flat_map(|slice| slice.chunks(run.segment.max(1)));
    each.try_fold(0, |sum, one| {
        send_once(&[IoSlice::new(one)], None, std::slice::from_ref(target))?;
        Ok(sum + one.len())
    })
}

/// One system call; returns how many have got it, which is at least one. The kernel cuts the bytes
/// into datagrams of length `cut`. tokio is not asked whether the socket is ready: nobody waits for
/// it, and it knows only after the first failure.
fn send_once(
    slices: &[IoSlice<'_>],
    cut: Option<&u16>,
    targets: &[Target<'_>],
) -> io::Result<usize> {
    let Some(first) = targets.first() else {
        return Ok(0);
    };
    let addresses: Vec<_> = targets
        .iter()
        .map(|target| Some(SockaddrStorage::from(target.address)))
        .collect();
    let mut headers = MultiHeaders::preallocate(targets.len(), cut.map(|_| cmsg_space!(u16)));
    let cut = cut.map(ControlMessage::UdpGsoSegments);
    let sent = sendmmsg(
        first.socket.as_raw_fd(),
        &mut headers,
        iter::repeat(&slices),
        &addresses,
        cut.as_slice(),
        MsgFlags::MSG_DONTWAIT,
    )?;
    Ok(sent.count())
}

/// The kernel had no room, or the viewer's machine says that nobody listens: it may again.
fn is_loss(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// Kernels before 4.18, devices without checksums of their own, and paths whose MTU is below the
/// size of a segment cannot cut.
fn is_refused(error: &io::Error) -> bool {
    let refusals = [
        Errno::EIO,
        Errno::EINVAL,
        Errno::EOPNOTSUPP,
        Errno::EMSGSIZE,
    ];
    let number = error.raw_os_error();
    refusals.iter().any(|errno| number == Some(*errno as i32))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use tokio::time::{Duration, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// `count` datagrams of `segment` bytes and one of `last`, numbered from `first`.
    fn run(track: TrackKind, first: u8, segment: usize, count: u8, last: usize) -> Datagrams {
        let mut bytes = Vec::new();
        for number in first..first + count {
            bytes.extend(vec![number; segment]);
        }
        bytes.extend(vec![first + count; last]);
        Datagrams {
            track,
            is_control: false,
            segment: if count > 0 { segment } else { last },
            bytes: Bytes::from(bytes),
        }
    }

    #[test]
    fn runs_are_joined_where_only_the_last_datagram_is_shorter() {
        use TrackKind::{Audio, Video};
        let lengths = |runs: &[Datagrams]| {
            let joined = join(runs.iter());
            joined.iter().map(|one| one.length).collect::<Vec<_>>()
        };
        let sound = |length| run(Audio, 1, 0, 0, length);
        assert_eq!(lengths(&[sound(200), sound(200), sound(100)]), [500]);
        assert_eq!(lengths(&[sound(200), sound(100), sound(100)]), [300, 100]);
        assert_eq!(lengths(&[sound(100), sound(200)]), [100, 200]);
        let picture = run(Video, 1, 1400, 3, 50);
        assert_eq!(lengths(&[sound(200), picture, sound(200)]), [400, 4250]);
        let whole = || run(Video, 1, 1400, 29, 1400);
        assert_eq!(lengths(&[whole(), whole()]), [42_000, 42_000], "too long");
    }

    #[tokio::test]
    async fn each_viewer_gets_each_datagram_it_asked_for() {
        let bind = || async { UdpSocket::bind("127.0.0.1:0").await.expect("binds") };
        let sender = Arc::new(bind().await);
        let mut viewers = Vec::new();
        // More than one system call serves; every third wants no sound.
        for number in 0..MOST_AT_ONCE + 3 {
            let [video, audio] = [bind().await, bind().await];
            let peer = |socket: &UdpSocket| UdpPeer {
                rtp: socket.local_addr().expect("is bound"),
                rtcp: socket.local_addr().expect("is bound"),
            };
            let sink = UdpSink {
                rtp: Arc::clone(&sender),
                rtcp: Arc::clone(&sender),
                video: Some(peer(&video)),
                audio: (number % 3 > 0).then(|| peer(&audio)),
            };
            viewers.push((sink, video, audio));
        }
        let runs = [
            run(TrackKind::Audio, 1, 0, 0, 200),
            run(TrackKind::Video, 1, 1000, 4, 10),
            run(TrackKind::Audio, 2, 0, 0, 150),
        ];
        let sinks: Vec<_> = viewers.iter().map(|(sink, ..)| sink).collect();
        let sent = send(runs.iter(), &sinks);
        for ((sink, video, audio), sent) in viewers.iter().zip(sent) {
            assert_eq!((sent.lost, sent.broken), (false, false));
            let sound = if sink.audio.is_some() { 350 } else { 0 };
            assert_eq!(sent.bytes, 4010 + sound);
            assert_eq!(received(video, 5).await, [1000, 1000, 1000, 1000, 10]);
            if sink.audio.is_some() {
                assert_eq!(received(audio, 2).await, [200, 150]);
            }
        }
    }

    /// The lengths of the next datagrams, which are numbered.
    async fn received(socket: &UdpSocket, count: u8) -> Vec<usize> {
        let mut lengths = Vec::new();
        let mut buffer = [0; 2000];
        for number in 1..=count {
            let length = timeout(LIMIT, socket.recv(&mut buffer)).await;
            let length = length.expect("in time").expect("receives");
            assert!(buffer[..length].iter().all(|byte| *byte == number));
            lengths.push(length);
        }
        lengths
    }

    #[tokio::test]
    async fn one_that_cannot_be_reached_does_not_harm_the_others() {
        let bind = || async { UdpSocket::bind("127.0.0.1:0").await.expect("binds") };
        let (sender, receiver) = (Arc::new(bind().await), bind().await);
        let sink = |rtp: SocketAddr| UdpSink {
            rtp: Arc::clone(&sender),
            rtcp: Arc::clone(&sender),
            video: Some(UdpPeer { rtp, rtcp: rtp }),
            audio: None,
        };
        let good = sink(receiver.local_addr().expect("is bound"));
        // No address of the socket's family.
        let bad = sink("[::1]:9".parse().expect("is one"));
        let sent = send(
            [run(TrackKind::Video, 1, 0, 0, 100)].iter(),
            &[&good, &bad, &good],
        );
        let broken: Vec<_> = sent.iter().map(|sent| sent.broken).collect();
        assert_eq!(broken, [false, true, false]);
        assert_eq!(received(&receiver, 1).await, [100]);
        assert_eq!(received(&receiver, 1).await, [100]);
    }

    proptest! {
        #[test]
        fn joining_loses_and_cuts_nothing(lengths in prop::collection::vec(1_usize..1400, 0..200)) {
            let runs: Vec<_> = lengths
                .iter()
                .map(|length| run(TrackKind::Audio, 0, 0, 0, *length))
                .collect();
            let mut cut = Vec::new();
            for one in join(runs.iter()) {
                let bytes: Vec<u8> = one.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                prop_assert_eq!(bytes.len(), one.length);
                prop_assert!(one.length <= MAX_RUN_BYTES);
                let datagrams = bytes.chunks(one.segment);
                prop_assert!(datagrams.len() <= MAX_RUN_PACKETS);
                cut.extend(datagrams.map(<[u8]>::len));
            }
            prop_assert_eq!(cut, lengths);
        }
    }
}
