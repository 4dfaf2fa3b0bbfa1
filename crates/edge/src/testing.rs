//! For tests: one published camera, its key and certificate, and the programs that come to it.

use std::{path::Path, process::Command, sync::LazyLock, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_bootstrap::{
    Tasks,
    tls::{Files, provider},
};
use headworks_client::NodeCredentials;
use headworks_testkit::{Process, Signal};
use headworks_types::{
    Advertise, CameraId, NodeId, NodeState, OnConflict, Secret, StreamKeyBounds, StreamKeyId,
    edge::{
        CONTROLLER_NAME, NodeCertificate, Peer, Role, Route, SlotKey, StreamKeyDigest, ViewPolicy,
        node_name,
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};
use uuid::Uuid;

use crate::tls::Acceptor;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "hwsk_aaaaaaaaaaaa_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Pictures with B-frames, a key frame each second.
pub(crate) const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"];
pub(crate) const AAC: &[&str] = &["-c:a", "aac"];

pub(crate) fn acceptor(tasks: &Tasks) -> (tempfile::TempDir, Acceptor) {
    let directory = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("is made");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("tls.crt"), made.cert.pem()).expect("writes");
    std::fs::write(path("tls.key"), made.signing_key.serialize_pem()).expect("writes");
    let config = Files {
        certificate: Some(path("tls.crt")),
        key: Some(path("tls.key")),
    };
    let acceptor = Acceptor::load(&config, Duration::from_secs(20), tasks.clone()).expect("loads");
    (directory, acceptor.expect("is configured"))
}

pub(crate) fn camera() -> CameraId {
    Uuid::from_u128(1).into()
}

pub(crate) fn node(number: u128) -> NodeId {
    Uuid::from_u128(number).into()
}

/// An edge that is well, with room; its addresses are at `edge-<number>`.
pub(crate) fn peer(number: u128) -> Peer {
    let url = |text: String| text.parse().expect("parses");
    let mut advertise = Advertise::new(url(format!("http://edge-{number}/")));
    advertise.rtmp = Some(url(format!("rtmp://edge-{number}:1935/")));
    advertise.rtsp = Some(url(format!("rtsp://edge-{number}:554/")));
    Peer {
        id: node(number),
        name: format!("edge-{number}"),
        site: "a".to_owned(),
        zone: "a".to_owned(),
        relay: None,
        advertise,
        state: NodeState::Ready,
        draining: false,
        full: false,
    }
}

/// A camera that another edge brings in.
pub(crate) fn route_to(camera: CameraId, origin: NodeId) -> Route {
    Route {
        camera_id: camera,
        project_id: Uuid::from_u128(9).into(),
        camera_name: "gate".to_owned(),
        origin: Some(origin),
        epoch: 1,
        view: ViewPolicy::default(),
    }
}

pub(crate) fn slot_key() -> SlotKey {
    SlotKey {
        camera_id: camera(),
        role: Role::Ingest,
        ordinal: 0,
    }
}

pub(crate) fn stream_key(key: &str, on_conflict: OnConflict) -> StreamKeyDigest {
    let lookup = key.split('_').nth(1).expect("has three parts");
    StreamKeyDigest {
        id: StreamKeyId::from(Uuid::from_u128(u128::from(lookup.as_bytes()[0]))),
        lookup: lookup.to_owned(),
        digest: URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_bytes())),
        expires_at: None,
        on_conflict,
        bounds: StreamKeyBounds::default(),
    }
}

/// An FFmpeg that publishes in a `format` (`flv`, `rtsp`) until it is killed.
pub(crate) fn publish(
    ffmpeg: impl AsRef<Path>,
    options: &[&[&str]],
    format: &str,
    url: &str,
) -> Process {
    let mut command = Command::new(ffmpeg.as_ref());
    command
        .args(["-nostdin", "-hide_banner", "-nostats"])
        .args(["-loglevel", "level+info", "-re", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=320x240:rate=25", "-re", "-f", "lavfi"])
        .args(["-i", "sine=frequency=440:sample_rate=44100"])
        .args(["-g", "25", "-pix_fmt", "yuv420p"])
        .args(options.concat())
        .args(["-f", format, url]);
    Process::spawn(command, Signal::Kill, |_, _| {}).expect("ffmpeg starts")
}

/// Waits for the end of a program, and gives what it complained about.
pub(crate) fn last_words(mut process: Process) -> String {
    let ended = process.wait(LIMIT);
    assert!(ended.is_some(), "it does not end: {}", process.tail());
    process.tail()
}

/// Runs `tests` beside each other.
pub(crate) fn all(tests: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for test in tests {
            scope.spawn(test);
        }
    });
}

/// The authority of the tests' cluster.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// The one that all tests of this program trust.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);
    &AUTHORITY
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("makes a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signs");
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// A join token that carries its fingerprint.
    pub(crate) fn join_token(&self) -> Secret {
        let pin = digest(&SHA256, self.certificate.der());
        Secret::new(format!("hwjt_a_b.{}", URL_SAFE_NO_PAD.encode(pin)))
    }

    /// What it says to a request of a node.
    pub(crate) fn certify(&self, node: NodeId, csr: &str) -> NodeCertificate {
        let mut asked = CertificateSigningRequestParams::from_pem(csr).expect("is a request");
        asked.params = CertificateParams::new(vec![node_name(node)]).expect("is a name");
        NodeCertificate {
            certificate: asked.signed_by(&self.issuer).expect("signs").pem(),
            authority: self.certificate.pem(),
            expires_in_seconds: 86_400,
        }
    }

    /// Vouches for whatever is in a certificate, as PEM.
    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.issuer).expect("signs").pem()
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("makes a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("is a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        (certificate, key)
    }

    /// A node with a key of its own.
    pub(crate) fn node(&self, node: NodeId) -> NodeCredentials {
        let (certificate, key) = self.signed(&node_name(node));
        NodeCredentials {
            certificate: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
            authority: self.certificate.pem(),
        }
    }

    /// TLS of a controller, which asks nobody who it is.
    pub(crate) fn controller(&self) -> ServerConfig {
        let (certificate, key) = self.signed(CONTROLLER_NAME);
        let chain = vec![certificate.der().clone(), self.certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("is a key");
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("has versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("fits")
    }
}
