//! The keys that sign playback tokens. Edges verify with the public halves, without asking us.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{Jwk, Jwks, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Error, Result};
use crate::{
    db::signing_key::{signing_key_get_active, signing_key_insert_active, signing_key_list},
    keys::{Keys, Row, UnsealError},
};

/// The public keys that playback tokens may be signed with.
pub(crate) async fn jwks(conn: &mut PgConnection) -> sqlx::Result<Jwks> {
    let keys = signing_key_list(conn).await?.into_iter().map(|key| Jwk {
        kid: key.kid,
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        alg: "EdDSA".to_owned(),
        usage: "sig".to_owned(),
        x: URL_SAFE_NO_PAD.encode(key.public),
    });
    Ok(Jwks {
        keys: keys.collect(),
    })
}

/// Makes the first signing key.
pub(crate) async fn create_first(conn: &mut PgConnection, keys: &Keys) -> Result<()> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|error| Error::Internal(error.into()))?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())
        .map_err(|error| Error::Internal(anyhow::anyhow!("new signing key: {error}")))?;
    let public = pair.public_key().as_ref();
    // Named by what it is: the same key never has two names.
    let kid = URL_SAFE_NO_PAD.encode(&digest(&SHA256, public).as_ref()[..12]);
    let sealed = keys.seal(&row(&kid), document.as_ref());
    Ok(signing_key_insert_active(conn, &kid, public, &sealed).await?)
}

/// Refuses if the active key cannot be opened: the master key is not the one that sealed it.
pub(crate) async fn check_master_key(
    conn: &mut PgConnection,
    keys: &Keys,
) -> Result<std::result::Result<(), UnsealError>> {
    let active = signing_key_get_active(conn).await?;
    Ok(match active {
        Some(key) => keys.unseal(&row(&key.kid), &key.private).map(drop),
        None => Ok(()),
    })
}

/// Signs a token of this type.
pub(crate) async fn sign(
    conn: &mut PgConnection,
    keys: &Keys,
    typ: &str,
    claims: &impl Serialize,
) -> Result<Secret> {
    let active = signing_key_get_active(conn)
        .await?
        .ok_or_else(|| Error::Internal(anyhow::anyhow!("there is no active signing key")))?;
    let private = keys
        .unseal(&row(&active.kid), &active.private)
        .map_err(|error| Error::Internal(error.into()))?;
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(typ.to_owned());
    header.kid = Some(active.kid);
    let token = jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&private))
        .map_err(|error| Error::Internal(error.into()))?;
    Ok(token.into())
}

fn row(kid: &str) -> Row {
    Row::new("signing_key", "private", kid)
}
