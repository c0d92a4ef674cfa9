//! Secrets that the private database's folder keeps where none are configured.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gom_actors::push::VapidError;

use crate::settings::Secret;

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No service secret is set, and there is no private database to keep one beside.
    #[error(
        "there is no service secret: set PRISMA_SECRET, or PRISMA_SECRET_FILE to a file that holds it, as the \
         server that is to accept the token does"
    )]
    Missing,
    /// The file beside the private database, in which a secret is kept, cannot be used.
    #[error(
        "the secret in {path} cannot be {action}: {cause}; correct who may use the folder, or set {variable}"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What could not be done with it: `read` or `written`.
        action: &'static str,
        /// What the system reported.
        cause: io::Error,
        /// The environment variable that sets the secret instead.
        variable: &'static str,
    },
    /// The VAPID keys, as settings or the file have them.
    #[error("the keys of Web Push cannot be used: {0}")]
    Vapid(#[from] VapidError),
}

/// The secret in the file `name` of a folder, made of random bits when it is first asked for, readable by its owner
/// only. `variable` would set it.
///
/// # Errors
/// If the file cannot be read or written.
pub(super) fn kept_in(
    folder: &Path,
    name: &str,
    variable: &'static str,
) -> Result<Secret, SecretError> {
    // Version 4 UUIDs come from the system's random source; two of them hold 244 random bits.
    let random = || {
        Ok(format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        ))
    };
    load_or_generate_secret(folder, name, variable, random)
}

/// The same for a secret that `make` makes.
///
/// # Errors
/// If the file cannot be read or written, or the secret not be made.
pub(super) fn load_or_generate_secret(
    folder: &Path,
    name: &str,
    variable: &'static str,
    make: impl FnOnce() -> Result<String, SecretError>,
) -> Result<Secret, SecretError> {
    let path = folder.join(name);
    let failed = |action| {
        let path = path.clone();
        move |cause| SecretError::File {
            path,
            action,
            cause,
            variable,
        }
    };
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim_end().is_empty() => return Ok(Secret::new(text.trim_end())),
        Ok(_) => {
            let cause = io::Error::new(io::ErrorKind::InvalidData, "the file is empty");
            return Err(failed("read")(cause));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read")(error)),
    }
    let text = make()?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("written"))?;
    // Written aside and linked, so that of several programs that start at once all end with the same secret,
    // and none reads half of it.
    let draft = folder.join(format!("{name}.{}", uuid::Uuid::new_v4().simple()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(failed("written"))?;
    fs::read_to_string(&path)
        .map(Secret::new)
        .map_err(failed("read"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn kept_in(folder: &Path) -> Result<Secret, SecretError> {
        super::kept_in(folder, "service.secret", "PRISMA_SECRET")
    }

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("made/when/needed");
        let first = kept_in(&place).unwrap();
        assert!(first.expose().len() >= 64);
        assert_eq!(kept_in(&place).unwrap(), first);
        let mode = fs::metadata(place.join("service.secret"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&place).unwrap().count(),
            1,
            "the draft is gone"
        );
    }

    #[test]
    fn several_starts_at_once_get_the_same_secret() {
        let folder = tempfile::tempdir().unwrap();
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| kept_in(folder.path()).unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    }

    #[test]
    fn an_empty_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("service.secret"), "\n").unwrap();
        assert!(kept_in(folder.path()).is_err());
    }
}
