//! `gom migrate` as operators use it: what it prints, and what a script can tell from its exit status.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::process::Command;

use gom_test_support::TestDatabase;

/// Runs `gom migrate` on a database with a datamodel: exit status, standard output, standard error.
fn migrate(database: &TestDatabase, datamodel: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("datamodel.prisma"), datamodel).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gom"))
        .arg("migrate")
        .args(arguments)
        .args(["--datamodel", "datamodel.prisma", "--database-url", &database.url()])
        .current_dir(&folder)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_database_is_brought_to_its_datamodel_and_says_so() {
    let database = TestDatabase::create().await;
    let shop = "type Order { id: ID! @id name: String }";
    let run = |arguments: &[&str]| migrate(&database, shop, arguments);

    let (status, out, error) = run(&["verify"]);
    assert_eq!(
        (status, error.as_str()),
        (1, "gom: 3 differences between the database and datamodel.prisma\n")
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
    assert!(sql.contains("`gom migrate apply`"), "it needs Gom's own tables: {sql}");
    assert_eq!(migrate(&database, "type Order { id: ID! @id }", &["apply"]).0, 0);
    let (_, sql, _) = run(&["diff"]);
    assert!(!sql.contains("gom migrate"), "{sql}");
    database.connect().await.batch_execute(&sql).await.expect("what was shown for review can be run");
    assert_eq!(run(&["verify"]).0, 0);

    let (status, out, _) = run(&["apply"]);
    assert_eq!((status, out.as_str()), (0, "The database is as datamodel.prisma wants it.\n"));
    let (_, out, _) = run(&["status"]);
    assert!(out.contains("this datamodel") && out.contains("Differences    none"), "{out}");
}

#[tokio::test]
async fn what_loses_data_is_refused_and_a_rename_does_not_lose_it() {
    let database = TestDatabase::create().await;
    assert_eq!(migrate(&database, "type Order { id: ID! @id name: String }", &["apply"]).0, 0);
    let renamed = "type Order { id: ID! @id title: String }";

    let (status, out, error) = migrate(&database, renamed, &["apply"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(error.contains("drop the column `Order.name`") && error.contains("--allow-data-loss"), "{error}");
    let (status, out, _) = migrate(&database, renamed, &["apply", "--rename", "Order.name=title"]);
    assert_eq!(
        (status, out.as_str()),
        (0, "rename the column `Order.name` to `title`\nlog the changes of `Order`\n2 steps done.\n")
    );
    let (status, _, _) = migrate(&database, "type Order { id: ID! @id }", &["apply", "--allow-data-loss"]);
    assert_eq!(status, 0);
    let (status, _, error) = migrate(&database, renamed, &["plan", "--rename", "Order"]);
    assert_eq!(status, 2);
    assert!(error.contains("Table.column=newColumn"), "{error}");
}
