//! The URL that a push connects to: its base, the target's stream key, and a signature.
//!
//! Pure: time and nonce are arguments. The result is a [`Secret`]; whoever logs or reports it would
//! give away the right to push, so logs and reports name the base URL.
//!
//! Sources of the schemes: Alibaba Cloud, "Signed ingest and streaming URLs" (ApsaraVideo Live) and
//! "Type A/B/C signing" (CDN); Tencent Cloud, "Hotlink Protection URL Calculation" (CSS).

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, DurationRound as _, FixedOffset, TimeDelta, Utc};
use headworks_types::{AlibabaVariant, RestreamSigning, Secret, TencentHash};
use md5::{Digest as _, Md5};
use url::{Position, Url};

/// Where to connect, and until when that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedUrl {
    /// The whole URL.
    pub(super) url: Secret,
    /// The time that stands in it, if it expires.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// Why a URL cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignError {
    /// The key that shall sign, or the query that shall be added, is not there.
    #[error("the secret that signs the URL is missing")]
    NoSecret,
    /// There is nothing after the host.
    #[error("the URL has no path that could be signed")]
    NoPath,
    /// It would expire after the end of time.
    #[error("the URL would expire too far in the future")]
    Time,
}

/// A URL in its parts.
struct Parts<'a> {
    /// `rtmp://host:1935`
    origin: &'a str,
    /// `/app/stream`, as it stands in the URL.
    path: String,
    /// `a=b`, without question marks.
    queries: Vec<String>,
}

/// The URL to connect to at `now`. Take another `nonce` each time: some targets refuse a URL that
/// they have seen.
///
/// # Errors
/// When the secret or the path that the signing needs is missing.
pub(super) fn sign(
    url: &Url,
    stream_key: Option<&Secret>,
    signing: &RestreamSigning,
    now: DateTime<Utc>,
    nonce: u128,
) -> Result<SignedUrl, SignError> {
    let mut parts = Parts::new(url, stream_key);
    let expires_at = match signing {
        RestreamSigning::None => None,
        RestreamSigning::Query { query } => {
            let query = query.as_ref().ok_or(SignError::NoSecret)?;
            parts.queries.push(query.expose().to_owned());
            None
        }
        RestreamSigning::Alibaba {
            variant,
            uid,
            lifetime_seconds,
            ..
        } => {
            let key = key(signing)?;
            let until = after(now, *lifetime_seconds)?;
            Some(match variant {
                AlibabaVariant::A => parts.alibaba_a(key, until, uid, nonce)?,
                AlibabaVariant::B => parts.alibaba_b(key, until)?,
                AlibabaVariant::C => parts.alibaba_c(key, until)?,
            })
        }
        RestreamSigning::Tencent {
            hash,
            lifetime_seconds,
            ..
        } => {
            let until = after(now, *lifetime_seconds)?;
            Some(parts.tencent(key(signing)?, until, *hash)?)
        }
    };
    Ok(SignedUrl {
        url: Secret::new(parts.join()),
        expires_at,
    })
}

fn key(signing: &RestreamSigning) -> Result<&str, SignError> {
    let key = signing.signing_key().ok_or(SignError::NoSecret)?;
    Ok(key.expose())
}

/// Whole seconds, since that is what stands in URLs.
fn after(now: DateTime<Utc>, seconds: u32) -> Result<DateTime<Utc>, SignError> {
    let until = now.checked_add_signed(TimeDelta::seconds(seconds.into()));
    let until = until.and_then(|until| DateTime::from_timestamp(until.timestamp(), 0));
    until.ok_or(SignError::Time)
}

impl<'a> Parts<'a> {
    /// The stream key may bring a query of its own.
    fn new(url: &'a Url, stream_key: Option<&Secret>) -> Self {
        let mut path = url.path().to_owned();
        let mut queries: Vec<_> = url.query().map(str::to_owned).into_iter().collect();
        if let Some(key) = stream_key {
            let key = key.expose();
            let (end, query) = key
                .split_once('?')
                .map_or((key, None), |(a, b)| (a, Some(b)));
            path = format!(
                "{}/{}",
                path.trim_end_matches('/'),
                end.trim_start_matches('/')
            );
            queries.extend(query.map(str::to_owned));
        }
        Self {
            origin: &url[..Position::BeforePath],
            path,
            queries,
        }
    }

    fn join(self) -> String {
        let mut url = format!("{}{}", self.origin, self.path);
        for (place, query) in self.queries.iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(query);
        }
        url
    }

    fn signed_path(&self) -> Result<&str, SignError> {
        let path = self.path.as_str();
        (path.len() > 1).then_some(path).ok_or(SignError::NoPath)
    }

    /// `auth_key=time-rand-uid-md5(path-time-rand-uid-key)`
    fn alibaba_a(
        &mut self,
        key: &str,
        until: DateTime<Utc>,
        uid: &str,
        nonce: u128,
    ) -> Result<DateTime<Utc>, SignError> {
        let path = self.signed_path()?;
        let stamp = format!("{}-{nonce:x}-{uid}", until.timestamp());
        let hash = md5(&format!("{path}-{stamp}-{key}"));
        self.queries.push(format!("auth_key={stamp}-{hash}"));
        Ok(until)
    }

    /// `/YYYYMMDDHHMM/md5(key time path)/path`, in whole minutes of UTC+8.
    fn alibaba_b(&mut self, key: &str, until: DateTime<Utc>) -> Result<DateTime<Utc>, SignError> {
        const EIGHT_HOURS: i32 = 8 * 3600;
        let until = until.duration_trunc(TimeDelta::minutes(1));
        let until = until.map_err(|_| SignError::Time)?;
        let zone = FixedOffset::east_opt(EIGHT_HOURS).ok_or(SignError::Time)?;
        let time = until.with_timezone(&zone).format("%Y%m%d%H%M");
        let path = self.signed_path()?;
        let hash = md5(&format!("{key}{time}{path}"));
        self.path = format!("/{time}/{hash}{path}");
        Ok(until)
    }

    /// `/md5(key path time)/time/path`, with the time in hexadecimal.
    fn alibaba_c(&mut self, key: &str, until: DateTime<Utc>) -> Result<DateTime<Utc>, SignError> {
        let time = format!("{:X}", until.timestamp());
        let path = self.signed_path()?;
        let hash = md5(&format!("{key}{path}{time}"));
        self.path = format!("/{hash}/{time}{path}");
        Ok(until)
    }

    /// `txSecret=hash(key stream time)&txTime=time`, with the time in hexadecimal. The stream is
    /// the last segment of the path.
    fn tencent(
        &mut self,
        key: &str,
        until: DateTime<Utc>,
        hash: TencentHash,
    ) -> Result<DateTime<Utc>, SignError> {
        let time = format!("{:X}", until.timestamp());
        let stream = self.path.rsplit('/').next().unwrap_or_default();
        if stream.is_empty() {
            return Err(SignError::NoPath);
        }
        let text = format!("{key}{stream}{time}");
        let hash = match hash {
            TencentHash::Md5 => md5(&text),
            TencentHash::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
        };
        self.queries.push(format!("txSecret={hash}&txTime={time}"));
        Ok(until)
    }
}

fn md5(text: &str) -> String {
    hex(&Md5::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The example key of Alibaba Cloud's documentation.
    const KEY: &str = "aliyuncdnexp1234";

    fn signing(json: serde_json::Value) -> RestreamSigning {
        serde_json::from_value(json).expect("is a signing")
    }

    /// Signs for an hour, so that this time stands in the URL.
    fn signed(url: &str, signing: &RestreamSigning, until: i64, nonce: u128) -> String {
        let now = DateTime::from_timestamp(until - 3600, 0).expect("is a time");
        let url = url.parse().expect("is a URL");
        let signed = sign(&url, None, signing, now, nonce).expect("is signed");
        signed.url.expose().to_owned()
    }

    fn alibaba(variant: &str) -> RestreamSigning {
        signing(json!({"type": "alibaba", "variant": variant, "primary_key": KEY}))
    }

    #[test]
    fn alibaba_a_is_as_documented() {
        assert_eq!(
            signed(
                "rtmp://cdn.example.com/video/standard/1K.html",
                &alibaba("a"),
                1_444_435_200,
                0
            ),
            "rtmp://cdn.example.com/video/standard/1K.html\
             ?auth_key=1444435200-0-0-80cd3862d699b7118eed99103f2a3a4f"
        );
    }

    /// 2015-08-15 08:00 in UTC+8 is midnight in UTC.
    #[test]
    fn alibaba_b_is_as_documented() {
        let until: DateTime<Utc> = "2015-08-15T00:00:00Z".parse().expect("is a time");
        let url = signed(
            "rtmp://cdn.example.com/4/44/44c0909bcfc20a01afaf256ca99a8b8b.mp3",
            &alibaba("b"),
            until.timestamp() + 59,
            0,
        );
        assert_eq!(
            url,
            "rtmp://cdn.example.com/201508150800/9044548ef1527deadafa49a890a377f0\
             /4/44/44c0909bcfc20a01afaf256ca99a8b8b.mp3"
        );
    }

    #[test]
    fn alibaba_c_is_as_documented() {
        let until = 0x55CE_8100;
        assert_eq!(
            signed("rtmp://cdn.example.com/test.flv", &alibaba("c"), until, 0),
            "rtmp://cdn.example.com/a37fa50a5fb8f71214b1e7c95ec7a1bd/55CE8100/test.flv"
        );
    }

    #[test]
    fn tencent_is_as_documented() {
        let key = "e12c46f2612d5106e2034781ab261ca3";
        let tencent = |hash| signing(json!({"type": "tencent", "hash": hash, "primary_key": key}));
        let until = 0x5C27_1099;
        let url = "rtmp://livepush.tcloud.com/live/test";
        assert_eq!(
            signed(url, &tencent("md5"), until, 7),
            format!("{url}?txSecret=f85a2ab363fe4deaffef9754d79da6fe&txTime=5C271099")
        );
        // No vector is published for SHA-256; this one was made with sha256sum.
        assert_eq!(
            signed(url, &tencent("sha256"), until, 7),
            format!(
                "{url}?txSecret=2fe51d13bff48deaddd7e4e086265e69d5a04a64db9a2cbc737bd585c472fd07&txTime=5C271099"
            )
        );
    }

    #[test]
    fn the_key_in_use_signs_and_each_nonce_gives_another_url() {
        let both = |key| {
            signing(json!({
                "type": "alibaba", "primary_key": "a", "secondary_key": "b", "key": key
            }))
        };
        let url = |key, nonce| signed("rtmp://a/b/c", &both(key), 1_444_435_200, nonce);
        assert_ne!(url("primary", 1), url("secondary", 1));
        assert_ne!(url("primary", 1), url("primary", 2));
        assert!(url("primary", 0xAB).contains("auth_key=1444435200-ab-0-"));
    }

    #[test]
    fn a_stream_key_ends_the_path_and_brings_its_query() {
        let join = |url: &str, key: &str, signing: &RestreamSigning| {
            let url = url.parse().expect("is a URL");
            let key = Secret::new(key);
            let signed = sign(&url, Some(&key), signing, DateTime::UNIX_EPOCH, 0);
            signed.expect("is signed").url.expose().to_owned()
        };
        let none = RestreamSigning::None;
        assert_eq!(
            join("rtmp://a:1936/live2/", "k-1", &none),
            "rtmp://a:1936/live2/k-1"
        );
        assert_eq!(join("rtmp://a?x=1", "k?y=2", &none), "rtmp://a/k?x=1&y=2");
        let query = signing(json!({"type": "query", "query": "z=3"}));
        assert_eq!(
            join("rtmp://a/b?x=1", "k?y=2", &query),
            "rtmp://a/b/k?x=1&y=2&z=3"
        );
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let url: Url = "rtmp://a".parse().expect("is a URL");
        let refused = |url: &Url, signing: &RestreamSigning, now| {
            sign(url, None, signing, now, 0).expect_err("is refused")
        };
        let epoch = DateTime::UNIX_EPOCH;
        let keyless = signing(json!({"type": "alibaba"}));
        assert_eq!(refused(&url, &keyless, epoch), SignError::NoSecret);
        assert_eq!(refused(&url, &alibaba("a"), epoch), SignError::NoPath);
        let tencent = signing(json!({"type": "tencent", "primary_key": "a"}));
        assert_eq!(refused(&url, &tencent, epoch), SignError::NoPath);
        let end = DateTime::<Utc>::MAX_UTC;
        assert_eq!(refused(&url, &alibaba("a"), end), SignError::Time);
    }

    #[test]
    fn debug_shows_no_signed_url() {
        let url = "rtmp://a/b".parse().expect("is a URL");
        let signed = sign(&url, None, &alibaba("a"), DateTime::UNIX_EPOCH, 0);
        assert!(!format!("{signed:?}").contains("auth_key"));
    }

    proptest! {
        #[test]
        fn nothing_panics(path: String, key: String, seconds: i64, nonce: u128, variant in 0..4) {
            let mut url: Url = "rtmp://a/".parse().expect("is a URL");
            url.set_path(&path);
            let signing = match variant {
                0 => alibaba("a"),
                1 => alibaba("b"),
                2 => alibaba("c"),
                _ => signing(json!({"type": "tencent", "primary_key": "a"})),
            };
            let now = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
            let _ = sign(&url, Some(&Secret::new(key)), &signing, now, nonce);
        }

        /// The time that is reported is the one that stands in the URL.
        #[test]
        fn the_url_expires_when_it_is_said(seconds in 1_000_000_000..4_000_000_000_i64) {
            let now = DateTime::from_timestamp(seconds, 0).expect("is a time");
            let url = "rtmp://a/b".parse().expect("is a URL");
            let expires = |variant| {
                let signed = sign(&url, None, &alibaba(variant), now, 0).expect("is signed");
                signed.expires_at.expect("expires").timestamp()
            };
            prop_assert_eq!(expires("a"), seconds + 3600);
            prop_assert_eq!(expires("c"), seconds + 3600);
            prop_assert_eq!(expires("b"), (seconds + 3600) / 60 * 60);
        }
    }
}
