//! The secret behind service tokens: the configured one, or the one that the private database's folder keeps.

use super::kept_secret::{SecretError, kept_in};
use crate::settings::{Secret, Settings};

/// The configured secret. With the private database and none configured: the one kept in the file
/// `service.secret` beside the database, made when it is first asked for, readable by its owner only.
///
/// # Errors
/// If there is none, or the file cannot be read or written.
pub fn obtain_service_secret(settings: &Settings) -> Result<Secret, SecretError> {
    match (&settings.service.secret, &settings.database.url) {
        (Some(secret), _) => Ok(secret.clone()),
        (None, Some(_)) => Err(SecretError::Missing),
        (None, None) => kept_in(
            &settings.embedded.data_dir,
            "service.secret",
            "PRISMA_SECRET",
        ),
    }
}
