//! Every operation of the API documents has a method here, which calls the same method and path.

use std::{collections::BTreeMap, path::Path};

use axum::{http::StatusCode, response::IntoResponse as _};
use headworks_client::{Client, Error};
use headworks_types::{
    Action, Advertise, ApiKeyCreate, ApiKeyId, AuthRefresh, BrakeRelease, CameraBulkCreate,
    CameraCreate, CameraGroupCreate, CameraGroupId, CameraGroupUpdate, CameraId,
    CameraPlaybackRequest, CameraSource, CameraUpdate, GrantCreate, GrantId, GrantObject,
    JoinTokenCreate, JoinTokenId, Labels, NodeDrainRequest, NodeId, NodeLimits, NodeLoad,
    OidcBegin, OidcComplete, OidcIdentity, PasswordChange, Placement, PlaybackKeyCreate,
    PlaybackKeyId, PlaybackTokenCreate, PlaybackTokenRevoke, Principal, ProjectCreate, ProjectId,
    ProjectUpdate, RestreamCreate, RestreamId, RestreamImport, RestreamUpdate, RoleCreate, RoleId,
    RoleRef, RoleUpdate, Secret, SessionId, SignIn, StartMode, StreamKeyCreate, StreamKeyId,
    StreamKeyRotate, StreamKeyUpdate, UserCreate, UserGroupCreate, UserGroupId, UserGroupMemberAdd,
    UserGroupUpdate, UserId, UserUpdate,
    edge::{AuditDelivery, CertificateRequest, JoinRequest, LeaseRenewal, NodeSpec, SessionReport},
};
use serde_json::Value;
use uuid::Uuid;

use crate::server::Server;

const ID: Uuid = Uuid::from_u128(1);
const PROVIDER: &str = "corp";
const KID: &str = "0123456789abcD-_";

/// Method and path with parameters, by operation.
fn documented(document: &str) -> BTreeMap<String, (String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../openapi")
        .join(document);
    let text = std::fs::read_to_string(&path).expect("`cargo xtask openapi` writes it");
    let document: Value = serde_json::from_str(&text).expect("is JSON");
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("has paths") {
        for (method, operation) in item.as_object().expect("has methods") {
            if let Some(name) = operation["operationId"].as_str() {
                operations.insert(name.to_owned(), (method.to_uppercase(), path.clone()));
            }
        }
    }
    operations
}

/// `/v1/cameras/cam_…` as `/v1/cameras/{camera_id}`: each id is of another noun.
fn template(path: &str) -> String {
    let ids = [
        (ProjectId::from(ID).to_string(), "{project_id}"),
        (UserId::from(ID).to_string(), "{user_id}"),
        (UserGroupId::from(ID).to_string(), "{user_group_id}"),
        (PROVIDER.to_owned(), "{provider}"),
        (ApiKeyId::from(ID).to_string(), "{api_key_id}"),
        (StreamKeyId::from(ID).to_string(), "{stream_key_id}"),
        (CameraId::from(ID).to_string(), "{camera_id}"),
        (RestreamId::from(ID).to_string(), "{restream_id}"),
        (GrantId::from(ID).to_string(), "{grant_id}"),
        (NodeId::from(ID).to_string(), "{node_id}"),
        (JoinTokenId::from(ID).to_string(), "{join_token_id}"),
        (CameraGroupId::from(ID).to_string(), "{camera_group_id}"),
        (RoleId::from(ID).to_string(), "{role_id}"),
        (PlaybackKeyId::from(ID).to_string(), "{playback_key_id}"),
        (SessionId::from(ID).to_string(), "{session_id}"),
        (KID.to_owned(), "{kid}"),
    ];
    let segments = path.split('/').map(|segment| {
        let (id, verb) = match segment.split_once(':') {
            Some((id, verb)) => (id, format!(":{verb}")),
            None => (segment, String::new()),
        };
        let name = ids
            .iter()
            .find(|(known, _)| known == id)
            .map_or(id, |(_, name)| *name);
        format!("{name}{verb}")
    });
    segments.collect::<Vec<_>>().join("/")
}

/// What players open, and no program calls: the answer is an address elsewhere.
const OF_PLAYERS: [&str; 2] = ["camera_live", "camera_watch"];

async fn compare(document: &str, calls: impl AsyncFn(&Client, &mut Vec<&'static str>)) {
    let server = Server::start(|_| StatusCode::IM_A_TEAPOT.into_response()).await;
    let mut names = Vec::new();
    calls(&server.client(), &mut names).await;
    let called: BTreeMap<_, _> = names
        .into_iter()
        .zip(server.asked())
        .map(|(name, asked)| {
            (
                name.to_owned(),
                (asked.method.to_string(), template(&asked.path)),
            )
        })
        .collect();
    let mut documented = documented(document);
    documented.retain(|name, _| !OF_PLAYERS.contains(&&**name));
    assert_eq!(called, documented);
}

macro_rules! call {
    ($names:ident, $client:ident . $name:ident ( $($argument:expr),* )) => {
        $names.push(stringify!($name));
        let error = $client.$name($($argument),*).await.err().expect("a teapot");
        assert!(matches!(error, Error::Unexpected { status: 418, .. }), "{error}");
    };
}

#[tokio::test]
async fn the_edges_api() {
    compare("edge.json", async |client, names| {
        let node = NodeSpec {
            name: "edge".to_owned(),
            site: "a".to_owned(),
            zone: "a".to_owned(),
            labels: Labels::default(),
            capacity: 1,
            limits: NodeLimits::default(),
            advertise: Advertise::new("http://edge/".parse().expect("parses")),
            relay: None,
            version: "1".to_owned(),
        };
        let renewal = LeaseRenewal {
            instance: ID,
            revision: 0,
            apply_error: None,
            signing_keys: vec![],
            slots: vec![],
            load: NodeLoad::default(),
            goodbye: false,
        };
        let request = CertificateRequest {
            csr: "x".to_owned(),
        };
        let join = JoinRequest {
            token: Secret::new("x"),
            node: node.clone(),
            certificate: request.clone(),
        };
        call!(names, client.certificate_renew(&request));
        call!(names, client.node_join(&join));
        call!(names, client.node_announce(&node));
        call!(names, client.lease_renew(&renewal));
        let report = SessionReport {
            instance: ID,
            sequence: 1,
            complete: true,
            opened: vec![],
            sent: vec![],
            closed: vec![],
        };
        let delivery = AuditDelivery {
            queue: ID,
            entries: vec![],
        };
        call!(names, client.watch(0, Some(0)));
        call!(names, client.session_report(&report));
        call!(names, client.audit_deliver(&delivery));
    })
    .await;
}

#[tokio::test]
async fn everybodys_api() {
    compare("headworks.json", async |client, names| {
        cameras(client, names).await;
        restreams(client, names).await;
        camera_groups(client, names).await;
        people(client, names).await;
        user_groups(client, names).await;
        sign_in(client, names).await;
        cluster(client, names).await;
    })
    .await;
}

async fn cameras(client: &Client, names: &mut Vec<&'static str>) {
    let id = CameraId::from(ID);
    let key = StreamKeyId::from(ID);
    let camera = CameraCreate {
        name: "x".to_owned(),
        group_id: None,
        external_id: None,
        labels: Labels::default(),
        source: CameraSource::Publish,
        credentials: None,
        enabled: true,
        start: StartMode::Always,
        placement: Placement::default(),
        viewing: Default::default(),
    };
    let bulk = CameraBulkCreate {
        items: vec![],
        dry_run: true,
    };
    let stream_key = StreamKeyCreate::named("x");
    let playback = PlaybackTokenCreate::for_cameras(vec![id]);
    let revoke = PlaybackTokenRevoke {
        token_id: "x".to_owned(),
        project_id: None,
    };
    call!(names, client.camera_list());
    call!(names, client.camera_create(&camera));
    call!(names, client.camera_bulk_create(&bulk));
    call!(names, client.camera_view(id));
    call!(names, client.camera_update(id, &CameraUpdate::default()));
    call!(names, client.camera_delete(id));
    let where_to = CameraPlaybackRequest::default();
    call!(names, client.camera_playback(id, &where_to));
    call!(names, client.stream_key_list(id));
    call!(names, client.stream_key_create(id, &stream_key));
    call!(
        names,
        client.stream_key_rotate(key, &StreamKeyRotate::default())
    );
    call!(names, client.stream_key_revoke(key));
    call!(names, client.stream_key_view(key));
    call!(
        names,
        client.stream_key_update(key, &StreamKeyUpdate::default())
    );
    call!(names, client.playback_token_issue(&playback));
    call!(names, client.playback_token_revoke(&revoke));
    call!(names, client.jwks_view());
    let key = PlaybackKeyId::from(ID);
    let json = serde_json::json!({"name": "x", "pem": "x", "bounds": {"whole_project": true}});
    let new: PlaybackKeyCreate = serde_json::from_value(json).expect("parses");
    call!(names, client.playback_key_list());
    call!(names, client.playback_key_create(&new));
    call!(names, client.playback_key_view(key));
    call!(names, client.playback_key_revoke(key));
    call!(names, client.session_list());
    call!(names, client.session_view(SessionId::from(ID)));
    call!(names, client.session_end(SessionId::from(ID)));
    call!(names, client.user_revoke_sessions(UserId::from(ID)));
}

async fn restreams(client: &Client, names: &mut Vec<&'static str>) {
    let (camera, id) = (CameraId::from(ID), RestreamId::from(ID));
    let json = serde_json::json!({"name": "x", "url": "rtmp://a/b"});
    let restream: RestreamCreate = serde_json::from_value(json.clone()).expect("parses");
    let import = RestreamImport {
        cameras: vec![],
        target: serde_json::from_value(json).expect("parses"),
        dry_run: true,
    };
    call!(names, client.restream_list());
    call!(names, client.restream_list_of_camera(camera));
    call!(names, client.restream_create(camera, &restream));
    call!(names, client.restream_import(&import));
    call!(names, client.restream_view(id));
    call!(
        names,
        client.restream_update(id, &RestreamUpdate::default())
    );
    call!(names, client.restream_delete(id));
    call!(names, client.restream_start(id));
    call!(names, client.restream_stop(id));
    call!(names, client.restream_restart(id));
}

async fn camera_groups(client: &Client, names: &mut Vec<&'static str>) {
    let id = CameraGroupId::from(ID);
    let group = CameraGroupCreate {
        name: "x".to_owned(),
        parent_id: None,
        external_id: None,
        labels: Labels::default(),
    };
    call!(names, client.camera_group_list());
    call!(names, client.camera_group_create(&group));
    call!(names, client.camera_group_view(id));
    call!(
        names,
        client.camera_group_update(id, &CameraGroupUpdate::default())
    );
    call!(names, client.camera_group_delete(id));
}

async fn people(client: &Client, names: &mut Vec<&'static str>) {
    let user = UserCreate {
        name: "x".to_owned(),
        external_id: None,
        labels: Labels::default(),
        max_sessions: None,
        email: None,
        password: None,
    };
    let key = ApiKeyCreate {
        name: "x".to_owned(),
        scopes: None,
        project_id: None,
        expires_at: None,
    };
    let principal = Principal::User {
        id: UserId::from(ID),
    };
    let grant = GrantCreate::allow(principal, GrantObject::Cluster, vec![Action::NodeManage]);
    call!(names, client.user_list());
    call!(names, client.user_create(&user));
    call!(names, client.user_view(UserId::from(ID)));
    call!(
        names,
        client.user_update(UserId::from(ID), &UserUpdate::default())
    );
    call!(names, client.user_delete(UserId::from(ID)));
    call!(names, client.api_key_list());
    call!(names, client.api_key_create(&key));
    call!(names, client.api_key_view(ApiKeyId::from(ID)));
    call!(names, client.api_key_revoke(ApiKeyId::from(ID)));
    let role = RoleCreate {
        name: "x".to_owned(),
        actions: vec![Action::CameraPtz],
    };
    call!(names, client.role_list());
    call!(names, client.role_create(&role));
    call!(names, client.role_view(RoleRef::Custom(RoleId::from(ID))));
    call!(
        names,
        client.role_update(RoleId::from(ID), &RoleUpdate::default())
    );
    call!(names, client.role_delete(RoleId::from(ID)));
    call!(
        names,
        client.access_explain(principal, CameraId::from(ID), Action::CameraPtz)
    );
    call!(names, client.grant_list());
    call!(names, client.grant_create(&grant));
    call!(names, client.grant_view(GrantId::from(ID)));
    call!(names, client.grant_delete(GrantId::from(ID)));
}

async fn user_groups(client: &Client, names: &mut Vec<&'static str>) {
    let (id, user_id) = (UserGroupId::from(ID), UserId::from(ID));
    let group = UserGroupCreate {
        name: "x".to_owned(),
        external_id: None,
        labels: Labels::default(),
    };
    let member = UserGroupMemberAdd { user_id };
    let identity = OidcIdentity {
        provider: "x".to_owned(),
        subject: "x".to_owned(),
    };
    call!(names, client.user_link(user_id, &identity));
    call!(names, client.user_unlink(user_id, &identity));
    call!(names, client.user_group_list());
    call!(names, client.user_group_create(&group));
    call!(names, client.user_group_view(id));
    call!(
        names,
        client.user_group_update(id, &UserGroupUpdate::default())
    );
    call!(names, client.user_group_delete(id));
    call!(names, client.user_group_member_list(id));
    call!(names, client.user_group_member_add(id, &member));
    call!(names, client.user_group_member_remove(id, user_id));
    call!(names, client.user_group_list_of_user(user_id));
}

async fn sign_in(client: &Client, names: &mut Vec<&'static str>) {
    let secret = || Secret::new("x");
    let ask = SignIn {
        email: "x".to_owned(),
        password: secret(),
        new_password: None,
    };
    let refresh = AuthRefresh {
        refresh_token: secret(),
    };
    let change = PasswordChange {
        password: secret(),
        new_password: secret(),
    };
    let begin = OidcBegin {
        redirect_uri: "https://app/".parse().expect("parses"),
    };
    let complete = OidcComplete {
        state: secret(),
        code: secret(),
    };
    call!(names, client.auth_view());
    call!(names, client.auth_sign_in(&ask));
    call!(names, client.auth_refresh(&refresh));
    call!(names, client.auth_sign_out());
    call!(names, client.auth_sign_out_everywhere());
    call!(names, client.auth_change_password(&change));
    call!(names, client.auth_oidc_list());
    call!(names, client.auth_oidc_begin(PROVIDER, &begin));
    call!(names, client.auth_oidc_complete(PROVIDER, &complete));
}

async fn cluster(client: &Client, names: &mut Vec<&'static str>) {
    let project = ProjectCreate {
        name: "x".to_owned(),
    };
    let token = JoinTokenCreate {
        name: "x".to_owned(),
        expires_in_seconds: 60,
        max_uses: 1,
    };
    call!(names, client.project_list());
    call!(names, client.project_create(&project));
    call!(names, client.project_view(ProjectId::from(ID)));
    call!(
        names,
        client.project_update(ProjectId::from(ID), &ProjectUpdate::default())
    );
    call!(names, client.node_list());
    call!(names, client.node_view(NodeId::from(ID)));
    call!(names, client.node_revoke(NodeId::from(ID)));
    call!(names, client.node_cordon(NodeId::from(ID)));
    call!(names, client.node_uncordon(NodeId::from(ID)));
    let drain = NodeDrainRequest {
        deadline_seconds: 600,
    };
    call!(names, client.node_drain(NodeId::from(ID), &drain));
    call!(names, client.node_cancel_drain(NodeId::from(ID)));
    call!(names, client.node_delete(NodeId::from(ID), true));
    call!(names, client.cluster_view());
    call!(
        names,
        client.cluster_release_brake(&BrakeRelease { seconds: 300 })
    );
    call!(names, client.slot_list());
    call!(names, client.move_list(CameraId::from(ID)));
    call!(names, client.camera_explain(CameraId::from(ID)));
    call!(names, client.join_token_list());
    call!(names, client.join_token_create(&token));
    call!(names, client.join_token_revoke(JoinTokenId::from(ID)));
    call!(names, client.signing_key_list());
    call!(names, client.signing_key_rotate());
    call!(names, client.signing_key_revoke(KID));
    call!(names, client.event_list());
    call!(names, client.audit_list());
    let export = client.audit_export().chunks().await;
    assert!(matches!(
        export.err(),
        Some(Error::Unexpected { status: 418, .. })
    ));
    names.push("audit_export");
}
