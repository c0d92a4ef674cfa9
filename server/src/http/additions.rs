//! What an application adds to HTTP: endpoints, ways to log in, and codes of errors. Depends on no application.

use futures::future::LocalBoxFuture;
use gom_actors::secret::SecretText;
use gom_actors::sessions::NewSession;
use serde_json::{Map, Value};

use super::State;
use super::endpoint::Endpoint;
use super::json_body::Fields;
use super::rest_error::RestError;

/// Everything that an application adds. The default adds nothing.
pub struct Additions {
    /// Builds the endpoints of one worker: a route belongs to one thread.
    pub(crate) endpoints: Box<dyn Fn() -> Vec<Endpoint> + Send + Sync>,
    /// In the order in which they are described and listed.
    pub(crate) logins: Vec<Box<dyn LoginProvider>>,
    /// `extensions.code` of the application's own errors.
    pub(crate) error_codes: Vec<&'static str>,
}

impl Default for Additions {
    fn default() -> Self {
        Additions {
            endpoints: Box::new(Vec::new),
            logins: Vec::new(),
            error_codes: Vec::new(),
        }
    }
}

impl Additions {
    /// The provider of a grant, if the datamodel has what it needs.
    pub(super) fn login(&self, grant: &str) -> Option<&dyn LoginProvider> {
        self.available_logins().find(|login| login.grant() == grant)
    }

    pub(super) fn available_logins(&self) -> impl Iterator<Item = &dyn LoginProvider> {
        self.logins
            .iter()
            .map(Box::as_ref)
            .filter(|login| login.is_available())
    }
}

/// A way to log in at `POST /auth/login`, beside passwords. The server counts attempts and opens the session; the provider
/// checks credentials and issues the token.
pub trait LoginProvider: Send + Sync {
    /// The value of `grantType`.
    fn grant(&self) -> &'static str;

    /// Whether the datamodel has what the provider needs. If not, its grant is refused as an unknown one.
    fn is_available(&self) -> bool {
        true
    }

    /// The body's schema: one alternative of the component `Login`.
    fn schema(&self) -> Value;

    /// Schemas of properties that its profiles have in addition, or describe otherwise than the server does.
    fn profile_schema(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Reads the credentials from the body. `fields` collects what is wrong with them.
    fn credentials(&self, fields: &mut Fields) -> Credentials;

    /// Checks the credentials, and issues a token. A refusal takes as long whatever is wrong.
    ///
    /// # Errors
    /// [`RestError::wrong_credentials`] counts as an attempt; a server error does not.
    fn check<'a>(
        &'a self,
        state: &'a State,
        credentials: &'a Credentials,
    ) -> LocalBoxFuture<'a, Result<AcceptedLogin, RestError>>;
}

/// What a client gives to log in.
pub struct Credentials {
    /// Attempts are counted for each name and grant.
    pub name: String,
    /// What proves the name; compared in [`LoginProvider::check`], and never logged.
    pub secret: SecretText,
}

/// Credentials that were right.
pub struct AcceptedLogin {
    /// The session that the server opens, with the token's signature.
    pub session: NewSession,
    /// The browser's half of the token.
    pub head: String,
    /// The answer's body.
    pub profile: Value,
}
