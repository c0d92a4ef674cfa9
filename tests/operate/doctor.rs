//! `gom doctor`, with each fault of databases and stores made real.

use std::time::Duration;

use gom_actors::push::VapidKeys;
use gom_test_support::{TestCluster, TestDatabase, TestRedis, free_port};
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use gom_test_support::process::{Environment, environment, migrate, run};

/// The lines of a report.
pub struct Report {
    pub code: i32,
    body: Value,
    pub text: String,
}

impl Report {
    /// The outcomes of a check, with what was found and what to do.
    pub fn all(&self, check: &str) -> Vec<(String, String)> {
        let checks = self.body["checks"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        checks
            .filter(|found| found["check"] == check)
            .map(|found| {
                (
                    text(&found["outcome"]),
                    format!("{} → {}", text(&found["found"]), text(&found["remedy"])),
                )
            })
            .collect()
    }

    /// The only outcome of a check.
    pub fn says(&self, check: &str, outcome: &str, part: &str) {
        let all = self.all(check);
        let found = all
            .iter()
            .any(|(found, text)| found == outcome && text.contains(part));
        assert!(
            found,
            "{check} should be {outcome} with {part:?}, and is {all:?}"
        );
    }
}

pub fn doctor(environment: &[(&'static str, String)], arguments: &[&str]) -> Report {
    let mut all = vec!["doctor", "--json"];
    all.extend(arguments);
    let output = run(environment, &all);
    let text = String::from_utf8(output.stdout).unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Report {
        code: output.status.code().unwrap(),
        body,
        text: text + &errors,
    }
}

/// A deployed database, and settings with good secrets of their own.
pub async fn well() -> (TestDatabase, Environment) {
    let database = TestDatabase::create().await;
    let environment = well_at(&database.url());
    (database, environment)
}

fn well_at(url: &str) -> Environment {
    let mut environment = environment(url);
    environment.retain(|(name, _)| !name.ends_with("_KEY") && *name != "PRISMA_SECRET");
    environment.push((
        "PRISMA_SECRET",
        "2f6f7c1b9e0d4a58b3c7d1e2f3a4b5c6".to_owned(),
    ));
    environment.push(("APP_KEY", "9c8b7a6d5e4f3a2b1c0d9e8f7a6b5c4d".to_owned()));
    environment.push(("GOM__SERVER__PORT", free_port().to_string()));
    migrate(&environment);
    environment
}

pub fn set(environment: &mut Environment, name: &'static str, value: &str) {
    environment.retain(|(known, _)| *known != name);
    environment.push((name, value.to_owned()));
}

/// Keys of Web Push.
fn sends(environment: &mut Environment) {
    let keys = VapidKeys::generate().unwrap();
    set(environment, "VAPID_PUBLIC_KEY", keys.public_base64url());
    set(
        environment,
        "VAPID_PRIVATE_KEY",
        &keys.private_base64url().unwrap(),
    );
    set(environment, "VAPID_SUBJECT", "mailto:ops@gom.example");
}

async fn admin(database: &TestDatabase) -> Client {
    let (client, connection) = database.admin_config().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_sound_deployment_is_reported_as_ok() {
    let (_database, mut environment) = well().await;
    let redis = TestRedis::start();
    set(&mut environment, "REDIS_HOST", "127.0.0.1");
    set(&mut environment, "REDIS_PORT", &redis.port().to_string());
    sends(&mut environment);
    let mut command = redis::cmd("CONFIG");
    command.arg(&["SET", "maxmemory-policy", "noeviction"]);
    command.exec(&mut connect(&redis)).unwrap();
    // On a busy machine Redis may be slow for a moment, which is worth a warning.
    let mut reports = (0..5).map(|_| doctor(&environment, &[]));
    let report = reports
        .find(|report| report.body["warnings"] == 0)
        .expect("a report without warnings");
    assert_eq!(
        (report.code, &report.body["problems"]),
        (0, &0.into()),
        "{}",
        report.text
    );
    for check in [
        "complete",
        "service.secret",
        "app_key",
        "server.port",
        "reachable",
        "version",
        "encoding",
        "writable",
        "session_replication_role",
        "session settings",
        "clock",
        "migrations",
        "schema",
        "triggers",
        "use of tables",
        "migrate",
        "max_connections",
        "change log",
        "jobs",
        "deliveries",
        "maxmemory-policy",
        "databases",
        "persistence",
        "keys",
        "subject",
        "cookies",
    ] {
        assert!(
            report.all(check).iter().all(|(outcome, _)| outcome == "ok"),
            "{check}: {:?}",
            report.all(check)
        );
        assert!(
            !report.all(check).is_empty(),
            "{check} was not looked at: {}",
            report.text
        );
    }
    for (name, value) in &environment {
        if name.contains("SECRET") || name.contains("PRIVATE") || *name == "APP_KEY" {
            assert!(!report.text.contains(value), "{name} is shown");
        }
    }
    let words = run(&environment, &["doctor"]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("postgres\n  ok       reachable: connected within"),
        "{words}"
    );
    assert!(words.contains("\n0 problems, "), "{words}");
}

fn connect(redis: &TestRedis) -> redis::Connection {
    redis::Client::open(format!("redis://127.0.0.1:{}", redis.port()))
        .unwrap()
        .get_connection()
        .unwrap()
}

#[tokio::test]
async fn a_database_that_was_not_deployed_has_open_steps() {
    let database = TestDatabase::create().await;
    let report = doctor(&environment(&database.url()), &[]);
    assert_eq!(report.code, 1);
    report.says("migrations", "problem", "gom migrate apply");
    report.says("schema", "problem", "steps are open");
    report.says("triggers", "problem", "no change is seen");
}

#[tokio::test]
async fn missing_and_disabled_triggers_are_named() {
    let (database, environment) = well().await;
    let client = database.connect().await;
    client
        .batch_execute(r#"drop trigger gom_change on "default$default"."Order""#)
        .await
        .unwrap();
    let disable = r#"alter table "default$default"."Item" disable trigger gom_change"#;
    client.batch_execute(disable).await.unwrap();
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("schema", "problem", "3 steps are open");
    report.says(
        "triggers",
        "problem",
        r#"gom_change on "default$default"."Item""#,
    );
    migrate(&environment);
    assert_eq!(doctor(&environment, &[]).code, 0);
}

#[tokio::test]
async fn missing_privileges_of_a_read_only_role_are_reported() {
    let (database, mut environment) = well().await;
    let admin = admin(&database).await;
    let role = format!("reader_{}", database.name());
    let make = format!(
        r#"create role {role} login; grant usage on schema gom, "default$default" to {role};
           grant select on all tables in schema gom, "default$default" to {role}"#
    );
    admin.batch_execute(&make).await.unwrap();
    let url = database.url().replace("gom@", &format!("{role}@"));
    set(&mut environment, "DATABASE_URL", &url);
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says(
        "use of tables",
        "problem",
        &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"gom\" TO {role}"),
    );
    report.says("migrate", "warning", "does not own");
    set(&mut environment, "GOM__DATABASE__DEPLOY", "true");
    doctor(&environment, &[]).says("migrate", "problem", "database.deploy is on");
    let end = format!("drop owned by {role}; drop role {role}");
    admin.batch_execute(&end).await.unwrap();
}

#[tokio::test]
async fn restrictive_database_settings_are_reported() {
    let (database, environment) = well().await;
    let admin = admin(&database).await;
    let name = database.name();
    for (setting, value, check) in [
        ("default_transaction_read_only", "on", "writable"),
        (
            "session_replication_role",
            "replica",
            "session_replication_role",
        ),
    ] {
        admin
            .batch_execute(&format!("alter database {name} set {setting} = {value}"))
            .await
            .unwrap();
        let report = doctor(&environment, &[]);
        assert_eq!(report.code, 1);
        report.says(check, "problem", "→ ALTER");
        admin
            .batch_execute(&format!("alter database {name} reset {setting}"))
            .await
            .unwrap();
    }
    assert_eq!(doctor(&environment, &[]).code, 0);
}

#[tokio::test]
async fn a_long_open_transaction_and_too_few_connections_are_reported() {
    let (database, environment) = well().await;
    let other = database.connect().await;
    other
        .batch_execute("begin; select txid_current()")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let report = doctor(&environment, &["--long-transaction", "1"]);
    assert_eq!(report.code, 0, "a warning: {}", report.text);
    report.says("long transactions", "warning", "pg_terminate_backend");
    report.says("long transactions", "warning", "idle in transaction");
    other.batch_execute("rollback").await.unwrap();
    let report = doctor(&environment, &["--nodes", "1000"]);
    assert_eq!(report.code, 1);
    report.says("max_connections", "problem", "1000 × 92");
}

#[tokio::test]
async fn changes_and_jobs_that_no_server_processes_are_reported() {
    let (database, mut environment) = well().await;
    let client = database.connect().await;
    let jobs = "insert into gom.job (subject, schema_name, node, created, dedup, due_at)
        values ('order', 'default$default', 'x', true, 'x', now() - interval '5 minutes')";
    client.batch_execute(jobs).await.unwrap();
    let report = doctor(&environment, &[]);
    report.says("jobs", "ok", "push is off");
    sends(&mut environment);
    let changes = "insert into gom.change (schema_name, table_name, kind, node)
        select 'default$default', 'User', 'T', 'x' from generate_series(1, 10001)";
    client.batch_execute(changes).await.unwrap();
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("jobs", "problem", "nobody carries them out");
    report.says("change log", "warning", "nobody follows the log");
    report.says("change log size", "ok", "partitions: 1");
    set(&mut environment, "GOM__LIVE__KEEP_BYTES", "100000");
    let report = doctor(&environment, &[]);
    report.says("change log size", "warning", "more than live.keep_bytes");
}

#[tokio::test]
async fn jobs_of_another_schema_are_for_its_own_servers() {
    let (database, mut environment) = well().await;
    sends(&mut environment);
    let jobs =
        "insert into gom.job (subject, schema_name, node, created, dedup, due_at, attempts, last_error)
        values ('order', 'elsewhere', 'x', true, 'x', now() - interval '5 minutes', 2, 'trouble')";
    database.connect().await.batch_execute(jobs).await.unwrap();
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 0, "{}", report.text);
    report.says("jobs", "ok", "0 due");
    assert!(report.all("failed jobs").is_empty(), "{}", report.text);
}

#[tokio::test]
async fn connections_of_gom_do_not_count_as_foreign() {
    let cluster = TestCluster::own().await;
    let mut environment = well_at(&format!("{}&application_name=shop", cluster.url()));
    set(&mut environment, "GOM__DATABASE__MAX_CONNECTIONS", "16");
    let open = async |name: &str| {
        let (client, connection) = cluster
            .config()
            .application_name(name)
            .connect(NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    };
    let _clients = [
        open("shop").await,
        open("gom").await,
        open("shop").await,
        open("psql").await,
    ];
    doctor(&environment, &[]).says("max_connections", "ok", "others have 1 of them now");
}

#[tokio::test]
async fn an_evicting_or_unavailable_redis_is_a_problem() {
    let (_database, mut environment) = well().await;
    let mut redis = TestRedis::start();
    set(&mut environment, "REDIS_HOST", "127.0.0.1");
    set(&mut environment, "REDIS_PORT", &redis.port().to_string());
    let mut connection = connect(&redis);
    for (key, value) in [("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")] {
        redis::cmd("CONFIG")
            .arg(&["SET", key, value])
            .exec(&mut connection)
            .unwrap();
    }
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says(
        "maxmemory-policy",
        "problem",
        "CONFIG SET maxmemory-policy noeviction",
    );
    report.says("persistence", "warning", "CONFIG SET appendonly yes");
    redis.kill();
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("reachable", "problem", "redis.host");
}

#[tokio::test]
async fn an_unavailable_database_is_a_problem_and_an_uncreated_private_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let away = environment(&format!(
        "host={} user=gom dbname=gom",
        folder.path().display()
    ));
    let report = doctor(&away, &[]);
    assert_eq!(report.code, 1);
    report.says("reachable", "problem", "DATABASE_URL");
    let private: Environment = vec![
        (
            "GOM__EMBEDDED__DATA_DIR",
            folder.path().join("data").display().to_string(),
        ),
        ("GOM__SERVER__PORT", free_port().to_string()),
    ];
    let report = doctor(&private, &[]);
    assert_eq!(report.code, 0, "{}", report.text);
    report.says("reachable", "skipped", "gom serve");
    report.says("embedded.data_dir", "ok", "MiB are free");
    assert!(!folder.path().join("data").exists(), "nothing was made");
}
