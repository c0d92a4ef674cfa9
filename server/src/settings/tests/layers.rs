//! Which place wins, how values are read, and what each problem names.

use super::*;

#[test]
fn the_table_fills_every_field() {
    let loaded = load(&inputs(&[])).unwrap();
    assert_eq!(loaded.environment, "development");
    assert_eq!(loaded.settings.server.port, 3000);
    assert_eq!(
        loaded.settings.limits.everyone.deadline,
        Duration::from_secs(5)
    );
    assert_eq!(loaded.settings.database.schema, "default$default");
    assert!(
        loaded.settings.database.deploy(),
        "the private database is deployed"
    );
    assert_eq!(source_of(&loaded, "server.port"), "default");
    assert_eq!(source_of(&loaded, "database.url"), "unset");
}

#[test]
fn later_places_win() {
    let folder = folder(&[
        (
            "default.toml",
            "[server]\nport = 1\nworkers = 2\nhost = \"a\"\nshutdownTimeout = 7\n",
        ),
        (
            "production.toml",
            "[server]\nport = 2\nworkers = 3\nhost = \"b\"\n",
        ),
    ]);
    let mut inputs = inputs(&[
        ("GOM_ENV", "production"),
        ("GOM__SERVER__PORT", "3"),
        ("GOM__SERVER__WORKERS", "4"),
    ]);
    inputs.directory = Some(folder.path().into());
    inputs.arguments = vec![("server.port", "--port", "4".into())];
    let loaded = load(&inputs).unwrap();
    let server = &loaded.settings.server;
    assert_eq!(
        (server.port, server.workers, server.host.as_str()),
        (4, 4, "b")
    );
    assert_eq!(server.shutdown_timeout, Duration::from_millis(7));
    assert_eq!(source_of(&loaded, "server.port"), "command line --port");
    assert_eq!(
        source_of(&loaded, "server.workers"),
        "environment variable GOM__SERVER__WORKERS"
    );
    assert!(source_of(&loaded, "server.host").ends_with("production.toml:4"));
    assert!(source_of(&loaded, "server.shutdown_timeout").ends_with("default.toml:5"));
}

#[test]
fn a_named_variable_wins_over_the_one_made_from_the_path() {
    let loaded = load(&inputs(&[
        ("DATABASE_URL", "postgres://named/x"),
        ("GOM__DATABASE__URL", "postgres://generic/x"),
        ("PRISMA_SECRET", "s"),
    ]))
    .unwrap();
    assert_eq!(
        loaded.settings.database.url.unwrap().expose(),
        "postgres://named/x"
    );
}

#[test]
fn the_databases_password_may_come_by_itself() {
    let reached = |url, password| {
        let loaded = load(&inputs(&[
            ("DATABASE_URL", url),
            ("PG_PASSWORD", password),
            ("PRISMA_SECRET", "s"),
        ]));
        loaded
            .unwrap()
            .settings
            .database
            .configured()
            .unwrap()
            .unwrap()
            .server
    };
    assert_eq!(
        reached("postgres://gom@db/x", "p%40ss w'rd").get_password(),
        Some(&b"p%40ss w'rd"[..])
    );
    assert_eq!(
        reached("postgres://gom:own@db/x", "").get_password(),
        Some(&b"own"[..])
    );
    for url in ["postgres://gom:own@db/x", ""] {
        let found = problems(&inputs(&[
            ("DATABASE_URL", url),
            ("PG_PASSWORD", "p"),
            ("PRISMA_SECRET", "s"),
        ]));
        assert_eq!(found, [("database.password".to_owned(), String::new())]);
    }
}

#[test]
fn every_environments_file_is_usable_as_shipped() {
    for (name, _) in ENVIRONMENTS {
        load(&inputs(&[("GOM_ENV", name)])).unwrap();
        let mut inputs = inputs(&[("GOM_ENV", name)]);
        inputs.directory = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../config").into());
        load(&inputs).unwrap();
    }
}

#[test]
fn production_shows_nothing_that_was_not_asked_for() {
    for (environment, open) in [
        ("development", true),
        ("staging", true),
        ("production", false),
    ] {
        let settings = load(&inputs(&[("GOM_ENV", environment)])).unwrap().settings;
        let (graphql, server) = (settings.graphql, settings.server);
        let shown = [graphql.introspection, graphql.console, server.welcome];
        assert_eq!(shown, [open; 3], "{environment}");
        assert_eq!(server.openapi, open, "{environment}");
    }
    let variables = [("GOM_ENV", "production"), ("GOM__GRAPHQL__CONSOLE", "true")];
    assert!(load(&inputs(&variables)).unwrap().settings.graphql.console);
}

#[test]
fn a_file_variable_gives_the_content_without_one_newline() {
    let folder = folder(&[("secret", "two lines\n\n"), ("windows", "word\r\n")]);
    let secret = folder.path().join("secret");
    let loaded = load(&inputs(&[
        ("PRISMA_SECRET_FILE", secret.to_str().unwrap()),
        (
            "GOM__APP_KEY_FILE",
            folder.path().join("windows").to_str().unwrap(),
        ),
    ]))
    .unwrap();
    assert_eq!(
        loaded.settings.service.secret.clone().unwrap().expose(),
        "two lines\n"
    );
    assert_eq!(loaded.settings.app_key.clone().unwrap().expose(), "word");
    assert!(source_of(&loaded, "service.secret").contains("PRISMA_SECRET_FILE"));
}

#[test]
fn both_forms_of_a_variable_are_an_error() {
    let found = problems(&inputs(&[("APP_KEY", "k"), ("APP_KEY_FILE", "/nowhere")]));
    assert_eq!(
        found,
        [(
            "app_key".to_owned(),
            "environment variable APP_KEY".to_owned()
        )]
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let loaded = load(&inputs(&[("DATABASE_URL", ""), ("DATABASE_URL_FILE", "")])).unwrap();
    assert_eq!(loaded.settings.database.url, None);
}

#[test]
fn all_problems_are_reported_together() {
    let folder = folder(&[(
        "development.toml",
        "[server]\nprot = 1\nport = \"x\"\n\n[limits.service]\ndeadline = 0\n\n[log]\nformat = \"xml\"\n",
    )]);
    let mut inputs = inputs(&[
        ("GOM__SERVER__WORKERS", "many"),
        ("GOM__SERVER__WORKRES", "2"),
        ("DATABASE_URL", "postgres://u:hunter2@h/d"),
        ("APP_KEY_FILE", "/nowhere/at/all"),
        ("VAPID_PUBLIC_KEY", "BA…"),
    ]);
    inputs.purpose = Purpose::Serve;
    inputs.directory = Some(folder.path().into());
    inputs.arguments = vec![("server.port", "--port", "70000".into())];
    let text = load(&inputs).unwrap_err().to_string();
    for expected in [
        "10 problems",
        "server.prot: unknown key",
        "development.toml:2",
        "did you mean server.port?",
        "server.port: \"x\" is not usable",
        "limits.service.deadline: 0 is not usable",
        "log.format: \"xml\" is not usable",
        "one of pretty, json",
        "environment variable GOM__SERVER__WORKERS",
        "did you mean GOM__SERVER__WORKERS?",
        "app_key: the file cannot be read",
        "command line --port",
        "service.secret: missing",
        "PRISMA_SECRET_FILE",
        "push.vapid.private_key: missing",
    ] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    assert!(!text.contains("hunter2"));
}

#[test]
fn one_setting_under_two_spellings_in_a_file_is_an_error() {
    let folder = folder(&[(
        "development.toml",
        "[database]\nconnect_timeout = 1\nconnectTimeout = 2\n",
    )]);
    let mut inputs = inputs(&[]);
    inputs.directory = Some(folder.path().into());
    let found = problems(&inputs);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.ends_with("development.toml:3"));
}

#[test]
fn a_broken_file_names_its_line() {
    let folder = folder(&[("development.toml", "[server]\nport = \n")]);
    let mut inputs = inputs(&[]);
    inputs.directory = Some(folder.path().into());
    let found = problems(&inputs);
    assert!(found[0].1.contains("development.toml:2"), "{found:?}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_only_when_asked_for() {
    let mut inputs = inputs(&[]);
    load(&inputs).unwrap();
    inputs.directory = Some("/nowhere/at/all".into());
    assert_eq!(problems(&inputs)[0].0, "--config");
}

#[test]
fn an_unknown_environment_is_an_error() {
    assert_eq!(problems(&inputs(&[("GOM_ENV", "prod")]))[0].0, "GOM_ENV");
}

#[test]
fn nothing_shows_a_secret() {
    let keys = gom_actors::push::VapidKeys::generate().unwrap();
    let private = keys.private_base64url().unwrap();
    let loaded = load(&inputs(&[
        ("DATABASE_URL", "postgres://gom:hunter2@h/d"),
        ("PRISMA_SECRET", "hunter2"),
        ("APP_KEY", "hunter2"),
        ("AUTH0_CLIENT_SECRET", "hunter2"),
        ("VAPID_PRIVATE_KEY", &private),
        ("VAPID_PUBLIC_KEY", keys.public_base64url()),
        ("VAPID_SUBJECT", "mailto:ops@gom.example"),
    ]))
    .unwrap();
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("hunter2") && !shown.contains(&private));
}

#[test]
fn cookies_are_secure_except_in_development() {
    for (name, _) in ENVIRONMENTS {
        let settings = load(&inputs(&[("GOM_ENV", name)])).unwrap().settings;
        let secure = [
            settings.session.options.secure,
            settings.access_token.options.secure,
            settings.csrf.options.secure,
        ];
        assert_eq!(secure, [name != "development"; 3], "{name}");
        assert_eq!(settings.session.options.same_site, SameSite::Lax);
        assert!(settings.session.options.http_only);
        assert_eq!(
            settings.embedded.demo,
            name == "development",
            "everybody knows its passwords"
        );
    }
}

#[test]
fn the_originals_spellings_and_lists_are_read_from_files() {
    let folder = folder(&[(
        "development.toml",
        "[session.options]\nmaxAge = 60000\nsameSite = \"strict\"\n\n[accessToken.options]\nmaxAge = 1000\n\n\
         [login-limiter.consecutiveFails]\npoints = 3\nblockDuration = 7\n\n\
         [server]\ntrustedProxies = [\"10.0.0.0/8\", \"::1\"]\norigins = []\n",
    )]);
    let mut inputs = inputs(&[(
        "GOM__SERVER__ORIGINS",
        "https://a.example, https://b.example:8443",
    )]);
    inputs.directory = Some(folder.path().into());
    let loaded = load(&inputs).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.session.options.max_age, Duration::from_secs(60));
    assert_eq!(settings.session.options.same_site, SameSite::Strict);
    assert_eq!(
        settings.access_token.options.max_age,
        Duration::from_secs(1)
    );
    assert_eq!(settings.csrf.options.max_age(), None);
    let limit = settings.login_limiter.consecutive_fails;
    assert_eq!(
        (limit.points, limit.block_duration),
        (3, Duration::from_secs(7))
    );
    assert_eq!(
        settings.server.trusted_proxies,
        ["10.0.0.0/8", "::1/128"].map(|text| text.parse().unwrap())
    );
    assert_eq!(
        settings.server.origins,
        ["https://a.example", "https://b.example:8443"]
    );
    let shown = loaded
        .effective
        .iter()
        .find(|effective| effective.key == "server.trusted_proxies")
        .unwrap();
    assert_eq!(shown.value.as_deref(), Some(r#"["10.0.0.0/8", "::1/128"]"#));
}
