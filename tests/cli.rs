//! The program as people start it: output, exit status.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

/// A process without any of this one's `GOM__…` and named variables, in a folder of its own.
fn gom(folder: &tempfile::TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gom"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn config_shows_values_and_sources_and_no_secret() {
    let output = gom(
        &folder(),
        &["config", "--database-url", "postgres://gom:hunter2@db/shop"],
        &[
            ("PRISMA_SECRET", "hunter2"),
            ("GOM__SERVER__PORT", "8080"),
            ("GOM_ENV", "production"),
        ],
    );
    let out = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for (key, value, source) in [
        (
            "server.port",
            "8080",
            "environment variable GOM__SERVER__PORT",
        ),
        (
            "server.host",
            "\"0.0.0.0\"",
            "(built in) config/production.toml:4",
        ),
        ("server.workers", "0", "default"),
        (
            "database.url",
            "postgres://gom:***@db:5432/shop",
            "command line --database-url",
        ),
        (
            "service.secret",
            "***",
            "environment variable PRISMA_SECRET",
        ),
        ("app_key", "-", "unset"),
    ] {
        let line = out
            .lines()
            .find(|line| line.starts_with(&format!("{key} ")))
            .unwrap();
        assert!(line.contains(value) && line.ends_with(source), "{line}");
    }
    assert!(!out.contains("hunter2"));
}

#[test]
fn a_closed_standard_output_is_not_reported_as_a_failure() {
    let command = format!("{} schema | head -1", env!("CARGO_BIN_EXE_gom"));
    let output = Command::new("bash")
        .args(["-c", &command])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "type AggregateBp {\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn wrong_settings_are_reported_together_with_status_2() {
    let output = gom(
        &folder(),
        &["config"],
        &[("GOM__SERVER__PORT", "x"), ("GOM__SERVRE__PORT", "1")],
    );
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("the settings have 2 problems"), "{error}");
    assert!(
        error.contains("GOM__SERVER__PORT") && error.contains("GOM__SERVRE__PORT"),
        "{error}"
    );
}

#[test]
fn wrong_usage_has_status_2() {
    assert_eq!(
        gom(&folder(), &["no-such-command"], &[]).status.code(),
        Some(2)
    );
    assert_eq!(
        gom(&folder(), &["token", "--expires-in", "soon"], &[])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_token_is_one_line_that_the_secret_checks() {
    let output = gom(
        &folder(),
        &["token", "--expires-in", "1h"],
        &[("PRISMA_SECRET", "a secret")],
    );
    let token = text(&output.stdout).trim_end();
    let tokens =
        gom_server::identity::ServiceTokens::new(&gom_server::settings::Secret::new("a secret"));
    assert_eq!(tokens.check(token), Ok(()));
}

#[test]
fn a_token_for_the_private_database_uses_the_secret_that_is_kept_beside_it() {
    let folder = folder();
    let output = gom(&folder, &["token"], &[]);
    let secret = std::fs::read_to_string(folder.path().join(".gom/service.secret")).unwrap();
    let tokens =
        gom_server::identity::ServiceTokens::new(&gom_server::settings::Secret::new(secret));
    assert_eq!(tokens.check(text(&output.stdout).trim_end()), Ok(()));
}

#[test]
fn creating_a_service_secret_reports_its_file() {
    let folder = folder();
    let first = gom(&folder, &["token"], &[]);
    assert!(first.status.success(), "{first:?}");
    let said = text(&first.stderr);
    assert!(
        said.contains(".gom/service.secret") && said.contains("PRISMA_SECRET"),
        "{said}"
    );
    assert_eq!(text(&first.stdout).lines().count(), 1);
    assert_eq!(
        text(&gom(&folder, &["token"], &[]).stderr),
        "",
        "it is the same secret from now on"
    );
    let secret = [("PRISMA_SECRET", "2f6f7c1b9e0d4a58b3c7d1e2f3a4b5c6")];
    assert_eq!(text(&gom(&self::folder(), &["token"], &secret).stderr), "");
}

#[test]
fn an_empty_gom_config_counts_as_not_set() {
    let output = gom(&folder(), &["config"], &[("GOM_CONFIG", "")]);
    assert!(output.status.success(), "{output:?}");
    let output = gom(
        &folder(),
        &["healthcheck", "--timeout", "50"],
        &[("GOM_CONFIG", ""), ("GOM__SERVER__PORT", "1")],
    );
    assert_eq!(output.status.code(), Some(1), "nobody listens: {output:?}");
}

/// `scripts/start` gets PostgreSQL only where no database and no programs are named.
#[test]
fn the_start_script_sees_a_database_wherever_it_is_named() {
    let script = include_str!("../scripts/start");
    let from = script.find("configured() {").unwrap();
    let function = &script[from..from + script[from..].find("\n}\n").unwrap() + 3];
    let configured = |variables: &[(&str, &str)], arguments: &[&str], files: &[(&str, &str)]| {
        let folder = folder();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join("config").join(name), text).unwrap();
        }
        let mut shell = Command::new("sh");
        shell.args([
            "-euc",
            &format!("{function}\nif configured \"$@\"; then echo yes; else echo no; fi"),
            "start",
        ]);
        shell
            .args(arguments)
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        let output = shell.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout) == "yes\n"
    };
    for name in [
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "GOM__DATABASE__URL",
        "GOM__DATABASE__URL_FILE",
        "GOM__EMBEDDED__PROGRAMS",
        "GOM__EMBEDDED__PROGRAMS_FILE",
    ] {
        assert!(configured(&[(name, "x")], &[], &[]), "{name}");
    }
    assert!(configured(&[], &["serve", "--database-url", "x"], &[]));
    assert!(!configured(
        &[],
        &["serve", "--port", "1"],
        &[(
            "default.toml",
            "[server]\nurl = 'x'\n# database.url = 'x'\n"
        )]
    ));
    assert!(configured(
        &[],
        &[],
        &[(
            "default.toml",
            "[server]\nport = 1\n[database] # ours\n  url = 'x'\n"
        )]
    ));
    assert!(configured(
        &[],
        &[],
        &[("development.toml", "database.url = 'x'\n")]
    ));
    let production = ("production.toml", "[database]\nurl = 'x'\n");
    assert!(!configured(&[], &[], &[production]));
    assert!(configured(&[("GOM_ENV", "production")], &[], &[production]));
}

#[test]
fn a_token_for_another_database_needs_its_secret() {
    let output = gom(
        &folder(),
        &["token", "--database-url", "postgres://db/shop"],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("PRISMA_SECRET"));
}

#[test]
fn the_healthcheck_fails_without_a_server() {
    // A port that was free a moment ago.
    let port = gom_test_support::free_port();
    let output = gom(
        &folder(),
        &["healthcheck", &format!("http://127.0.0.1:{port}")],
        &[],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("no answer"));
}

#[test]
fn the_policy_is_checked_and_explained() {
    let folder = folder();
    let output = gom(&folder, &["policy", "check"], &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stdout)
            .contains("customer: no rule, hence no row, for Promotion, Publication")
    );

    std::fs::write(
        folder.path().join("q.graphql"),
        "{ orders { name } users { uid } }",
    )
    .unwrap();
    let explain = [
        "policy",
        "explain",
        "--role",
        "customer",
        "--query",
        "q.graphql",
    ];
    let output = gom(&folder, &explain, &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        out.contains("orders: needs read:orders, which the tokens issued for this role have"),
        "{out}"
    );
    assert!(
        out.contains("Order: { issuedTo: { uid: $sub }, assignedTo: { extUid: $seller } }")
            && out.contains("\"issuedTo\" = $1"),
        "{out}"
    );
    assert!(
        out.contains("users: not listed in the policy, hence refused for every user"),
        "{out}"
    );

    let wrong = "[roles.seller.rows]\nOrder = \"{ asignedTo: {} }\"\nOrdre = \"{}\"\n";
    std::fs::write(folder.path().join("policy.toml"), wrong).unwrap();
    let output = gom(
        &folder,
        &["policy", "check", "--policy", "policy.toml"],
        &[],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("roles.seller.rows.Order: 'asignedTo'"),
        "{said}"
    );
    assert!(
        said.contains("roles.seller.rows.Ordre: the datamodel has no type 'Ordre'"),
        "{said}"
    );
}

#[test]
fn a_row_rule_beyond_the_filter_depth_is_an_error_in_the_policy() {
    let folder = folder();
    let tight = [("GOM__LIMITS__FILTER_DEPTH", "3")];
    let output = gom(&folder, &["policy", "check"], &tight);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = "roles.seller.rows.Price: every filter that leads to Price has 4 relations one within the other by \
                    this rule; the limit is 3 (limits.filter_depth)";
    let said = text(&output.stderr);
    assert!(
        said.contains(expected) && !said.contains("rows.Item"),
        "{said}"
    );
}

#[test]
fn help_shows_the_forms_of_the_applications_subjects() {
    for command in ["session list", "session close", "push devices forget"] {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let output = gom(&folder(), &arguments, &[]);
        let help = text(&output.stdout);
        assert!(
            help.contains("a customer's is customer:UID:SELLER"),
            "{help}"
        );
    }
}

#[test]
fn an_accounts_name_cannot_look_like_a_customers_subject() {
    let add = [
        "account",
        "add",
        "ana",
        "--role",
        "seller",
        "--subject",
        "customer:c1:auth0|demo",
    ];
    let output = gom(&folder(), &add, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("is a customer's"),
        "{output:?}"
    );
}

#[test]
fn vapid_generate_prints_a_pair_that_the_settings_accept() {
    let output = gom(&folder(), &["vapid", "generate"], &[]);
    assert!(output.status.success(), "{output:?}");
    let out = text(&output.stdout);
    let value = |name: &str| {
        let line = out
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} in {out}"))
    };
    let (public, private) = (value("VAPID_PUBLIC_KEY"), value("VAPID_PRIVATE_KEY"));
    let pem = &out[out.find("-----BEGIN PRIVATE KEY-----").unwrap()..];
    for private in [private, pem] {
        let pair = [
            ("VAPID_PUBLIC_KEY", public),
            ("VAPID_PRIVATE_KEY", private),
            ("VAPID_SUBJECT", "mailto:ops@gom.example"),
        ];
        let config = gom(&folder(), &["config"], &pair);
        assert!(config.status.success(), "{config:?}");
        assert!(!text(&config.stdout).contains(private));
    }
    let other = gom(&folder(), &["vapid", "generate"], &[]);
    let other = text(&other.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("VAPID_PRIVATE_KEY="))
        .unwrap();
    let pair = [("VAPID_PUBLIC_KEY", public), ("VAPID_PRIVATE_KEY", other)];
    let config = gom(&folder(), &["config"], &pair);
    assert_eq!(config.status.code(), Some(2));
    let error = text(&config.stderr);
    assert!(
        error.contains("does not belong to the public key") && error.contains("push.vapid.subject"),
        "{error}"
    );
    assert!(!error.contains(other));
}

#[test]
fn the_schema_is_prismas_and_has_extensions_only_on_request() {
    let schema = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gom"))
            .arg("schema")
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = schema(&[]);
    assert!(!plain.contains("directive"), "byte for byte Prisma's");
    let extended = schema(&["--with-extensions"]);
    let extension = extended.strip_prefix(&plain).expect("the same begins it");
    assert!(
        extension.ends_with("\ndirective @live on QUERY\n"),
        "{extension}"
    );
}

#[test]
fn an_account_needs_a_role_that_the_policy_has_and_tokens_can_name() {
    let folder = folder();
    let policy = "[roles.member]\npermissions = [\"role:member\"]\n[roles.auditor]\npermissions = [\"read:orders\"]\n";
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let add = |role: &[&str]| {
        let arguments = [&["account", "add", "zoe", "--policy", "policy.toml"], role].concat();
        let output = gom(&folder, &arguments, &[]);
        assert_ne!(output.status.code(), Some(0), "{output:?}");
        text(&output.stderr).to_owned()
    };
    assert!(add(&[]).contains("--role <ROLE>"), "no role is the default");
    let unknown = add(&["--role", "seller"]);
    assert!(
        unknown.contains("the policy has no role 'seller'; its roles are auditor, member"),
        "{unknown}"
    );
    let unnamed = add(&["--role", "auditor"]);
    assert!(
        unnamed.contains("add \"role:auditor\" to roles.auditor.permissions"),
        "{unnamed}"
    );
}

#[test]
fn the_policy_check_names_roles_and_claims_that_no_token_has() {
    let folder = folder();
    let policy = "[roles.member]\npermissions = [\"role:member\"]\n[roles.member.rows]\nOrder = \"{ name: $subb }\"\n\
                  [roles.auditor.rows]\nOrder = \"{}\"\n";
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let check = |provider: &[(&str, &str)]| {
        gom(
            &folder,
            &["policy", "check", "--policy", "policy.toml"],
            provider,
        )
    };
    let claim = "member: no token that Gom issues has the claim $subb";
    let role = "auditor: no token that Gom issues has this role";

    let accounts = check(&[("GOM__AUTH__PROVIDER", "accounts")]);
    assert_eq!(accounts.status.code(), Some(1), "{accounts:?}");
    let said = text(&accounts.stderr);
    assert!(
        said.contains(claim) && said.contains("its claims are $sub, $gty") && said.contains(role),
        "{said}"
    );

    // The claims of another issuer's tokens are not configured here.
    let issuer = check(&[
        ("GOM__AUTH__PROVIDER", "auth0"),
        (
            "GOM__AUTH__OAUTH2__TOKEN_URL",
            "https://issuer.example/oauth/token",
        ),
        ("GOM__AUTH__OAUTH2__ISSUER", "https://issuer.example/"),
        ("GOM__AUTH__OAUTH2__AUDIENCE", "shop"),
        ("GOM__AUTH__OAUTH2__CLIENT_ID", "shop"),
        ("GOM__AUTH__OAUTH2__CLIENT_SECRET", "secret"),
    ]);
    assert!(issuer.status.success(), "{issuer:?}");
    let said = text(&issuer.stdout);
    assert!(
        said.contains(&format!("note: {claim}, unless your issuer adds it")),
        "{said}"
    );
    assert!(
        said.contains(&format!("note: {role}, unless your issuer adds it")),
        "{said}"
    );
}
