//! `gom account`, `gom session` and `gom push devices` as people start them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use gom_actors::push::{Device, DeviceKeys, Devices, PushEndpoint, Subscriber};
use gom_actors::sessions::{NewSession, Sessions};
use gom_server::identity::ACCOUNTS;
use gom_server::push::devices_options;

use crate::world::{World, secret};

/// `input`: what is written to standard input.
fn gom(world: &World, arguments: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gom"))
        .args(arguments)
        .current_dir(&folder)
        .env_clear()
        .env("DATABASE_URL", world.rows.url())
        .env("GOM__AUTH__ACCOUNTS__HASH_MEMORY", "64")
        .env("GOM__AUTH__ACCOUNTS__HASH_PASSES", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read it may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn done(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

fn failed(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    std::str::from_utf8(&output.stderr).unwrap()
}

#[actix_web::test]
async fn accounts_are_managed_from_the_command_line() {
    let world = World::start().await;
    let may = async |password: &str| {
        world
            .identity
            .password("ana", &secret(password))
            .await
            .is_ok()
    };

    let added = gom(
        &world,
        &[
            "account",
            "add",
            "Ana",
            "--role",
            "seller",
            "--subject",
            "auth0|ana",
            "--name",
            "Ana Ñandú",
        ],
        "ana's first password\n",
    );
    assert!(done(&added).contains("auth0|ana"));
    assert!(may("ana's first password").await);
    let login = world
        .identity
        .password("ana", &secret("ana's first password"))
        .await
        .unwrap();
    assert_eq!(login.profile["name"], "Ana Ñandú");

    assert!(
        failed(&gom(
            &world,
            &["account", "add", "ana", "--role", "seller"],
            "another password"
        ))
        .contains("already")
    );
    assert!(
        failed(&gom(
            &world,
            &["account", "add", "berta", "--role", "seller"],
            "short"
        ))
        .contains("shorter than 8")
    );
    assert_eq!(
        gom(&world, &["account", "add", "x", "--password", "p"], "")
            .status
            .code(),
        Some(2)
    );
    let given = gom(
        &world,
        &["account", "add", "berta", "--role", "seller"],
        "berta's password",
    );
    let subject = done(&given)
        .trim_end()
        .trim_end_matches('.')
        .rsplit(' ')
        .next()
        .unwrap();
    assert!(
        subject.starts_with("account|") && subject.len() == 40,
        "{subject}"
    );

    let listed = gom(&world, &["account", "list"], "");
    let lines: Vec<Vec<&str>> = done(&listed)
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..4], ["USERNAME", "SUBJECT", "ROLE", "STATE"]);
    assert_eq!(lines[1][..4], ["ana", "auth0|ana", "seller", "enabled"]);
    assert_eq!(lines.len(), 3);

    done(&gom(
        &world,
        &["account", "passwd", "ana"],
        "ana's second password\n",
    ));
    assert!(!may("ana's first password").await && may("ana's second password").await);
    done(&gom(&world, &["account", "disable", "ANA"], ""));
    assert!(!may("ana's second password").await);
    done(&gom(&world, &["account", "enable", "ana"], ""));
    assert!(may("ana's second password").await);
    assert!(
        failed(&gom(&world, &["account", "disable", "nobody"], "")).contains("gom account list")
    );
}

#[actix_web::test]
async fn an_account_needs_a_name_and_password_that_a_login_accepts() {
    let world = World::start().await;
    let long = |count: usize| "ñ".repeat(count);
    let refused = |name: &str, password: &str| {
        failed(&gom(
            &world,
            &["account", "add", name, "--role", "seller"],
            password,
        ))
        .to_owned()
    };
    assert!(refused(&long(257), "a good password").contains("256 characters"));
    assert!(refused("ana", &long(257)).contains("longer than 256 characters"));
    assert!(refused("ana", "a good\0password").contains("zero byte"));
    done(&gom(
        &world,
        &["account", "add", &long(256), "--role", "seller"],
        &long(256),
    ));
    assert!(
        world
            .identity
            .password(&long(256), &secret(&long(256)))
            .await
            .is_ok()
    );
    assert!(
        failed(&gom(&world, &["account", "passwd", &long(256)], &long(257)))
            .contains("256 characters")
    );
}

/// `database.deploy` may be a setting of the machine's, for its servers.
#[actix_web::test]
async fn read_only_account_commands_do_not_change_the_database() {
    let world = World::on(gom_test_support::TestDatabase::create().await, &[]);
    for arguments in [
        &["account", "list"][..],
        &["session", "list", "somebody"],
        &["push", "status"],
        &["push", "devices", "list", "somebody"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_gom"))
            .args(arguments)
            .current_dir(&folder)
            .env_clear()
            .env("DATABASE_URL", world.rows.url())
            .env("GOM__DATABASE__DEPLOY", "true")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            !failed(&output).is_empty(),
            "{arguments:?}: there are no tables to look at"
        );
        let made = world
            .rows
            .connect()
            .await
            .query_one("SELECT to_regnamespace('gom') IS NOT NULL", &[])
            .await;
        assert!(!made.unwrap().get::<_, bool>(0), "{arguments:?}");
    }
}

async fn open(sessions: &Sessions, subject: &str) -> gom_actors::sessions::SessionId {
    let session = NewSession {
        subject: subject.into(),
        provider: ACCOUNTS.into(),
        signature: "signature".into(),
        refresh_token: None,
    };
    sessions.open(session, None).await.unwrap()
}

#[actix_web::test]
async fn sessions_are_shown_and_closed_from_the_command_line() {
    let world = World::start().await;
    let sessions = Sessions::start(world.settings.session_options(), &world.database).unwrap();
    let ids = [
        open(&sessions, "auth0|ana").await,
        open(&sessions, "auth0|ana").await,
        open(&sessions, "auth0|berta").await,
    ];
    let alive = async || {
        let mut alive = Vec::new();
        for id in &ids {
            alive.push(sessions.resume(id).await.unwrap().is_some());
        }
        alive
    };
    assert_eq!(alive().await, [true, true, true]);
    let listed = gom(&world, &["session", "list", "auth0|ana"], "");
    let text = done(&listed);
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert!(
        rows.len() == 2 && rows.iter().all(|row| row.ends_with("accounts")),
        "{text}"
    );
    assert!(
        ids.iter().all(|id| !text.contains(id.as_str())),
        "what is shown is worth nothing to a thief"
    );

    let handle = rows[0].split_whitespace().next().unwrap();
    done(&gom(
        &world,
        &["session", "close", "auth0|ana", "--session", handle],
        "",
    ));
    assert_eq!(alive().await.iter().filter(|alive| **alive).count(), 2);
    assert!(
        failed(&gom(
            &world,
            &["session", "close", "auth0|ana", "--session", handle],
            ""
        ))
        .contains("no session")
    );
    let closed = gom(&world, &["session", "close", "auth0|ana"], "");
    assert!(done(&closed).starts_with("1 "), "{closed:?}");
    assert_eq!(
        alive().await,
        [false, false, true],
        "and those of nobody else"
    );
}

#[actix_web::test]
async fn a_disabled_accounts_sessions_are_closed_and_its_devices_forgotten_at_once() {
    let world = World::start().await;
    let devices = Devices::start(
        devices_options(&gom_shop::Shop, &world.settings, None),
        &world.database,
    )
    .unwrap();
    let sessions = Sessions::start(world.settings.session_options(), &world.database).unwrap();
    done(&gom(
        &world,
        &[
            "account",
            "add",
            "ana",
            "--role",
            "seller",
            "--subject",
            "auth0|ana",
        ],
        "ana's password",
    ));
    for (arguments, input) in [
        (["account", "passwd", "ana"], "another password"),
        (["account", "disable", "ana"], ""),
    ] {
        let (hers, others) = (
            open(&sessions, "auth0|ana").await,
            open(&sessions, "auth0|berta").await,
        );
        for (user, name) in [
            ("auth0|ana", "phone"),
            ("auth0|ana", "laptop"),
            ("auth0|berta", "hers"),
        ] {
            subscribe(&devices, user, None, name).await;
        }
        let output = gom(&world, &arguments, input);
        let expected = "1 open sessions of auth0|ana were closed. Devices forgotten: 2.";
        assert!(done(&output).contains(expected), "{output:?}");
        assert_eq!(devices.list("auth0|ana").await.unwrap(), []);
        assert_eq!(devices.list("auth0|berta").await.unwrap().len(), 1);
        assert!(sessions.resume(&hers).await.unwrap().is_none());
        assert!(sessions.resume(&others).await.unwrap().is_some());
    }
}

async fn subscribe(devices: &Devices, user: &str, session: Option<&str>, name: &str) -> Device {
    let endpoint =
        PushEndpoint::parse(&format!("https://push.example/send/{name}-secret")).unwrap();
    // The receiver of RFC 8291's example.
    let p256dh =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    let keys = DeviceKeys::parse(p256dh, "BTBZMqHH6r4Tts7J_aSIgg").unwrap();
    let device = Device {
        endpoint,
        keys,
        expires: None,
    };
    let by = Subscriber {
        user: user.to_owned(),
        session: session.map(str::to_owned),
    };
    devices.subscribe(&by, &device).await.unwrap();
    device
}

#[actix_web::test]
async fn devices_are_shown_and_forgotten_from_the_command_line() {
    let world = World::start().await;
    let devices = Devices::start(
        devices_options(&gom_shop::Shop, &world.settings, None),
        &world.database,
    )
    .unwrap();
    let phone = subscribe(&devices, "auth0|ana", Some("5e55104"), "phone").await;
    for (user, name) in [
        ("auth0|ana", "laptop"),
        ("auth0|ana", "tablet"),
        ("auth0|berta", "hers"),
    ] {
        subscribe(&devices, user, None, name).await;
    }
    let listed = gom(&world, &["push", "devices", "list", "auth0|ana"], "");
    let text = done(&listed);
    let fingerprint = phone.endpoint.fingerprint();
    let row = text
        .lines()
        .find(|line| line.starts_with(&fingerprint))
        .unwrap();
    assert!(
        row.contains("https://push.example ") && row.contains(" 5e55104 "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(
        !text.contains("secret") && !text.contains("BCVx") && !text.contains("BTBZ"),
        "{text}"
    );

    let forget = [
        "push",
        "devices",
        "forget",
        "auth0|ana",
        "--device",
        &fingerprint,
    ];
    assert!(done(&gom(&world, &forget, "")).contains("The device is forgotten"));
    let again = gom(&world, &forget, "");
    assert!(
        failed(&again).contains("`gom push devices list` shows all"),
        "{again:?}"
    );
    let rest = gom(&world, &["push", "devices", "forget", "auth0|ana"], "");
    assert_eq!(done(&rest), "Devices forgotten: 2.\n");
    assert_eq!(devices.list("auth0|ana").await.unwrap(), []);
    assert_eq!(devices.list("auth0|berta").await.unwrap().len(), 1);
}

#[actix_web::test]
async fn the_devices_of_a_session_that_is_closed_from_the_command_line_are_forgotten() {
    let world = World::start().await;
    let sessions = Sessions::start(world.settings.session_options(), &world.database).unwrap();
    let devices = Devices::start(
        devices_options(&gom_shop::Shop, &world.settings, None),
        &world.database,
    )
    .unwrap();
    let (one, another) = (
        open(&sessions, "auth0|ana").await,
        open(&sessions, "auth0|ana").await,
    );
    for (id, name) in [(&one, "phone"), (&another, "laptop"), (&another, "tablet")] {
        subscribe(&devices, "auth0|ana", Some(&id.handle()), name).await;
    }
    let closed = gom(
        &world,
        &["session", "close", "auth0|ana", "--session", &one.handle()],
        "",
    );
    assert_eq!(
        done(&closed),
        "The session is closed. Devices forgotten: 1.\n"
    );
    let left = devices.list("auth0|ana").await.unwrap();
    assert!(
        left.len() == 2
            && left
                .iter()
                .all(|device| device.session == Some(another.handle())),
        "{left:?}"
    );
    let closed = gom(&world, &["session", "close", "auth0|ana"], "");
    assert_eq!(
        done(&closed),
        "1 sessions were closed. Devices forgotten: 2.\n"
    );
    assert_eq!(devices.list("auth0|ana").await.unwrap(), []);
}
