//! Statements of the ledger, on a database of their own, while others hold rows of it.

use std::time::Duration;

use gom_test_support::{TestDatabase, eventually};
use tokio_postgres::Client;

use super::*;
use crate::database::DatabaseOptions;
use crate::push::device::PushEndpoint;

const LEASE: Duration = Duration::from_secs(60);

struct Place {
    test: TestDatabase,
    tables: Client,
    database: Database,
}

impl Place {
    async fn new() -> Place {
        let test = TestDatabase::with_own_tables().await;
        let mut options = DatabaseOptions::new(test.config());
        options.statement_timeout = Duration::from_secs(20);
        Place {
            tables: test.connect().await,
            database: Database::start(options).unwrap(),
            test,
        }
    }

    fn ledger(&self, who: &str) -> Ledger {
        Ledger::new(&self.database, who, "default$default", LEASE, None)
    }

    async fn notification(&self, id: &str, more: &str) {
        let sql = format!(
            "insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at) \
             values ('{id}', 'order', 'o', 'order', 'o', 't', 'b', 1, 'high', now() + interval '1 hour'); {more}"
        );
        self.tables.batch_execute(&sql).await.unwrap();
    }

    /// A delivery that a server is sending, or that nobody is.
    async fn delivery(
        &self,
        id: &str,
        notification: &str,
        endpoint: &PushEndpoint,
        who: Option<&str>,
    ) {
        let sql = "insert into gom.delivery (id, notification, recipient, endpoint, origin, device, state, leased_by, due_at) \
            values ($1, $2, 'ana', $3, $4, $5, case when $6::text is null then 'WAITING' else 'SENDING' end, $6, \
            now() + interval '1 minute')";
        let (origin, device) = (endpoint.origin(), endpoint.fingerprint());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
            &id,
            &notification,
            &endpoint.as_str(),
            &origin,
            &device,
            &who,
        ];
        self.tables.execute(sql, &params).await.unwrap();
    }

    /// Columns of all deliveries, by their ids.
    async fn deliveries(&self, columns: &str) -> Vec<String> {
        let sql = format!("select concat_ws(' ', id, {columns}) from gom.delivery order by id");
        self.tables
            .query(&sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }
}

fn endpoint(name: &str) -> PushEndpoint {
    PushEndpoint::parse(&format!("https://{name}.example/send/{name}")).unwrap()
}

fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn delivered(id: &str) -> Record {
    Record {
        id: id.to_owned(),
        state: DeliveryState::Delivered,
        status: Some(201),
        reason: None,
        shortened: false,
        unsent: 0,
        wait_ms: 0,
    }
}

#[actix::test]
async fn a_renewal_reports_which_leases_it_has_and_waits_for_no_row() {
    let place = Place::new().await;
    place.notification("n", "").await;
    for (id, who) in [("kept", "a"), ("locked", "a"), ("taken", "b")] {
        place.delivery(id, "n", &endpoint(id), Some(who)).await;
    }
    let mut other = place.test.connect().await;
    let holding = other.transaction().await.unwrap();
    holding
        .execute(
            "select from gom.delivery where id = 'locked' for update",
            &[],
        )
        .await
        .unwrap();
    let ids = names(&["kept", "locked", "taken", "unknown"]);
    let renewed = place.ledger("a").renew(&ids).await.unwrap();
    assert_eq!(renewed.into_iter().collect::<Vec<_>>(), names(&["kept"]));
}

#[actix::test]
async fn results_are_recorded_row_by_row_in_the_order_of_their_ids() {
    let place = Place::new().await;
    place.notification("n", "").await;
    for id in ["b", "a"] {
        place.delivery(id, "n", &endpoint(id), Some("one")).await;
    }
    let mut other = place.test.connect().await;
    let holding = other.transaction().await.unwrap();
    holding
        .execute("select from gom.delivery where id = 'a' for update", &[])
        .await
        .unwrap();
    // Another server, which lost its leases: what has arrived it records all the same.
    let ledger = place.ledger("another");
    let records = [delivered("b"), delivered("a")];
    let others = async {
        eventually("it waits", async || {
            let waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            !place.tables.query(waiting, &[]).await.unwrap().is_empty()
        })
        .await;
        // The server that has the first row gets the second.
        holding
            .execute(
                "select from gom.delivery where id = 'b' for update nowait",
                &[],
            )
            .await
            .unwrap();
        holding.rollback().await.unwrap();
    };
    let (recorded, ()) = tokio::join!(ledger.record(&records), others);
    recorded.unwrap();
    assert_eq!(
        place.deliveries("state, status").await,
        ["a DELIVERED 201", "b DELIVERED 201"]
    );
}

#[actix::test]
async fn notifications_are_settled_without_waiting_for_each_other() {
    let place = Place::new().await;
    for id in ["first", "second"] {
        place.notification(id, "").await;
    }
    let mut other = place.test.connect().await;
    let holding = other.transaction().await.unwrap();
    holding
        .execute(
            "select from gom.notification where id = 'first' for update",
            &[],
        )
        .await
        .unwrap();
    let ledger = place.ledger("a");
    ledger.settle(&names(&["first", "second"])).await.unwrap();
    ledger.settle_left().await.unwrap();
    let open = async || {
        let open = "select id from gom.notification where settled_at is null";
        place
            .tables
            .query(open, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect::<Vec<String>>()
    };
    assert_eq!(open().await, ["first"]);
    holding.rollback().await.unwrap();
    ledger.settle_left().await.unwrap();
    assert!(open().await.is_empty());
}

#[actix::test]
async fn what_waits_for_a_replaced_subscription_goes_to_the_new_one() {
    let place = Place::new().await;
    let (old, new, other) = (endpoint("old"), endpoint("new"), endpoint("other"));
    for (id, more) in [
        ("open", ""),
        ("more", ""),
        ("both", ""),
        (
            "late",
            "update gom.notification set expires_at = now() where id = 'late'",
        ),
    ] {
        place.notification(id, more).await;
    }
    place.delivery("1", "open", &old, None).await;
    place.delivery("2", "open", &other, None).await;
    place.delivery("3", "more", &old, Some("a")).await;
    place.delivery("4", "both", &old, None).await;
    place.delivery("5", "both", &new, None).await;
    place.delivery("6", "late", &old, None).await;
    let ledger = place.ledger("a");
    for moved in [1, 0] {
        assert_eq!(ledger.readdress(&old, &new).await, Ok(moved));
        let expected = [
            ("1 WAITING", &new, "it waits"),
            ("2 WAITING", &other, "another device"),
            ("3 SENDING", &old, "in flight"),
            ("4 WAITING", &old, "the new one has the same already"),
            ("5 WAITING", &new, "its own"),
            ("6 WAITING", &old, "too late for it"),
        ];
        let found = place.deliveries("state, endpoint, origin, device").await;
        for (found, (row, at, why)) in found.iter().zip(expected) {
            let expected = format!("{row} {} {} {}", at.as_str(), at.origin(), at.fingerprint());
            assert_eq!(*found, expected, "{why}");
        }
    }
}
