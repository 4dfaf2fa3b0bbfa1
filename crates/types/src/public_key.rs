//! Public keys of customers, as JSON Web Keys (RFC 7517, RFC 7518, RFC 8037) and in PEM (RFC 7468).

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What stands before the key in SubjectPublicKeyInfo (RFC 8410 §4, RFC 5480 §2): both have one
/// form only.
const ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const SIZE: usize = 32;

/// A public key for signatures: Ed25519 or P-256. Further members of a JWK are forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct PublicKey {
    /// `OKP` or `EC`.
    pub kty: String,
    /// `Ed25519` or `P-256`.
    pub crv: String,
    /// 32 bytes in base64url without padding.
    pub x: String,
    /// Of P-256: 32 bytes more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub y: Option<String>,
    /// Of a private key, which is refused.
    #[serde(skip_serializing, default)]
    #[schema(ignore)]
    d: Option<Private>,
}

/// Something that should have stayed where it was. It is read and forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Private;

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// The kinds of keys that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// For the algorithm `EdDSA`.
    Ed25519,
    /// For the algorithm `ES256`.
    P256,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// In words, if it is something else.
    pub fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let pem = pem.trim();
        if pem.contains("PRIVATE KEY") {
            return Err("is a private key: make a new pair, and keep the private half to yourself");
        }
        let body = pem
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or("must begin with -----BEGIN PUBLIC KEY-----")?;
        let text: Vec<u8> = body
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = STANDARD
            .decode(text)
            .map_err(|_| "is not base64 between its lines")?;
        let new = |kty: &str, crv: &str, x: &[u8], y: Option<&[u8]>| Self {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: y.map(|y| URL_SAFE_NO_PAD.encode(y)),
            d: None,
        };
        if let Some(x) = der.strip_prefix(ED25519)
            && x.len() == SIZE
        {
            return Ok(new("OKP", "Ed25519", x, None));
        }
        match der.strip_prefix(P256) {
            Some(point) if point.len() == 2 * SIZE => {
                let (x, y) = point.split_at(SIZE);
                Ok(new("EC", "P-256", x, Some(y)))
            }
            _ => Err("must be an Ed25519 or P-256 key"),
        }
    }

    /// What it is.
    ///
    /// # Errors
    /// In words, if it is none that we take.
    pub fn kind(&self) -> Result<PublicKeyKind, &'static str> {
        if self.d.is_some() {
            return Err("is a private key: make a new pair, and keep `d` to yourself");
        }
        let is_coordinate = |text: &str| bytes(text).is_some_and(|bytes| bytes.len() == SIZE);
        match (&*self.kty, &*self.crv, &self.y) {
            ("OKP", "Ed25519", None) if is_coordinate(&self.x) => Ok(PublicKeyKind::Ed25519),
            ("EC", "P-256", Some(y)) if is_coordinate(&self.x) && is_coordinate(y) => {
                Ok(PublicKeyKind::P256)
            }
            ("OKP", "Ed25519", _) => Err("an Ed25519 key has 32 bytes `x` and no `y`"),
            ("EC", "P-256", _) => Err("a P-256 key has 32 bytes each in `x` and `y`"),
            _ => Err("must be `kty` OKP with `crv` Ed25519, or EC with P-256"),
        }
    }

    /// As signatures are checked with it: `x`, or an uncompressed point (SEC 1 §2.3.3).
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let x = bytes(&self.x).unwrap_or_default();
        match &self.y {
            None => x,
            Some(y) => [&[4], &x[..], &bytes(y).unwrap_or_default()].concat(),
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `openssl genpkey -algorithm ed25519 | openssl pkey -pubout`, from RFC 8410 §10.1.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn an_ed25519_key_in_pem_is_read() {
        let key = PublicKey::from_pem(PEM).expect("is one");
        assert_eq!(key.kind(), Ok(PublicKeyKind::Ed25519));
        assert_eq!(key.x, "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
        let json = serde_json::to_string(&key).expect("serializes");
        let back: PublicKey = serde_json::from_str(&json).expect("parses");
        assert_eq!(back, key);
    }

    #[test]
    fn other_keys_and_private_ones_are_refused() {
        for pem in [
            "",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06\n\
             -----END PRIVATE KEY-----",
            &PEM.replace("2Vw", "2Vu"),
        ] {
            assert!(PublicKey::from_pem(pem).is_err(), "{pem}");
        }
        let x = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";
        for (json, good) in [
            (
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"}),
                true,
            ),
            (
                serde_json::json!({"kty": "EC", "crv": "P-256", "x": x, "y": x}),
                true,
            ),
            (
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": x}),
                false,
            ),
            (
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
                false,
            ),
            (
                serde_json::json!({"kty": "EC", "crv": "P-256", "x": x}),
                false,
            ),
            (
                serde_json::json!({"kty": "EC", "crv": "P-384", "x": x, "y": x}),
                false,
            ),
            (serde_json::json!({"kty": "oct", "crv": "", "x": x}), false),
        ] {
            let key: PublicKey = serde_json::from_value(json.clone()).expect("parses");
            assert_eq!(key.kind().is_ok(), good, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let pem = format!("-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----");
            let _ = PublicKey::from_pem(&pem);
        }
    }
}
