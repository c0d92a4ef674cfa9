//! The log of a version without partitions becomes the first one, beside servers of that version, and with the rights that other
//! roles have.

use std::time::Duration;

use gom_test_support::{TestCluster, TestDatabase, eventually};
use tokio_postgres::{Client, NoTls};

use super::partitions::{CHANGES, rotate, step};
use super::{UNSTAMPED, count, deploy, stamp};

/// The system tables up to a version, as its program has left them.
async fn tables_up_to(client: &Client, version: u32) {
    client.batch_execute("create schema gom").await.unwrap();
    for one in 1..=version {
        client.batch_execute(&migration(one)).await.unwrap();
    }
}

fn migration(version: u32) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let begins = format!("V{version}__");
    let file = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(&begins)
        });
    std::fs::read_to_string(file.unwrap()).unwrap()
}

/// As `gom migrate` does: each migration is a transaction.
async fn migrate(client: &Client) {
    for version in [17, 18] {
        let migrate = format!("begin; {}; commit", migration(version));
        client.batch_execute(&migrate).await.unwrap();
    }
}

const WRITE: &str =
    "insert into gom.change (schema_name, table_name, kind, node) values ('s', 'Fan', 'C', 'f')";

#[tokio::test]
async fn a_log_of_the_previous_version_goes_on_as_the_first_partition() {
    let cluster = TestCluster::own().await;
    let client = cluster.connect().await;
    let (owner, mut admin) = (cluster.config(), cluster.admin_config());
    admin.dbname(owner.get_dbname().unwrap());
    let (importer, connection) = admin.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    tables_up_to(&client, 16).await;
    importer
        .batch_execute("create role importer")
        .await
        .unwrap();
    let before = "
        grant usage on schema gom to importer; grant insert on gom.change to importer;
        create trigger \"watch order s.Order\" after insert on gom.change for each row
          when (new.table_name = 'Order') execute function gom.queue_job('order', 'each');
        comment on trigger \"watch order s.Order\" on gom.change is 'as it was made';
        create trigger watch_always after insert on gom.change for each row when (false) execute function gom.queue_job('order', 'each');
        create trigger watch_replica after insert on gom.change for each row when (false) execute function gom.queue_job('order', 'each');
        create trigger watch_never after insert on gom.change for each row execute function gom.queue_job('order', 'each');
        alter table gom.change enable always trigger watch_always, enable replica trigger watch_replica,
          disable trigger watch_never;
        insert into gom.change (schema_name, table_name, kind, node)
          select 's', 'Fan', 'C', i::text from generate_series(1, 50) i";
    client.batch_execute(before).await.unwrap();
    // Prepared before, and run again after: as a server's or a writer's connection has it.
    let write = "insert into gom.change (schema_name, table_name, kind, node) values ('s', 'Order', 'C', $1)";
    let write = client.prepare(write).await.unwrap();
    client.execute(&write, &[&"before"]).await.unwrap();
    let read = client.prepare(CHANGES).await.unwrap();
    client.query_one(&read, &[]).await.unwrap();
    let position = stamp(&client).await;
    let nonce = "select gom.nonce_of(gom.feed.position) from gom.feed";
    let nonce_before = count(&client, nonce).await;

    migrate(&client).await;

    assert_eq!(count(&client, nonce).await, nonce_before);
    assert_eq!(count(&client, UNSTAMPED).await, 0);
    client.execute(&write, &[&"after"]).await.unwrap();
    let changes: i64 = client.query_one(&read, &[]).await.unwrap().get(0);
    assert_eq!(changes, 52);
    assert_eq!(stamp(&client).await, position + 1);
    assert_eq!(
        count(&client, "select max(sequence) from gom.change").await,
        52,
        "sequences go on"
    );
    rotate(&client).await;
    let import = "set role importer; insert into gom.change (schema_name, table_name, kind, node)
        values ('s', 'Order', 'C', 'import')";
    importer.batch_execute(import).await.unwrap();
    assert_eq!(count(&client, "select count(*) from gom.job").await, 3);
    let note = "select obj_description(oid, 'pg_trigger') from pg_trigger where tgrelid = 'gom.change'::regclass
        and not tgisinternal and obj_description(oid, 'pg_trigger') is not null";
    let note: String = client.query_one(note, &[]).await.unwrap().get(0);
    assert_eq!(note, "as it was made");
    let enabled = "select string_agg(distinct tgname || ' ' || tgenabled::text, ', ' order by tgname || ' ' || tgenabled::text)
        from pg_trigger where tgname like 'watch\\_%'";
    let enabled: String = client.query_one(enabled, &[]).await.unwrap().get(0);
    assert_eq!(
        enabled, "watch_always A, watch_never D, watch_replica R",
        "in every partition"
    );
    // As the previous version trims.
    let trim = "select gom.trim_changes('1 hour', 1, 1000)::bigint";
    assert_eq!(count(&client, trim).await, 51);
    assert_eq!(stamp(&client).await, position + 2);
    assert_eq!(
        count(&client, "select gom.stamp_left_behind(true)").await,
        0
    );
}

/// A server of the previous version has looked whether there is something to be stamped, and stamps it when the migrations have
/// begun; another one trims.
#[tokio::test]
async fn stampers_and_trimmers_of_the_previous_version_end_before_the_migrations() {
    for begun in [
        "begin; select exists (select from gom.change)",
        "begin; select from gom.feed for update",
    ] {
        let database = TestDatabase::create().await;
        let client = database.connect().await;
        tables_up_to(&client, 16).await;
        client.batch_execute(WRITE).await.unwrap();
        client
            .batch_execute("select gom.stamp_changes()")
            .await
            .unwrap();
        client.batch_execute(WRITE).await.unwrap();
        let server = database.connect().await;
        server.batch_execute(begun).await.unwrap();
        let migrating = database.connect().await;
        let migrating = tokio::spawn(async move { migrate(&migrating).await });
        let waits =
            "select count(*) from pg_locks where not granted and relation = 'gom.change'::regclass
            and database = (select oid from pg_database where datname = current_database())";
        eventually("the migrations wait, or are over", async || {
            migrating.is_finished() || count(&client, waits).await > 0
        })
        .await;
        let goes_on =
            "select gom.stamp_changes(); select gom.trim_changes('1 hour', 1, 1000); commit";
        server.batch_execute(goes_on).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), migrating)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(count(&client, UNSTAMPED).await, 0, "{begun}");
        assert_eq!(count(&client, CHANGES).await, 1, "{begun}");
        client.batch_execute(WRITE).await.unwrap();
        assert_eq!(stamp(&client).await, 3, "{begun}");
    }
}

/// A dump reads table by table; a server may be a member of the role that owns the tables.
#[tokio::test]
async fn new_partitions_have_the_owner_and_the_rights_of_the_log() {
    let cluster = TestCluster::own().await;
    let mut client = cluster.connect().await;
    deploy(&mut client).await;
    let (owner, mut admin) = (cluster.config(), cluster.admin_config());
    admin.dbname(owner.get_dbname().unwrap());
    let (other, connection) = admin.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let name: String = client
        .query_one(
            "select relowner::regrole::text from pg_class where oid = 'gom.change'::regclass",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let roles = format!(
        "create role backup; grant usage on schema gom to backup; grant select on all tables in schema gom to backup;
         create role auditor; grant usage on schema gom to auditor; grant select (node) on gom.change to auditor;
         create role server in role {name}; set role server"
    );
    other.batch_execute(&roles).await.unwrap();
    other.batch_execute(WRITE).await.unwrap();
    rotate(&other).await;
    let open = "select 'gom.change_' || low from gom.log_partitions() where is_open";
    let open: String = client.query_one(open, &[]).await.unwrap().get(0);
    let owners = "select count(distinct relowner) from pg_class where relname like 'change%' and relkind in ('r', 'p')
        and relnamespace = 'gom'::regnamespace";
    assert_eq!(count(&client, owners).await, 1);
    let read = format!(
        "reset role; set role backup; select from {open}; reset role; set role auditor; select node from {open}"
    );
    other.batch_execute(&read).await.unwrap();
    let refused = other.batch_execute(&format!("select * from {open}")).await;
    assert!(refused.is_err(), "the auditor reads one column");
    // Nor has it become the server's: the owner goes on.
    client.batch_execute(WRITE).await.unwrap();
    assert_eq!(step(&client).await.as_deref(), Some("closing"));
}

/// Reading earlier rows begins with the lowest sequence of the newest stamps: the older ones are not walked over for it.
#[tokio::test]
async fn the_lowest_sequence_since_a_position_is_found_among_its_stamps() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    tables_up_to(&client, 18).await;
    let many = "insert into gom.stamp (position, transaction, first_sequence, last_sequence, changes, total)
        select i, i, i, i, 1, i from generate_series(1, 20000) i; analyze gom.stamp";
    client.batch_execute(many).await.unwrap();
    // As in engine/src/sql/history.rs.
    let explain = "explain select min(m.first_sequence) from gom.stamp m where m.position >= 19000";
    let plan = client.query(explain, &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("stamp_pkey"), "{plan}");
    assert!(!plan.contains("stamp_first_sequence"), "{plan}");
}
