//! Publications reach the customers of the promotion's own seller, at their time, whatever happens to the server meanwhile.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// A promotion of a seller; its id.
    pub async fn promotion(&self, seller: &str) -> String {
        let data = json!({ "code": "N", "name": format!("De {seller}"), "content": "<p>Dos por <b>uno</b></p>",
            "assignedTo": { "connect": { "extUid": seller } } });
        let query =
            "mutation($data: PromotionCreateInput!) { createPromotion(data: $data) { uid } }";
        let made = self.ask(query, json!({ "data": data })).await;
        made["createPromotion"]["uid"].as_str().unwrap().to_owned()
    }

    pub async fn publish(&self, promotion: &str, delay: i64) -> String {
        let data = json!({ "type": "NOTIFICATION", "status": "WAITING", "delay": delay,
            "promotion": { "connect": { "uid": promotion } } });
        let query =
            "mutation($data: PublicationCreateInput!) { createPublication(data: $data) { uid } }";
        let before = self.publications().await;
        // A server that is to die at its job may die before it has answered.
        if let Some(answer) = self.try_ask(query, json!({ "data": data })).await {
            assert!(answer["errors"].is_null(), "{answer}");
            return answer["data"]["createPublication"]["uid"]
                .as_str()
                .unwrap()
                .to_owned();
        }
        let mut written = self.publications().await;
        written.retain(|uid| !before.contains(uid));
        assert_eq!(written.len(), 1, "publications without an answer");
        written.remove(0)
    }

    /// The ids of all publications.
    async fn publications(&self) -> Vec<String> {
        let query = "select uid from \"default$default\".\"Publication\"";
        let rows = self.tables.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub async fn publication(&self, uid: &str) -> Value {
        let query = "query($uid: ID!) { publication(where: { uid: $uid }) { status updatedBy } }";
        self.ask(query, json!({ "uid": uid })).await["publication"].clone()
    }
}

#[actix_web::test]
async fn f01_a_publication_reaches_the_customers_of_its_own_seller_and_nobody_else() {
    let world = World::open().await;
    world.seller("ana", &["bea", "carla"]).await;
    world.seller("dora", &["eva"]).await;
    for user in ["ana", "bea", "carla", "dora", "eva"] {
        world.device(user, &format!("/{user}")).await;
    }
    let (of_ana, of_dora) = (world.promotion("ana").await, world.promotion("dora").await);
    let published = world.publish(&of_ana, 0).await;
    world.quiet().await;
    assert_eq!(
        world.ledger().await,
        ["/bea DELIVERED 1 201", "/carla DELIVERED 1 201"]
    );
    assert_eq!(world.service.count(), 2);
    let now = world.publication(&published).await;
    assert_eq!(now["status"], "DELIVERED");
    assert!(
        now["updatedBy"].as_str().unwrap().starts_with("job:"),
        "{now}"
    );

    world.publish(&of_dora, 0).await;
    world.quiet().await;
    let paths: Vec<String> = world
        .service
        .received()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths[2..], ["/eva"]);
    // It is out: changing it does not send it again.
    world.ask("mutation($uid: ID!) { updatePublication(where: { uid: $uid }, data: { status: WAITING }) { uid } }", json!({ "uid": published })).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.publication(&published).await["status"] != "DELIVERED" {
        assert!(
            Instant::now() < deadline,
            "a sent publication must be settled"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.quiet().await;
    assert_eq!(world.service.count(), 3);
}

/// Of a server before this one: its rows are in the tables, and its queue of jobs was elsewhere.
#[actix_web::test]
async fn publications_that_waited_before_there_was_a_trigger_are_sent_at_their_time() {
    let mut world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("bea", "/bea").await;
    let (promotion, other) = (world.promotion("ana").await, world.promotion("ana").await);
    world.stop();
    world
        .tables
        .batch_execute(
            "drop trigger \"watch publication default$default.Publication\" on gom.change",
        )
        .await
        .unwrap();
    let insert = "insert into \"default$default\".\"Publication\" (uid, type, status, delay, \"publishAt\", \"createdAt\", \"updatedAt\", promotion) \
                  values ($1, 'NOTIFICATION', $2, 0, now() + $3::int * interval '1 minute', now(), now(), $4)";
    for (uid, status, minutes, of) in [
        ("overdue", "WAITING", -5, &promotion),
        ("later", "WAITING", 60, &other),
        ("sent", "DELIVERED", -60, &other),
        ("forgotten", "WAITING", -3 * 24 * 60, &other),
    ] {
        world
            .tables
            .execute(insert, &[&uid, &status, &minutes, of])
            .await
            .unwrap();
    }
    let jobs = async |world: &World| {
        let query = "select node from gom.job order by node";
        let rows = world.tables.query(query, &[]).await.unwrap();
        rows.iter()
            .map(|row| row.get::<_, String>(0))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        jobs(&world).await,
        [""; 0],
        "nobody would ever look at them"
    );

    world.command(&["migrate", "apply"], "");
    assert_eq!(jobs(&world).await, ["forgotten", "later", "overdue"]);
    world.serve("").await;
    gom_test_support::eventually("the overdue one is out", async || {
        world.publication("overdue").await["status"] == "DELIVERED"
    })
    .await;
    assert_eq!(world.ledger().await, ["/bea DELIVERED 1 201"]);
    // Its new status was a change as well.
    gom_test_support::eventually("the other one is all that waits", async || {
        jobs(&world).await == ["later"]
    })
    .await;
    assert_eq!(world.publication("later").await["status"], "WAITING");
    assert_eq!(
        world.publication("forgotten").await["status"],
        "FAILED",
        "it is too late for that"
    );
}

#[actix_web::test]
async fn f12_a_delayed_publication_survives_a_restart_and_can_be_cancelled() {
    let mut world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("bea", "/bea").await;
    let promotion = world.promotion("ana").await;
    let delayed = world.publish(&promotion, 8_000).await;
    let (deleted, called_off) = (
        world.publish(&promotion, 8_000).await,
        world.publish(&promotion, 8_000).await,
    );
    world
        .ask(
            "mutation($uid: ID!) { deletePublication(where: { uid: $uid }) { uid } }",
            json!({ "uid": deleted }),
        )
        .await;
    world.ask("mutation($uid: ID!) { updatePublication(where: { uid: $uid }, data: { status: FAILED }) { uid } }", json!({ "uid": called_off })).await;
    // Killed while it waits, and nobody there for a while.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.kill();
    assert_eq!(world.service.count(), 0);
    world.serve("").await;
    let begun = std::time::Instant::now();
    while world.service.count() == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "nothing was published"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.quiet().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        world.ledger().await,
        ["/bea DELIVERED 1 201"],
        "one was published, two were called off"
    );
    assert_eq!(world.publication(&delayed).await["status"], "DELIVERED");
    assert_eq!(world.publication(&called_off).await["status"], "FAILED");
}

#[actix_web::test]
async fn f12_a_publication_that_reaches_nobody_has_failed() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("bea", "/status/400").await;
    let promotion = world.promotion("ana").await;
    let published = world.publish(&promotion, 0).await;
    world.quiet().await;
    assert_eq!(world.publication(&published).await["status"], "FAILED");
}
