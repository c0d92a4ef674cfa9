//! Whose request it is.

use std::sync::Arc;
use std::time::SystemTime;

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
    pub fn is_service(&self) -> bool {
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
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The claim `sub`: of a seller `User.extUid`, of a customer `Bp.uid`.
    pub subject: String,
    /// `action:subject`, and `role:…`.
    pub permissions: Vec<String>,
    /// All claims, those above among them.
    pub claims: Map<String, Value>,
    /// When the token ends; to a second.
    pub expires: SystemTime,
}

impl User {
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
    }
}
