//! Signing in with an OpenID provider: authorization code with PKCE (RFC 6749, RFC 7636, OpenID
//! Connect Core).
//!
//! A user is known by issuer and subject and by nothing else; an email is no proof of who somebody
//! is. The provider's groups are read with each sign-in: they add and remove those memberships that
//! they have made, and no other.

mod id_token;
mod outbound;
mod provider;
mod state;

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{
    EventKind, OidcBegin, OidcBegun, OidcComplete, OidcProvider, ProjectId, SignedIn, User,
    UserGroupId, UserId,
};
use sqlx::PgConnection;

use super::{Attempt, announce_sign_in, begin, network as network_of};
use crate::{
    Config,
    app::{Error, Origin, Result, revocation},
    db::{
        event::{NewEvent, event_insert_many},
        oidc::{
            oidc_groups_add, oidc_groups_remove, oidc_identity_find, oidc_identity_insert,
            oidc_state_insert,
        },
        sign_in::account_sign_in,
        user::{NewUser, is_email_taken, user_insert},
    },
    state::State,
};
use id_token::{Claims, Refused, Wanted, verify};
use provider::{Exchanged, Provider};
use state::Begun;

const BAD: Error = Error::Unauthenticated("the provider has not confirmed this sign-in");
const AWAY: Error = Error::NotNow("the OpenID provider does not answer as it should");

/// The providers of the configuration, by name.
pub(crate) struct Providers(BTreeMap<String, Provider>);

impl Providers {
    /// Nothing is sent yet.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let providers = config.oidc.iter();
        let providers =
            providers.map(|(name, config)| Ok((name.clone(), Provider::new(config.clone())?)));
        Ok(Self(providers.collect::<anyhow::Result<_>>()?))
    }

    fn get(&self, name: &str) -> Result<&Provider> {
        let provider = self.0.get(name);
        provider.ok_or_else(|| Error::NotFound("there is no OpenID provider of this name".into()))
    }
}

/// What the provider calls itself, if its users belong to this project.
pub(crate) fn issuer_for(state: &State, name: &str, project: ProjectId) -> Result<String> {
    let provider = state.auth.oidc.0.get(name);
    let provider = provider.filter(|provider| provider.config.project_id == project);
    let provider = provider.ok_or_else(|| {
        Error::invalid(
            "/provider",
            "is no OpenID provider for users of this project",
        )
    })?;
    Ok(provider.config.issuer.clone())
}

/// The providers that people can sign in with.
pub(crate) fn auth_oidc_list(state: &State) -> Vec<OidcProvider> {
    let names = state.auth.oidc.0.keys();
    names
        .map(|name| OidcProvider { name: name.clone() })
        .collect()
}

/// Says where to send the browser. Nothing is stored.
pub(crate) async fn auth_oidc_begin(
    state: &State,
    name: &str,
    ask: OidcBegin,
) -> Result<OidcBegun> {
    let provider = state.auth.oidc.get(name)?;
    if !provider.config.redirect_uris.contains(&ask.redirect_uri) {
        let wrong = "is none of those that are configured for the provider";
        return Err(Error::invalid("/redirect_uri", wrong));
    }
    let begun = Begun::new(ask.redirect_uri, state.clock.now());
    let sealed = begun.seal(&state.keys, name).map_err(Error::Internal)?;
    let hash = digest(&SHA256, begun.verifier.expose().as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(hash);
    let url = provider
        .authorization_url(&state.clock, &begun, &challenge, &sealed)
        .await;
    Ok(OidcBegun {
        authorization_url: url.map_err(|error| away(name, &error))?,
        state: sealed,
    })
}

/// Signs in whoever the provider says has come.
pub(crate) async fn auth_oidc_complete(
    state: &State,
    origin: &Origin,
    name: &str,
    ask: OidcComplete,
) -> Result<SignedIn> {
    let provider = state.auth.oidc.get(name)?;
    let network = network_of(origin.address);
    let attempt = Attempt::of_network(&state.keys, &network);
    attempt.begin(state).await?;
    let begun = take_state(state, name, &ask).await?;
    let claims = confirm(state, provider, name, &begun, &ask).await?;
    let mut tx = state.pool.begin().await?;
    let user = user_of(&mut tx, state, provider, name, &claims).await?;
    let person = account_sign_in(&mut tx, user, None).await?.ok_or(BAD)?;
    if let Some(claim) = &provider.config.groups_claim {
        sync_groups(&mut tx, provider, name, user, &claims.groups(claim)).await?;
    }
    let whole = provider.config.sign_in_lasts.as_secs_f64();
    let method = format!("oidc:{name}");
    let signed_in = begin(&mut tx, state, user, &method, &network, whole).await?;
    let how = format!("with the OpenID provider `{name}`");
    announce_sign_in(
        &mut tx,
        provider.config.project_id,
        user,
        &person.name,
        &how,
    )
    .await?;
    attempt.succeed(&mut tx).await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(signed_in)
}

/// Opens the state that came back, which must be the first time that it does.
async fn take_state(state: &State, name: &str, ask: &OidcComplete) -> Result<Begun> {
    let begun = Begun::open(&state.keys, name, &ask.state, state.clock.now()).ok_or(BAD)?;
    let known = digest(&SHA256, ask.state.expose().as_bytes());
    let mut tx = state.pool.begin().await?;
    if oidc_state_insert(&mut tx, known.as_ref(), begun.expires_at).await? {
        tx.commit().await?;
        Ok(begun)
    } else {
        tracing::warn!(oidc.provider = name, "a state has come back twice");
        Err(BAD)
    }
}

/// Asks the provider who it is.
async fn confirm(
    state: &State,
    provider: &Provider,
    name: &str,
    begun: &Begun,
    ask: &OidcComplete,
) -> Result<Claims> {
    let (clock, away) = (&state.clock, |error| away(name, &error));
    let token = match provider
        .exchange(clock, begun, &ask.code)
        .await
        .map_err(away)?
    {
        Exchanged::IdToken(token) => token,
        Exchanged::BadCode => {
            tracing::info!(oidc.provider = name, "a code was refused by the provider");
            return Err(BAD);
        }
    };
    let wanted = Wanted {
        issuer: &provider.config.issuer,
        client_id: &provider.config.client_id,
        nonce: &begun.nonce,
        now: clock.now().timestamp(),
    };
    let keys = provider.keys(clock, false).await.map_err(away)?;
    let mut said = verify(&token, &keys, &wanted);
    if matches!(said, Err(Refused::UnknownKey)) {
        let keys = provider.keys(clock, true).await.map_err(away)?;
        said = verify(&token, &keys, &wanted);
    }
    said.map_err(|refused| {
        tracing::warn!(oidc.provider = name, %refused, "an ID token was refused");
        BAD
    })
}

fn away(name: &str, error: &anyhow::Error) -> Error {
    let error = format!("{error:#}");
    tracing::warn!(
        oidc.provider = name,
        error,
        "an OpenID provider does not do its part"
    );
    AWAY
}

/// The user of this identity; a new one if that is wanted.
async fn user_of(
    conn: &mut PgConnection,
    state: &State,
    provider: &Provider,
    name: &str,
    claims: &Claims,
) -> Result<UserId> {
    let (project, issuer) = (provider.config.project_id, &provider.config.issuer);
    if let Some(user) = oidc_identity_find(conn, project, issuer, &claims.sub).await? {
        return Ok(user);
    }
    if !provider.config.create_users {
        return Err(Error::Forbidden(
            "nobody here is known by this identity".to_owned(),
        ));
    }
    let user = new_user(conn, state, project, claims).await?;
    if !oidc_identity_insert(conn, issuer, &claims.sub, user.id).await? {
        return Err(Error::Forbidden(
            "this identity belongs to a user already".to_owned(),
        ));
    }
    let event = NewEvent {
        project_id: Some(project),
        kind: EventKind::UserCreated,
        subject: user.id.to_string(),
        actor: &format!("oidc:{name}"),
        message: format!("user `{}` was created at the first sign-in", user.name),
    };
    event_insert_many(conn, vec![event]).await?;
    Ok(user.id)
}

/// The user of the first sign-in; without the email that the provider says, if it is somebody's.
async fn new_user(
    conn: &mut PgConnection,
    state: &State,
    project: ProjectId,
    claims: &Claims,
) -> Result<User> {
    let (name, email) = (claims.name(), claims.verified_email());
    let mut new = NewUser {
        name: &name,
        email: email.as_deref(),
        ..NewUser::default()
    };
    let id = state.ids.next();
    // Somebody may take the email at any moment: only the insert itself finds out.
    let mut attempt = sqlx::Connection::begin(&mut *conn).await?;
    match user_insert(&mut attempt, project, id, &new).await {
        Ok(user) => {
            attempt.commit().await?;
            return Ok(user);
        }
        Err(error) if !is_email_taken(&error) => return Err(error.into()),
        Err(_) => attempt.rollback().await?,
    }
    new.email = None;
    Ok(user_insert(conn, project, id, &new).await?)
}

/// Makes the memberships that come from this provider what it says now.
async fn sync_groups(
    conn: &mut PgConnection,
    provider: &Provider,
    name: &str,
    user: UserId,
    groups: &[String],
) -> Result<()> {
    let project = provider.config.project_id;
    let removed = oidc_groups_remove(conn, project, user, name, groups).await?;
    let added = oidc_groups_add(conn, project, user, name, groups).await?;
    if !removed.is_empty() || !added.is_empty() {
        // Other groups are allowed other things, and denied others.
        revocation::narrow_subject(conn, user.into()).await?;
    }
    let actor = format!("oidc:{name}");
    let event = |kind, group: UserGroupId, what: &str| NewEvent {
        project_id: Some(project),
        kind,
        subject: group.to_string(),
        actor: &actor,
        message: format!("{user} {what} the group, as the provider says"),
    };
    let removed = removed.into_iter();
    let removed = removed.map(|group| event(EventKind::UserGroupMemberRemoved, group, "left"));
    let added = added.into_iter();
    let added = added.map(|group| event(EventKind::UserGroupMemberAdded, group, "joined"));
    Ok(event_insert_many(conn, removed.chain(added).collect()).await?)
}
