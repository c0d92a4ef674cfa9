//! Who asks: tokens and what they allow. Knows no HTTP.

mod service_secret;
mod service_token;

pub use service_secret::{SecretError, obtain_service_secret};
pub use service_token::{InvalidToken, ServiceTokens};

/// On whose behalf a request is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Viewer {
    /// Holds a token signed with the service secret: row rules do not apply.
    Service,
}
