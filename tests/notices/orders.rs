//! Orders notify the other party.

use std::time::Duration;

use gom_actors::push::{Composed, Composer, Job, Urgency};
use gom_server::identity::Viewer;
use gom_shop::Language;
use gom_shop::NoticeSettings;
use gom_shop::customer_subject;
use gom_shop::{NoticeOptions, ORDER};
use serde_json::json;

use crate::publications::{promotion, publish};
use crate::{composed, composer, jobs, notice, notices};
use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, customer, seller};

/// A customer of the demo shop PALETAS, by uid.
const CUSTOMER: &str = "cdemobp000000000000000001";
const CREATE: &str = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
const UPDATE: &str = "mutation($data: OrderUpdateInput!, $where: OrderWhereUniqueInput!) { updateOrder(data: $data, where: $where) { name } }";

async fn order(shop: &Shop, by: &Viewer, name: &str) -> Job {
    jobs(shop, ORDER).await;
    let data = json!({
        "name": name,
        "issuedTo": { "connect": { "uid": CUSTOMER } },
        "assignedTo": { "connect": { "extUid": PALETAS } },
        "items": { "create": [{ "description": "Mango", "quantity": 2 }] },
    });
    let response = shop.ask(by, CREATE, json!({ "data": data })).await;
    assert!(response.errors.is_empty(), "{response:?}");
    let mut jobs = jobs(shop, ORDER).await;
    assert_eq!(jobs.len(), 1, "one order, one job: {jobs:?}");
    jobs.remove(0)
}

#[actix::test]
async fn urgency_and_time_to_live_follow_the_settings() {
    let shop = Shop::open().await;
    let of = |urgency, minutes: u64| NoticeSettings {
        urgency,
        time_to_live: Duration::from_secs(minutes * 60),
    };
    let options = NoticeOptions {
        language: Language::English,
        orders: of(Urgency::Low, 5),
        promotions: of(Urgency::VeryLow, 90),
    };
    let notices = composer(&shop, options);
    let promotion = promotion(&shop, PALETAS, "").await;
    for (job, urgency, minutes) in [
        (
            order(&shop, &customer(CUSTOMER), "A").await,
            Urgency::Low,
            5,
        ),
        (
            publish(&shop, PALETAS, &promotion, 0).await,
            Urgency::VeryLow,
            90,
        ),
    ] {
        let Composed::Notify(notice) = notices.compose(&job, None).await.unwrap() else {
            panic!("{job:?}")
        };
        assert_eq!(
            (notice.urgency, notice.ttl),
            (urgency, Duration::from_secs(minutes * 60))
        );
    }
}

#[actix::test]
async fn an_order_notifies_the_other_party() {
    let shop = Shop::open().await;
    let by_customer = order(&shop, &customer(CUSTOMER), "Paletas «de» mango").await;
    let notification = notice(&shop, &by_customer).await;
    assert_eq!(notification.recipients, [PALETAS]);
    assert_eq!(
        (notification.title.as_str(), notification.body.as_str()),
        ("Pedido nuevo", "Tienes un nuevo pedido: Paletas «de» mango")
    );
    assert_eq!(
        (
            notification.kind.as_str(),
            notification.operation.as_deref()
        ),
        ("order", Some("create"))
    );
    assert_eq!(notification.node, by_customer.node);
    assert_eq!(notification.urgency, Urgency::High);

    let by_seller = order(&shop, &seller(PALETAS), "A").await;
    assert_eq!(
        notice(&shop, &by_seller).await.recipients,
        [customer_subject(CUSTOMER, PALETAS)]
    );

    // The service is neither of them.
    let by_service = order(&shop, &Viewer::Service, "B").await;
    assert_eq!(
        notice(&shop, &by_service).await.recipients,
        [customer_subject(CUSTOMER, PALETAS), PALETAS.to_owned()]
    );
}

#[actix::test]
async fn an_update_notifies_whatever_the_mutation_selects_or_nests() {
    let shop = Shop::open().await;
    let created = order(&shop, &seller(PALETAS), "A").await;
    let data = json!({ "items": { "create": [{ "description": "Limón" }] } });
    let response = shop
        .ask(
            &customer(CUSTOMER),
            UPDATE,
            json!({ "data": data, "where": { "uid": created.node } }),
        )
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    let jobs = jobs(&shop, ORDER).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let update = notice(&shop, &jobs[0]).await;
    assert_eq!(update.recipients, [PALETAS]);
    assert_eq!(
        (update.title.as_str(), update.body.as_str()),
        ("Pedido actualizado", "A ha sido actualizado")
    );
    assert_eq!(update.operation.as_deref(), Some("update"));

    // A later update replaces this update and not the notification of the new order.
    let again = Job {
        id: 77,
        ..jobs[0].clone()
    };
    assert_eq!(notice(&shop, &again).await.topic, update.topic);
    assert_ne!(notice(&shop, &created).await.topic, update.topic);
}

/// As after a restore into a cluster whose transaction ids start over.
#[actix::test]
async fn a_job_left_from_another_database_hides_no_change() {
    let shop = Shop::open().await;
    let order = order(&shop, &seller(PALETAS), "A").await.node;
    let change = |left: &str| {
        format!(
            "begin; {left} update \"Order\" set name = 'B' where uid = '{order}'; \
             update \"Order\" set name = 'C' where uid = '{order}'; commit"
        )
    };
    shop.tables.batch_execute(&change("")).await.unwrap();
    assert_eq!(
        shop.count("select version::bigint from gom.job where subject = 'order'")
            .await,
        1,
        "one transaction"
    );
    jobs(&shop, ORDER).await;
    let left = format!(
        "insert into gom.job (subject, schema_name, node, created, dedup, created_at) \
         select 'order', current_schema, '{order}', true, '{order} ' || txid_current(), now() - interval '1 hour';"
    );
    shop.tables.batch_execute(&change(&left)).await.unwrap();
    let read_again = "select count(*) from gom.job where subject = 'order' and version = 2 and created and due_at = created_at";
    assert_eq!(
        shop.count(read_again).await,
        1,
        "it is of another transaction, and read again"
    );
}

#[actix::test]
async fn texts_are_in_the_configured_language() {
    let shop = Shop::open().await;
    let created = order(&shop, &seller(PALETAS), "{name}").await;
    let english = notices(&shop, Language::English);
    let Composed::Notify(notification) = english.compose(&created, None).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (notification.title.as_str(), notification.body.as_str()),
        ("New order", "You have a new order: {name}")
    );
    let updated = Job {
        created: false,
        ..created
    };
    let Composed::Notify(notification) = english.compose(&updated, None).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (notification.title.as_str(), notification.body.as_str()),
        ("Order updated", "{name} has been updated")
    );
}

#[actix::test]
async fn a_deleted_order_notifies_nobody() {
    let shop = Shop::open().await;
    let created = order(&shop, &customer(CUSTOMER), "A").await;
    shop.read(
        &Viewer::Service,
        &format!(
            "mutation {{ deleteOrder(where: {{ uid: \"{}\" }}) {{ uid }} }}",
            created.node
        ),
    )
    .await;
    assert_eq!(composed(&shop, &created).await, Composed::Nothing);
    // Nor when the other party has no subject under which devices are stored.
    let created = order(&shop, &customer(CUSTOMER), "B").await;
    shop.tables
        .execute(
            "update \"User\" set \"extUid\" = null where \"extUid\" = $1",
            &[&PALETAS],
        )
        .await
        .unwrap();
    assert_eq!(composed(&shop, &created).await, Composed::Nothing);
}

#[actix::test]
async fn a_customer_whose_id_is_a_sellers_subject_gets_no_notification_of_the_sellers() {
    let shop = Shop::open().await;
    // The API permits no such row; even with it the customer does not take over the seller's subject.
    let insert = format!(
        "insert into \"Bp\" (uid, name1, \"createdAt\", \"updatedAt\") values ('{TACOS}', 'x', now(), now());
         insert into \"_CustomerOf\" select '{TACOS}', uid from \"User\" where \"extUid\" = '{PALETAS}'"
    );
    shop.tables.batch_execute(&insert).await.unwrap();
    let data = json!({
        "name": "secret", "issuedTo": { "connect": { "uid": "cdemobp000000000000000006" } },
        "assignedTo": { "connect": { "extUid": TACOS } },
    });
    jobs(&shop, ORDER).await;
    let response = shop
        .ask(&Viewer::Service, CREATE, json!({ "data": data }))
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    let notification = notice(&shop, &jobs(&shop, ORDER).await[0]).await;
    assert!(
        notification.recipients.contains(&TACOS.to_owned()),
        "{notification:?}"
    );
    let impostor = customer(TACOS);
    assert!(
        !notification
            .recipients
            .contains(&impostor.user().unwrap().subject),
        "{notification:?}"
    );
    // The impostor's writes carry its own subject, and the seller with the same name is notified of them.
    let by_impostor = json!({
        "name": "x", "issuedTo": { "connect": { "uid": TACOS } }, "assignedTo": { "connect": { "extUid": PALETAS } },
    });
    let text = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { createdBy } }";
    let written = shop
        .ask(&impostor, text, json!({ "data": by_impostor }))
        .await;
    assert_eq!(
        written.data["createOrder"]["createdBy"],
        customer_subject(TACOS, PALETAS),
        "{written:?}"
    );
    assert_eq!(
        jobs(&shop, ORDER).await[0].writer,
        Some(customer_subject(TACOS, PALETAS))
    );
}
