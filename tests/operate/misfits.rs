//! Databases that do not fit their datamodel, or whose changes nobody would see: what a server reports of them.

use gom_test_support::TestDatabase;

use crate::doctor::doctor;
use gom_test_support::process::{Environment, Server, environment, run};

const TOOLS: &str = "enum State { NEW } type Tool { uid: ID! @id state: State }";

/// A database with a tool that the datamodel does not allow, and the environment of its server.
async fn spoiled(folder: &tempfile::TempDir) -> (TestDatabase, Environment) {
    let database = TestDatabase::create().await;
    let datamodel = folder.path().join("tools.prisma");
    std::fs::write(&datamodel, TOOLS).unwrap();
    let mut environment = environment(&database.url());
    environment.push(("GOM__DATAMODEL__FILE", datamodel.display().to_string()));
    assert!(run(&environment, &["migrate", "apply"]).status.success());
    let insert = r#"INSERT INTO "default$default"."Tool" VALUES ('t1', 'secret')"#;
    database
        .connect()
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    (database, environment)
}

#[tokio::test]
async fn rows_that_violate_the_datamodel_are_a_warning_and_do_not_prevent_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, environment) = spoiled(&folder).await;
    for arguments in [&[][..], &["--deploy"]] {
        let server = Server::ready(&environment, arguments).await;
        server
            .comes("a warning", async |server| {
                let log = server.log();
                log.contains("`Tool.state` holds values that the enum `State` lacks")
                    && log.contains("1 row of `Tool`")
            })
            .await;
        assert!(
            !server.log().contains("secret"),
            "no value stands in the log"
        );
    }
    doctor(&environment, &[]).says("rows", "problem", "1 row of `Tool`, e.g. `t1`");
}

#[tokio::test]
async fn a_refused_deployment_reports_its_reason_without_values() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, environment) = spoiled(&folder).await;
    std::fs::write(
        folder.path().join("tools.prisma"),
        TOOLS.replace("NEW", "OLD"),
    )
    .unwrap();
    let output = run(&environment, &["serve", "--deploy"]);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("1 row of `Tool`, e.g. `t1`") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn a_foreign_required_column_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (database, environment) = spoiled(&folder).await;
    let add = r#"ALTER TABLE "default$default"."Tool" ADD COLUMN memo text NOT NULL DEFAULT '', ADD COLUMN more text;
                 ALTER TABLE "default$default"."Tool" ALTER COLUMN memo DROP DEFAULT"#;
    database.connect().await.batch_execute(add).await.unwrap();
    let server = Server::ready(&environment, &["--deploy"]).await;
    let log = server.log();
    let warning = log
        .lines()
        .find(|line| line.contains("`Tool.memo`"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(
        warning.contains("WARN") && !warning.contains("`Tool.more`"),
        "{warning}"
    );
}

/// The beginning of what a subscriber over an event stream receives.
async fn subscribed(server: &Server) -> String {
    let request = reqwest::Client::new()
        .post(server.url("/graphql"))
        .bearer_auth(server.token());
    let request = request
        .header("content-type", "application/json")
        .header("accept", "text/event-stream");
    let body = r#"{"query":"subscription { tool { node { uid } } }"}"#;
    let mut response = request.body(body).send().await.unwrap();
    String::from_utf8(response.chunk().await.unwrap().unwrap_or_default().to_vec()).unwrap()
}

#[tokio::test]
async fn missing_triggers_are_reported_at_the_start_in_readyz_and_to_subscribers() {
    let folder = tempfile::tempdir().unwrap();
    let (database, environment) = spoiled(&folder).await;
    let drop = r#"DROP TRIGGER gom_change ON "default$default"."Tool""#;
    database.connect().await.batch_execute(drop).await.unwrap();
    let server = Server::ready(&environment, &[]).await;
    assert!(
        server.log().contains("tables without triggers"),
        "{}",
        server.log()
    );
    server
        .comes("a state of its own", async |server| {
            server.readiness().await.1["changeFeed"]["state"] == "incomplete"
        })
        .await;
    let (status, body) = server.readiness().await;
    assert_eq!(
        (status, &body["changeFeed"]["unlogged"]),
        (200, &1.into()),
        "reads and writes go on"
    );
    let answer = subscribed(&server).await;
    assert!(
        answer.contains("changes of the table `Tool` are not logged"),
        "{answer}"
    );

    assert!(run(&environment, &["migrate", "apply"]).status.success());
    server
        .comes("all is well", async |server| {
            server.readiness().await.1["changeFeed"]["state"] == "ready"
        })
        .await;
    assert!(!subscribed(&server).await.contains("not logged"));
}
