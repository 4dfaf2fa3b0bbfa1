//! Users: the people who watch.

use headworks_types::{Action, EventKind, OidcIdentity, User, UserCreate, UserId, UserUpdate};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Reach, Result, Scope, Versioned,
    access::{Rule, everything_of, require_gifts, require_own},
    auth::oidc::issuer_for,
    revocation::{self, end_person},
};
use crate::{
    db::{
        self,
        event::{NewEvent, event_insert},
        oidc::{oidc_identity_delete, oidc_identity_insert},
        user::NewUser,
    },
    state::State,
};

const EXTERNAL_ID: &str = "user_external_id_key";
const EMAIL: &str = "user_email_key";

/// Creates a user in the caller's project.
pub(crate) async fn user_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: UserCreate,
) -> Result<User> {
    let project = caller.project_id;
    caller.require(Action::UserManage, Scope::Project(project))?;
    // Before the transaction: who waits for a turn holds no connection.
    let password = match &new.password {
        Some(password) => Some(state.auth.hash(password).await?),
        None => None,
    };
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(user) => return Ok(user),
    };
    let email = new.email.as_deref().map(str::to_ascii_lowercase);
    let row = NewUser {
        name: &new.name,
        external_id: new.external_id.as_deref(),
        labels: new.labels,
        email: email.as_deref(),
        password: password.as_deref(),
        max_sessions: new.max_sessions,
    };
    let user = db::user::user_insert(write.conn(), project, state.ids.next(), &row)
        .await
        .map_err(taken)?;
    announce(
        write.conn(),
        caller,
        &user,
        EventKind::UserCreated,
        "was created",
    )
    .await?;
    write.commit(&user).await?;
    Ok(user)
}

/// Changes a user.
pub(crate) async fn user_update(
    state: &State,
    caller: &Caller,
    id: UserId,
    expected: Expected,
    change: UserUpdate,
) -> Result<Versioned<User>> {
    let reach = caller.reach(Action::UserManage)?;
    let password = match &change.password {
        Some(Some(password)) => Some(Some(state.auth.hash(password).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let mut tx = state.pool.begin().await?;
    let Versioned { mut thing, .. } = get_locked(&mut tx, &reach, id, &expected).await?;
    let was_enabled = thing.enabled;
    require_might(&mut tx, caller, &thing, &change).await?;
    check_password(&thing, &change)?;
    apply(&mut thing, change);
    if password.is_some() || was_enabled && !thing.enabled {
        end_person(&mut tx, id).await?;
    }
    if let Some(hash) = password {
        db::user::user_set_password(&mut tx, thing.project_id, id, hash.as_deref()).await?;
    }
    let changed = db::user::user_update(&mut tx, &thing)
        .await
        .map_err(taken)?;
    let what = if thing.enabled {
        "was changed"
    } else {
        "was changed and is disabled"
    };
    announce(&mut tx, caller, &thing, EventKind::UserUpdated, what).await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(changed)
}

/// Deletes a user with its grants.
pub(crate) async fn user_delete(
    state: &State,
    caller: &Caller,
    id: UserId,
    expected: Expected,
) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let user = get_locked(&mut tx, &reach, id, &expected).await?.thing;
    require_own(caller, &rights_of(&mut tx, &user).await?)?;
    db::user::user_delete(&mut tx, user.project_id, id).await?;
    revocation::end_subject(&mut tx, id.into()).await?;
    announce(
        &mut tx,
        caller,
        &user,
        EventKind::UserDeleted,
        "was deleted",
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Lets a user sign in as who they are for an OpenID provider.
pub(crate) async fn user_link(
    state: &State,
    caller: &Caller,
    once: Once,
    id: UserId,
    identity: OidcIdentity,
) -> Result<User> {
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(user) => return Ok(user),
    };
    let (user, issuer) = of_identity(write.conn(), state, caller, id, &identity).await?;
    if !oidc_identity_insert(write.conn(), &issuer, &identity.subject, id).await? {
        return Err(Error::Conflict(
            "this identity belongs to a user already".to_owned(),
        ));
    }
    let what = format!(
        "can sign in with the OpenID provider `{}`",
        identity.provider
    );
    announce(write.conn(), caller, &user, EventKind::UserUpdated, &what).await?;
    write.commit(&user).await?;
    Ok(user)
}

/// Takes that away, and ends what the user is signed in to.
pub(crate) async fn user_unlink(
    state: &State,
    caller: &Caller,
    once: Once,
    id: UserId,
    identity: OidcIdentity,
) -> Result<User> {
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(user) => return Ok(user),
    };
    let (user, issuer) = of_identity(write.conn(), state, caller, id, &identity).await?;
    if !oidc_identity_delete(write.conn(), &issuer, &identity.subject, id).await? {
        return Err(Error::Conflict(format!("{id} has no such identity")));
    }
    end_person(write.conn(), id).await?;
    let what = format!(
        "cannot sign in as that with `{}` any more",
        identity.provider
    );
    announce(write.conn(), caller, &user, EventKind::UserUpdated, &what).await?;
    write.commit(&user).await?;
    Ok(user)
}

/// The user, locked, and the issuer of the identity: whoever decides on it becomes the user if they
/// like.
async fn of_identity(
    conn: &mut PgConnection,
    state: &State,
    caller: &Caller,
    id: UserId,
    identity: &OidcIdentity,
) -> Result<(User, String)> {
    let reach = caller.reach(Action::UserManage)?;
    let user = get_locked(conn, &reach, id, &Expected::default())
        .await?
        .thing;
    let rights = rights_of(conn, &user).await?;
    require_gifts(conn, caller, rights.iter().filter(|rule| rule.allows)).await?;
    let issuer = issuer_for(state, &identity.provider, user.project_id)?;
    Ok((user, issuer))
}

/// Whoever chooses somebody's password or email becomes them if they like, and who lets them in again
/// gives them all they had. To shut them out takes it away.
async fn require_might(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &User,
    change: &UserUpdate,
) -> Result<()> {
    let lets_in = change.enabled == Some(true) && !user.enabled;
    if change.email.is_some() || change.password.is_some() || lets_in {
        let rights = rights_of(conn, user).await?;
        require_gifts(conn, caller, rights.iter().filter(|rule| rule.allows)).await
    } else if change.enabled == Some(false) {
        require_own(caller, &rights_of(conn, user).await?)
    } else {
        Ok(())
    }
}

async fn rights_of(conn: &mut PgConnection, user: &User) -> Result<Vec<Rule>> {
    everything_of(conn, user.project_id, &[user.id.uuid()]).await
}

async fn get_locked(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserId,
    expected: &Expected,
) -> Result<Versioned<User>> {
    db::user::user_lock(conn, reach, id).await?;
    let found = db::user::user_get(conn, reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    expected.check(found.version)?;
    Ok(found)
}

/// The rules that need both what is there and what is new.
fn check_password(user: &User, change: &UserUpdate) -> Result<()> {
    let email = change.email.as_ref().unwrap_or(&user.email);
    let Some(Some(password)) = &change.password else {
        return Ok(());
    };
    match email {
        None => Err(Error::invalid(
            "/password",
            "cannot be used without an email",
        )),
        Some(email) if email.eq_ignore_ascii_case(password.expose()) => {
            Err(Error::invalid("/password", "must not be the email"))
        }
        Some(_) => Ok(()),
    }
}

fn apply(user: &mut User, change: UserUpdate) {
    let UserUpdate {
        name,
        external_id,
        labels,
        email,
        password: _,
        enabled,
        max_sessions,
    } = change;
    if let Some(email) = email {
        user.email = email.map(|email| email.to_ascii_lowercase());
    }
    if let Some(name) = name {
        user.name = name;
    }
    if let Some(external_id) = external_id {
        user.external_id = external_id;
    }
    if let Some(labels) = labels {
        user.labels = labels;
    }
    if let Some(enabled) = enabled {
        user.enabled = enabled;
    }
    if let Some(max_sessions) = max_sessions {
        user.max_sessions = max_sessions;
    }
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &User,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(user.project_id),
        kind,
        subject: user.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("user `{}` {what}", user.name),
    };
    Ok(event_insert(conn, event).await?)
}

/// Somebody else has what must be unique.
fn taken(error: sqlx::Error) -> Error {
    let constraint = match &error {
        sqlx::Error::Database(violation) => violation.constraint(),
        _ => None,
    };
    let taken = match constraint {
        Some(EXTERNAL_ID) => "there is a user with this external_id in the project already",
        Some(EMAIL) => "there is a user with this email already",
        _ => return error.into(),
    };
    Error::Conflict(taken.to_owned())
}
