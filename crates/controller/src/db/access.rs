//! What grants come to: the rules of one, and answers about many.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, Utc};
use headworks_types::{Action, BuiltInRole, GrantId, GrantObject, Principal, ProjectId};
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

use super::grant::principal_uuid;
use crate::app::{
    Reach, Sight,
    access::{Actions, Holding, Object, Question, Rule},
};

struct Row {
    id: Uuid,
    allows: bool,
    camera_id: Option<Uuid>,
    camera_group_id: Option<Uuid>,
    object_project_id: Option<Uuid>,
    actions: Option<Vec<String>>,
    role: Option<String>,
}

/// The grants of the user, its groups, or the key, as far as they count.
pub(crate) async fn rule_list(
    conn: &mut PgConnection,
    principal: Uuid,
    holding: Holding,
) -> sqlx::Result<Vec<Rule>> {
    let (always, at, network) = match holding {
        Holding::Always => (true, None, None),
        Holding::At(at, network) => (false, at, network),
    };
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT g.id, g.effect = 'allow' AS "allows!", g.camera_id, g.camera_group_id,
                  g.object_project_id, COALESCE(g.actions, r.actions) AS actions, g.role
           FROM "grant" g
           LEFT JOIN role r ON r.id = g.role_id
           WHERE g.principal_id IN (
                   SELECT $1
                   UNION ALL
                   SELECT user_group_id FROM user_group_member WHERE user_id = $1
               )
             AND CASE WHEN $2 THEN
                     g.effect = 'deny'
                     OR num_nonnulls(g.schedule, g.networks, g.not_before, g.not_after) = 0
                 ELSE
                     grant_idle(g, COALESCE($3, statement_timestamp()), $4::text::inet) IS NULL
                 END"#,
        principal,
        always,
        at,
        network.map(network_text)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Rule::from).collect())
}

/// All grants to these users, groups or keys of the project, and to the groups of the users,
/// whether they count now or not.
pub(crate) async fn rule_list_of(
    conn: &mut PgConnection,
    project: ProjectId,
    principals: &[Uuid],
) -> sqlx::Result<Vec<Rule>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT g.id, g.effect = 'allow' AS "allows!", g.camera_id, g.camera_group_id,
                  g.object_project_id, COALESCE(g.actions, r.actions) AS actions, g.role
           FROM "grant" g
           LEFT JOIN role r ON r.id = g.role_id
           WHERE g.project_id = $1
             AND g.principal_id IN (
                   SELECT unnest($2::uuid[])
                   UNION
                   SELECT user_group_id FROM user_group_member WHERE user_id = ANY($2)
               )"#,
        project.uuid(),
        principals
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Rule::from).collect())
}

/// When a grant to one of these, or to a group that they are in, next begins or ceases to hold by the
/// clock.
pub(crate) async fn next_turn(
    conn: &mut PgConnection,
    principals: &[Uuid],
    after: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"SELECT min(grant_turn(g, $2))
           FROM "grant" g
           WHERE num_nonnulls(g.minutes, g.not_before, g.not_after) > 0
             AND g.principal_id IN (
                   SELECT unnest($1::uuid[])
                   UNION
                   SELECT user_group_id FROM user_group_member WHERE user_id = ANY($1)
               )"#,
        principals,
        after
    )
    .fetch_one(conn)
    .await
}

/// Whether what is asked is allowed, in the order of the questions.
pub(crate) async fn access_list(
    conn: &mut PgConnection,
    questions: &[Question],
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<bool>> {
    let principals: Vec<_> = questions.iter().map(|q| q.principal).collect();
    let cameras: Vec<_> = questions.iter().map(|q| q.camera).collect();
    let actions: Vec<_> = questions.iter().map(|q| q.action.to_string()).collect();
    let addresses: Vec<_> = questions.iter().map(|q| text(q.address)).collect();
    let (roles, role_actions) = built_in();
    sqlx::query_scalar!(
        r#"WITH built_in AS MATERIALIZED (
               SELECT * FROM unnest($5::text[], $6::text[]) AS b (role, action)
           ), place AS MATERIALIZED (
               SELECT c.id AS camera,
                      ARRAY['00000000-0000-0000-0000-000000000000', c.project_id, c.id] || cg.path
                          AS objects
               FROM camera c
               LEFT JOIN camera_group cg ON cg.id = c.group_id
               WHERE c.id = ANY($2)
           ), who AS MATERIALIZED (
               SELECT u.id AS principal, u.id, NULL::text[] AS scopes
               FROM "user" u WHERE u.id = ANY($1) AND u.enabled
               UNION ALL
               SELECT u.id, m.user_group_id, NULL
               FROM user_group_member m JOIN "user" u ON u.id = m.user_id
               WHERE m.user_id = ANY($1) AND u.enabled
               UNION ALL
               SELECT k.id, k.id, k.scopes
               FROM api_key k
               WHERE k.id = ANY($1) AND k.revoked_at IS NULL
                 AND (k.expires_at IS NULL
                      OR k.expires_at > COALESCE($7, statement_timestamp()))
           )
           SELECT COALESCE(bool_and(g.effect = 'allow'), false) AS "allowed!"
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
                WITH ORDINALITY AS q (principal, camera, action, address, place)
           LEFT JOIN place p ON p.camera = q.camera
           LEFT JOIN who w
                ON w.principal = q.principal AND (w.scopes IS NULL OR q.action = ANY(w.scopes))
           -- By principal and object at once: a group with many grants costs no more than one
           -- with few. OFFSET keeps the planner from joining by one of them only.
           LEFT JOIN LATERAL (
               SELECT g.effect
               FROM "grant" g
               LEFT JOIN role r ON r.id = g.role_id
               WHERE g.principal_id = w.id AND g.object_id = ANY(p.objects)
                 AND (q.action = ANY(COALESCE(g.actions, r.actions))
                      OR (g.role, q.action) IN (SELECT b.role, b.action FROM built_in b)
                      OR g.effect = 'deny' AND g.role NOT IN (SELECT b.role FROM built_in b))
                 AND grant_idle(g, COALESCE($7, statement_timestamp()), q.address::inet) IS NULL
               OFFSET 0
           ) AS g ON true
           GROUP BY q.place
           ORDER BY q.place"#,
        &principals,
        &cameras,
        &actions,
        &addresses as &[Option<String>],
        &roles,
        &role_actions,
        at
    )
    .fetch_all(conn)
    .await
}

/// Whether somebody may do anything at all.
pub(crate) struct Standing {
    /// False if the user is disabled, or the key revoked or expired.
    pub(crate) works: bool,
    /// A key's.
    pub(crate) scopes: Option<Vec<String>>,
}

/// The user's or key's standing at this time, or now; `None` if there is neither.
pub(crate) async fn standing_get(
    conn: &mut PgConnection,
    project: ProjectId,
    principal: Principal,
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<Option<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"SELECT enabled AS "works!", NULL::text[] AS scopes
           FROM "user" WHERE id = $1 AND project_id = $2
           UNION ALL
           SELECT revoked_at IS NULL
                      AND (expires_at IS NULL OR expires_at > COALESCE($3, statement_timestamp())),
                  scopes
           FROM api_key WHERE id = $1 AND project_id = $2"#,
        principal_uuid(principal),
        project.uuid(),
        at
    )
    .fetch_optional(conn)
    .await
}

/// The grants to the principal or its groups on any of the objects, each with why it does not hold,
/// if it does not: `not_before`, `not_after`, `schedule` or `networks`.
pub(crate) async fn verdict_list(
    conn: &mut PgConnection,
    principal: Principal,
    objects: &[Object],
    address: Option<IpAddr>,
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<(GrantId, Option<String>)>> {
    let objects: Vec<_> = objects.iter().map(|object| object.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT g.id,
                  grant_idle(g, COALESCE($3, statement_timestamp()), $4::text::inet) AS idle
           FROM "grant" g
           WHERE g.object_id = ANY($2) AND g.principal_id IN (
               SELECT $1
               UNION ALL
               SELECT user_group_id FROM user_group_member WHERE user_id = $1
           )
           ORDER BY g.id"#,
        principal_uuid(principal),
        &objects,
        at,
        text(address)
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.id.into(), row.idle)).collect())
}

/// What is denied on any group or camera in the project or camera group.
pub(crate) async fn denied_below(
    conn: &mut PgConnection,
    sight: &Sight,
    object: GrantObject,
) -> sqlx::Result<Actions> {
    let id = Object::from(object).uuid();
    let denied = denied_below_each(conn, sight, &[id]).await?;
    Ok(denied.get(&id).copied().unwrap_or_default())
}

/// The same of many projects and camera groups: of those in which anything is denied.
pub(crate) async fn denied_below_each(
    conn: &mut PgConnection,
    sight: &Sight,
    objects: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Actions>> {
    let rows = sqlx::query!(
        r#"SELECT place.id AS "id!", bit_or(r.deny) AS "deny!"
           FROM unnest($1::uuid[], $2::integer[]) AS r (id, deny)
           LEFT JOIN camera c ON c.id = r.id
           LEFT JOIN camera_group g ON g.id = COALESCE(c.group_id, r.id)
           CROSS JOIN LATERAL unnest(ARRAY[c.project_id, g.project_id] || g.path) AS place (id)
           WHERE r.deny <> 0 AND place.id = ANY($3)
           GROUP BY place.id"#,
        sight.objects(),
        sight.deny(),
        objects
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (row.id, Actions::from_bits(row.deny)))
        .collect())
}

/// The project of who is to be granted something, if it is within reach.
pub(crate) async fn principal_project(
    conn: &mut PgConnection,
    reach: &Reach,
    principal: Principal,
) -> sqlx::Result<Option<ProjectId>> {
    let (user, group, key) = match principal {
        Principal::User { id } => (Some(id.uuid()), None, None),
        Principal::UserGroup { id } => (None, Some(id.uuid()), None),
        Principal::ApiKey { id } => (None, None, Some(id.uuid())),
    };
    let found = sqlx::query_scalar!(
        r#"SELECT p.id FROM project p
           WHERE ($1::uuid[] IS NULL OR p.id = ANY($1))
             AND p.id IN (
                 SELECT project_id FROM "user" WHERE id = $2
                 UNION ALL
                 SELECT project_id FROM user_group WHERE id = $3
                 UNION ALL
                 SELECT project_id FROM api_key WHERE id = $4
             )"#,
        reach.projects(),
        user,
        group,
        key
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(Into::into))
}

/// The project of what something is to be granted on, if it is within reach. The cluster is of none.
pub(crate) async fn object_project(
    conn: &mut PgConnection,
    reach: &Reach,
    object: GrantObject,
) -> sqlx::Result<Option<ProjectId>> {
    let (camera, group, project) = match object {
        GrantObject::Camera { id } => (Some(id.uuid()), None, None),
        GrantObject::CameraGroup { id } => (None, Some(id.uuid()), None),
        GrantObject::Project { id } => (None, None, Some(id.uuid())),
        GrantObject::Cluster => return Ok(None),
    };
    let found = sqlx::query_scalar!(
        r#"SELECT p.id FROM project p
           WHERE ($1::uuid[] IS NULL OR p.id = ANY($1))
             AND p.id IN (
                 SELECT project_id FROM camera WHERE id = $2
                 UNION ALL
                 SELECT project_id FROM camera_group WHERE id = $3
                 UNION ALL
                 SELECT $4::uuid
             )"#,
        reach.projects(),
        camera,
        group,
        project
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(Into::into))
}

impl From<Row> for Rule {
    fn from(row: Row) -> Self {
        let actions = match (&row.actions, &row.role) {
            (Some(names), _) => names.iter().map(String::as_str).collect(),
            (None, Some(role)) => role_actions(role, row.allows),
            (None, None) => Actions::default(),
        };
        let object = match (row.camera_id, row.camera_group_id, row.object_project_id) {
            (Some(id), _, _) => Object::Camera(id),
            (_, Some(id), _) => Object::Group(id),
            (_, _, Some(id)) => Object::Project(id),
            _ => Object::Cluster,
        };
        Self {
            id: row.id.into(),
            allows: row.allows,
            object,
            actions,
        }
    }
}

/// A role that this version does not know allows nothing and denies everything.
fn role_actions(role: &str, allows: bool) -> Actions {
    match BuiltInRole::from_name(role) {
        Some(role) => role.actions().iter().copied().collect(),
        None if allows => Actions::default(),
        None => Actions::ALL,
    }
}

/// The built-in roles and their actions, pair by pair.
fn built_in() -> (Vec<String>, Vec<String>) {
    let pair = |role: BuiltInRole, action: &Action| (role.as_str().to_owned(), action.to_string());
    BuiltInRole::ALL
        .into_iter()
        .flat_map(|role| role.actions().iter().map(move |action| pair(role, action)))
        .unzip()
}

/// The built-in roles with this action.
pub(super) fn roles_with(action: Action) -> Vec<String> {
    BuiltInRole::ALL
        .into_iter()
        .filter(|role| role.actions().contains(&action))
        .map(|role| role.as_str().to_owned())
        .collect()
}

/// IPv4 networks that are written as IPv6 ones count as what they are.
fn network_text(network: IpNet) -> String {
    if let IpNet::V6(v6) = network
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return format!("{v4}/{length}");
    }
    network.to_string()
}

pub(super) fn text(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_canonical().to_string())
}
