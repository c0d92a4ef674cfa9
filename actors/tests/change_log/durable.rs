//! Positions that were given stay given: PostgreSQL is killed where commits are not flushed, and a log loses what it had.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::live::{
    Delivered, Interest, Live, LiveError, LiveOptions, LocalLive, Owner, Sink, SubscriptionHandle,
};
use gom_engine::datamodel::parse;
use gom_engine::events::{Cursor, Lead, Watched};
use gom_engine::plan::Planner;
use gom_engine::schema::{SchemaOptions, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use gom_test_support::TestCluster;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::{MODEL, SCHEMA, UNSTAMPED, count, deploy, stamp};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a subscriber receives.
#[derive(Debug, PartialEq)]
enum Heard {
    Noted(Cursor),
    Event(Cursor),
    Ended(LiveError),
}

struct Ear(UnboundedSender<Heard>);

impl Sink for Ear {
    fn noted(&self, after: Cursor) {
        let _ = self.0.send(Heard::Noted(after));
    }

    fn event(&self, event: &Delivered) {
        let _ = self.0.send(Heard::Event(event.cursor));
    }

    fn ended(&self, reason: LiveError) {
        let _ = self.0.send(Heard::Ended(reason));
    }
}

/// A subscriber to every change of fans.
fn subscribe(
    local: &LocalLive,
    from: Option<Cursor>,
) -> (SubscriptionHandle, UnboundedReceiver<Heard>) {
    let model = parse("datamodel.prisma", MODEL)
        .unwrap()
        .model_named("Fan")
        .unwrap();
    let (sender, receiver) = unbounded_channel();
    let fans = Interest::Touch(
        [Watched {
            model,
            lead: Lead::All,
        }]
        .into(),
    );
    (
        local.subscribe(Owner::Service, fans, from, Rc::new(Ear(sender))),
        receiver,
    )
}

async fn next(heard: &mut UnboundedReceiver<Heard>) -> Heard {
    timeout(PATIENCE, heard.recv())
        .await
        .expect("silence")
        .expect("it is subscribed")
}

/// A node that follows the cluster's log.
async fn follow(cluster: &TestCluster) -> LocalLive {
    let model = parse("datamodel.prisma", MODEL).unwrap();
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    let physical = Physical::new(model, &PhysicalOptions::in_schema(SCHEMA));
    let planner = Planner::new(Arc::new(physical), schema);
    let mut options = DatabaseOptions::new(cluster.config());
    options.workers = 1;
    let database = Database::start(options).unwrap();
    let options = LiveOptions {
        schema: SCHEMA.to_owned(),
        poll: Duration::from_millis(20),
        keep_for: Duration::from_secs(3_600),
        keep: 1_000_000,
        keep_bytes: 0,
        keep_keys_for: Duration::from_secs(3_600),
        user_budget: Duration::from_secs(1),
        max_lag: Duration::from_secs(60),
        redis: None,
    };
    let local = Live::start(
        options,
        &database,
        planner,
        Arc::new(|_, _, _| Bytes::new()),
    )
    .unwrap()
    .local();
    local
        .live()
        .head_within(PATIENCE)
        .await
        .expect("the database is there");
    local
}

/// Commits are not flushed, and nobody else flushes them soon.
async fn without_flushing() -> TestCluster {
    let cluster = TestCluster::own().await;
    deploy(&mut cluster.connect().await).await;
    let (admin, connection) = cluster
        .admin_config()
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let name = cluster.config().get_dbname().unwrap().to_owned();
    for sql in [
        format!("alter database \"{name}\" set synchronous_commit = off"),
        "alter system set wal_writer_delay = '10s'".to_owned(),
        "select pg_reload_conf()".to_owned(),
    ] {
        admin.batch_execute(&sql).await.unwrap();
    }
    cluster
}

fn insert(name: &str) -> String {
    format!("insert into \"{SCHEMA}\".\"Fan\" values ('{name}')")
}

#[tokio::test]
async fn a_position_survives_a_crash_also_where_commits_are_not_flushed() {
    let cluster = without_flushing().await;
    for round in 0..3 {
        let client = cluster.connect().await;
        assert_eq!(
            client
                .query_one("show synchronous_commit", &[])
                .await
                .unwrap()
                .get::<_, &str>(0),
            "off"
        );
        let mut last = 0;
        for i in 0..20 {
            client
                .batch_execute(&insert(&format!("{round}-{i}")))
                .await
                .unwrap();
            last = stamp(&client).await;
        }
        assert_eq!(
            client
                .query_one("show synchronous_commit", &[])
                .await
                .unwrap()
                .get::<_, &str>(0),
            "off",
            "only the stamp's own transaction waits"
        );
        let killed = cluster.kill();
        cluster.recovered(killed).await;
        let client = cluster.connect().await;
        assert_eq!(count(&client, "select position from gom.feed").await, last);
        let fans = format!("select count(*) from \"{SCHEMA}\".\"Fan\"");
        assert_eq!(
            count(&client, &fans).await,
            last,
            "and so does what has the position"
        );
    }
}

#[tokio::test]
async fn settings_that_are_stronger_than_a_flush_are_kept() {
    let cluster = TestCluster::own().await;
    deploy(&mut cluster.connect().await).await;
    let client = cluster.connect().await;
    for (setting, expected) in [
        ("off", "local"),
        ("local", "local"),
        ("remote_write", "remote_write"),
        ("remote_apply", "remote_apply"),
    ] {
        client
            .batch_execute(&format!("set synchronous_commit = {setting}"))
            .await
            .unwrap();
        client.batch_execute(&insert(setting)).await.unwrap();
        client
            .batch_execute("begin; select gom.stamp_changes()")
            .await
            .unwrap();
        let found: String = client
            .query_one("show synchronous_commit", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(found, expected);
        client.batch_execute("commit").await.unwrap();
    }
}

#[actix::test]
async fn a_subscriber_misses_nothing_in_a_crash_where_commits_are_not_flushed() {
    let cluster = without_flushing().await;
    let local = follow(&cluster).await;
    let (_ticket, mut heard) = subscribe(&local, None);
    assert!(matches!(next(&mut heard).await, Heard::Noted(_)));
    let client = cluster.connect().await;
    for i in 0..5 {
        client
            .batch_execute(&insert(&format!("before {i}")))
            .await
            .unwrap();
        assert!(matches!(next(&mut heard).await, Heard::Event(_)));
    }
    let killed = cluster.kill();
    cluster.recovered(killed).await;
    cluster
        .connect()
        .await
        .batch_execute(&insert("after"))
        .await
        .unwrap();
    let after = next(&mut heard).await;
    assert!(
        matches!(after, Heard::Event(_) | Heard::Ended(LiveError::Resync)),
        "{after:?}"
    );
}

#[actix::test]
async fn skipped_changes_are_delivered_when_a_server_starts() {
    let cluster = TestCluster::own().await;
    deploy(&mut cluster.connect().await).await;
    let client = cluster.connect().await;
    for i in 0..3 {
        client.batch_execute(&insert(&i.to_string())).await.unwrap();
        stamp(&client).await;
    }
    // As if the second transaction had stayed open beyond the time that its gap is awaited.
    let passed_over =
        "begin; delete from gom.stamp where position = 2; update gom.stamp set position = 2, total = 2
        where position = 3; update gom.feed set position = 2; commit";
    client.batch_execute(passed_over).await.unwrap();
    let epoch = count(&client, "select epoch from gom.feed").await;
    let local = follow(&cluster).await;
    let beginning = Cursor::after(epoch.cast_unsigned(), 0);
    let (_ticket, mut heard) = subscribe(&local, Some(beginning));
    let mut last = 0;
    while last < 3 {
        let Heard::Event(cursor) = next(&mut heard).await else {
            panic!("an event")
        };
        last = cursor.position;
    }
    assert_eq!(count(&client, UNSTAMPED).await, 0);
}

#[actix::test]
async fn a_log_below_the_delivered_position_ends_who_has_had_what_is_lost_and_nobody_else() {
    let cluster = TestCluster::own().await;
    deploy(&mut cluster.connect().await).await;
    let client = cluster.connect().await;
    let epoch = count(&client, "select epoch from gom.open_feed()").await;
    let local = follow(&cluster).await;
    let (_ticket, mut heard) = subscribe(&local, None);
    assert!(matches!(next(&mut heard).await, Heard::Noted(_)));
    let (mut first, mut last) = (None, None);
    for i in 0..3 {
        client.batch_execute(&insert(&i.to_string())).await.unwrap();
        let Heard::Event(cursor) = next(&mut heard).await else {
            panic!("an event")
        };
        first = first.or(Some(cursor));
        last = Some(cursor);
    }
    // As a file system's snapshot that is put back.
    client
        .batch_execute(
            "begin; delete from gom.stamp where position > 1; delete from gom.change where sequence > 1;
             update gom.feed set position = 1, seen = 1; commit",
        )
        .await
        .unwrap();
    // A live query goes on: it is answered again.
    let Heard::Event(cursor) = next(&mut heard).await else {
        panic!("a touch")
    };
    assert!(last.is_some_and(|last| last.nonce != cursor.nonce && last.epoch == cursor.epoch));
    assert_eq!(
        count(&client, "select epoch from gom.open_feed()").await,
        epoch,
        "those who have what is left go on"
    );
    // The same positions are given again, and are not what the cursor means.
    for i in 3..9 {
        client.batch_execute(&insert(&i.to_string())).await.unwrap();
    }
    stamp(&client).await;
    let (_ticket, mut heard) = subscribe(&local, last);
    assert_eq!(next(&mut heard).await, Heard::Ended(LiveError::Resync));
    let (_ticket, mut heard) = subscribe(&local, first);
    assert!(matches!(next(&mut heard).await, Heard::Event(_)));
}
