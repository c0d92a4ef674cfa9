//! What an application adds, and a server without one.

use gom_server::application::{Application, NoApplication};
use gom_shop::Shop;

use crate::app::TestApp;

/// Jobs that are queued by a mutation which creates an order.
async fn jobs_of_an_order(application: &'static dyn Application) -> i64 {
    let app = TestApp::start_for(application).await;
    let created = app
        .ask(
            r#"mutation { createOrder(data: {
                name: "One"
                issuedTo: { create: { uid: "c1", extUid: "c1", name1: "A", lastName1: "B", phone: "5512345678" } }
                assignedTo: { create: { extUid: "s1", business: "S" } }
                items: { create: [{ quantity: 1, description: "Flan" }] }
            }) { name } }"#,
        )
        .await;
    assert_eq!(
        created.body["data"]["createOrder"]["name"], "One",
        "{}",
        created.body
    );
    let client = app.database().connect().await;
    client
        .query_one("select count(*) from gom.job", &[])
        .await
        .unwrap()
        .get(0)
}

#[actix_web::test]
async fn a_server_without_an_application_serves_the_datamodel_and_queues_no_jobs() {
    assert_eq!(jobs_of_an_order(&NoApplication).await, 0);
    assert_eq!(
        jobs_of_an_order(&Shop).await,
        1,
        "the shop's orders are watched"
    );
}
