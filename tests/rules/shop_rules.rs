//! The shop's own rules.

use futures::future::join_all;
use gom_engine::policy::OneOrMany;
use gom_server::application::Application;
use gom_server::identity::Viewer;
use gom_test_support::eventually;
use serde_json::json;

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, seller, settings};

const PUBLISH: &str = "mutation($data: PublicationCreateInput!) { createPublication(data: $data) { uid status delay publishAt } }";

async fn promotion(shop: &Shop, of: &str) -> String {
    let text = "mutation($data: PromotionCreateInput!) { createPromotion(data: $data) { uid } }";
    let data = json!({ "code": "N", "name": "New", "assignedTo": { "connect": { "extUid": of } } });
    let response = shop.ask(&seller(of), text, json!({ "data": data })).await;
    response.data["createPromotion"]["uid"]
        .as_str()
        .unwrap_or_else(|| panic!("{response:?}"))
        .to_owned()
}

fn publication(promotion: &str, delay: i64) -> serde_json::Value {
    json!({ "data": { "type": "NOTIFICATION", "status": "DELIVERED", "delay": delay, "promotion": { "connect": { "uid": promotion } } } })
}

#[actix::test]
async fn a_customer_with_an_active_order_is_not_deleted() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let delete = "mutation($where: BpWhereUniqueInput!) { deleteBp(where: $where) { uid } }";
    let response = shop
        .ask(
            &paletas,
            delete,
            json!({ "where": { "uid": "cdemobp000000000000000001" } }),
        )
        .await;
    assert_eq!(response.code(), "BP_WITH_ACTIVE_ORDERS");
    assert_eq!(
        response.errors[0].message,
        "BP with active orders cannot be deleted"
    );
    assert_eq!(response.data, json!({ "deleteBp": null }));
    let response = shop
        .ask(
            &paletas,
            delete,
            json!({ "where": { "extUid": "DemoCode04" } }),
        )
        .await;
    assert_eq!(
        (response.code(), response.errors[0].message.as_str()),
        ("BAD_USER_INPUT", "Missing uid in arguments")
    );
    for uid in ["cdemobp000000000000000006", "nothing"] {
        let response = shop
            .ask(&paletas, delete, json!({ "where": { "uid": uid } }))
            .await;
        assert_eq!(response.code(), "FORBIDDEN", "{uid}");
    }
    // All of this one's orders are closed; they go along.
    let response = shop
        .ask(
            &paletas,
            delete,
            json!({ "where": { "uid": "cdemobp000000000000000004" } }),
        )
        .await;
    assert_eq!(
        response.data["deleteBp"]["uid"], "cdemobp000000000000000004",
        "{response:?}"
    );
    assert_eq!(
        shop.count(
            "select count(*) from \"Order\" where \"issuedTo\" = 'cdemobp000000000000000004'"
        )
        .await,
        0
    );
}

#[actix::test]
async fn a_promotion_is_published_once_on_a_day() {
    let shop = Shop::open().await;
    let (paletas, uid) = (seller(PALETAS), promotion(&shop, PALETAS).await);
    // Ten at the same time: one is first.
    let ten = join_all((0..10).map(|_| shop.ask(&paletas, PUBLISH, publication(&uid, 0)))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        ten.iter().partition(|response| response.errors.is_empty());
    assert_eq!((made.len(), refused.len()), (1, 9), "{ten:?}");
    assert!(
        refused
            .iter()
            .all(|response| response.code() == "TOO_MANY_PUBLICATIONS"),
        "{ten:?}"
    );
    assert_eq!(
        made[0].data["createPublication"]["status"], "WAITING",
        "the server says so"
    );
    let at = made[0].data["createPublication"]["publishAt"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>();
    assert!((chrono::Utc::now() - at.unwrap()).num_seconds().abs() < 60);
    // Tomorrow is another day, once.
    let day = 24 * 60 * 60 * 1_000;
    let response = shop.ask(&paletas, PUBLISH, publication(&uid, day)).await;
    assert!(response.errors.is_empty(), "{response:?}");
    let response = shop.ask(&paletas, PUBLISH, publication(&uid, day)).await;
    assert_eq!(
        (response.code(), response.errors[0].message.as_str()),
        ("TOO_MANY_PUBLICATIONS", "Too many publications")
    );
    // What has failed does not count.
    shop.tables
        .batch_execute("update \"Publication\" set status = 'FAILED'")
        .await
        .unwrap();
    assert!(
        shop.ask(&paletas, PUBLISH, publication(&uid, 0))
            .await
            .errors
            .is_empty()
    );
}

#[actix::test]
async fn only_own_promotions_are_published_and_only_to_customers() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS).await;
    assert_eq!(
        shop.ask(&seller(TACOS), PUBLISH, publication(&uid, 0))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        shop.ask(&seller(PALETAS), PUBLISH, publication("nothing", 0))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        shop.ask(&seller(PALETAS), PUBLISH, publication(&uid, -1))
            .await
            .code(),
        "BAD_USER_INPUT"
    );
    shop.tables
        .batch_execute("delete from \"_CustomerOf\"")
        .await
        .unwrap();
    let response = shop
        .ask(&seller(PALETAS), PUBLISH, publication(&uid, 0))
        .await;
    assert_eq!(
        (response.code(), response.errors[0].message.as_str()),
        ("NO_CUSTOMERS", "No customers associated")
    );
}

const PUT_OFF: &str = "mutation($uid: ID!, $data: PublicationUpdateInput!) { updatePublication(where: { uid: $uid }, data: $data) { status delay publishAt } }";
const CALL_OFF: &str = "mutation($uid: ID!) { deletePublication(where: { uid: $uid }) { uid } }";
const DAY: i64 = 24 * 60 * 60 * 1_000;

async fn published(shop: &Shop, promotion: &str, delay: i64) -> String {
    let response = shop
        .ask(&seller(PALETAS), PUBLISH, publication(promotion, delay))
        .await;
    response.data["createPublication"]["uid"]
        .as_str()
        .unwrap_or_else(|| panic!("{response:?}"))
        .to_owned()
}

#[actix::test]
async fn a_publication_is_postponed_or_cancelled_before_its_time_and_not_after() {
    let shop = Shop::open().await;
    let (paletas, promotion) = (seller(PALETAS), promotion(&shop, PALETAS).await);
    let uid = published(&shop, &promotion, DAY).await;
    let other = published(&shop, &promotion, 3 * DAY).await;

    let put_off = |delay: serde_json::Value| json!({ "uid": uid, "data": { "delay": delay } });
    let response = shop.ask(&paletas, PUT_OFF, put_off(json!(2 * DAY))).await;
    assert!(response.errors.is_empty(), "{response:?}");
    let at = response.data["updatePublication"]["publishAt"]
        .as_str()
        .unwrap();
    let at = at.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!(
        (at - chrono::Utc::now() - chrono::Duration::days(2))
            .num_seconds()
            .abs()
            < 60,
        "{at}"
    );
    assert_eq!(response.data["updatePublication"]["status"], "WAITING");
    // To the time that it has already, but not to the day of the other one.
    assert!(
        shop.ask(&paletas, PUT_OFF, put_off(json!(2 * DAY)))
            .await
            .errors
            .is_empty()
    );
    assert_eq!(
        shop.ask(&paletas, PUT_OFF, put_off(json!(3 * DAY)))
            .await
            .code(),
        "TOO_MANY_PUBLICATIONS"
    );
    assert_eq!(
        shop.ask(&paletas, PUT_OFF, put_off(json!(-1))).await.code(),
        "BAD_USER_INPUT"
    );
    assert_eq!(
        shop.ask(&paletas, PUT_OFF, put_off(json!(null)))
            .await
            .code(),
        "BAD_USER_INPUT"
    );
    for data in [
        json!({}),
        json!({ "status": "FAILED" }),
        json!({ "delay": 1, "publishAt": "2030-01-01T00:00:00Z" }),
    ] {
        let response = shop
            .ask(&paletas, PUT_OFF, json!({ "uid": uid, "data": data }))
            .await;
        assert_eq!(response.code(), "BAD_USER_INPUT", "{data}");
    }
    // Not by others.
    assert_eq!(
        shop.ask(&seller(TACOS), PUT_OFF, put_off(json!(DAY)))
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        shop.ask(&seller(TACOS), CALL_OFF, json!({ "uid": uid }))
            .await
            .code(),
        "FORBIDDEN"
    );

    let response = shop.ask(&paletas, CALL_OFF, json!({ "uid": other })).await;
    assert_eq!(
        response.data["deletePublication"]["uid"],
        other.as_str(),
        "{response:?}"
    );
    assert_eq!(
        shop.ask(&paletas, CALL_OFF, json!({ "uid": other }))
            .await
            .code(),
        "FORBIDDEN"
    );

    for changed in [
        "status = 'DELIVERED'",
        "status = 'FAILED'",
        "status = 'WAITING', \"publishAt\" = now() at time zone 'UTC'",
    ] {
        shop.tables
            .batch_execute(&format!("update \"Publication\" set {changed}"))
            .await
            .unwrap();
        let response = shop.ask(&paletas, PUT_OFF, put_off(json!(DAY))).await;
        assert_eq!(response.code(), "PUBLICATION_NOT_WAITING", "{changed}");
        let response = shop.ask(&paletas, CALL_OFF, json!({ "uid": uid })).await;
        assert_eq!(response.code(), "PUBLICATION_NOT_WAITING", "{changed}");
    }
}

/// For connections that are made from now on, the database's clock is three days ahead of this process's.
async fn put_the_databases_clock_forward(shop: &Shop) {
    let shifted = "create schema shifted;
        create function shifted.clock_timestamp() returns timestamptz language sql volatile
          as 'select pg_catalog.clock_timestamp() + interval ''3 days''';
        do $$ begin
          execute format('alter database %I set search_path = shifted, pg_catalog, public', current_database());
        end $$;
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    shop.tables.batch_execute(shifted).await.unwrap();
    let paletas = seller(PALETAS);
    eventually("the server is connected again", async || {
        shop.ask(&paletas, "{ promotions { uid } }", json!({}))
            .await
            .errors
            .is_empty()
    })
    .await;
}

#[actix::test]
async fn a_publications_day_and_its_end_are_by_the_databases_clock() {
    let shop = Shop::open().await;
    let (paletas, promotion) = (seller(PALETAS), promotion(&shop, PALETAS).await);
    put_the_databases_clock_forward(&shop).await;
    let response = shop
        .ask(&paletas, PUBLISH, publication(&promotion, 0))
        .await;
    let at = response.data["createPublication"]["publishAt"]
        .as_str()
        .unwrap_or_else(|| panic!("{response:?}"));
    let ahead = at.parse::<chrono::DateTime<chrono::Utc>>().unwrap() - chrono::Utc::now();
    assert!(
        (ahead - chrono::Duration::days(3)).num_seconds().abs() < 60,
        "{at}"
    );
    // A node by whose clock it were another day would allow a second one.
    let response = shop
        .ask(&paletas, PUBLISH, publication(&promotion, 0))
        .await;
    assert_eq!(response.code(), "TOO_MANY_PUBLICATIONS");
    // Its time is to come by this process's clock; the database's says that it may have been sent.
    let uid = published(&shop, &promotion, 2 * DAY).await;
    let due = format!(
        "update \"Publication\" set \"publishAt\" = now() at time zone 'UTC' + interval '1 day' where uid = '{uid}'"
    );
    shop.tables.batch_execute(&due).await.unwrap();
    assert_eq!(
        shop.ask(&paletas, CALL_OFF, json!({ "uid": uid }))
            .await
            .code(),
        "PUBLICATION_NOT_WAITING"
    );
    let put_off = json!({ "uid": uid, "data": { "delay": 4 * DAY } });
    assert_eq!(
        shop.ask(&paletas, PUT_OFF, put_off).await.code(),
        "PUBLICATION_NOT_WAITING"
    );
}

#[actix::test]
async fn a_publication_is_not_linked_or_written_from_its_promotions_side() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let (first, second) = (
        promotion(&shop, PALETAS).await,
        promotion(&shop, PALETAS).await,
    );
    let (x1, x2) = (
        published(&shop, &first, 0).await,
        published(&shop, &second, 0).await,
    );
    let update = "mutation($uid: ID!, $data: PromotionUpdateInput!) { updatePromotion(where: { uid: $uid }, data: $data) { uid } }";
    let create = "mutation($data: PromotionCreateInput!) { createPromotion(data: $data) { uid } }";
    let tied = "select count(*) from \"Publication\" where \"promotion\" = ";
    let new = |publications: serde_json::Value| json!({ "code": "N", "name": "New", "assignedTo": { "connect": { "extUid": PALETAS } }, "publications": publications });
    // Both wait for the same day; once delivered they are final, and moving them would allow another one.
    for status in ["WAITING", "DELIVERED"] {
        shop.tables
            .batch_execute(&format!("update \"Publication\" set status = '{status}'"))
            .await
            .unwrap();
        for publications in [
            json!({ "connect": [{ "uid": x2 }] }),
            json!({ "set": [{ "uid": x1 }, { "uid": x2 }] }),
            json!({ "set": [] }),
            json!({ "disconnect": [{ "uid": x1 }] }),
            json!({ "delete": [{ "uid": x1 }] }),
            json!({ "deleteMany": [{}] }),
            json!({ "create": [{ "type": "NOTIFICATION" }] }),
            json!({ "updateMany": [{ "where": {}, "data": { "status": "FAILED" } }] }),
        ] {
            let response = shop
                .ask(
                    &paletas,
                    update,
                    json!({ "uid": first, "data": { "publications": publications } }),
                )
                .await;
            assert_eq!(response.code(), "BAD_USER_INPUT", "{publications}");
        }
        let response = shop
            .ask(
                &paletas,
                create,
                json!({ "data": new(json!({ "connect": [{ "uid": x1 }] })) }),
            )
            .await;
        assert_eq!(response.code(), "BAD_USER_INPUT");
        assert_eq!(shop.count(&format!("{tied}'{first}'")).await, 1);
        assert_eq!(shop.count(&format!("{tied}'{second}'")).await, 1);
    }
    // An empty value requests nothing.
    let response = shop
        .ask(
            &paletas,
            update,
            json!({ "uid": first, "data": { "name": "N2", "publications": { "connect": null } } }),
        )
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    // The service may do as it likes.
    let response = shop
        .ask(
            &Viewer::Service,
            update,
            json!({ "uid": first, "data": { "publications": { "connect": [{ "uid": x2 }] } } }),
        )
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
}

#[test]
fn a_policy_may_not_permit_what_the_shops_rules_do_not_cover() {
    let settings = settings("postgres://unused@localhost/unused");
    let model = gom_server::datamodel::read(&settings, gom_shop::Shop.built_in().as_ref())
        .unwrap()
        .model;
    let schema = gom_engine::schema::generate(
        &model,
        gom_engine::schema::SchemaOptions { execute_raw: false },
    );
    let (_, mut source) = gom_server::policy::read(&settings, gom_shop::Shop.built_in().as_ref())
        .unwrap()
        .unwrap();
    assert_eq!(
        gom_shop::Shop.policy_problems(&source, &model, &schema),
        [],
        "the shipped policy permits none"
    );
    let permit = |name: &str| (name.to_owned(), OneOrMany::One("manage:shop".to_owned()));
    let detours = [
        "upsertPublication",
        "updateManyPublications",
        "deleteManyPublications",
        "deleteManyBps",
        "deletePromotion",
        "deleteManyPromotions",
        "deleteUser",
        "deleteManyUsers",
    ];
    source.operations.mutation.extend(detours.map(permit));
    source
        .operations
        .mutation
        .extend(["upsertBp", "updateManyBps", "deleteOrder"].map(permit));
    source
        .parts
        .insert("Publication".into(), vec!["Promotion".into()]);
    let problems = gom_shop::Shop.policy_problems(&source, &model, &schema);
    let places: Vec<&str> = problems
        .iter()
        .map(|problem| problem.place.as_str())
        .collect();
    let expected = detours.map(|name| format!("operations.mutation.{name}"));
    assert_eq!(places[..8], expected);
    assert_eq!(places[8..], ["parts.Publication"]);
}
