//! Logins by accounts of our own.

use std::time::{Duration, Instant};

use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::migrations;
use gom_actors::sessions::RefreshFailure;
use gom_server::identity::{
    ACCOUNTS, AUTH0, AccountError, AccountTable, AppKeys, Hasher, Identity, Login, LoginError,
    NewAccount, TokenError,
};
use gom_shop::PHONE;
use gom_test_support::{TestCluster, TestDatabase};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::world::{APP_KEY, KINDS, World, roles, secret, settings};

const NAME: &str = "paletas@demo.gom";
const PASSWORD: &str = "a right password";

async fn add(world: &World, client: &Client, account: NewAccount) {
    let hash = Hasher::new(&world.settings.auth.accounts)
        .hash(&secret(PASSWORD))
        .await
        .unwrap();
    AccountTable::new(client)
        .add(&NewAccount {
            password_hash: hash,
            ..account
        })
        .await
        .unwrap();
}

fn paletas() -> NewAccount {
    let (username, subject, role) = (NAME.into(), "auth0|paletas".into(), "seller".into());
    NewAccount {
        username,
        subject,
        role,
        ..NewAccount::default()
    }
}

/// A world with one account, and a connection to its rows.
async fn with_account() -> (World, Client) {
    let world = World::start().await;
    let client = world.rows.connect().await;
    add(&world, &client, paletas()).await;
    (world, client)
}

async fn login(identity: &Identity, password: &str) -> Result<Login, LoginError> {
    identity.password(NAME, &secret(password)).await
}

async fn refresh(identity: &Identity, login: &Login) -> Result<String, RefreshFailure> {
    let token = login.refresh_token.as_ref().unwrap().expose().to_owned();
    let renewed = identity.refresher(ACCOUNTS).unwrap().refresh(token).await?;
    let user = identity
        .verify(ACCOUNTS, &renewed.head, &renewed.signature)
        .await
        .unwrap();
    assert!(renewed.refresh_token.is_some());
    Ok(user.subject.clone())
}

#[actix_web::test]
async fn a_right_password_gives_the_token_of_the_accounts_role() {
    let (world, client) = with_account().await;
    let found = login(&world.identity, PASSWORD).await.unwrap();
    assert_eq!(
        (found.provider, found.subject.as_str()),
        (ACCOUNTS, "auth0|paletas")
    );
    let user = world
        .identity
        .verify(ACCOUNTS, &found.token.head, &found.token.signature)
        .await
        .unwrap();
    assert_eq!(user.permissions, roles()["seller"]);
    assert_eq!(user.claims["token_use"], "access");
    assert_eq!(
        user.claims["exp"].as_u64().unwrap() - user.claims["iat"].as_u64().unwrap(),
        1_800
    );
    assert_eq!(
        Value::Object(found.profile),
        json!({ "nickname": "paletas", "name": NAME, "picture": null, "email": NAME, "sub": "auth0|paletas" })
    );
    for written in ["PALETAS@demo.gom", "  paletas@Demo.Gom "] {
        assert!(
            world
                .identity
                .password(written, &secret(PASSWORD))
                .await
                .is_ok(),
            "{written}"
        );
    }
    let profile = json!({ "name": "Paletas Marías", "picture": "https://x/y.png", "admin": true });
    let Value::Object(profile) = profile else {
        unreachable!()
    };
    add(
        &world,
        &client,
        NewAccount {
            username: "Otra".into(),
            profile,
            ..paletas()
        },
    )
    .await;
    let other = world
        .identity
        .password("otra", &secret(PASSWORD))
        .await
        .unwrap();
    assert_eq!(
        Value::Object(other.profile),
        json!({
            "nickname": "otra", "name": "Paletas Marías", "picture": "https://x/y.png", "email": null,
            "sub": "auth0|paletas",
        })
    );
}

#[actix_web::test]
async fn f08_an_accounts_token_is_no_customers_token() {
    let (world, _) = with_account().await;
    let found = login(&world.identity, PASSWORD).await.unwrap();
    for provider in [PHONE, AUTH0] {
        let result = world
            .identity
            .verify(provider, &found.token.head, &found.token.signature)
            .await;
        assert!(
            matches!(result, Err(TokenError::Invalid(_))),
            "{provider}: {result:?}"
        );
    }
    let (refresh_token, signature) = found
        .refresh_token
        .as_ref()
        .unwrap()
        .expose()
        .split_once('.')
        .unwrap();
    assert!(
        world
            .identity
            .verify(ACCOUNTS, refresh_token, signature)
            .await
            .is_err(),
        "nor is its refresh token"
    );
}

#[actix_web::test]
async fn f08_unknown_wrong_and_disabled_accounts_are_answered_alike() {
    let (world, client) = with_account().await;
    assert_eq!(
        login(&world.identity, "a wrong password")
            .await
            .unwrap_err(),
        LoginError::Wrong
    );
    assert_eq!(
        login(&world.identity, "").await.unwrap_err(),
        LoginError::Wrong
    );
    assert_eq!(
        login(&world.identity, &"x".repeat(100_000))
            .await
            .unwrap_err(),
        LoginError::Wrong
    );
    for unknown in [
        "nobody@demo.gom",
        "",
        " ",
        "paletas@demo.gom\0",
        "' OR 1=1 --",
        &"x".repeat(100_000),
    ] {
        let error = world
            .identity
            .password(unknown, &secret(PASSWORD))
            .await
            .unwrap_err();
        assert_eq!(error, LoginError::Wrong, "{unknown:?}");
    }
    AccountTable::new(&client)
        .set_disabled(NAME, true)
        .await
        .unwrap();
    assert_eq!(
        login(&world.identity, PASSWORD).await.unwrap_err(),
        LoginError::Wrong
    );
}

/// The median of each, in microseconds; taken in turns, so that both suffer the same from others.
async fn medians(world: &World, tries: usize) -> [f64; 2] {
    let guess = secret("a wrong password");
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..2 * tries {
        let name = [NAME, "nobody@demo.gom"][n % 2];
        let begun = Instant::now();
        assert_eq!(
            world.identity.password(name, &guess).await.unwrap_err(),
            LoginError::Wrong
        );
        times[n % 2].push(begun.elapsed());
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    })
}

#[actix_web::test]
async fn f08_an_unknown_user_takes_as_long_as_a_wrong_password() {
    // Enough work to be measured, and little enough to be done a thousand times.
    let world = World::start_with(&[("auth.accounts.hash_memory", "1024")]).await;
    add(&world, &world.rows.connect().await, paletas()).await;
    let mut measured = Vec::new();
    for _ in 0..10 {
        let [wrong, unknown] = medians(&world, 400).await;
        measured.push((wrong, unknown));
        if (wrong - unknown).abs() / wrong.max(unknown) < 0.05 {
            return;
        }
    }
    panic!("microseconds for a wrong password and an unknown user: {measured:?}");
}

#[actix_web::test]
async fn a_disabled_account_and_a_changed_password_end_what_can_be_refreshed() {
    let (world, client) = with_account().await;
    let table = AccountTable::new(&client);
    let first = login(&world.identity, PASSWORD).await.unwrap();
    assert_eq!(
        refresh(&world.identity, &first).await,
        Ok("auth0|paletas".into())
    );

    table.set_disabled(NAME, true).await.unwrap();
    assert_eq!(
        refresh(&world.identity, &first).await,
        Err(RefreshFailure::Rejected)
    );
    table.set_disabled(NAME, false).await.unwrap();
    assert_eq!(
        refresh(&world.identity, &first).await,
        Err(RefreshFailure::Rejected),
        "it does not come back"
    );
    let second = login(&world.identity, PASSWORD).await.unwrap();
    table.set_disabled(NAME, false).await.unwrap();
    assert!(
        refresh(&world.identity, &second).await.is_ok(),
        "nothing was changed"
    );

    let hash = Hasher::new(&world.settings.auth.accounts)
        .hash(&secret("another password"))
        .await
        .unwrap();
    assert_eq!(
        table.set_password_hash(NAME, &hash).await.unwrap(),
        "auth0|paletas"
    );
    assert_eq!(
        refresh(&world.identity, &second).await,
        Err(RefreshFailure::Rejected)
    );
    assert_eq!(
        login(&world.identity, PASSWORD).await.unwrap_err(),
        LoginError::Wrong
    );
    assert!(login(&world.identity, "another password").await.is_ok());

    client
        .execute("DELETE FROM gom.account", &[])
        .await
        .unwrap();
    assert_eq!(
        refresh(&world.identity, &second).await,
        Err(RefreshFailure::Rejected)
    );
    let forged = world
        .identity
        .refresher(ACCOUNTS)
        .unwrap()
        .refresh("eyJ1Ijox.c2ln".into())
        .await;
    assert_eq!(forged.unwrap_err(), RefreshFailure::Rejected);
}

#[actix_web::test]
async fn refreshing_survives_a_new_app_key_as_often_as_it_is_replaced() {
    const KEYS: [&str; 3] = [
        APP_KEY,
        "a second app key that is as long as it has to be",
        "a third app key that is as long as it has to be, too",
    ];
    let (world, _) = with_account().await;
    let mut token = login(&world.identity, PASSWORD)
        .await
        .unwrap()
        .refresh_token
        .unwrap();
    for keys in KEYS.windows(2) {
        let identity = world.restarted_with(&[("app_key", keys[1]), ("app_key_previous", keys[0])]);
        let renewed = identity
            .refresher(ACCOUNTS)
            .unwrap()
            .refresh(token.into_exposed())
            .await
            .unwrap();
        token = renewed.refresh_token.unwrap();
    }
}

#[actix_web::test]
async fn a_login_rehashes_a_password_of_lower_cost() {
    let (world, client) = with_account().await;
    let stored = async || -> String {
        client
            .query_one("SELECT password_hash FROM gom.account", &[])
            .await
            .unwrap()
            .get(0)
    };
    let before = stored().await;
    let first = login(&world.identity, PASSWORD).await.unwrap();
    assert_eq!(stored().await, before, "nothing to do");
    let stronger = world.restarted_with(&[("auth.accounts.hash_memory", "128")]);
    assert_eq!(
        login(&stronger, "a wrong password").await.unwrap_err(),
        LoginError::Wrong
    );
    assert_eq!(stored().await, before);
    login(&stronger, PASSWORD).await.unwrap();
    assert!(stored().await.contains("m=128,"));
    assert!(login(&stronger, PASSWORD).await.is_ok());
    assert!(
        refresh(&stronger, &first).await.is_ok(),
        "the password is the same"
    );
}

#[actix_web::test]
async fn a_role_that_the_policy_lacks_is_a_configuration_error() {
    let (world, client) = with_account().await;
    client
        .execute("UPDATE gom.account SET role = 'sailor'", &[])
        .await
        .unwrap();
    let Err(LoginError::Misconfigured(text)) = login(&world.identity, PASSWORD).await else {
        panic!("no error")
    };
    assert!(
        text.contains("sailor") && text.contains(&paletas().subject),
        "{text}"
    );
    assert!(
        !text.contains(NAME),
        "the log names nobody by an address: {text}"
    );
    assert_eq!(
        login(&world.identity, "a wrong password")
            .await
            .unwrap_err(),
        LoginError::Wrong
    );
}

#[actix_web::test]
async fn accounts_need_their_table() {
    let world = World::on(TestDatabase::create().await, &[]);
    let Err(LoginError::Misconfigured(text)) = login(&world.identity, PASSWORD).await else {
        panic!("no error")
    };
    assert!(text.contains("gom migrate apply"), "{text}");
}

#[actix_web::test]
async fn a_lost_database_is_unavailable_until_it_returns() {
    let mut cluster = TestCluster::own().await;
    let mut client = cluster.connect().await;
    migrations::migrate_system(&mut client).await.unwrap();
    let settings = settings(&[("database.statement_timeout", "1000")]);
    let database = Database::start(DatabaseOptions::from_url(cluster.url()).unwrap()).unwrap();
    let keys = AppKeys::obtain(&settings).unwrap();
    let identity = Identity::new(&settings, &keys, roles(), KINDS, &database).unwrap();
    let hash = Hasher::new(&settings.auth.accounts)
        .hash(&secret(PASSWORD))
        .await
        .unwrap();
    let account = NewAccount {
        password_hash: hash,
        ..paletas()
    };
    AccountTable::new(&client).add(&account).await.unwrap();
    let found = login(&identity, PASSWORD).await.unwrap();
    let unavailable =
        |result: Result<Login, LoginError>| matches!(result, Err(LoginError::Unavailable { .. }));

    cluster.freeze();
    let begun = Instant::now();
    assert!(unavailable(login(&identity, PASSWORD).await));
    assert!(
        begun.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        begun.elapsed()
    );
    cluster.thaw();
    drop(client);
    cluster.stop().await;
    assert!(unavailable(login(&identity, PASSWORD).await));
    assert_eq!(
        refresh(&identity, &found).await,
        Err(RefreshFailure::Unavailable),
        "nobody is logged out"
    );
    cluster.start().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while login(&identity, PASSWORD).await.is_err() {
        assert!(Instant::now() < deadline, "it does not come back");
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refresh(&identity, &found).await.is_ok());
}

#[actix_web::test]
async fn the_account_table_refuses_invalid_accounts() {
    let (_world, client) = with_account().await;
    let table = AccountTable::new(&client);
    let again = NewAccount {
        username: "PALETAS@demo.gom".into(),
        ..paletas()
    };
    assert!(matches!(table.add(&again).await, Err(AccountError::Exists(name)) if name == NAME));
    for username in ["", "  ", "a\nb", &"x".repeat(257)] {
        let nameless = NewAccount {
            username: username.into(),
            ..paletas()
        };
        assert!(
            matches!(table.add(&nameless).await, Err(AccountError::Name(_))),
            "{username:?}"
        );
    }
    assert!(matches!(
        table.set_disabled("nobody", true).await,
        Err(AccountError::Missing(_))
    ));
    assert!(matches!(
        table.set_password_hash("nobody", "x").await,
        Err(AccountError::Missing(_))
    ));
    let listed = table.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].username.as_str(), listed[0].disabled),
        (NAME, false)
    );
}
