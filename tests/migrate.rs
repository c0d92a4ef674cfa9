//! `gom migrate` as operators use it: what it prints, and what its exit status reports to a script.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::process::Command;

use gom_test_support::TestDatabase;

/// Runs `gom migrate` on a database with a datamodel: exit status, standard output, standard error.
fn migrate(database: &TestDatabase, datamodel: &str, arguments: &[&str]) -> (i32, String, String) {
    migrate_with(database, datamodel, "", arguments)
}

/// The same with renames that travel with the datamodel.
fn migrate_with(
    database: &TestDatabase,
    datamodel: &str,
    renames: &str,
    arguments: &[&str],
) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("renames"), renames).unwrap();
    std::fs::write(folder.path().join("datamodel.prisma"), datamodel).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gom"))
        .arg("migrate")
        .args(arguments)
        .args([
            "--datamodel",
            "datamodel.prisma",
            "--database-url",
            &database.url(),
        ])
        .current_dir(&folder)
        .env_clear()
        .env("GOM__DATAMODEL__RENAMES", "renames")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn migrate_brings_a_database_to_its_datamodel_and_reports_the_steps() {
    let database = TestDatabase::create().await;
    let shop = "type Order { id: ID! @id name: String }";
    let run = |arguments: &[&str]| migrate(&database, shop, arguments);

    let (status, out, error) = run(&["verify"]);
    assert_eq!(
        (status, error.as_str()),
        (
            1,
            "gom: 3 differences between the database and datamodel.prisma\n"
        )
    );
    let expected = "the schema `default$default` is missing\nthe table `Order` is missing\n\
                    still to do: log the changes of `Order`\n";
    assert_eq!(out, expected);
    let (status, out, _) = run(&["status"]);
    assert_eq!(status, 0);
    assert!(out.contains("Last applied   never"), "{out}");
    let (status, plan, _) = run(&["plan"]);
    assert_eq!(status, 0);
    assert!(plan.contains("   2. create the table `Order`\n"), "{plan}");
    let (_, sql, _) = run(&["diff"]);
    assert!(
        sql.contains("`gom migrate apply`"),
        "it needs Gom's own tables: {sql}"
    );
    assert_eq!(
        migrate(&database, "type Order { id: ID! @id }", &["apply"]).0,
        0
    );
    let (_, sql, _) = run(&["diff"]);
    assert!(!sql.contains("gom migrate"), "{sql}");
    database
        .connect()
        .await
        .batch_execute(&sql)
        .await
        .expect("what was shown for review can be run");
    assert_eq!(run(&["verify"]).0, 0);

    let (status, out, _) = run(&["apply"]);
    assert_eq!(
        (status, out.as_str()),
        (0, "The database is as datamodel.prisma wants it.\n")
    );
    let (_, out, _) = run(&["status"]);
    assert!(
        out.contains("this datamodel") && out.contains("Differences    none"),
        "{out}"
    );
}

#[tokio::test]
async fn steps_that_lose_data_are_refused_and_renames_keep_it() {
    let database = TestDatabase::create().await;
    assert_eq!(
        migrate(
            &database,
            "type Order { id: ID! @id name: String }",
            &["apply"]
        )
        .0,
        0
    );
    let insert = "INSERT INTO \"default$default\".\"Order\" VALUES ('1', 'one')";
    database
        .connect()
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    let renamed = "type Order { id: ID! @id title: String }";

    let (status, out, error) = migrate(&database, renamed, &["apply"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(
        error.contains("drop the column `Order.name`") && error.contains("--allow-data-loss"),
        "{error}"
    );
    let (status, out, _) = migrate(
        &database,
        renamed,
        &["apply", "--rename", "Order.name=title"],
    );
    assert_eq!(
        (status, out.as_str()),
        (
            0,
            "rename the column `Order.name` to `title`\nlog the changes of `Order`\n2 steps done.\n"
        )
    );
    let (status, _, _) = migrate(
        &database,
        "type Order { id: ID! @id }",
        &["apply", "--allow-data-loss"],
    );
    assert_eq!(status, 0);
    let (status, _, error) = migrate(&database, renamed, &["plan", "--rename", "Order"]);
    assert_eq!(status, 2);
    assert!(error.contains("Table.column=newColumn"), "{error}");
}

#[tokio::test]
async fn renames_in_a_file_are_done_once_wherever_a_database_stands() {
    const RENAMES: &str = "Order.name=title\n# a year later\nOrder=Purchase\nPurchase.title=subject\nPurchase.tags=labels\n";
    let now = "type Purchase { id: ID! @id subject: String labels: [String!] }";
    let stages = [
        (
            "Order",
            "name",
            "tags",
            "type Order { id: ID! @id name: String tags: [String!] }",
        ),
        (
            "Order",
            "title",
            "tags",
            "type Order { id: ID! @id title: String tags: [String!] }",
        ),
        (
            "Purchase",
            "title",
            "tags",
            "type Purchase { id: ID! @id title: String tags: [String!] }",
        ),
        ("Purchase", "subject", "labels", now),
    ];
    for (table, column, list, datamodel) in stages {
        let database = TestDatabase::create().await;
        let (status, _, error) = migrate_with(&database, datamodel, RENAMES, &["apply"]);
        assert_eq!(status, 0, "what is to be renamed later stays: {error}");
        let rows = format!(
            "insert into \"default$default\".\"{table}\" (id, \"{column}\") values ('1', 'one');
             insert into \"default$default\".\"{table}_{list}\" values ('1', 1000, 'a')"
        );
        let client = database.connect().await;
        client.batch_execute(&rows).await.unwrap();
        for _ in 0..2 {
            let (status, out, error) = migrate_with(&database, now, RENAMES, &["apply"]);
            assert_eq!(status, 0, "{table}.{column}: {out} {error}");
        }
        let kept = "select p.subject, l.value from \"default$default\".\"Purchase\" p \
                    join \"default$default\".\"Purchase_labels\" l on l.\"nodeId\" = p.id";
        let row = client.query_one(kept, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), ("one", "a"), "{table}.{column}");
    }
    let database = TestDatabase::create().await;
    let (status, _, error) = migrate_with(&database, now, "A=B\nOrder", &["plan"]);
    assert_eq!(status, 1);
    assert!(error.contains("renames:2: `Order` has no `=`"), "{error}");
}

#[tokio::test]
async fn a_plan_says_what_apply_will_refuse_and_apply_lists_only_what_is_done() {
    let database = TestDatabase::create().await;
    let before = "enum S { OPEN WON } type Order { id: ID! @id stage: S }";
    assert_eq!(migrate(&database, before, &["apply"]).0, 0);
    let insert = "INSERT INTO \"default$default\".\"Order\" VALUES ('o1', 'OPEN')";
    database
        .connect()
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    let after = "enum S { WON } type Order { id: ID! @id stage: S } type New { id: ID! @id }";
    let problem =
        "`Order.stage` holds values that the enum `S` lacks: 1 row of `Order`, e.g. `OPEN` in `o1`";

    let (status, plan, error) = migrate(&database, after, &["plan"]);
    assert_eq!(status, 1);
    assert!(
        plan.contains("create the table `New`") && plan.contains(problem),
        "{plan}"
    );
    assert!(
        !plan.contains("does them") && error.contains("will refuse"),
        "{plan}{error}"
    );
    let (status, out, error) = migrate(&database, after, &["apply"]);
    assert_eq!((status, out.as_str()), (1, ""), "no step was done");
    assert!(
        error.contains(problem) && error.contains("nothing was changed"),
        "{error}"
    );
    let (status, out, _) = migrate(&database, after, &["verify"]);
    assert!(status == 1 && out.contains(problem), "{out}");
    let (_, out, _) = migrate(&database, after, &["diff"]);
    assert!(out.contains("-- DOES NOT FIT: `Order.stage`"), "{out}");

    // The datamodel that is deployed already is no reason to refuse, only to warn.
    let spoil = "UPDATE \"default$default\".\"Order\" SET stage = 'LOST'";
    database.connect().await.batch_execute(spoil).await.unwrap();
    let (status, _, error) = migrate(&database, before, &["apply"]);
    assert_eq!(status, 0);
    assert!(error.contains("`LOST` in `o1`"), "{error}");
}

#[tokio::test]
async fn foreign_objects_are_reported_and_dropped_only_on_request() {
    let database = TestDatabase::create().await;
    let datamodel = "type Order { id: ID! @id }";
    assert_eq!(migrate(&database, datamodel, &["apply"]).0, 0);
    let foreign = "CREATE TABLE \"default$default\".report (x int)";
    database
        .connect()
        .await
        .batch_execute(foreign)
        .await
        .unwrap();
    let (status, out, _) = migrate(&database, datamodel, &["apply"]);
    assert_eq!(status, 0);
    assert!(
        out.contains("left alone (`--drop-unknown` drops):\n   -  the table `report`"),
        "{out}"
    );
    assert_eq!(migrate(&database, datamodel, &["verify"]).0, 0);
    let (_, plan, _) = migrate(&database, datamodel, &["plan", "--drop-unknown"]);
    assert!(
        plan.contains("drop the table `report`") && plan.contains("apply --drop-unknown`"),
        "{plan}"
    );
    assert_eq!(
        migrate(&database, datamodel, &["apply", "--drop-unknown"]).0,
        0
    );
    assert!(
        !migrate(&database, datamodel, &["plan"])
            .1
            .contains("report")
    );
}

#[tokio::test]
async fn a_failed_check_after_the_deployment_is_no_failure() {
    let database = TestDatabase::create().await;
    let before = "enum S { OPEN } type Order { id: ID! @id stage: S }";
    assert_eq!(migrate(&database, before, &["apply"]).0, 0);
    // The table cannot be read any more once the deployment is recorded.
    let trap = "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                  EXECUTE format('REVOKE ALL ON \"default$default\".\"Order\" FROM %I', current_user); RETURN NULL; END $$;
                CREATE TRIGGER trap AFTER INSERT ON gom.applied_datamodel EXECUTE FUNCTION trap()";
    let client = database.connect().await;
    client.batch_execute(trap).await.unwrap();
    let after = "enum S { OPEN } type Order { id: ID! @id stage: S memo: String }";
    let (status, out, error) = migrate(&database, after, &["apply"]);
    assert!(out.contains("add the column `Order.memo`"), "{out}");
    assert!(
        error.contains("gom: the rows were not compared with the datamodel"),
        "{error}"
    );
    assert_eq!(status, 0, "{error}");
}

#[tokio::test]
async fn row_values_stay_inside_sql_comments() {
    let database = TestDatabase::create().await;
    assert_eq!(
        migrate(&database, "type A { id: ID! @id a: String }", &["apply"]).0,
        0
    );
    let insert = "INSERT INTO \"default$default\".\"A\" VALUES (E'\\n\\\\!date #\\x1b[2J', 'x')";
    database
        .connect()
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    let (_, sql, _) = migrate(&database, "type A { id: ID! @id }", &["diff"]);
    assert!(
        sql.contains("LOSES DATA: the column's values are lost: 1 row, e.g. `\u{fffd}\\!date"),
        "{sql}"
    );
    assert!(!sql.contains('\u{1b}'), "{sql}");
}
