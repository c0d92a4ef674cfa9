//! Settings that are missing, or do not go together.

use super::*;

const TOKEN_ENDPOINT: [(&str, &str); 5] = [
    (
        "GOM__AUTH__OAUTH2__TOKEN_URL",
        "https://issuer.example/oauth/token",
    ),
    ("GOM__AUTH__OAUTH2__ISSUER", "https://issuer.example/"),
    ("AUTH0_CLIENT_ID", "client"),
    ("GOM__AUTH__OAUTH2__AUDIENCE", "https://api.example"),
    (
        "GOM__AUTH__OAUTH2__JWKS_ENDPOINT",
        "https://issuer.example/keys",
    ),
];

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

fn serving(variables: &[(&str, &str)]) -> Inputs {
    Inputs {
        purpose: Purpose::Serve,
        ..inputs(variables)
    }
}

#[test]
fn passwords_are_checked_by_whom_the_settings_say_or_mean() {
    let provider =
        |variables: &[(&str, &str)]| load(&serving(variables)).unwrap().settings.auth.provider();
    assert_eq!(provider(&[]), Provider::Accounts);
    assert_eq!(provider(&TOKEN_ENDPOINT), Provider::OAuth2);
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
        keys(&[("GOM__AUTH__PROVIDER", "oauth2")]),
        [
            "token_url",
            "issuer",
            "client_id",
            "audience",
            "jwks_endpoint"
        ]
        .map(|key| format!("auth.oauth2.{key}"))
    );
    let mut same = TOKEN_ENDPOINT.to_vec();
    same.push(("GOM__AUTH__OAUTH2__AUDIENCE", "client"));
    assert_eq!(keys(&same), ["auth.oauth2.audience"]);
    let mut plain = TOKEN_ENDPOINT.to_vec();
    plain.push((
        "GOM__AUTH__OAUTH2__TOKEN_URL",
        "http://issuer.example/oauth/token",
    ));
    assert_eq!(keys(&plain), ["auth.oauth2.token_url"]);
}

#[test]
fn what_does_not_go_together_is_reported() {
    let found = |variables: &[(&str, &str)]| problems(&serving(variables)).remove(0).0;
    assert_eq!(found(&[("APP_KEY", "short")]), "app_key");
    assert_eq!(found(&[("APP_KEY_PREVIOUS", "short")]), "app_key_previous");
    let none = [
        ("GOM__CSRF__OPTIONS__SAME_SITE", "none"),
        ("GOM__CSRF__OPTIONS__SECURE", "false"),
    ];
    assert_eq!(found(&none), "csrf.options.same_site");
    let unused = [
        ("GOM__SESSION__MAX_LIFETIME", "1000"),
        ("GOM__SESSION__OPTIONS__MAX_AGE", "1001"),
    ];
    assert_eq!(found(&unused), "sessions.max_lifetime");
    assert_eq!(
        found(&[
            ("GOM__PUSH__LEASE", "29999"),
            ("GOM__PUSH__TIMEOUT", "10000")
        ]),
        "push.lease"
    );
}
