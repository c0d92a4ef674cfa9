//! `auth.issuers`: a list of tables, whose faults are named.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::*;

const KEY: &str = "GOM__AUTH__ISSUERS";
const PLAIN: &str = r#"[{ "issuer": "https://a.example/", "audiences": ["api"] }]"#;

fn refused(variables: &[(&str, &str)]) -> String {
    let error = load(&inputs(variables)).unwrap_err();
    assert_eq!(error.problems[0].key, "auth.issuers", "{error}");
    error.to_string()
}

#[test]
fn a_file_has_a_table_for_each_issuer_and_a_variable_the_same_as_json() {
    let folder = folder(&[(
        "default.toml",
        r#"
        [[auth.issuers]]
        issuer = "https://shop.eu.auth0.com/"
        audiences = ["https://gql.example"]

        [[auth.issuers]]
        issuer = "https://id.example/realms/shop"
        jwksUrl = "https://id.example/realms/shop/protocol/openid-connect/certs"
        audiences = ["gom", "account"]
        algorithms = ["PS256"]
        subject-claim = "https://shop.example/user.id"
        role_claim = ["realm_access", "roles"]
        roles = { appMember = "member" }
        default_role = "guest"
        claims = { business = ["app", "business"] }
        leeway = 0
        "#,
    )]);
    let mut of_files = inputs(&[]);
    of_files.directory = Some(folder.path().to_owned());
    let loaded = load(&of_files).unwrap();
    let [auth0, keycloak] = loaded.settings.auth.issuers.as_slice() else {
        panic!("{:?}", loaded.settings.auth.issuers)
    };
    assert_eq!(auth0.issuer, "https://shop.eu.auth0.com/", "to the letter");
    let usual = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    assert_eq!(auth0.algorithms, usual);
    assert_eq!(auth0.leeway, Duration::from_secs(10));
    assert_eq!(auth0.subject_claim.0, ["sub"]);
    assert!(!auth0.assigns_roles() && keycloak.assigns_roles());
    assert_eq!(keycloak.algorithms, [Algorithm::PS256]);
    assert_eq!(keycloak.subject_claim.0, ["https://shop.example/user.id"]);
    assert_eq!(
        keycloak.role_claim.as_ref().unwrap().0,
        ["realm_access", "roles"]
    );
    assert_eq!(keycloak.roles["appMember"], "member");
    assert_eq!(keycloak.claims["business"].0, ["app", "business"]);
    assert_eq!(keycloak.leeway, Duration::ZERO);
    assert!(keycloak.jwks_url.as_ref().unwrap().ends_with("/certs"));
    let shown = loaded
        .effective
        .iter()
        .find(|one| one.key == "auth.issuers")
        .unwrap();
    let names = r#"["https://shop.eu.auth0.com/", "https://id.example/realms/shop"]"#;
    assert_eq!(shown.value.as_deref(), Some(names));
    assert!(shown.source.ends_with("default.toml:2"), "{}", shown.source);

    let of_variable = load(&inputs(&[(KEY, PLAIN)]))
        .unwrap()
        .settings
        .auth
        .issuers;
    assert_eq!(
        (of_variable.len(), of_variable[0].issuer.as_str()),
        (1, "https://a.example/")
    );
    assert!(load(&inputs(&[])).unwrap().settings.auth.issuers.is_empty());
}

#[test]
fn what_is_wrong_with_an_issuer_is_named() {
    for (changed, expected) in [
        (r#""audiences": []"#, "`audiences` is empty"),
        (
            r#""audiences": [""]"#,
            "`audiences` is empty, or has an empty text",
        ),
        (r#""audience": "api""#, "unknown field `audience`"),
        (r#""leeway": 1"#, "missing field `audiences`"),
        (
            r#""audiences": ["api"], "algorithms": ["HS256"]"#,
            "\"HS256\" is none of RS256",
        ),
        (
            r#""audiences": ["api"], "algorithms": ["none"]"#,
            "\"none\" is none of RS256",
        ),
        (
            r#""audiences": ["api"], "algorithms": []"#,
            "`algorithms` is empty",
        ),
        (
            r#""audiences": ["api"], "leeway": 61"#,
            "61 is more than 60 seconds",
        ),
        (
            r#""audiences": ["api"], "role_claim": "role""#,
            "`role_claim` and `roles` need each other",
        ),
        (
            r#""audiences": ["api"], "roles": { "a": "b" }"#,
            "`role_claim` and `roles` need each other",
        ),
        (
            r#""audiences": ["api"], "subject_claim": []"#,
            "a claim is a name",
        ),
        (
            r#""audiences": ["api"], "claims": { "x": "" }"#,
            "a claim is a name",
        ),
        (
            r#""audiences": ["api"], "jwks_url": "http://a.example/keys""#,
            "`jwks_url` is no https URL",
        ),
    ] {
        let text = format!(r#"[{{ "issuer": "https://a.example/", {changed} }}]"#);
        let error = refused(&[(KEY, &text)]);
        assert!(error.contains(expected), "{changed}: {error}");
    }
    for (text, expected) in [
        ("[", "no JSON"),
        ("{}", "a table is not usable"),
        ("[7]", "issuer 1"),
        (
            r#"[{ "issuer": "http://a.example/", "audiences": ["api"] }]"#,
            "`issuer` is no https URL",
        ),
        (
            r#"[{ "issuer": "a.example", "audiences": ["api"] }]"#,
            "`issuer` is no https URL",
        ),
        (
            r#"[{ "issuer": "https://a.example/?tenant=1", "audiences": ["api"] }]"#,
            "`issuer` has a query",
        ),
        (
            r#"[{ "issuer": "https://a.example/", "audiences": ["api"], "jwks_url": "https://a.example/1", "jwksUrl": "https://a.example/2" }]"#,
            "issuer 1: `jwks_url` is there twice",
        ),
    ] {
        let error = refused(&[(KEY, text)]);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let twice = format!("[{0}, {0}]", &PLAIN[1..PLAIN.len() - 1]);
    let error = refused(&[(KEY, &twice)]);
    assert!(
        error.contains("\"https://a.example/\" is there twice"),
        "{error}"
    );
    let many: Vec<String> = (0..17)
        .map(|n| format!(r#"{{ "issuer": "https://{n}.example/", "audiences": ["api"] }}"#))
        .collect();
    let error = refused(&[(KEY, &format!("[{}]", many.join(",")))]);
    assert!(error.contains("more than 16"), "{error}");
}

#[test]
fn issuers_and_the_rest_of_the_settings_go_together() {
    let local = r#"[{ "issuer": "http://127.0.0.1:8080/realms/shop", "audiences": ["api"] }]"#;
    load(&inputs(&[(KEY, local)])).unwrap();
    let keys = r#"[{ "issuer": "https://a.example", "jwks_url": "http://localhost/keys", "audiences": ["api"] }]"#;
    for plain in [local, keys] {
        let error = refused(&[(KEY, plain), ("GOM_ENV", "production")]);
        assert!(error.contains("over http"), "{error}");
    }
    let own = r#"[{ "issuer": "https://auth.gom.com", "audiences": ["api"] }]"#;
    let error = refused(&[(KEY, own)]);
    assert!(error.contains("auth.local.issuer"), "{error}");
    // Whose users log in as well.
    let logins = [
        ("GOM__AUTH__OAUTH2__ISSUER", "https://a.example/"),
        ("AUTH0_CLIENT_ID", "client"),
    ];
    let with = |text: &str| {
        let text = format!(r#"[{{ "issuer": "https://a.example/", {text} }}]"#);
        load(&inputs(&[logins[0], logins[1], (KEY, &text)])).map_err(|error| error.to_string())
    };
    with(r#""audiences": ["api"]"#).unwrap();
    let error = with(r#""audiences": ["api"], "subject_claim": "email""#).unwrap_err();
    assert!(error.contains("leave out subject_claim"), "{error}");
    let error = with(r#""audiences": ["api", "client"]"#).unwrap_err();
    assert!(
        error.contains("an id token could not be distinguished"),
        "{error}"
    );
}
