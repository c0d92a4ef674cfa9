//! Whose request it is.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use gom_engine::error::ApiError;
use gom_engine::plan::Rights;
use serde_json::{Map, Value};

/// On whose behalf a request is carried out. Cloning is cheap.
#[derive(Debug, Clone, PartialEq)]
pub enum Viewer {
    /// Holds a token signed with the service secret: row rules do not apply.
    Service,
    /// Holds an access token: what the policy gives to its permissions and claims, and nothing else.
    User(Arc<User>),
}

impl Viewer {
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Viewer::Service)
    }

    /// The user, if it is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Viewer::Service => None,
            Viewer::User(user) => Some(user),
        }
    }
}

/// What a verified access token says of its holder.
#[derive(Debug)]
pub struct User {
    /// The name under which sessions, devices, jobs, notifications and stamps are kept for the user: the claim `sub`, or what
    /// [`super::TokenKind::subject`] makes of the claims.
    pub subject: String,
    /// `action:subject`, and `role:…`.
    pub permissions: Vec<String>,
    /// All claims, those above among them.
    pub claims: Map<String, Value>,
    /// When the token ends; to a second.
    pub expires: SystemTime,
    rights: OnceLock<Result<Arc<Rights>, ApiError>>,
}

impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        // The rights follow from the rest.
        (&self.subject, &self.permissions, &self.claims, self.expires)
            == (
                &other.subject,
                &other.permissions,
                &other.claims,
                other.expires,
            )
    }
}

impl User {
    /// The holder of a token with these claims. Nothing is verified here.
    pub fn new(
        subject: String,
        permissions: Vec<String>,
        claims: Map<String, Value>,
        expires: SystemTime,
    ) -> Self {
        User {
            subject,
            permissions,
            claims,
            expires,
            rights: OnceLock::new(),
        }
    }

    /// What the policy gives to the user: found out once for each token.
    ///
    /// # Errors
    /// What `bind` refuses, whenever it is asked for.
    pub(crate) fn rights(
        &self,
        bind: impl FnOnce(&User) -> Result<Rights, ApiError>,
    ) -> Result<&Arc<Rights>, ApiError> {
        self.rights
            .get_or_init(|| bind(self).map(Arc::new))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Whether another token of the user allows the same: all but its times is alike.
    pub(crate) fn may_the_same(&self, other: &User) -> bool {
        let of_its_own = |claim: &str| matches!(claim, "iat" | "exp" | "nbf" | "jti");
        let lasting = |user: &User| -> Map<String, Value> {
            user.claims
                .iter()
                .filter(|(claim, _)| !of_its_own(claim))
                .map(|(c, v)| (c.clone(), v.clone()))
                .collect()
        };
        self.subject == other.subject
            && self.permissions == other.permissions
            && lasting(self) == lasting(other)
    }

    /// Whether the token has exactly this permission.
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
    }
}
