//! The previous and the next version beside each other: an update that has changed tables, and its rollback.

use gom_test_support::TestDatabase;
use serde_json::json;

use crate::doctor::doctor;
use gom_test_support::process::{Environment, Server, environment, run};

const BEFORE: &str = "type Tool { uid: ID! @id name: String! }";
const AFTER: &str = "type Tool { uid: ID! @id name: String! price: Float }";

/// The server's settings with a datamodel of its own. It has no policy: only the service role sends requests.
fn with_datamodel(
    database: &TestDatabase,
    folder: &tempfile::TempDir,
    name: &str,
    text: &str,
) -> Environment {
    let datamodel = folder.path().join(name);
    std::fs::write(&datamodel, text).unwrap();
    let mut environment = environment(&database.url());
    environment.push(("GOM__DATAMODEL__FILE", datamodel.display().to_string()));
    environment
}

#[tokio::test]
async fn the_previous_version_keeps_serving_after_an_update_has_changed_tables() {
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let before = with_datamodel(&database, &folder, "before.prisma", BEFORE);
    let after = with_datamodel(&database, &folder, "after.prisma", AFTER);
    let old = Server::ready(&before, &["--deploy"]).await;
    let new = Server::ready(&after, &["--deploy"]).await;
    let priced = new
        .ask(r#"mutation { createTool(data: {name: "saw", price: 9.5}) { name } }"#)
        .await;
    assert_eq!(priced.1["data"]["createTool"]["name"], "saw");
    drop(old);

    let back = Server::ready(&before, &["--deploy"]).await;
    back.comes("a warning", async |it| {
        it.log()
            .contains("a later datamodel has been deployed since")
    })
    .await;
    assert_eq!(
        back.ask("{ tools { name } }").await.1["data"],
        json!({ "tools": [{ "name": "saw" }] })
    );
    let created = back
        .ask(r#"mutation { createTool(data: {name: "file"}) { name } }"#)
        .await;
    assert_eq!(created.1["data"]["createTool"]["name"], "file");
    let kept = new.ask("{ tools(orderBy: name_DESC) { price } }").await;
    assert_eq!(
        kept.1["data"],
        json!({ "tools": [{ "price": 9.5 }, { "price": null }] }),
        "nothing is lost"
    );

    // As it should be, after a step back.
    let report = doctor(&before, &[]);
    report.says("schema", "ok", "a later datamodel has been deployed");
    doctor(&after, &[]).says("schema", "ok", "agrees");

    // A manual rollback still needs the permission to lose data.
    let by_hand = run(&before, &["migrate", "apply"]);
    assert_eq!(by_hand.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&by_hand.stderr).contains("these steps lose data"));
}

#[tokio::test]
async fn a_datamodel_that_was_never_deployed_removes_nothing() {
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    drop(
        Server::ready(
            &with_datamodel(&database, &folder, "after.prisma", AFTER),
            &["--deploy"],
        )
        .await,
    );
    let smaller = with_datamodel(&database, &folder, "before.prisma", BEFORE);
    let refused = run(&smaller, &["serve", "--port", "0", "--deploy"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("these steps lose data"));
}

#[tokio::test]
async fn the_previous_version_serves_beside_newer_tables_of_gom() {
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let environment = with_datamodel(&database, &folder, "before.prisma", BEFORE);
    drop(Server::ready(&environment, &["--deploy"]).await);
    let later = "INSERT INTO gom.system_migration (version, name, applied_on, checksum) VALUES (99, 'later', '2030-01-01T00:00:00Z', '0')";
    database.connect().await.batch_execute(later).await.unwrap();
    let back = Server::ready(&environment, &["--deploy"]).await;
    back.comes("a warning", async |it| {
        it.log().contains("migrated by a newer version of gom")
    })
    .await;
    assert_eq!(
        back.ask("{ tools { name } }").await.1["data"],
        json!({ "tools": [] })
    );
}
