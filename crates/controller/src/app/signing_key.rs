//! The keys that sign playback tokens. Edges verify with the public halves, without asking us.
//!
//! A key is pending until every living edge knows it, then it signs; when the next one does, it
//! stays known as long as a token that it has signed can open anything (`reconcile::signing_key`).

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{Action, EventKind, Jwk, Jwks, Secret, SigningKey, SigningKeyState};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Begun, Caller, Error, Once, Result, caller::Scope, revocation::end_signing_key};
use crate::{
    db::{
        event::{NewEvent, event_insert},
        signing_key::{self, KeyRow, signing_key_get_active, signing_key_insert},
    },
    keys::{Keys, Row},
    state::State,
};

/// The public keys that playback tokens may be signed with.
pub(crate) async fn jwks(conn: &mut PgConnection) -> sqlx::Result<Jwks> {
    let keys = signing_key::signing_key_list(conn).await?;
    let keys = keys.into_iter().map(|key| Jwk {
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

/// Makes a key; returns its name.
pub(crate) async fn create(
    conn: &mut PgConnection,
    keys: &Keys,
    state: SigningKeyState,
) -> Result<String> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|error| Error::Internal(error.into()))?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())
        .map_err(|error| Error::Internal(anyhow::anyhow!("new signing key: {error}")))?;
    let public = pair.public_key().as_ref();
    // Named by what it is: the same key never has two names.
    let kid = URL_SAFE_NO_PAD.encode(&digest(&SHA256, public).as_ref()[..12]);
    let sealed = keys.seal(&row(&kid), document.as_ref());
    signing_key_insert(conn, &kid, public, &sealed, state).await?;
    Ok(kid)
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

/// All keys, the oldest first; revoked ones stay for a while.
pub(crate) async fn signing_key_list(state: &State, caller: &Caller) -> Result<Vec<SigningKey>> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut conn = state.pool.acquire().await?;
    let mut keys = Vec::new();
    for row in signing_key::signing_key_list_all(&mut conn).await? {
        keys.push(show(&mut conn, row).await?);
    }
    Ok(keys)
}

/// Begins a rotation: makes a pending key, unless there is one.
pub(crate) async fn signing_key_rotate(
    state: &State,
    caller: &Caller,
    once: Once,
) -> Result<SigningKey> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let actor = caller.identity.to_string();
    signing_key::signing_key_lock(write.conn()).await?;
    if find(write.conn(), |key| key.state == SigningKeyState::Pending)
        .await?
        .is_none()
    {
        begin_rotation(write.conn(), &state.keys, &actor).await?;
    }
    let pending = find(write.conn(), |key| key.state == SigningKeyState::Pending).await?;
    let pending = pending.ok_or_else(|| Error::Internal(anyhow::anyhow!("no pending key")))?;
    let key = show(write.conn(), pending).await?;
    write.commit(&key).await?;
    Ok(key)
}

/// Makes what the key has signed worth nothing, at once; who watches by that is thrown out. If it is
/// the one that signs, another one does from now on: its first tokens may come to an edge before the
/// key does.
pub(crate) async fn signing_key_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    kid: &str,
) -> Result<SigningKey> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let actor = caller.identity.to_string();
    let conn = write.conn();
    signing_key::signing_key_lock(conn).await?;
    let found = find(conn, |key| key.kid == kid).await?;
    let found = found.ok_or_else(|| Error::not_found(kid))?;
    if found.state != SigningKeyState::Revoked {
        revoke(conn, kid, &actor).await?;
        end_signing_key(conn, kid).await?;
    }
    if found.state == SigningKeyState::Active {
        let next = match find(conn, |key| key.state == SigningKeyState::Pending).await? {
            Some(pending) => pending.kid,
            None => create(conn, &state.keys, SigningKeyState::Pending).await?,
        };
        activate(conn, &next, &actor).await?;
    }
    let revoked = find(conn, |key| key.kid == kid).await?;
    let key = show(conn, revoked.ok_or_else(|| Error::not_found(kid))?).await?;
    write.commit(&key).await?;
    Ok(key)
}

/// Makes a pending key and says so. The keys must be locked.
pub(crate) async fn begin_rotation(
    conn: &mut PgConnection,
    keys: &Keys,
    actor: &str,
) -> Result<()> {
    let kid = create(conn, keys, SigningKeyState::Pending).await?;
    let message = "a signing key was made; it signs when every living edge knows it";
    tell(conn, EventKind::SigningKeyCreated, &kid, actor, message).await
}

/// Lets the pending key sign instead of the active one, and says so. The keys must be locked.
pub(crate) async fn activate(conn: &mut PgConnection, kid: &str, actor: &str) -> Result<()> {
    signing_key::signing_key_retire(conn).await?;
    signing_key::signing_key_activate(conn, kid).await?;
    let message = "tokens are signed with this key from now on";
    tell(conn, EventKind::SigningKeyActivated, kid, actor, message).await
}

/// Revokes the key and says so. The keys must be locked.
pub(crate) async fn revoke(conn: &mut PgConnection, kid: &str, actor: &str) -> Result<()> {
    signing_key::signing_key_revoke(conn, kid).await?;
    let message = "what this key has signed is good for nothing any more";
    tell(conn, EventKind::SigningKeyRevoked, kid, actor, message).await
}

async fn tell(
    conn: &mut PgConnection,
    kind: EventKind,
    kid: &str,
    actor: &str,
    message: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: None,
        kind,
        subject: kid.to_owned(),
        actor,
        message: message.to_owned(),
    };
    Ok(event_insert(conn, event).await?)
}

async fn find(conn: &mut PgConnection, wanted: impl Fn(&KeyRow) -> bool) -> Result<Option<KeyRow>> {
    let rows = signing_key::signing_key_list_all(conn).await?;
    Ok(rows.into_iter().find(wanted))
}

async fn show(conn: &mut PgConnection, row: KeyRow) -> Result<SigningKey> {
    let message = match row.state {
        SigningKeyState::Pending => {
            let unaware = signing_key::signing_key_unaware(conn, &row.kid).await?;
            match &unaware[..] {
                [] => "will sign in a moment".to_owned(),
                names => format!("waits until these nodes know it: {}", names.join(", ")),
            }
        }
        SigningKeyState::Active => "signs".to_owned(),
        SigningKeyState::Retiring => "signs no more; its last tokens are still good".to_owned(),
        SigningKeyState::Revoked => "is good for nothing".to_owned(),
    };
    Ok(SigningKey {
        kid: row.kid,
        state: row.state,
        message,
        created_at: row.created_at,
        activated_at: row.activated_at,
        retired_at: row.retired_at,
        revoked_at: row.revoked_at,
    })
}

fn row(kid: &str) -> Row {
    Row::new("signing_key", "private", kid)
}
