//! Signing in and out.

use headworks_types::{
    Auth, AuthRefresh, OidcBegin, OidcBegun, OidcComplete, OidcProvider, Page, PasswordChange,
    SignIn, SignedIn,
};
use serde_json::json;

use crate::{Call, Client};

impl Client {
    /// `GET /v1/auth`
    pub fn auth_view(&self) -> Call<Auth> {
        self.get(&["v1", "auth"])
    }

    /// `POST /v1/auth:sign_in`
    pub fn auth_sign_in(&self, ask: &SignIn) -> Call<SignedIn> {
        self.ask(&["v1", "auth:sign_in"], ask)
    }

    /// `POST /v1/auth:refresh`
    pub fn auth_refresh(&self, ask: &AuthRefresh) -> Call<SignedIn> {
        self.ask(&["v1", "auth:refresh"], ask)
    }

    /// `POST /v1/auth:sign_out`
    pub fn auth_sign_out(&self) -> Call<()> {
        self.ask(&["v1", "auth:sign_out"], &json!({}))
    }

    /// `POST /v1/auth:sign_out_everywhere`
    pub fn auth_sign_out_everywhere(&self) -> Call<()> {
        self.ask(&["v1", "auth:sign_out_everywhere"], &json!({}))
    }

    /// `POST /v1/auth:change_password`
    pub fn auth_change_password(&self, ask: &PasswordChange) -> Call<SignedIn> {
        self.ask(&["v1", "auth:change_password"], ask)
    }

    /// `GET /v1/auth/oidc`
    pub fn auth_oidc_list(&self) -> Call<Page<OidcProvider>> {
        self.get(&["v1", "auth", "oidc"])
    }

    /// `POST /v1/auth/oidc/{provider}:begin`
    pub fn auth_oidc_begin(&self, provider: &str, ask: &OidcBegin) -> Call<OidcBegun> {
        self.ask(&["v1", "auth", "oidc", &format!("{provider}:begin")], ask)
    }

    /// `POST /v1/auth/oidc/{provider}:complete`
    pub fn auth_oidc_complete(&self, provider: &str, ask: &OidcComplete) -> Call<SignedIn> {
        let verb = format!("{provider}:complete");
        self.ask(&["v1", "auth", "oidc", &verb], ask)
    }
}
