//! The change log on real PostgreSQL: every kind of write is in it, and every committed transaction gets its position, whatever
//! other transactions are open.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod durable;
mod faults;
mod jobs;
mod nonces;
mod partitions;
mod rights;
mod stamping;
mod upgrade;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gom_actors::migrations::{Deployment, apply};
use gom_engine::datamodel::parse;
use gom_test_support::{TestDatabase, eventually};
use tokio_postgres::Client;

pub const SCHEMA: &str = "default$default";
pub const MODEL: &str = "
type Shop { id: ID! @id name: String orders: [Order!] @relation(name: \"ShopOrders\", onDelete: CASCADE) fans: [Fan!] }
type Order { id: ID! @id n: Int words: [String!]! shop: Shop @relation(name: \"ShopOrders\", link: INLINE) }
type Fan { id: ID! @id of: [Shop!] }";

pub async fn deployed() -> (TestDatabase, Client) {
    let database = TestDatabase::create().await;
    deploy(&mut database.connect().await).await;
    let client = connect(&database).await;
    (database, client)
}

pub async fn deploy(client: &mut Client) {
    let model = parse("datamodel.prisma", MODEL).unwrap();
    let deployment = Deployment::new(&model, MODEL, SCHEMA);
    apply(client, &deployment, &|_| {}).await.unwrap();
}

pub async fn connect(database: &TestDatabase) -> Client {
    let client = database.connect().await;
    client
        .batch_execute(&format!("set search_path = \"{SCHEMA}\""))
        .await
        .unwrap();
    client
}

pub async fn stamp(client: &Client) -> i64 {
    client
        .query_one("select gom.stamp_changes()", &[])
        .await
        .unwrap()
        .get(0)
}

/// Changes that have no position.
pub const UNSTAMPED: &str = "select count(*) from gom.change c where not exists (select 1 from gom.stamp s
    where c.transaction = s.transaction and c.sequence between s.first_sequence and s.last_sequence)";

pub async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// The logged changes that were not read yet, a line for each row.
pub async fn logged(client: &Client) -> Vec<String> {
    let query = "with gone as (delete from gom.change returning *)
        select concat_ws(' ', table_name, kind::text, node, partner, columns::text, old::text, links::text)
        from gone order by sequence";
    client
        .query(query, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

#[tokio::test]
async fn every_kind_of_write_is_logged_with_its_previous_values() {
    let (_database, client) = deployed().await;
    for (sql, expected) in [
        (
            r#"insert into "Shop" values ('s', 'Tacos')"#,
            &["Shop C s"][..],
        ),
        (
            r#"insert into "Order" values ('o', 1, 's'), ('p', 2, null)"#,
            &[r#"Order C o {"shop": "s"}"#, r#"Order C p {"shop": null}"#],
        ),
        (
            r#"update "Order" set n = n + 1 where id = 'o'"#,
            &[r#"Order U o {n} {"n": 1, "id": "o", "shop": "s"} {"shop": "s"}"#],
        ),
        // No value differs, and yet the write was an update.
        (
            r#"update "Order" set n = n where id = 'o'"#,
            &[r#"Order U o {} {"n": 2, "id": "o", "shop": "s"} {"shop": "s"}"#],
        ),
        (
            r#"insert into "Order" values ('o', 3, null) on conflict (id) do update set n = excluded.n, shop = null"#,
            &[r#"Order U o {n,shop} {"n": 2, "id": "o", "shop": "s"} {"shop": null}"#],
        ),
        (
            r#"update "Order" set shop = 's'"#,
            &[
                r#"Order U p {shop} {"n": 2, "id": "p", "shop": null} {"shop": "s"}"#,
                r#"Order U o {shop} {"n": 3, "id": "o", "shop": null} {"shop": "s"}"#,
            ],
        ),
        (
            r#"insert into "Order_words" values ('o', 1000, 'a'); update "Order_words" set value = 'b'; delete from "Order_words""#,
            &[
                r#"Order_words A o {"position": 1000}"#,
                r#"Order_words V o {"value": "a", "position": 1000}"#,
                r#"Order_words A o {"position": 1000}"#,
                r#"Order_words V o {"value": "b", "position": 1000}"#,
            ],
        ),
        (r#"insert into "Fan" values ('f')"#, &["Fan C f"]),
        (
            r#"insert into "_FanToShop" values ('f', 's')"#,
            &["_FanToShop L f s"],
        ),
        (
            r#"update "Order" set id = 'q' where id = 'p'"#,
            &[
                r#"Order D p {"n": 2, "id": "p", "shop": "s"}"#,
                r#"Order C q {"shop": "s"}"#,
            ],
        ),
        (
            // What PostgreSQL itself does for the foreign keys.
            r#"delete from "Shop" where id = 's'"#,
            &[
                "_FanToShop R f s",
                r#"Order U o {shop} {"n": 3, "id": "o", "shop": "s"} {"shop": null}"#,
                r#"Order U q {shop} {"n": 2, "id": "q", "shop": "s"} {"shop": null}"#,
                r#"Shop D s {"id": "s", "name": "Tacos"}"#,
            ],
        ),
        (
            r#"delete from "Order" where n > 2"#,
            &[r#"Order D o {"n": 3, "id": "o", "shop": null}"#],
        ),
    ] {
        client.batch_execute(sql).await.unwrap();
        let mut found = logged(&client).await;
        let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        // PostgreSQL decides which comes first.
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{sql}");
    }
    client
        .batch_execute(r#"begin; insert into "Fan" values ('g'); rollback"#)
        .await
        .unwrap();
    assert_eq!(logged(&client).await, Vec::<String>::new());
}

/// A writer whose transactions are of every sort.
async fn write(client: Client, number: u64, over: Arc<AtomicBool>) {
    let mut dice = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = move |bound: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % bound
    };
    while !over.load(Ordering::Relaxed) {
        let mut sql = String::from("begin;");
        for _ in 0..=below(4) {
            let row = below(60);
            let one = format!("update \"Order\" set n = n + 1 where id = 'r{row}';");
            match below(5) {
                0 => sql.push_str(&format!("savepoint s; {one} rollback to s;")),
                1 => sql.push_str(&format!("savepoint s; {one} release s;")),
                _ => sql.push_str(&one),
            }
            if below(6) == 0 {
                sql.push_str(&format!("select pg_sleep({});", below(30) as f64 / 1000.0));
            }
        }
        sql.push_str(if below(4) == 0 { "rollback" } else { "commit" });
        if client.batch_execute(&sql).await.is_err() {
            // A deadlock.
            client.batch_execute("rollback").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transaction_gets_one_position_and_each_rows_history_is_in_order() {
    let (database, client) = deployed().await;
    let rows = r#"insert into "Order" select 'r' || i, 0, null from generate_series(0, 59) i"#;
    client.batch_execute(rows).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..8 {
        tasks.push(tokio::spawn(write(
            connect(&database).await,
            number,
            Arc::clone(&over),
        )));
    }
    for _ in 0..3 {
        let (stamper, over) = (connect(&database).await, Arc::clone(&over));
        tasks.push(tokio::spawn(async move {
            let mut last = 0;
            while !over.load(Ordering::Relaxed) {
                let position = stamp(&stamper).await;
                assert!(position >= last, "{position} after {last}");
                last = position;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }
    // Open all the while, with a change of its own at the beginning.
    let open = connect(&database).await;
    open.batch_execute(r#"begin; insert into "Fan" values ('first')"#)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let updates = "select count(*) from gom.change where kind = 'U'";
    eventually("there are updates to compare", async || {
        count(updates).await > 100
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let position = stamp(&client).await;
    assert_eq!(
        count(UNSTAMPED).await,
        0,
        "nothing that is committed waits for the transaction that is open"
    );
    open.batch_execute("commit").await.unwrap();
    assert_eq!(
        stamp(&client).await,
        position + 1,
        "which gets its position when it commits"
    );
    assert_eq!(
        count("select count(*) from gom.stamp").await,
        position + 1,
        "without holes"
    );
    assert_eq!(
        count("select count(distinct transaction) from gom.stamp").await,
        position + 1
    );
    assert_eq!(
        count("select count(*) from gom.change").await,
        count("select sum(changes)::bigint from gom.stamp").await
    );

    let history = "select c.node, (c.old->>'n')::bigint from gom.stamp s join gom.change c on c.transaction = s.transaction
        and c.sequence between s.first_sequence and s.last_sequence
        where c.kind = 'U' order by s.position, c.sequence";
    let mut values: HashMap<String, i64> = HashMap::new();
    let steps = client.query(history, &[]).await.unwrap();
    for row in &steps {
        let (node, before): (String, i64) = (row.get(0), row.get(1));
        let value = values.entry(node).or_insert(0);
        assert_eq!(
            before, *value,
            "each update finds what the one before it has left"
        );
        *value += 1;
    }
    for row in client
        .query(r#"select id, n::bigint from "Order""#, &[])
        .await
        .unwrap()
    {
        assert_eq!(
            values.get(row.get::<_, &str>(0)).copied().unwrap_or(0),
            row.get::<_, i64>(1)
        );
    }
    assert!(steps.len() > 100, "{} updates", steps.len());
    assert_eq!(stamp(&client).await, position + 1);
    let gaps = "select cardinality(gap_from)::bigint from gom.feed";
    // Transactions of other tests, in other databases of the cluster, might as well have drawn what is missing.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while count(gaps).await > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "gaps of rolled back transactions are given up"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(stamp(&client).await, position + 1);
    }
}

#[tokio::test]
async fn the_log_is_trimmed_by_age_and_number_in_steps() {
    let (_database, client) = deployed().await;
    for i in 0..30 {
        let two = format!(r#"insert into "Fan" values ('a{i}'), ('b{i}')"#);
        client.batch_execute(&two).await.unwrap();
    }
    let last = stamp(&client).await;
    assert_eq!(last, 30);
    let trim = async |age: &str, most: i64, step: i32| -> i32 {
        let sql = "select gom.trim_changes($1::text::interval, $2, $3)";
        client
            .query_one(sql, &[&age, &most, &step])
            .await
            .unwrap()
            .get(0)
    };
    let state = async || {
        let sql = "select f.oldest, (select count(*) from gom.change), (select min(position) from gom.stamp) from gom.feed f";
        let row = client.query_one(sql, &[]).await.unwrap();
        (
            row.get::<_, i64>(0),
            row.get::<_, i64>(1),
            row.get::<_, Option<i64>>(2),
        )
    };
    assert_eq!(trim("1 hour", 1_000, 10).await, 0);
    assert_eq!(state().await, (0, 60, Some(1)));
    assert_eq!(trim("1 hour", 40, 10).await, 10, "a step");
    assert_eq!(state().await, (5, 50, Some(6)));
    assert_eq!(
        trim("1 hour", 40, 1_000).await,
        10,
        "no more than asked for"
    );
    assert_eq!(state().await, (10, 40, Some(11)));
    assert_eq!(trim("0 s", 1_000, 1_000).await, 40);
    assert_eq!(state().await, (30, 0, None));
    client
        .batch_execute(r#"insert into "Fan" values ('z')"#)
        .await
        .unwrap();
    assert_eq!(stamp(&client).await, 31, "positions are never given twice");
}

#[tokio::test]
async fn a_transaction_that_is_larger_than_a_step_is_forgotten_at_once_and_removed_in_steps() {
    let (_database, client) = deployed().await;
    client
        .batch_execute(r#"insert into "Fan" select i::text from generate_series(1, 25) i"#)
        .await
        .unwrap();
    client
        .batch_execute(r#"insert into "Fan" values ('a')"#)
        .await
        .unwrap();
    client
        .batch_execute(r#"insert into "Fan" values ('b')"#)
        .await
        .unwrap();
    assert_eq!(stamp(&client).await, 3);
    let trim = "select gom.trim_changes('0 s', 1000, 10)";
    for (removed, oldest, left) in [(10, 1, 17), (10, 1, 7), (7, 3, 0), (0, 3, 0)] {
        assert_eq!(
            client.query_one(trim, &[]).await.unwrap().get::<_, i32>(0),
            removed
        );
        assert_eq!(count(&client, "select oldest from gom.feed").await, oldest);
        assert_eq!(
            count(&client, "select count(*) from gom.change").await,
            left
        );
        assert_eq!(count(&client, UNSTAMPED).await, 0);
        let changes = "select coalesce(sum(changes), 0)::bigint from gom.stamp";
        assert_eq!(count(&client, changes).await, left);
        let late = "select sum(gom.stamp_left_behind(exact))::bigint from unnest('{f,t}'::bool[]) as e(exact)";
        assert_eq!(count(&client, late).await, 0);
    }
}

#[tokio::test]
async fn a_database_that_was_restored_begins_a_new_epoch() {
    let (_database, client) = deployed().await;
    client
        .batch_execute(r#"insert into "Fan" values ('a')"#)
        .await
        .unwrap();
    stamp(&client).await;
    let open = async || {
        let row = client
            .query_one("select epoch, position, oldest from gom.open_feed()", &[])
            .await
            .unwrap();
        (
            row.get::<_, i64>(0),
            row.get::<_, i64>(1),
            row.get::<_, i64>(2),
        )
    };
    let (epoch, position, oldest) = open().await;
    assert_eq!((position, oldest), (1, 0));
    assert_eq!(open().await.0, epoch, "the same database");
    client
        .batch_execute("update gom.feed set identity = 'another cluster'")
        .await
        .unwrap();
    let (another, position, oldest) = open().await;
    assert_ne!(another, epoch);
    assert_eq!(
        (position, oldest),
        (1, 1),
        "nothing of the other life is delivered"
    );
    client
        .batch_execute(r#"insert into "Fan" values ('b')"#)
        .await
        .unwrap();
    assert_eq!(stamp(&client).await, 2);
    assert_eq!(open().await.0, another);
    let trim = "select gom.trim_changes('1 hour', 1000, 10)";
    let trimmed: i32 = client.query_one(trim, &[]).await.unwrap().get(0);
    assert_eq!(
        trimmed, 1,
        "what is not delivered any more is not kept either"
    );
}
