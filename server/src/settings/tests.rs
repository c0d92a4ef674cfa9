//! The layers together: which place wins, and what is said when something is wrong.

use super::*;

fn inputs(variables: &[(&str, &str)]) -> Inputs {
    Inputs {
        keys: &[],
        purpose: Purpose::Tool,
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        directory: None,
        arguments: Vec::new(),
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn source_of<'a>(loaded: &'a Loaded, key: &str) -> &'a str {
    &loaded
        .effective
        .iter()
        .find(|effective| effective.key == key)
        .unwrap()
        .source
}

fn problems(inputs: &Inputs) -> Vec<(String, String)> {
    let error = load(inputs).unwrap_err();
    error
        .problems
        .into_iter()
        .map(|problem| {
            (
                problem.key,
                problem
                    .source
                    .map_or(String::new(), |source| source.to_string()),
            )
        })
        .collect()
}

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
fn all_problems_are_told_at_once() {
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
fn the_service_secret_is_needed_only_to_serve_a_database_of_ones_own() {
    let mut with_url = inputs(&[("DATABASE_URL", "postgres://h/d")]);
    load(&with_url).unwrap();
    with_url.purpose = Purpose::Serve;
    assert_eq!(problems(&with_url)[0].0, "service.secret");
    let mut private = inputs(&[]);
    private.purpose = Purpose::Serve;
    load(&private).unwrap();
}

#[test]
fn a_body_that_may_be_sent_fits_into_what_requests_may_have() {
    let variables = |name: &str| format!("GOM__{}", name.to_ascii_uppercase().replace('.', "__"));
    let (total, body) = ("limits.request_bytes", "limits.body_bytes");
    let (of_service, body_of_service) =
        ("limits.service.request_bytes", "limits.service.body_bytes");
    let of_server = "server.request_bytes";
    let all = [total, body, of_service, body_of_service, of_server].map(variables);
    let sizes: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), "20000")).collect();
    load(&inputs(&sizes)).expect("what is as large as a body is enough");
    for (smaller, larger) in [
        (total, body),
        (of_service, body_of_service),
        (of_server, body),
    ] {
        let (smaller_variable, larger) = (variables(smaller), variables(larger));
        let error = load(&inputs(&[(&smaller_variable, "20000"), (&larger, "20001")])).unwrap_err();
        assert_eq!(error.problems[0].key, smaller);
        assert!(error.problems[0].message.contains("20001"), "{error}");
    }
}

#[test]
fn a_weak_service_secret_is_refused_in_public_and_where_cookies_are_derived_from_it() {
    let (strong, key) = (
        "2f6f7c1b9e0d4a58b3c7d1e2f3a4b5c6",
        "0123456789abcdef0123456789abcdef",
    );
    for (environment, url, app_key, secret, good) in [
        ("production", "", "", "mysecret", false),
        ("production", "postgres://h/d", key, "12345", false),
        (
            "staging",
            "postgres://h/d",
            key,
            "short but many letters",
            false,
        ),
        ("production", "postgres://h/d", "", strong, true),
        ("development", "postgres://h/d", "", "mysecret", false),
        ("development", "postgres://h/d", key, "mysecret", true),
        ("development", "", "", "mysecret", true),
    ] {
        let mut inputs = inputs(&[
            ("GOM_ENV", environment),
            ("DATABASE_URL", url),
            ("APP_KEY", app_key),
            ("PRISMA_SECRET", secret),
        ]);
        load(&inputs).unwrap_or_else(|error| panic!("a tool needs no secret: {error}"));
        inputs.purpose = Purpose::Serve;
        let refused = load(&inputs).err().map(|error| error.to_string());
        assert_eq!(
            refused.is_none(),
            good,
            "{environment} {url} {secret}: {refused:?}"
        );
        if let Some(refused) = refused {
            assert!(
                refused.contains("service.secret") && refused.contains("openssl rand -hex 32"),
                "{refused}"
            );
            assert!(!refused.contains(secret), "{refused}");
        }
    }
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

const TOKEN_ENDPOINT: [(&str, &str); 5] = [
    (
        "GOM__AUTH__AUTH0__TOKEN_URL",
        "https://issuer.example/oauth/token",
    ),
    ("GOM__AUTH__AUTH0__ISSUER", "https://issuer.example/"),
    ("AUTH0_CLIENT_ID", "client"),
    ("GOM__AUTH__AUTH0__AUDIENCE", "https://api.example"),
    (
        "GOM__AUTH__AUTH0__JWKS_ENDPOINT",
        "https://issuer.example/keys",
    ),
];

fn serving(variables: &[(&str, &str)]) -> Inputs {
    Inputs {
        keys: &[],
        purpose: Purpose::Serve,
        ..inputs(variables)
    }
}

#[test]
fn passwords_are_checked_by_whom_the_settings_say_or_mean() {
    let provider =
        |variables: &[(&str, &str)]| load(&serving(variables)).unwrap().settings.auth.provider();
    assert_eq!(provider(&[]), Provider::Accounts);
    assert_eq!(provider(&TOKEN_ENDPOINT), Provider::Auth0);
    let mut accounts = TOKEN_ENDPOINT.to_vec();
    accounts.push(("GOM__AUTH__PROVIDER", "accounts"));
    assert_eq!(provider(&accounts), Provider::Accounts);
}

#[test]
fn a_token_endpoint_needs_all_that_it_is_asked_with() {
    let keys = |variables: &[(&str, &str)]| {
        problems(&serving(variables))
            .into_iter()
            .map(|(key, _)| key)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&[("GOM__AUTH__PROVIDER", "auth0")]),
        [
            "token_url",
            "issuer",
            "client_id",
            "audience",
            "jwks_endpoint"
        ]
        .map(|key| format!("auth.auth0.{key}"))
    );
    let mut same = TOKEN_ENDPOINT.to_vec();
    same.push(("GOM__AUTH__AUTH0__AUDIENCE", "client"));
    assert_eq!(keys(&same), ["auth.auth0.audience"]);
    let mut plain = TOKEN_ENDPOINT.to_vec();
    plain.push((
        "GOM__AUTH__AUTH0__TOKEN_URL",
        "http://issuer.example/oauth/token",
    ));
    assert_eq!(keys(&plain), ["auth.auth0.token_url"]);
}

#[test]
fn what_does_not_go_together_is_told() {
    let told = |variables: &[(&str, &str)]| problems(&serving(variables)).remove(0).0;
    assert_eq!(told(&[("APP_KEY", "short")]), "app_key");
    assert_eq!(told(&[("APP_KEY_PREVIOUS", "short")]), "app_key_previous");
    let none = [
        ("GOM__CSRF__OPTIONS__SAME_SITE", "none"),
        ("GOM__CSRF__OPTIONS__SECURE", "false"),
    ];
    assert_eq!(told(&none), "csrf.options.same_site");
    let unused = [
        ("GOM__SESSION__MAX_LIFETIME", "1000"),
        ("GOM__SESSION__OPTIONS__MAX_AGE", "1001"),
    ];
    assert_eq!(told(&unused), "session.max_lifetime");
    assert_eq!(
        told(&[
            ("GOM__PUSH__LEASE", "29999"),
            ("GOM__PUSH__TIMEOUT", "10000")
        ]),
        "push.lease"
    );
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
