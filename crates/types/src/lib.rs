//! Ids, names, request and response types and problem codes of Headworks.
//!
//! Everything that crosses HTTP between the controller, the edges and their clients is defined
//! here, once. The crate parses and validates; it does no I/O, reads no clock and draws no random
//! numbers. Wire names are `snake_case`, times are RFC 3339 in UTC, ids are prefixed UUIDv7.

mod access;
mod action;
mod api_key;
mod audit;
mod auth;
mod camera;
mod camera_group;
mod camera_playback;
mod capability;
mod cluster;
pub mod edge;
mod event;
mod grant;
mod id;
mod jwk;
mod label;
mod network;
mod node;
mod page;
mod plan;
mod playback;
mod playback_key;
mod problem;
mod project;
mod public_key;
mod publish;
mod restream;
mod role;
mod schedule;
mod secret;
mod session;
mod shown_url;
mod signing_key;
mod slot;
mod source;
mod stream;
mod stream_key;
mod user;
mod user_group;
mod validate;
mod viewing;
mod without_value;

pub use access::{AccessExplanation, AccessGrant};
pub use action::Action;
pub use api_key::{ApiKey, ApiKeyCreate, ApiKeyCreated};
pub use audit::{AuditRecord, AuditResult};
pub use auth::{
    Auth, AuthRefresh, AuthRights, OidcBegin, OidcBegun, OidcComplete, OidcIdentity, OidcProvider,
    PasswordChange, SignIn, SignedIn,
};
pub use camera::{
    Camera, CameraBulkCreate, CameraBulkOutcome, CameraBulkResult, CameraCreate, CameraState,
    CameraStatus, CameraUpdate, Credentials, Placement, StartMode,
};
pub use camera_group::{CameraGroup, CameraGroupCreate, CameraGroupUpdate};
pub use camera_playback::{
    CameraPlayback, CameraPlaybackRequest, LiveFile, MAX_PLAYBACK_EDGES, PlaybackEdge,
};
pub use capability::Capabilities;
pub use cluster::{
    Brake, BrakeRelease, Cluster, ClusterDatabase, ClusterNodes, ClusterPlanner, ClusterSlots,
    SilentNode,
};
pub use event::{Event, EventKind};
pub use grant::{Effect, Grant, GrantConditions, GrantCreate, GrantObject, Principal};
pub use id::{
    ApiKeyId, CameraGroupId, CameraId, GrantId, IdError, JoinTokenId, NodeId, PlaybackKeyId,
    ProjectId, RestreamId, RoleId, SessionId, SignInId, StreamKeyId, UserGroupId, UserId,
};
pub use jwk::{Jwk, Jwks};
pub use label::{LabelFilter, Labels};
pub use network::Network;
pub use node::{
    Advertise, DrainState, JoinToken, JoinTokenCreate, JoinTokenCreated, Node, NodeDrain,
    NodeDrainRequest, NodeLimits, NodeLoad, NodeState,
};
pub use page::{Page, PageQuery};
pub use plan::{
    PLAN_LISTED, PlanCamera, PlanCapacity, PlanImpact, PlanMove, PlanNode, PlanPreview,
    PlanQuestion, PlanSummary,
};
pub use playback::{
    MAX_OPEN_SECONDS, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP, PlaybackCamera,
    PlaybackClaims, PlaybackToken, PlaybackTokenCreate, PlaybackTokenRevoke, PlaybackUrls,
};
pub use playback_key::{PlaybackBounds, PlaybackKey, PlaybackKeyCreate};
pub use problem::{Problem, ProblemCode, ProblemField};
pub use project::{Project, ProjectCreate, ProjectUpdate};
pub use public_key::{PublicKey, PublicKeyKind};
pub use publish::{PublishProtocol, PublishUrls, Publisher, RefusedPublisher, RtmpPublish};
pub use restream::{
    AlibabaVariant, Placeholders, Restream, RestreamAudio, RestreamCreate, RestreamImport,
    RestreamImportItem, RestreamImportOutcome, RestreamImportResult, RestreamSigning,
    RestreamState, RestreamStatus, RestreamTemplate, RestreamUpdate, RestreamVideo, SigningKeySlot,
    TencentHash, UrlRenewal, X264Preset,
};
pub use role::{BuiltInRole, Role, RoleCreate, RoleRef, RoleUpdate};
pub use schedule::{Schedule, TimeOfDay, Weekday, WeeklyWindow};
pub use secret::Secret;
pub use session::{Session, ViewProtocol};
pub use shown_url::ShownUrl;
pub use signing_key::{SigningKey, SigningKeyState};
pub use slot::{CameraPlacement, NodeFit, Slot, SlotMove};
pub use source::{CameraSource, PullFormat, PullProtocol, Transport};
pub use stream::{Codec, Track, TrackKind};
pub use stream_key::{
    OnConflict, StreamKey, StreamKeyBounds, StreamKeyCreate, StreamKeyCreated, StreamKeyRotate,
    StreamKeyUpdate, StreamKeyUse,
};
pub use user::{User, UserCreate, UserUpdate};
pub use user_group::{
    UserGroup, UserGroupCreate, UserGroupMember, UserGroupMemberAdd, UserGroupUpdate,
};
pub use validate::{Validate, Violations};
pub use viewing::Viewing;
pub use without_value::without_value;
