//! Publications notify the customers of the promotion's seller when they are due.

use std::time::{Duration, SystemTime};

use gom_actors::push::{Composed, Composer, Job, MAX_RECIPIENTS, Settled, Urgency};
use gom_server::identity::Viewer;
use gom_shop::Language;
use gom_shop::PUBLICATION;
use gom_shop::customer_subject;
use serde_json::{Value, json};

use crate::{composed, jobs, notice, notices};
use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, seller};

const DAY: i64 = 24 * 60 * 60 * 1_000;
const PUBLISH: &str =
    "mutation($data: PublicationCreateInput!) { createPublication(data: $data) { uid } }";

pub async fn promotion(shop: &Shop, of: &str, content: &str) -> String {
    let text = "mutation($data: PromotionCreateInput!) { createPromotion(data: $data) { uid } }";
    let data = json!({ "code": "N", "name": format!("De {of}"), "content": content, "assignedTo": { "connect": { "extUid": of } } });
    let response = shop.ask(&seller(of), text, json!({ "data": data })).await;
    response.data["createPromotion"]["uid"]
        .as_str()
        .unwrap_or_else(|| panic!("{response:?}"))
        .to_owned()
}

/// The job of a new publication.
pub async fn publish(shop: &Shop, of: &str, promotion: &str, delay: i64) -> Job {
    jobs(shop, PUBLICATION).await;
    let data = json!({ "type": "NOTIFICATION", "delay": delay, "promotion": { "connect": { "uid": promotion } } });
    let response = shop
        .ask(&seller(of), PUBLISH, json!({ "data": data }))
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    let mut jobs = jobs(shop, PUBLICATION).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

async fn customers(shop: &Shop, of: &str) -> Vec<String> {
    let sql = "select b.uid from \"Bp\" b join \"_CustomerOf\" c on c.\"A\" = b.uid join \"User\" u on u.uid = c.\"B\" where u.\"extUid\" = $1 order by b.uid";
    shop.tables
        .query(sql, &[&of])
        .await
        .unwrap()
        .iter()
        .map(|row| customer_subject(row.get(0), of))
        .collect()
}

async fn status(shop: &Shop, publication: &str) -> Value {
    let text =
        format!("{{ publication(where: {{ uid: \"{publication}\" }}) {{ status updatedBy }} }}");
    shop.read(&Viewer::Service, &text).await["publication"].clone()
}

#[actix::test]
async fn f01_only_the_customers_of_the_promotions_own_seller_are_notified() {
    let shop = Shop::open().await;
    let (paletas, tacos) = (
        customers(&shop, PALETAS).await,
        customers(&shop, TACOS).await,
    );
    assert!(!paletas.is_empty() && !tacos.is_empty() && paletas != tacos);
    let of_paletas = promotion(
        &shop,
        PALETAS,
        "<p>Dos&nbsp;por <b>uno</b></p><script>x</script>",
    )
    .await;
    let of_tacos = promotion(&shop, TACOS, "").await;

    let notification = notice(&shop, &publish(&shop, PALETAS, &of_paletas, 0).await).await;
    assert_eq!(notification.recipients, paletas);
    assert_eq!(
        (notification.title.as_str(), notification.body.as_str()),
        (format!("De {PALETAS}").as_str(), "Dos por uno")
    );
    assert_eq!(
        (
            notification.kind.as_str(),
            notification.node.as_str(),
            notification.operation
        ),
        ("promotion", of_paletas.as_str(), None)
    );
    assert_eq!(
        (notification.urgency, notification.topic),
        (Urgency::Normal, None)
    );

    let notification = notice(&shop, &publish(&shop, TACOS, &of_tacos, 0).await).await;
    assert_eq!(notification.recipients, tacos);

    // A job without the value that the recipients are filtered by notifies nobody.
    let now = SystemTime::now();
    let job = Job {
        id: 1,
        subject: PUBLICATION.into(),
        node: String::new(),
        created: true,
        writer: None,
        queued_at: now,
        now,
    };
    assert_eq!(composed(&shop, &job).await, Composed::Nothing);
}

#[actix::test]
async fn each_of_many_customers_is_notified_once() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    let insert = "with new as (insert into \"Bp\" (uid, name1, \"extUid\", \"createdAt\", \"updatedAt\") \
        select 'cmany' || i, 'N', 'many' || i, now(), now() from generate_series(1, 25000) i returning uid), \
        seller as (select uid from \"User\" where \"extUid\" = 'auth0|demo-paletas') \
        insert into \"_CustomerOf\" (\"A\", \"B\") select new.uid, seller.uid from new, seller";
    shop.tables.batch_execute(insert).await.unwrap();
    let job = publish(&shop, PALETAS, &uid, 0).await;
    // Two servers take the steps in turn; each caches what it has read ahead.
    let other = notices(&shop, Language::Spanish);
    let one = notices(&shop, Language::Spanish);
    let (mut found, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    for step in 0.. {
        let composer = if step % 7 == 3 { &other } else { &one };
        let composed = composer.compose(&job, after.as_deref()).await.unwrap();
        let Composed::Notify(notification) = composed else {
            panic!("{composed:?}")
        };
        assert!(
            notification.recipients.len() <= MAX_RECIPIENTS,
            "{}",
            notification.recipients.len()
        );
        found.extend(notification.recipients);
        after = notification.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected = customers(&shop, PALETAS).await;
    assert!(expected.len() > 25_000);
    expected.sort();
    found.sort();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
}

#[actix::test]
async fn f12_a_delayed_publication_waits_in_the_database_for_its_time() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    let before = SystemTime::now();
    let job = publish(&shop, PALETAS, &uid, DAY).await;
    // The composer has just started: its only state is in the database.
    let Composed::Later(at) = composed(&shop, &job).await else {
        panic!()
    };
    let wait = at.duration_since(before).unwrap().as_millis();
    assert!((86_399_000..86_460_000).contains(&wait), "{wait}");
    shop.tables
        .batch_execute("update \"Publication\" set \"publishAt\" = now() - interval '1 hour'")
        .await
        .unwrap();
    assert!(!notice(&shop, &job).await.recipients.is_empty());
}

#[actix::test]
async fn a_publication_is_due_by_the_databases_clock() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    let hour = Duration::from_secs(60 * 60);
    let job = publish(&shop, PALETAS, &uid, 2 * 60 * 60 * 1_000).await;
    // Independent of this machine's clock.
    let at = |now| Job { now, ..job.clone() };
    assert!(matches!(
        composed(&shop, &at(job.now + hour)).await,
        Composed::Later(_)
    ));
    assert!(matches!(
        composed(&shop, &at(job.now + 3 * hour)).await,
        Composed::Notify(_)
    ));
}

#[actix::test]
async fn a_publication_that_waited_a_day_too_long_is_not_sent_and_has_failed() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    let hour = Duration::from_secs(60 * 60);
    let job = publish(&shop, PALETAS, &uid, 60 * 60 * 1_000).await;
    let at = |now| Job { now, ..job.clone() };
    assert!(matches!(
        composed(&shop, &at(job.now + 24 * hour)).await,
        Composed::Notify(_)
    ));
    assert_eq!(
        composed(&shop, &at(job.now + 26 * hour)).await,
        Composed::TooLate
    );
    notices(&shop, Language::Spanish)
        .given_up(&job)
        .await
        .unwrap();
    let publication = status(&shop, &job.node).await;
    assert_eq!(
        publication,
        json!({ "status": "FAILED", "updatedBy": format!("job:{}", job.id) })
    );
    // A publication that is written with a past time is not late.
    let written = Job {
        queued_at: job.now + 26 * hour,
        now: job.now + 26 * hour,
        ..job.clone()
    };
    shop.tables
        .batch_execute("update \"Publication\" set status = 'WAITING'")
        .await
        .unwrap();
    assert!(matches!(
        composed(&shop, &written).await,
        Composed::Notify(_)
    ));
}

#[actix::test]
async fn a_publication_without_a_time_is_due_after_its_delay() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    for (delay, later) in [(json!(null), false), (json!(0), false), (json!(DAY), true)] {
        jobs(&shop, PUBLICATION).await;
        let data = json!({ "type": "NOTIFICATION", "status": "WAITING", "delay": delay, "promotion": { "connect": { "uid": uid } } });
        let response = shop
            .ask(&Viewer::Service, PUBLISH, json!({ "data": data }))
            .await;
        assert!(response.errors.is_empty(), "{response:?}");
        let job = jobs(&shop, PUBLICATION).await.remove(0);
        assert_eq!(
            matches!(composed(&shop, &job).await, Composed::Later(_)),
            later,
            "{delay}"
        );
    }
}

#[actix::test]
async fn a_cancelled_or_sent_publication_notifies_nobody() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    let job = publish(&shop, PALETAS, &uid, 0).await;
    shop.tables
        .batch_execute("update \"Publication\" set status = null")
        .await
        .unwrap();
    assert_eq!(composed(&shop, &job).await, Composed::Nothing);
    shop.tables
        .batch_execute("update \"Publication\" set status = 'FAILED'")
        .await
        .unwrap();
    assert_eq!(composed(&shop, &job).await, Composed::Nothing);
    shop.tables
        .batch_execute("delete from \"Publication\"")
        .await
        .unwrap();
    assert_eq!(composed(&shop, &job).await, Composed::Nothing);
}

#[actix::test]
async fn a_settled_publication_records_its_outcome_and_job_once() {
    let shop = Shop::open().await;
    let uid = promotion(&shop, PALETAS, "").await;
    let notices = notices(&shop, Language::Spanish);
    let mut job = publish(&shop, PALETAS, &uid, 0).await;
    let settled = |job: &Job, notification: &str, delivered, failed, gone| Settled {
        notification: notification.into(),
        subject: job.subject.clone(),
        source: job.node.clone(),
        delivered,
        failed,
        gone,
    };
    notices
        .settled(&settled(&job, "n1", 2, 5, 1))
        .await
        .unwrap();
    assert_eq!(
        status(&shop, &job.node).await,
        json!({ "status": "DELIVERED", "updatedBy": "job:n1" })
    );
    // Settling it again changes nothing, and its own change composes no notification.
    notices
        .settled(&settled(&job, "n2", 0, 5, 0))
        .await
        .unwrap();
    assert_eq!(
        status(&shop, &job.node).await,
        json!({ "status": "DELIVERED", "updatedBy": "job:n1" })
    );
    assert_eq!(composed(&shop, &job).await, Composed::Nothing);

    job = publish(&shop, PALETAS, &uid, DAY).await;
    notices
        .settled(&settled(&job, "n3", 0, 1, 3))
        .await
        .unwrap();
    assert_eq!(
        status(&shop, &job.node).await,
        json!({ "status": "FAILED", "updatedBy": "job:n3" })
    );
    // Nobody has a device: nothing has failed.
    job = publish(&shop, PALETAS, &uid, 2 * DAY).await;
    notices
        .settled(&settled(&job, "n4", 0, 0, 3))
        .await
        .unwrap();
    assert_eq!(status(&shop, &job.node).await["status"], "DELIVERED");
    // Orders have no status to settle, and a deleted publication is ignored.
    notices
        .settled(&Settled {
            subject: "order".into(),
            ..settled(&job, "n5", 1, 0, 0)
        })
        .await
        .unwrap();
    notices
        .settled(&Settled {
            source: "gone".into(),
            ..settled(&job, "n6", 1, 0, 0)
        })
        .await
        .unwrap();
}
