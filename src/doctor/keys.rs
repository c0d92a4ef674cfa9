//! Secrets: whether they are long enough, one's own, and for nobody else to read.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Patient;
use super::report::{Report, Subject};
use gom_server::settings::{Key, Secret, secret_files, weakness};

/// Where a container's secrets are, by both of the folder's names.
const CONTAINER_SECRETS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];
/// Files that the private database's folder keeps.
const KEPT: [&str; 3] = ["service.secret", "app.key", "vapid.pem"];

pub(super) fn examine(patient: &Patient, report: &mut Report) {
    let settings = &patient.settings;
    let mut found = report.of("keys");
    let own_database = settings.database.url.is_some();
    let kept = "kept beside the private database, made at first start";
    match &settings.service.secret {
        Some(secret) => weigh(
            &mut found,
            patient,
            "service.secret",
            "PRISMA_SECRET",
            secret,
        ),
        None if own_database => {
            found.problem(
                "service.secret",
                "there is none",
                "set PRISMA_SECRET or PRISMA_SECRET_FILE: `openssl rand -hex 32`",
            );
        }
        None => found.ok("service.secret", kept),
    }
    match &settings.app_key {
        Some(key) => weigh(&mut found, patient, "app_key", "APP_KEY", key),
        None if own_database && patient.is_public() => found.warning(
            "app_key",
            "derived from service.secret: changing that logs everybody out",
            "set APP_KEY, the same on all nodes: `openssl rand -hex 32`",
        ),
        None if own_database => found.ok("app_key", "derived from service.secret"),
        None => found.ok("app_key", kept),
    }
    if settings.app_key.is_some() && settings.app_key == settings.service.secret {
        found.warning(
            "app_key",
            "the same as service.secret: neither can be changed alone",
            "give each a value of its own: `openssl rand -hex 32`",
        );
    }
    files(
        &mut found,
        patient.application.settings(),
        settings
            .database
            .url
            .is_none()
            .then_some(settings.embedded.data_dir.as_path()),
    );
}

fn weigh(
    found: &mut Subject<'_>,
    patient: &Patient,
    key: &'static str,
    variable: &str,
    secret: &Secret,
) {
    let remedy = format!("set {variable} to random bytes: `openssl rand -hex 32`");
    match weakness(secret) {
        None => found.ok(key, format!("{} bytes", secret.expose().len())),
        Some(weakness) if patient.is_public() => found.problem(key, weakness, remedy),
        Some(weakness) => found.warning(key, weakness, remedy),
    }
}

/// Files with secrets that others may use, or that the group may write; it may well read, where the server is
/// in it. Those of a container's own secrets are for everybody in it.
fn files(found: &mut Subject<'_>, keys: &'static [Key], private: Option<&Path>) {
    let named = secret_files(keys, &std::env::vars_os().collect());
    let kept = private
        .into_iter()
        .flat_map(|folder| KEPT.map(|name| (name.to_owned(), folder.join(name))));
    let files: Vec<(String, PathBuf)> = named.into_iter().chain(kept).collect();
    let mut good = 0;
    for (key, path) in &files {
        let Ok(metadata) = std::fs::metadata(path) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o027 == 0
            || CONTAINER_SECRETS
                .iter()
                .any(|folder| path.starts_with(folder))
        {
            good += 1;
        } else {
            let path = path.display();
            let who = if mode & 0o007 == 0 {
                "its group may write it"
            } else {
                "others than its owner and group may use it"
            };
            found.warning(
                "file permissions",
                format!("{path} ({key}) has the mode {mode:o}: {who}"),
                format!("chmod o-rwx,g-w {path}"),
            );
        }
    }
    if good > 0 {
        found.ok(
            "file permissions",
            format!("{good} files with secrets are for their owner and group only"),
        );
    } else if files.is_empty() {
        found.skipped("file permissions", "no secret comes from a file");
    }
}
