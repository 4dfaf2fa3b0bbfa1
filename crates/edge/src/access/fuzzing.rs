//! The door that `crates/fuzz` rattles at: tokens and tickets, checked at a time and with keys that
//! are the same in every run.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_types::{
    Action, CameraGroupId, CameraId, Jwk, Jwks, PlaybackBounds, ProjectId, ViewProtocol,
    edge::{PlaybackKeyRule, ViewPolicy},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    CameraView, TicketKey,
    token::{self, Asked, KeySet},
};
use crate::session::Client;

/// When it is.
const NOW: i64 = 1_800_000_000;
/// What the key of a customer is called.
const CUSTOMER: &str = "pkey_00000000000000000000000000000007";
/// A private key that everybody knows (RFC 7515, appendix A.3.1), and its public half.
const D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

/// An edge's door, with one camera behind it.
pub struct Door {
    keys: KeySet,
    tickets: TicketKey,
    camera: CameraId,
    view: CameraView,
    ours: Ed25519KeyPair,
    customer: EcdsaKeyPair,
}

/// Whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The controller's.
    Controller,
    /// A customer's, which may open the camera for a minute and show it for ten.
    Customer,
}

/// What a token has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who watches.
    pub subject: String,
    /// For how long, in seconds from now.
    pub lasts: i64,
    /// For how long, in seconds from when the token was issued.
    pub lasts_from_issue: i64,
    /// What the addresses of its segments would carry.
    pub ticket: String,
}

impl Default for Door {
    fn default() -> Self {
        Self::new()
    }
}

impl Door {
    /// Always the same one.
    #[must_use]
    pub fn new() -> Self {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("is base64url");
        let ours = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("is a seed");
        let public = [&[4][..], &decode(X), &decode(Y)].concat();
        let customer = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &decode(D),
            &public,
        );
        let project = ProjectId::from(Uuid::from_u128(1));
        let group = CameraGroupId::from(Uuid::from_u128(3));
        let jwks = Jwks {
            keys: vec![Jwk {
                kid: "0123456789abcdef".to_owned(),
                kty: "OKP".to_owned(),
                crv: "Ed25519".to_owned(),
                alg: "EdDSA".to_owned(),
                usage: "sig".to_owned(),
                x: URL_SAFE_NO_PAD.encode(ours.public_key().as_ref()),
            }],
        };
        Self {
            keys: KeySet::new(&jwks, &[rule(project)]),
            tickets: TicketKey::from_bytes(&[9; 32]),
            camera: Uuid::from_u128(2).into(),
            view: CameraView {
                project,
                policy: ViewPolicy {
                    groups: vec![group],
                    ..ViewPolicy::default()
                },
            },
            ours,
            customer: customer.expect("is a key pair"),
        }
    }

    /// What the token opens, asked for the one camera, live.
    #[must_use]
    pub fn open(&self, token: &str) -> Option<Opened> {
        let client = Client {
            protocol: ViewProtocol::Hls,
            address: [192, 0, 2, 7].into(),
            origin: Some("https://a.example".to_owned()),
        };
        let asked = Asked {
            camera: self.camera,
            view: Some(&self.view),
            action: Action::CameraViewLive,
            client: &client,
        };
        let about = token::verify(token, &self.keys, &asked, now()).ok()?;
        Some(Opened {
            ticket: self.tickets.make(&about),
            lasts: about.until - NOW,
            lasts_from_issue: about.until - about.issued,
            subject: about.subject,
        })
    }

    /// The session of a ticket, as the next ticket of it would say.
    #[must_use]
    pub fn resume(&self, ticket: &str) -> Option<String> {
        self.tickets
            .check(ticket)
            .map(|about| self.tickets.make(&about))
    }

    /// A ticket of any session whatever, with a good MAC.
    #[must_use]
    pub fn seal(&self, session: &[u8]) -> String {
        self.tickets.seal(session)
    }

    /// Any token, with a good signature.
    #[must_use]
    pub fn sign(&self, signer: Signer, header: &[u8], claims: &[u8]) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = format!("{}.{}", part(header), part(claims));
        let signature = match signer {
            Signer::Controller => part(self.ours.sign(text.as_bytes()).as_ref()),
            Signer::Customer => {
                let random = SystemRandom::new();
                let signed = self.customer.sign(&random, text.as_bytes());
                signed.map_or_else(|_| String::new(), |signature| part(signature.as_ref()))
            }
        };
        format!("{text}.{signature}")
    }

    /// Header and claims of a token that opens, when this one signs it.
    #[must_use]
    pub fn good(&self, signer: Signer) -> (String, String) {
        let (kid, alg) = match signer {
            Signer::Controller => ("0123456789abcdef", "EdDSA"),
            Signer::Customer => (CUSTOMER, "ES256"),
        };
        let header = format!(r#"{{"alg":"{alg}","typ":"hwplay+jwt","kid":"{kid}"}}"#);
        let claims = format!(
            r#"{{"aud":"headworks-edge","sub":"alice","jti":"1","iat":{NOW},"nbf":{NOW},"exp":{},"sxp":{},"cams":["{}"],"grps":["{}"],"act":["camera.view_live"],"ip":"192.0.2.0/24","org":"https://a.example","max":2}}"#,
            NOW + 60,
            NOW + 600,
            self.camera,
            self.view.policy.groups[0],
        );
        (header, claims)
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap_or_default()
}

fn rule(project_id: ProjectId) -> PlaybackKeyRule {
    let public_key = json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y});
    PlaybackKeyRule {
        id: CUSTOMER.parse().expect("is an id"),
        project_id,
        public_key: serde_json::from_value(public_key).expect("is a key"),
        bounds: PlaybackBounds {
            whole_project: true,
            camera_ids: Vec::new(),
            camera_group_ids: Vec::new(),
            actions: Some(vec![Action::CameraViewLive]),
            max_expires_in_seconds: 60,
            max_watch_seconds: 600,
        },
    }
}
