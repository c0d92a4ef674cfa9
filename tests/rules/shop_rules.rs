//! The shop's own rules.

use futures::future::join_all;
use serde_json::json;

use crate::shop::{PALETAS, Shop, TACOS, seller};

const PUBLISH: &str = "mutation($data: PublicationCreateInput!) { createPublication(data: $data) { uid status delay publishAt } }";

async fn promotion(shop: &Shop, of: &str) -> String {
    let text = "mutation($data: PromotionCreateInput!) { createPromotion(data: $data) { uid } }";
    let data = json!({ "code": "N", "name": "New", "assignedTo": { "connect": { "extUid": of } } });
    let told = shop.ask(&seller(of), text, json!({ "data": data })).await;
    told.data["createPromotion"]["uid"].as_str().unwrap_or_else(|| panic!("{told:?}")).to_owned()
}

fn publication(promotion: &str, delay: i64) -> serde_json::Value {
    json!({ "data": { "type": "NOTIFICATION", "status": "DELIVERED", "delay": delay, "promotion": { "connect": { "uid": promotion } } } })
}

#[actix::test]
async fn a_customer_who_waits_for_an_order_stays() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let delete = "mutation($where: BpWhereUniqueInput!) { deleteBp(where: $where) { uid } }";
    let told = shop.ask(&paletas, delete, json!({ "where": { "uid": "cdemobp000000000000000001" } })).await;
    assert_eq!(told.code(), "BP_WITH_ACTIVE_ORDERS");
    assert_eq!(told.errors[0].message, "BP with active orders cannot be deleted");
    assert_eq!(told.data, json!({ "deleteBp": null }));
    let told = shop.ask(&paletas, delete, json!({ "where": { "extUid": "DemoCode04" } })).await;
    assert_eq!(
        (told.code(), told.errors[0].message.as_str()),
        ("BAD_USER_INPUT", "Missing uid in arguments")
    );
    for uid in ["cdemobp000000000000000006", "nothing"] {
        let told = shop.ask(&paletas, delete, json!({ "where": { "uid": uid } })).await;
        assert_eq!(told.code(), "FORBIDDEN", "{uid}");
    }
    // All of this one's orders are closed; they go along.
    let told = shop.ask(&paletas, delete, json!({ "where": { "uid": "cdemobp000000000000000004" } })).await;
    assert_eq!(told.data["deleteBp"]["uid"], "cdemobp000000000000000004", "{told:?}");
    assert_eq!(
        shop.count("select count(*) from \"Order\" where \"issuedTo\" = 'cdemobp000000000000000004'").await,
        0
    );
}

#[actix::test]
async fn a_promotion_is_published_once_on_a_day() {
    let shop = Shop::open().await;
    let (paletas, uid) = (seller(PALETAS), promotion(&shop, PALETAS).await);
    // Ten at the same time: one is first.
    let ten = join_all((0..10).map(|_| shop.ask(&paletas, PUBLISH, publication(&uid, 0)))).await;
    let (made, refused): (Vec<_>, Vec<_>) = ten.iter().partition(|told| told.errors.is_empty());
    assert_eq!((made.len(), refused.len()), (1, 9), "{ten:?}");
    assert!(refused.iter().all(|told| told.code() == "TOO_MANY_PUBLICATIONS"), "{ten:?}");
    assert_eq!(made[0].data["createPublication"]["status"], "WAITING", "the server says so");
    let at = made[0].data["createPublication"]["publishAt"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>();
    assert!((chrono::Utc::now() - at.unwrap()).num_seconds().abs() < 60);
    // Tomorrow is another day, once.
    let day = 24 * 60 * 60 * 1_000;
    let told = shop.ask(&paletas, PUBLISH, publication(&uid, day)).await;
    assert!(told.errors.is_empty(), "{told:?}");
    let told = shop.ask(&paletas, PUBLISH, publication(&uid, day)).await;
    assert_eq!(
        (told.code(), told.errors[0].message.as_str()),
        ("TOO_MANY_PUBLICATIONS", "Too many publications")
    );
    // What has failed does not count.
    shop.tables.batch_execute("update \"Publication\" set status = 'FAILED'").await.unwrap();
    assert!(shop.ask(&paletas, PUBLISH, publication(&uid, 0)).await.errors.is_empty());
}

#[actix::test]
async fn only_own_promotions_are_published_and_only_to_customers() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS).await;
    assert_eq!(shop.ask(&seller(TACOS), PUBLISH, publication(&uid, 0)).await.code(), "FORBIDDEN");
    assert_eq!(shop.ask(&seller(PALETAS), PUBLISH, publication("nothing", 0)).await.code(), "FORBIDDEN");
    assert_eq!(shop.ask(&seller(PALETAS), PUBLISH, publication(&uid, -1)).await.code(), "BAD_USER_INPUT");
    shop.tables.batch_execute("delete from \"_CustomerOf\"").await.unwrap();
    let told = shop.ask(&seller(PALETAS), PUBLISH, publication(&uid, 0)).await;
    assert_eq!((told.code(), told.errors[0].message.as_str()), ("NO_CUSTOMERS", "No customers associated"));
}

const PUT_OFF: &str = "mutation($uid: ID!, $data: PublicationUpdateInput!) { updatePublication(where: { uid: $uid }, data: $data) { status delay publishAt } }";
const CALL_OFF: &str = "mutation($uid: ID!) { deletePublication(where: { uid: $uid }) { uid } }";
const DAY: i64 = 24 * 60 * 60 * 1_000;

async fn published(shop: &Shop, promotion: &str, delay: i64) -> String {
    let told = shop.ask(&seller(PALETAS), PUBLISH, publication(promotion, delay)).await;
    told.data["createPublication"]["uid"].as_str().unwrap_or_else(|| panic!("{told:?}")).to_owned()
}

#[actix::test]
async fn a_publication_is_put_off_or_called_off_before_its_time_and_not_after() {
    let shop = Shop::open().await;
    let (paletas, promotion) = (seller(PALETAS), promotion(&shop, PALETAS).await);
    let uid = published(&shop, &promotion, DAY).await;
    let other = published(&shop, &promotion, 3 * DAY).await;

    let put_off = |delay: serde_json::Value| json!({ "uid": uid, "data": { "delay": delay } });
    let told = shop.ask(&paletas, PUT_OFF, put_off(json!(2 * DAY))).await;
    assert!(told.errors.is_empty(), "{told:?}");
    let at = told.data["updatePublication"]["publishAt"].as_str().unwrap();
    let at = at.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!((at - chrono::Utc::now() - chrono::Duration::days(2)).num_seconds().abs() < 60, "{at}");
    assert_eq!(told.data["updatePublication"]["status"], "WAITING");
    // To the time that it has already, but not to the day of the other one.
    assert!(shop.ask(&paletas, PUT_OFF, put_off(json!(2 * DAY))).await.errors.is_empty());
    assert_eq!(shop.ask(&paletas, PUT_OFF, put_off(json!(3 * DAY))).await.code(), "TOO_MANY_PUBLICATIONS");
    assert_eq!(shop.ask(&paletas, PUT_OFF, put_off(json!(-1))).await.code(), "BAD_USER_INPUT");
    assert_eq!(shop.ask(&paletas, PUT_OFF, put_off(json!(null))).await.code(), "BAD_USER_INPUT");
    for data in
        [json!({}), json!({ "status": "FAILED" }), json!({ "delay": 1, "publishAt": "2030-01-01T00:00:00Z" })]
    {
        let told = shop.ask(&paletas, PUT_OFF, json!({ "uid": uid, "data": data })).await;
        assert_eq!(told.code(), "BAD_USER_INPUT", "{data}");
    }
    // Not by others.
    assert_eq!(shop.ask(&seller(TACOS), PUT_OFF, put_off(json!(DAY))).await.code(), "FORBIDDEN");
    assert_eq!(shop.ask(&seller(TACOS), CALL_OFF, json!({ "uid": uid })).await.code(), "FORBIDDEN");

    let told = shop.ask(&paletas, CALL_OFF, json!({ "uid": other })).await;
    assert_eq!(told.data["deletePublication"]["uid"], other.as_str(), "{told:?}");
    assert_eq!(shop.ask(&paletas, CALL_OFF, json!({ "uid": other })).await.code(), "FORBIDDEN");

    for changed in [
        "status = 'DELIVERED'",
        "status = 'FAILED'",
        "status = 'WAITING', \"publishAt\" = now() at time zone 'UTC'",
    ] {
        shop.tables.batch_execute(&format!("update \"Publication\" set {changed}")).await.unwrap();
        let told = shop.ask(&paletas, PUT_OFF, put_off(json!(DAY))).await;
        assert_eq!(told.code(), "PUBLICATION_NOT_WAITING", "{changed}");
        let told = shop.ask(&paletas, CALL_OFF, json!({ "uid": uid })).await;
        assert_eq!(told.code(), "PUBLICATION_NOT_WAITING", "{changed}");
    }
}
