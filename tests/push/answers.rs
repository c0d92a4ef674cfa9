//! What becomes of a device and of its entry in the ledger after each answer of a push service.

use std::time::{Duration, SystemTime};

use gom_test_support::{Behaviour, PushServiceOptions, eventually};

use crate::world::World;

#[actix_web::test]
async fn f10_each_push_service_answer_settles_its_delivery() {
    // Over HTTP/2 a connection that is reset takes others' messages with it.
    let world = World::open_with(PushServiceOptions {
        http2: false,
        ..PushServiceOptions::default()
    })
    .await;
    world.seller("ana", &["bea"]).await;
    let ok = || Behaviour::status(201);
    let service = &world.service;
    service.script("/slow", [Behaviour::Slow(Duration::from_millis(300)), ok()]);
    service.script(
        "/500",
        [Behaviour::status(500), Behaviour::status(503), ok()],
    );
    service.script("/hang", [Behaviour::Hang, ok()]);
    service.script("/reset", [Behaviour::Reset, ok()]);
    service.script("/garbage", [Behaviour::Garbage, ok()]);
    for path in [
        "/ok",
        "/status/404",
        "/status/410",
        "/limit/1500",
        "/limit/200",
        "/slow",
        "/500",
        "/hang",
        "/reset",
        "/garbage",
        "/status/400",
        "/redirect",
    ] {
        world.device("bea", path).await;
    }
    // Longer than the short form, so that it can be shortened.
    let name = "a".repeat(2_500);
    let answer = world.ask(
        "mutation($name: String!) { createOrder(data: { uid: \"o\", name: $name, assignedTo: { connect: { extUid: \"ana\" } },
            issuedTo: { connect: { uid: \"bea\" } } }) { uid } }",
        serde_json::json!({ "name": name }),
    );
    answer.await;
    world.quiet().await;
    assert_eq!(
        world.ledger().await,
        [
            "/500 DELIVERED 3 201",
            "/garbage DELIVERED 2 201",
            "/hang DELIVERED 2 201",
            "/limit/1500 DELIVERED 2 201",
            "/limit/200 FAILED 2 413",
            "/ok DELIVERED 1 201",
            "/redirect FAILED 1 307",
            "/reset DELIVERED 2 201",
            "/slow DELIVERED 1 201",
            "/status/400 FAILED 1 400",
            "/status/404 GONE 1 404",
            "/status/410 GONE 1 410",
        ]
    );
    for (path, stays) in [
        ("/status/404", false),
        ("/status/410", false),
        ("/status/400", true),
        ("/limit/200", true),
        ("/ok", true),
    ] {
        assert_eq!(world.knows(path).await, stays, "{path}");
    }
    assert_eq!(
        service.received_at("/ok").len(),
        1,
        "a confirmed delivery is not sent again"
    );
    let shortened = service.received_at("/limit/1500");
    assert!(shortened[0].body.len() > 2_500 && shortened[1].body.len() < 1_500);
}

#[actix_web::test]
async fn f10_an_overloaded_push_service_is_paused_for_its_retry_after() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    for (path, busy) in [
        ("/seconds", Behaviour::retry_after(2)),
        // Whole seconds, and the first round takes two of them.
        (
            "/date",
            Behaviour::retry_at(SystemTime::now() + Duration::from_secs(8)),
        ),
    ] {
        world.service.forget();
        world.service.script(path, [busy, Behaviour::status(201)]);
        world.device("bea", path).await;
        world
            .order(&format!("order-{}", &path[1..]), "ana", "bea")
            .await
            .unwrap();
        world.quiet().await;
        let received = world.service.received_at(path);
        let pause = received[1].at.duration_since(received[0].at).unwrap();
        assert_eq!(received.len(), 2, "{path}");
        assert!(pause >= Duration::from_millis(1_900), "{path}: {pause:?}");
        world
            .tables
            .execute("delete from gom.push_device", &[])
            .await
            .unwrap();
    }
}

#[actix_web::test]
async fn f10_an_address_inside_is_never_reached_unless_it_is_allowed() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    // Inside, and not in what this server's settings allow: nothing is sent there.
    let known = "select p256dh, auth, subject from gom.push_device limit 1";
    world.device("bea", "/ok").await;
    let row = world.tables.query_one(known, &[]).await.unwrap();
    let (p256dh, auth, subject): (Vec<u8>, Vec<u8>, String) = (row.get(0), row.get(1), row.get(2));
    for endpoint in [
        "https://10.0.0.1/x",
        "https://169.254.169.254/x",
        "https://[::ffff:192.168.0.1]/x",
    ] {
        let sql = "insert into gom.push_device values ($1, $2, $3, $4, null, now())";
        world
            .tables
            .execute(sql, &[&endpoint, &subject, &p256dh, &auth])
            .await
            .unwrap();
    }
    world.order("o", "ana", "bea").await.unwrap();
    world.quiet().await;
    let rows = world
        .tables
        .query(
            "select state, reason from gom.delivery order by origin",
            &[],
        )
        .await
        .unwrap();
    let failed = rows
        .iter()
        .filter(|row| row.get::<_, &str>(0) == "FAILED")
        .count();
    assert_eq!(
        (rows.len(), failed),
        (4, 3),
        "{:?}",
        rows.iter()
            .map(|row| row.get(1))
            .collect::<Vec<Option<String>>>()
    );
}

#[actix_web::test]
async fn a_disabled_users_devices_get_no_further_orders() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/seller").await;
    world.device("bea", "/customer").await;
    world.command(
        &[
            "account",
            "add",
            "ana",
            "--role",
            "seller",
            "--subject",
            "ana",
        ],
        "ana's password",
    );
    world.order("before", "ana", "bea").await.unwrap();
    world.quiet().await;
    let printed = world.command(&["account", "disable", "ana"], "");
    assert!(printed.contains("Devices forgotten: 1."), "{printed}");
    world.order("after", "ana", "bea").await.unwrap();
    world.quiet().await;
    let counts =
        |path: &str| ["before", "after"].map(|order| world.notifications_of(path, order, "create"));
    assert_eq!((counts("/seller"), counts("/customer")), ([1, 0], [1, 1]));
}

#[actix_web::test]
async fn what_is_queued_for_a_device_of_another_key_is_not_sent() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    for path in ["/old", "/ours"] {
        world.device("bea", path).await;
    }
    world
        .service
        .script("/old", [Behaviour::retry_after(2), Behaviour::status(201)]);
    world.order("o", "ana", "bea").await.unwrap();
    eventually("the old device was tried", async || {
        world.service.received_at("/old").len() == 1
    })
    .await;
    let change = "update gom.push_device set vapid_key = 'another' where endpoint like '%/old'";
    world.tables.execute(change, &[]).await.unwrap();
    world.quiet().await;
    let ledger = world.ledger().await;
    assert!(
        ledger[0].starts_with("/old GONE ") && ledger[1].starts_with("/ours DELIVERED "),
        "{ledger:?}"
    );
    assert_eq!(world.service.received_at("/old").len(), 1);
    // It is left out of what comes next, and kept for as long as the change may be a mistake.
    world.order("p", "ana", "bea").await.unwrap();
    world.quiet().await;
    assert_eq!(world.ledger().await.len(), 3);
    assert!(world.knows("/old").await);
}
