//! The keys of Web Push.

use gom_actors::push::{Contact, VapidKeys};

use super::Patient;
use super::report::Report;

pub(super) fn examine(patient: &Patient, report: &mut Report) {
    let settings = &patient.settings;
    let vapid = &settings.push.vapid;
    let mut found = report.of("vapid");
    match (&vapid.public_key, &vapid.private_key) {
        (Some(public), Some(private)) => match VapidKeys::parse(public, private.expose()) {
            Ok(_) => found.ok("keys", "public and private key are a pair"),
            Err(error) => found.problem(
                "keys",
                error.to_string(),
                "make a pair: `gom vapid generate`",
            ),
        },
        _ if settings.database.url.is_none() => {
            found.ok(
                "keys",
                "a pair is kept beside the private database, made at first start",
            );
        }
        _ => {
            return found.skipped(
                "keys",
                "push is off: there are none (`gom vapid generate` makes a pair)",
            );
        }
    }
    match vapid.subject.as_deref().map(Contact::parse) {
        None if settings.database.url.is_none() => {
            found.ok("subject", "none, as suits a private database")
        }
        Some(Ok(_)) => {
            let subject = vapid.subject.as_deref().unwrap_or_default();
            let nobody = [
                ".invalid",
                ".example",
                ".test",
                "localhost",
                "example.com",
                "example.org",
            ];
            if patient.is_public() && nobody.iter().any(|end| subject.ends_with(end)) {
                found.warning(
                    "subject",
                    format!("{subject} leads to nobody: some push services refuse such messages"),
                    "set VAPID_SUBJECT to an address that is read",
                );
            } else {
                found.ok("subject", subject);
            }
        }
        _ => found.problem(
            "subject",
            "no mailto: address and no https: URL",
            "set VAPID_SUBJECT to one",
        ),
    }
}
