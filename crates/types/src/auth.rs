//! Signing in: how people get tokens, and who a credential belongs to.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{Action, Principal, ProjectId, Secret, SignInId, Validate, Violations};

/// The shortest password, characters (NIST SP 800-63B asks for 8, people for something easy).
const PASSWORD_MIN: usize = 12;
/// The longest, so that hashing one costs no more than another.
const PASSWORD_MAX: usize = 128;
/// No token or code of anybody is longer.
const TOKEN_MAX: usize = 4096;

/// Reports what is wrong with a password to be.
pub(crate) fn check_password(
    found: &mut Violations,
    field: &str,
    password: &Secret,
    email: Option<&str>,
) {
    let text = password.expose();
    let length = text.chars().count();
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
        let wrong = format!("must have {PASSWORD_MIN} to {PASSWORD_MAX} characters");
        found.report(field, wrong);
    } else if text.chars().any(char::is_control) {
        found.report(field, "must have no control characters");
    } else if email.is_some_and(|email| email.eq_ignore_ascii_case(text)) {
        found.report(field, "must not be the email");
    }
}

/// As [`check_password`], of one that is only compared.
fn check_presented(found: &mut Violations, field: &str, password: &Secret) {
    if password.expose().chars().count() > PASSWORD_MAX {
        found.report(
            field,
            format!("must have at most {PASSWORD_MAX} characters"),
        );
    }
}

fn check_token(found: &mut Violations, field: &str, token: &Secret) {
    if token.expose().is_empty() || token.expose().len() > TOKEN_MAX {
        found.report(field, format!("must have 1 to {TOKEN_MAX} bytes"));
    }
}

/// What somebody signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The user's email, in letters of either case.
    pub email: String,
    /// The password.
    pub password: Secret,
    /// A new password, 12 to 128 characters: needed where somebody else has chosen the present
    /// one, which the code `password_change_required` tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_password: Option<Secret>,
}

impl Validate for SignIn {
    fn validate(&self, found: &mut Violations) {
        found.email("email", &self.email);
        check_presented(found, "password", &self.password);
        if let Some(new) = &self.new_password {
            check_password(found, "new_password", new, Some(&self.email));
            check_other(found, &self.password, new);
        }
    }
}

fn check_other(found: &mut Violations, old: &Secret, new: &Secret) {
    if old == new {
        found.report("new_password", "must be another one");
    }
}

/// A change of one's own password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present one.
    pub password: Secret,
    /// The new one, 12 to 128 characters.
    pub new_password: Secret,
}

impl Validate for PasswordChange {
    fn validate(&self, found: &mut Violations) {
        check_presented(found, "password", &self.password);
        check_password(found, "new_password", &self.new_password, None);
        check_other(found, &self.password, &self.new_password);
    }
}

/// Asks for new tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthRefresh {
    /// `hwrt_…`, which has not been used before.
    pub refresh_token: Secret,
}

impl Validate for AuthRefresh {
    fn validate(&self, found: &mut Violations) {
        check_token(found, "refresh_token", &self.refresh_token);
    }
}

/// What who has signed in gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// For `Authorization: Bearer …`.
    pub access_token: Secret,
    /// When the access token works no more.
    pub expires_at: DateTime<Utc>,
    /// `hwrt_…`: gets new tokens, once. A second use ends what was signed in to.
    pub refresh_token: Secret,
    /// When the refresh token works no more, if it is not used.
    pub refresh_until: DateTime<Utc>,
}

/// Who asks, and what they may do, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Auth {
    /// The user or the API key.
    pub principal: Principal,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// The user's email.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// Which time of signing in the access token comes from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sign_in_id: Option<SignInId>,
    /// What it may do on the whole cluster.
    pub cluster: Vec<Action>,
    /// What it may do on the projects that grants are on.
    pub projects: Vec<AuthRights>,
    /// What it may do on at least one camera, by grants on cameras and their groups.
    pub cameras: Vec<Action>,
}

/// Actions on one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthRights {
    /// Which.
    pub project_id: ProjectId,
    /// What may be done there.
    pub actions: Vec<Action>,
}

/// A provider that people can sign in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OidcProvider {
    /// Its name in paths.
    pub name: String,
}

/// Begins signing in with an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcBegin {
    /// Where the provider sends the browser back to: one of those that are configured.
    pub redirect_uri: Url,
}

impl Validate for OidcBegin {
    fn validate(&self, found: &mut Violations) {
        if self.redirect_uri.as_str().len() > TOKEN_MAX / 4 {
            found.report("redirect_uri", "is too long");
        }
    }
}

/// Where to send the browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OidcBegun {
    /// The provider's page.
    pub authorization_url: Url,
    /// What the browser comes back with. Keep it with the browser and compare: a browser that
    /// brings another one was sent by somebody else.
    pub state: Secret,
}

/// Completes signing in with an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcComplete {
    /// What the browser came back with.
    pub state: Secret,
    /// The code it came back with.
    pub code: Secret,
}

impl Validate for OidcComplete {
    fn validate(&self, found: &mut Violations) {
        check_token(found, "state", &self.state);
        check_token(found, "code", &self.code);
    }
}

/// Who a user is for an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcIdentity {
    /// The provider's name here.
    pub provider: String,
    /// What the provider calls the user: the claim `sub`, 1 to 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    pub subject: String,
}

impl Validate for OidcIdentity {
    fn validate(&self, found: &mut Violations) {
        if !(1..=255).contains(&self.subject.chars().count()) {
            found.report("subject", "must have 1 to 255 characters");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(password: &str) -> Vec<String> {
        let mut found = Violations::default();
        let email = Some("ann.with.a.long.name@example.com");
        check_password(&mut found, "password", &Secret::new(password), email);
        let fields = found.into_fields().into_iter();
        fields.map(|field| field.detail).collect()
    }

    #[test]
    fn passwords_have_a_length_and_are_not_the_email() {
        let longest = "é".repeat(128);
        for good in ["correct horse", "пароль-подлиннее", &longest] {
            assert_eq!(wrong(good), Vec::<String>::new(), "{good}");
        }
        let too_long = "x".repeat(129);
        for bad in [
            "",
            "short",
            "elevenchars",
            "with\0 a zero byte",
            "Ann.With.A.Long.Name@Example.Com",
            &too_long,
        ] {
            assert_eq!(wrong(bad).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_new_password_is_another_one() {
        let change = PasswordChange {
            password: Secret::new("correct horse"),
            new_password: Secret::new("correct horse"),
        };
        let mut found = Violations::default();
        change.validate(&mut found);
        assert_eq!(found.into_fields()[0].pointer, "/new_password");
    }
}
