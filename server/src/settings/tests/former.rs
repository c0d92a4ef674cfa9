//! Settings under names that earlier versions had.

use super::*;

fn warnings(inputs: &Inputs) -> Vec<String> {
    load(inputs).unwrap().warnings
}

#[test]
fn a_former_key_is_accepted_from_a_file_with_one_warning_that_names_the_new_one() {
    let folder = folder(&[("default.toml", "[database]\nmaxInHand = 7\n")]);
    let mut inputs = inputs(&[]);
    inputs.directory = Some(folder.path().into());
    let loaded = load(&inputs).unwrap();
    assert_eq!(loaded.settings.database.max_in_flight, 7);
    let [warning] = &loaded.warnings[..] else {
        panic!("one warning: {:?}", loaded.warnings)
    };
    assert!(warning.starts_with("database.max_in_hand ("), "{warning}");
    assert!(
        warning.contains("default.toml:2) is called database.max_in_flight now"),
        "{warning}"
    );
    assert!(source_of(&loaded, "database.max_in_flight").ends_with("default.toml:2"));
}

#[test]
fn a_former_variable_and_a_former_flag_are_accepted() {
    let variable = inputs(&[("GOM__DATABASE__MAX_IN_HAND", "8")]);
    let loaded = load(&variable).unwrap();
    assert_eq!(loaded.settings.database.max_in_flight, 8);
    assert_eq!(
        loaded.warnings,
        [
            "database.max_in_hand (environment variable GOM__DATABASE__MAX_IN_HAND) is called \
             database.max_in_flight now: rename it"
        ]
    );
    let mut argument = inputs(&[]);
    argument.arguments = vec![("database.max_in_hand", "--max-in-hand", "9".into())];
    let loaded = load(&argument).unwrap();
    assert_eq!(loaded.settings.database.max_in_flight, 9);
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn a_former_variable_may_name_a_file() {
    let folder = folder(&[("secret", "s3cret\n")]);
    let path = folder.path().join("secret");
    let name = "GOM__AUTH__AUTH0__CLIENT_SECRET_FILE";
    let loaded = load(&inputs(&[(name, path.to_str().unwrap())])).unwrap();
    let secret = loaded.settings.auth.oauth2.client_secret.unwrap();
    assert_eq!(secret.expose(), "s3cret");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(!loaded.warnings[0].contains("s3cret"));
}

#[test]
fn both_names_of_a_setting_are_an_error_that_names_both() {
    let folder = folder(&[("default.toml", "[database]\nmax_in_hand = 7\n")]);
    let mut inputs = inputs(&[("GOM__DATABASE__MAX_IN_FLIGHT", "7")]);
    inputs.directory = Some(folder.path().into());
    let error = load(&inputs).unwrap_err();
    let [problem] = &error.problems[..] else {
        panic!("one problem: {error}")
    };
    assert_eq!(
        problem.message,
        "both database.max_in_hand and database.max_in_flight are set, and are the same setting; \
         database.max_in_flight is set by environment variable GOM__DATABASE__MAX_IN_FLIGHT"
    );
    assert_eq!(problem.remedy, "keep database.max_in_flight");
}

#[test]
fn a_variable_without_a_path_in_its_name_overrides_a_former_name() {
    let folder = folder(&[(
        "default.toml",
        "[auth.auth0]\nclient_id = \"of the file\"\n",
    )]);
    let mut inputs = inputs(&[
        ("AUTH0_CLIENT_ID", "of the variable"),
        ("GOM__AUTH__AUTH0__CLIENT_ID", "of the former variable"),
    ]);
    inputs.directory = Some(folder.path().into());
    let loaded = load(&inputs).unwrap();
    let given = loaded.settings.auth.oauth2.client_id;
    assert_eq!(given.as_deref(), Some("of the variable"));
}

#[test]
fn both_names_in_one_file_are_an_error() {
    let folder = folder(&[(
        "default.toml",
        "[database]\nmax_in_hand = 7\nmax_in_flight = 7\n",
    )]);
    let mut inputs = inputs(&[]);
    inputs.directory = Some(folder.path().into());
    let problems = problems(&inputs);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].0, "database.max_in_hand");
}

#[test]
fn a_former_word_of_a_choice_is_accepted_with_a_warning() {
    let inputs = inputs(&[("GOM__AUTH__PROVIDER", "auth0")]);
    let loaded = load(&inputs).unwrap();
    assert_eq!(loaded.settings.auth.provider(), Provider::OAuth2);
    assert_eq!(
        loaded.warnings,
        [
            "auth.provider = \"auth0\" (environment variable GOM__AUTH__PROVIDER) is called \"oauth2\" now: \
             rename it"
        ]
    );
}

#[test]
fn present_names_give_no_warning() {
    let present = [
        ("GOM__DATABASE__MAX_IN_FLIGHT", "8"),
        ("GOM__AUTH__PROVIDER", "accounts"),
    ];
    assert_eq!(warnings(&inputs(&present)), [""; 0]);
}

#[test]
fn stores_are_where_they_are_chosen_to_be_and_by_default_in_redis_if_there_is_one() {
    let kinds = |variables: &[(&str, &str)]| {
        let stores = load(&inputs(variables)).unwrap().settings.stores();
        [
            stores.sessions.kind(),
            stores.login_limiter.kind(),
            stores.devices.kind(),
        ]
    };
    let (postgres, redis) = (StoreBackend::Postgres, StoreBackend::Redis);
    assert_eq!(kinds(&[]), [postgres; 3]);
    assert_eq!(kinds(&[("REDIS_HOST", "cache")]), [redis; 3]);
    let chosen = [
        ("REDIS_HOST", "cache"),
        ("GOM__SESSIONS__STORE", "postgres"),
        ("GOM__PUSH__DEVICES_STORE", "redis"),
    ];
    assert_eq!(kinds(&chosen), [postgres, redis, redis]);
}

#[test]
fn a_store_in_redis_needs_redis() {
    for (variable, key) in [
        ("GOM__SESSIONS__STORE", "sessions.store"),
        ("GOM__LOGIN_LIMITER__STORE", "login_limiter.store"),
        ("GOM__PUSH__DEVICES_STORE", "push.devices_store"),
    ] {
        let error = load(&inputs(&[(variable, "redis")])).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert_eq!(error.problems[0].key, key);
        assert!(error.problems[0].message.contains("redis.host is not set"));
    }
}
