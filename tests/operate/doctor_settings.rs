//! `gom doctor` on settings, secrets and files.

use std::os::unix::fs::PermissionsExt;

use crate::doctor::{doctor, set, well};
use gom_actors::push::VapidKeys;

#[tokio::test]
async fn invalid_settings_are_reported_and_the_rest_is_checked() {
    let (_database, mut environment) = well().await;
    environment.retain(|(name, _)| *name != "PRISMA_SECRET");
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 2);
    report.says("complete", "problem", "service.secret: missing");
    report.says("schema", "ok", "agrees");
    let (one, other) = (
        VapidKeys::generate().unwrap(),
        VapidKeys::generate().unwrap(),
    );
    set(&mut environment, "VAPID_PUBLIC_KEY", one.public_base64url());
    set(
        &mut environment,
        "VAPID_PRIVATE_KEY",
        &other.private_base64url().unwrap(),
    );
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 2);
    report.says("complete", "problem", "push.vapid");
    report.says("complete", "problem", "gom vapid generate");
    assert!(!report.text.contains(&other.private_base64url().unwrap()));
}

#[tokio::test]
async fn weak_secrets_and_open_doors_are_problems_in_production() {
    let (_database, mut environment) = well().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "mysecret42").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    environment.retain(|(name, _)| *name != "PRISMA_SECRET");
    set(
        &mut environment,
        "PRISMA_SECRET_FILE",
        &file.display().to_string(),
    );
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 0, "on a developer's machine: {}", report.text);
    report.says("service.secret", "warning", "everybody knows");
    report.says(
        "file permissions",
        "warning",
        "others than its owner and group",
    );
    report.says("file permissions", "warning", "chmod o-rwx,g-w");
    assert!(!report.text.contains("mysecret42"));
    // The server may be in the group.
    for (mode, outcome, part) in [
        (0o640, "ok", "owner and group"),
        (0o660, "warning", "its group may write it"),
        (0o600, "ok", "owner"),
    ] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        doctor(&environment, &[]).says("file permissions", outcome, part);
    }
    set(&mut environment, "GOM_ENV", "production");
    set(&mut environment, "GOM__CSRF__OPTIONS__SECURE", "false");
    let report = doctor(&environment, &[]);
    assert_eq!(
        report.code, 2,
        "settings with which no server starts: {}",
        report.text
    );
    report.says("service.secret", "problem", "openssl rand");
    report.says("cookies", "problem", "csrf.options.secure");
    report.says(
        "server.trusted_proxies",
        "warning",
        "GOM__SERVER__TRUSTED_PROXIES",
    );
    set(
        &mut environment,
        "GOM__SERVER__TRUSTED_PROXIES",
        "0.0.0.0/0",
    );
    doctor(&environment, &[]).says("server.trusted_proxies", "problem", "everybody");
}

#[tokio::test]
async fn files_and_exporters_of_a_deployment_are_checked() {
    let (_database, mut environment) = well().await;
    let report = doctor(&environment, &[]);
    for check in ["datamodel", "policy", "traces"] {
        report.says(check, "ok", "");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    set(
        &mut environment,
        "GOM__PUSH__CA_FILE",
        &file("ca.pem", "no certificate"),
    );
    set(&mut environment, "OTEL_TRACES_EXPORTER", "zipkin");
    set(
        &mut environment,
        "GOM__POLICY__FILE",
        &file(
            "policy.toml",
            "[operations]\nquery = { sailors = \"read:sailor\" }\n",
        ),
    );
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("push.ca_file", "problem", "no certificate");
    report.says("traces", "problem", "zipkin");
    report.says("policy", "problem", "sailors");
    report.says("datamodel", "ok", "");
    // Nobody needs a database to find out.
    set(
        &mut environment,
        "DATABASE_URL",
        "host=/nowhere user=gom dbname=gom",
    );
    set(
        &mut environment,
        "GOM__DATAMODEL__FILE",
        &file(
            "clash.prisma",
            "type A { id: ID! @id }\ntype AConnection { id: ID! @id }",
        ),
    );
    doctor(&environment, &[]).says("datamodel", "problem", "AConnection");
}

#[tokio::test]
async fn a_cookie_that_scripts_can_read_is_a_problem_in_production() {
    let (_database, mut environment) = well().await;
    set(
        &mut environment,
        "GOM__SESSION__OPTIONS__HTTP_ONLY",
        "false",
    );
    assert!(
        doctor(&environment, &[])
            .all("session.options.http_only")
            .is_empty()
    );
    set(&mut environment, "GOM_ENV", "production");
    doctor(&environment, &[]).says("session.options.http_only", "problem", "scripts");
}
