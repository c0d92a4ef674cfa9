//! The keys by which push services know this server, and how messages are sent: from the settings.

use gom_actors::push::{Contact, ContactError, SenderOptions, VapidKeys};

use super::kept_secret::{SecretError, load_or_generate_secret};
use crate::settings::Settings;

/// The contact of a server whose operator has set none. A reserved name, where nobody is written to; Apple refuses tokens whose
/// contact is at `localhost` or at a top-level domain that does not exist.
const NOBODY: &str = "mailto:operator@example.com";

/// The configured pair. With the private database and none configured: the one kept in the file `vapid.pem` beside
/// the database, made when it is first asked for, so that browsers stay subscribed. Otherwise none: push is off.
///
/// # Errors
/// If the keys are no pair, or the file cannot be read or written.
pub fn obtain_vapid_keys(settings: &Settings) -> Result<Option<VapidKeys>, SecretError> {
    let vapid = &settings.push.vapid;
    match (
        &vapid.public_key,
        &vapid.private_key,
        &settings.database.url,
    ) {
        (Some(public), Some(private), _) => Ok(Some(VapidKeys::parse(public, private.expose())?)),
        (None, None, None) => {
            let make = || Ok(VapidKeys::generate()?.private_pem()?);
            let folder = &settings.embedded.data_dir;
            let pem = load_or_generate_secret(
                folder,
                "vapid.pem",
                "VAPID_PUBLIC_KEY and VAPID_PRIVATE_KEY",
                make,
            )?;
            Ok(Some(VapidKeys::from_pem(pem.expose())?))
        }
        // One without the other is refused when settings are read.
        _ => Ok(None),
    }
}

/// How messages are sent.
///
/// # Errors
/// If the subject is no address, which has been checked when it was read.
pub fn sender_options(settings: &Settings) -> Result<SenderOptions, ContactError> {
    let push = &settings.push;
    let contact = Contact::parse(push.vapid.subject.as_deref().unwrap_or(NOBODY))?;
    Ok(SenderOptions {
        ca_file: push.ca_file.clone(),
        inside: push.inside.clone(),
        allowed_hosts: push.allowed_hosts.clone(),
        any_port: push.any_port,
        timeout: push.timeout,
        ..SenderOptions::new(contact)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::{Inputs, Purpose, load};

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let inputs = Inputs {
            keys: &[],
            purpose: Purpose::Tool,
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: None,
            arguments: Vec::new(),
        };
        load(&inputs).unwrap().settings
    }

    #[test]
    fn the_contact_that_nobody_has_set_is_one_that_push_services_accept() {
        let domain = NOBODY
            .strip_prefix("mailto:")
            .and_then(|address| address.split_once('@'))
            .unwrap()
            .1;
        assert!(domain.contains('.'), "{domain}");
        for end in ["localhost", ".invalid", ".test", ".local"] {
            assert!(!domain.ends_with(end), "{domain}");
        }
    }

    #[test]
    fn the_private_database_keeps_a_pair_and_another_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let private = settings(&[("GOM__EMBEDDED__DATA_DIR", place)]);
        let first = obtain_vapid_keys(&private).unwrap().unwrap();
        let second = obtain_vapid_keys(&private).unwrap().unwrap();
        assert_eq!(first.public_base64url(), second.public_base64url());
        let mode = std::fs::metadata(folder.path().join("vapid.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let own = settings(&[
            ("GOM__DATABASE__URL", "postgres://gom@db/shop"),
            ("PRISMA_SECRET", "secret"),
        ]);
        assert!(obtain_vapid_keys(&own).unwrap().is_none());

        let pair = VapidKeys::generate().unwrap();
        let configured = settings(&[
            ("GOM__EMBEDDED__DATA_DIR", place),
            ("VAPID_PUBLIC_KEY", pair.public_base64url()),
            ("VAPID_PRIVATE_KEY", &pair.private_base64url().unwrap()),
            ("VAPID_SUBJECT", "mailto:ops@gom.example"),
        ]);
        let used = obtain_vapid_keys(&configured).unwrap().unwrap();
        assert_eq!(used.public_base64url(), pair.public_base64url());
        assert_eq!(
            sender_options(&configured).unwrap().contact.as_str(),
            "mailto:ops@gom.example"
        );
    }
}
