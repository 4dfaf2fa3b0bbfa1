//! Refresh tokens: `hwrt_<lookup>_<secret>`, a new one with each use.
//!
//! The lookup part stays and finds the sign-in. The secret part is the token's generation and a MAC
//! of it under the key that digests credentials, so that nothing secret is stored, and yet a token
//! that was ours and has been used is told from a guess for as long as its sign-in lives.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::Secret;

use crate::{
    credential::{Kind, parse},
    keys::Keys,
};

/// What the secret part holds: a generation of 4 bytes, and a MAC.
const LENGTH: usize = 32;
const MAC: usize = LENGTH - 4;

/// The token of a sign-in's generation.
pub(crate) fn refresh_token(keys: &Keys, lookup: &str, generation: i32) -> Secret {
    let secret = secret(keys, lookup, generation);
    let kind = Kind::RefreshToken.prefix();
    Secret::new(format!(
        "{kind}_{lookup}_{}",
        URL_SAFE_NO_PAD.encode(secret)
    ))
}

/// Lookup and generation of a token that we have made; `None` if it is not one.
pub(crate) fn recognise<'a>(keys: &Keys, token: &'a Secret) -> Option<(&'a str, i32)> {
    let presented = parse(Kind::RefreshToken, token.expose())?;
    let bytes = URL_SAFE_NO_PAD.decode(presented.secret).ok()?;
    let generation = i32::from_be_bytes(*bytes.first_chunk()?);
    let ours = secret(keys, presented.lookup, generation);
    aws_lc_rs::constant_time::verify_slices_are_equal(&ours, &bytes).ok()?;
    Some((presented.lookup, generation))
}

fn secret(keys: &Keys, lookup: &str, generation: i32) -> [u8; LENGTH] {
    let mac = keys.digest(Kind::RefreshToken.prefix(), lookup, &generation.to_string());
    let mut secret = [0; LENGTH];
    secret[..4].copy_from_slice(&generation.to_be_bytes());
    secret[4..].copy_from_slice(&mac[..MAC]);
    secret
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(fill: char) -> Keys {
        let text = std::iter::repeat_n(fill, 42).collect::<String>() + "A=";
        let keys = Keys::new(&Secret::new(text), None).expect("is a key");
        keys.with_digest(&[fill as u8; 32])
    }

    proptest! {
        #[test]
        fn tokens_are_recognised_and_no_changed_one(
            lookup in "[a-z2-7]{12}", generation: i32, at in 0_usize..43, letter in "[A-Za-z0-9_-]",
        ) {
            let token = refresh_token(&keys('A'), &lookup, generation);
            prop_assert_eq!(recognise(&keys('A'), &token), Some((lookup.as_str(), generation)));
            prop_assert_eq!(recognise(&keys('B'), &token), None);
            let mut changed = token.expose().to_owned();
            let at = changed.len() - 43 + at;
            changed.replace_range(at..=at, &letter);
            let changed = Secret::new(changed);
            prop_assert!(changed == token || recognise(&keys('A'), &changed).is_none());
        }

        #[test]
        fn no_text_panics(text: String) {
            let text = Secret::new(text);
            prop_assert_eq!(recognise(&keys('A'), &text), None);
        }
    }

    #[test]
    fn the_token_of_one_sign_in_is_not_anothers() {
        let token = refresh_token(&keys('A'), "aaaaaaaaaaaa", 1);
        let moved = token.expose().replace("aaaaaaaaaaaa", "aaaaaaaaaaab");
        let moved = Secret::new(moved);
        assert_eq!(recognise(&keys('A'), &moved), None);
    }
}
