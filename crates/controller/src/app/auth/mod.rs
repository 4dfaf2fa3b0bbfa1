//! People sign in: with a password or with an OpenID provider, for an access token that works for
//! ten minutes and a refresh token that gets the next one.
//!
//! Whoever fails is not told why: a wrong password, an unknown account and a disabled one answer
//! alike and take alike long.

mod access_token;
pub(crate) mod oidc;
mod refresh_token;
pub(crate) mod throttle;

use headworks_types::{
    Auth, AuthRefresh, EventKind, PasswordChange, Principal, ProjectId, Secret, SignIn, SignInId,
    SignedIn, UserId,
};
use sqlx::PgConnection;

pub(crate) use access_token::{AccessClaims, verify};

use super::{Caller, Error, Identity, Origin, Reach, Result, audit, revocation::end_person};
use crate::{
    Config,
    credential::lookup,
    db::{
        self,
        event::{NewEvent, event_insert},
        sign_in::{
            Account, NewSignIn, SignInRow, account_find, account_get, account_set_password,
            account_sign_in, person_get, sign_in_end, sign_in_end_all, sign_in_insert,
            sign_in_lock, sign_in_refresh,
        },
    },
    password::Passwords,
    state::State,
};
use refresh_token::{recognise, refresh_token};
use throttle::{Attempt, network};

/// A sign-in ends when its refresh token was not used for so long.
const IDLE_SECONDS: f64 = 30.0 * 86_400.0;
/// It ends at the latest after so long.
const WHOLE_SECONDS: f64 = 90.0 * 86_400.0;
/// The user's sign-ins at once; the oldest one ends for another.
const SIGN_INS: i64 = 50;

/// What signing in needs beside the database.
#[derive(Clone)]
pub(crate) struct SignInDesk {
    passwords: Passwords,
    keys: std::sync::Arc<access_token::AccessKeys>,
    oidc: std::sync::Arc<oidc::Providers>,
}

impl SignInDesk {
    /// Our signing key of this name, if what it has signed counts.
    pub(crate) async fn signing_key(
        &self,
        state: &State,
        kid: &str,
    ) -> Result<Option<jsonwebtoken::DecodingKey>> {
        self.keys.get(state, kid).await
    }

    /// As configured. Nothing is sent yet.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            passwords: Passwords::new(),
            keys: std::sync::Arc::default(),
            oidc: std::sync::Arc::new(oidc::Providers::new(config)?),
        })
    }

    /// What the database keeps of a password.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String> {
        self.passwords.hash(password).await
    }
}

/// Signs in with a password, and changes it if a new one comes along.
pub(crate) async fn auth_sign_in(state: &State, origin: &Origin, ask: SignIn) -> Result<SignedIn> {
    const BAD: Error = Error::Unauthenticated("the email or the password is not right");
    let email = ask.email.to_ascii_lowercase();
    let network = network(origin.address);
    let account = {
        let mut conn = state.pool.acquire().await?;
        account_find(&mut conn, &email, &network).await?
    };
    let known = account
        .as_ref()
        .is_some_and(|account| account.known_network);
    let attempt = Attempt::new(&state.keys, &email, &network, known);
    let account = check(state, &attempt, account, &ask.password)
        .await?
        .ok_or(BAD)?;
    let user = account.id.into();
    let new_hash = match &ask.new_password {
        Some(new) => Some(state.auth.hash(new).await?),
        None if account.must_change_password => {
            let mut tx = state.pool.begin().await?;
            attempt.succeed(&mut tx).await?;
            tx.commit().await?;
            return Err(Error::PasswordChangeRequired);
        }
        None => None,
    };
    let mut tx = state.pool.begin().await?;
    let person = account_sign_in(&mut tx, user, account.password.as_deref()).await?;
    let person = person.ok_or(BAD)?;
    if let Some(hash) = new_hash {
        change(&mut tx, person.project_id.into(), &person.name, user, &hash).await?;
    }
    let signed_in = begin(&mut tx, state, user, "password", &network, WHOLE_SECONDS).await?;
    let how = "with a password";
    announce_sign_in(&mut tx, person.project_id.into(), user, &person.name, how).await?;
    attempt.succeed(&mut tx).await?;
    tx.commit().await?;
    Ok(signed_in)
}

/// The account, if the password is its own and it is enabled. Takes as long if there is none.
async fn check(
    state: &State,
    attempt: &Attempt,
    account: Option<Account>,
    password: &Secret,
) -> Result<Option<Account>> {
    attempt.begin(state).await?;
    let stored = account
        .as_ref()
        .and_then(|account| account.password.as_deref());
    let right = state.auth.passwords.verify(password, stored).await?;
    Ok(account.filter(|account| right && account.enabled))
}

/// Exchanges a refresh token for new tokens. One that was used before ends its sign-in: its owner
/// and a thief both have it, and nobody knows who is who.
pub(crate) async fn auth_refresh(state: &State, ask: &AuthRefresh) -> Result<SignedIn> {
    const BAD: Error =
        Error::Unauthenticated("the refresh token is not known, used, expired or revoked");
    let (lookup, generation) = recognise(&state.keys, &ask.refresh_token).ok_or(BAD)?;
    let mut tx = state.pool.begin().await?;
    let row = sign_in_lock(&mut tx, lookup).await?.ok_or(BAD)?;
    let id = row.id.into();
    if generation != row.generation {
        if sign_in_end(&mut tx, id).await? {
            announce_reuse(&mut tx, &row).await?;
        }
        tx.commit().await?;
        return Err(BAD);
    }
    if !row.lives {
        return Err(BAD);
    }
    let refresh_until = sign_in_refresh(&mut tx, id, IDLE_SECONDS).await?;
    let user: UserId = row.user_id.into();
    let (access, expires_at) = access_token::access_token(&mut tx, state, user, id).await?;
    let message = format!("user `{}` got new tokens", row.name);
    let user = user.to_string();
    audit::record_change(&mut tx, Some(row.project_id.into()), &user, &user, &message).await?;
    tx.commit().await?;
    Ok(SignedIn {
        access_token: access,
        expires_at,
        refresh_token: refresh_token(&state.keys, lookup, generation + 1),
        refresh_until,
    })
}

/// Ends the sign-in that the caller's token comes from, or all of the caller's with all that they
/// watch.
pub(crate) async fn auth_sign_out(state: &State, caller: &Caller, everywhere: bool) -> Result<()> {
    let (user, sign_in) = caller.person()?;
    let mut tx = state.pool.begin().await?;
    let message = if everywhere {
        end_person(&mut tx, user).await?;
        "signed out everywhere"
    } else {
        sign_in_end(&mut tx, sign_in).await?;
        "signed out"
    };
    announce(
        &mut tx,
        caller.project_id,
        user,
        EventKind::UserSignedOut,
        message,
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Changes the caller's password. Everything else that the user is signed in to ends, and all that
/// they watch.
pub(crate) async fn auth_change_password(
    state: &State,
    caller: &Caller,
    ask: PasswordChange,
) -> Result<SignedIn> {
    let wrong = || Error::invalid("/password", "is not right");
    let (user, _) = caller.person()?;
    let network = network(caller.origin.address);
    let (account, person) = {
        let mut conn = state.pool.acquire().await?;
        let account = account_get(&mut conn, user, &network).await?;
        (
            account,
            person_get(&mut conn, caller.project_id, user).await?,
        )
    };
    let email = person.and_then(|person| person.email);
    let is_email = |email: &String| email.eq_ignore_ascii_case(ask.new_password.expose());
    if email.as_ref().is_some_and(is_email) {
        return Err(Error::invalid("/new_password", "must not be the email"));
    }
    // A stolen access token does not let its thief guess.
    let name = email.unwrap_or_else(|| user.to_string());
    let attempt = Attempt::new(&state.keys, &name, &network, false);
    let account = check(state, &attempt, account, &ask.password)
        .await?
        .ok_or_else(wrong)?;
    let hash = state.auth.hash(&ask.new_password).await?;
    let mut tx = state.pool.begin().await?;
    let person = account_sign_in(&mut tx, user, account.password.as_deref()).await?;
    let person = person.ok_or_else(wrong)?;
    change(&mut tx, caller.project_id, &person.name, user, &hash).await?;
    let signed_in = begin(&mut tx, state, user, "password", &network, WHOLE_SECONDS).await?;
    attempt.succeed(&mut tx).await?;
    tx.commit().await?;
    Ok(signed_in)
}

/// Who the caller is, and what they may do.
pub(crate) async fn auth_view(state: &State, caller: &Caller) -> Result<Auth> {
    let mut conn = state.pool.acquire().await?;
    let gone = || Error::not_found(caller.identity);
    let (principal, name, email) = match caller.identity {
        Identity::User(id) => {
            let person = person_get(&mut conn, caller.project_id, id).await?;
            let person = person.ok_or_else(gone)?;
            (Principal::User { id }, person.name, person.email)
        }
        Identity::ApiKey(id) => {
            let key = db::api_key::api_key_get(&mut conn, &Reach::own(caller), id).await?;
            (Principal::ApiKey { id }, key.ok_or_else(gone)?.name, None)
        }
    };
    let (cluster, projects, cameras) = caller.rights();
    Ok(Auth {
        principal,
        project_id: caller.project_id,
        name,
        email,
        sign_in_id: caller.sign_in_id,
        cluster,
        projects,
        cameras,
    })
}

/// Begins a sign-in of a user who is locked and enabled.
async fn begin(
    conn: &mut PgConnection,
    state: &State,
    user: UserId,
    method: &str,
    network: &str,
    whole_seconds: f64,
) -> Result<SignedIn> {
    let id: SignInId = state.ids.next();
    let lookup = lookup();
    let new = NewSignIn {
        id,
        user,
        method,
        network,
        lookup: &lookup,
        idle_seconds: IDLE_SECONDS,
        whole_seconds,
    };
    let refresh_until = sign_in_insert(conn, &new).await?;
    sign_in_end_all(conn, user, SIGN_INS).await?;
    let (access_token, expires_at) = access_token::access_token(conn, state, user, id).await?;
    Ok(SignedIn {
        access_token,
        expires_at,
        refresh_token: refresh_token(&state.keys, &lookup, 1),
        refresh_until,
    })
}

/// Sets a password that the user has chosen, and ends all that they are signed in to and watch.
async fn change(
    conn: &mut PgConnection,
    project: ProjectId,
    name: &str,
    user: UserId,
    hash: &str,
) -> Result<()> {
    account_set_password(conn, user, hash).await?;
    end_person(conn, user).await?;
    let message = format!("user `{name}` has chosen a new password");
    announce(
        conn,
        project,
        user,
        EventKind::UserPasswordChanged,
        &message,
    )
    .await
}

async fn announce_sign_in(
    conn: &mut PgConnection,
    project: ProjectId,
    user: UserId,
    name: &str,
    how: &str,
) -> Result<()> {
    let message = format!("user `{name}` signed in {how}");
    announce(conn, project, user, EventKind::UserSignedIn, &message).await
}

async fn announce_reuse(conn: &mut PgConnection, row: &SignInRow) -> Result<()> {
    let message = format!(
        "a refresh token of user `{}` was used twice; what it belongs to has been ended",
        row.name
    );
    let kind = EventKind::RefreshTokenReused;
    announce(
        conn,
        row.project_id.into(),
        row.user_id.into(),
        kind,
        &message,
    )
    .await
}

async fn announce(
    conn: &mut PgConnection,
    project: ProjectId,
    user: UserId,
    kind: EventKind,
    message: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(project),
        kind,
        subject: user.to_string(),
        actor: &user.to_string(),
        message: message.to_owned(),
    };
    Ok(event_insert(conn, event).await?)
}
