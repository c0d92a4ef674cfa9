//! The demo shop, in a real database.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::BTreeMap;

use gom_actors::migrations::{self, Deployment};
use gom_engine::datamodel;
use gom_server::identity::AccountTable;
use gom_server::settings::{self, Inputs, Purpose};
use gom_shop::seed::{self, DemoShop, ShopSeedError};
use gom_test_support::TestDatabase;
use gom_test_support::process::{environment, run};

const SCHEMA: &str = "default$default";
const SHOP: &str = include_str!("../config/datamodel.prisma");

async fn shop() -> TestDatabase {
    let database = TestDatabase::create().await;
    let model = datamodel::parse("datamodel.prisma", SHOP).unwrap();
    let deployment = Deployment::new(&model, SHOP, SCHEMA);
    migrations::apply(&mut database.connect().await, &deployment, &|_| {})
        .await
        .unwrap();
    database
}

#[tokio::test]
async fn the_demo_shop_is_complete_and_seeded_only_once() {
    let database = shop().await;
    let mut client = database.connect().await;
    let rows = seed::demo(&mut client, SCHEMA).await.unwrap();
    assert!(rows > 60, "{rows}");
    assert_eq!(
        seed::demo(&mut client, SCHEMA).await.unwrap(),
        rows,
        "a second run changes nothing"
    );

    let count = async |sql: &str| -> i64 { client.query_one(sql, &[]).await.unwrap().get(0) };
    let table = |name: &str| format!("\"{SCHEMA}\".\"{name}\"");
    let (orders, items, prices) = (table("Order"), table("Item"), table("Price"));
    assert_eq!(
        count(&format!("SELECT count(*) FROM {}", table("User"))).await,
        2
    );
    assert_eq!(
        count(&format!(
            "SELECT count(DISTINCT (\"assignedTo\", \"stage\")) FROM {orders}"
        ))
        .await,
        8,
        "each seller has orders in each stage"
    );
    let without = async |parent: &str, child: &str, link: &str| -> i64 {
        let sql = format!(
            "SELECT count(*) FROM {parent} p WHERE NOT EXISTS (SELECT FROM {child} c WHERE c.\"{link}\" = p.uid)"
        );
        count(&sql).await
    };
    assert_eq!(
        without(&orders, &items, "order").await,
        0,
        "an order has items"
    );
    assert_eq!(
        without(&items, &prices, "item").await,
        0,
        "an item has a price"
    );
    assert_eq!(
        without(&table("Promotion"), &table("Publication"), "promotion").await,
        0
    );
    let strangers = format!(
        "SELECT count(*) FROM {orders} o WHERE NOT EXISTS (SELECT FROM {} c WHERE c.\"A\" = o.\"issuedTo\" AND c.\"B\" = o.\"assignedTo\")",
        table("_CustomerOf")
    );
    assert_eq!(
        count(&strangers).await,
        0,
        "orders are of the seller's own customers"
    );
    let wrong = format!(
        "SELECT count(*) FROM {} WHERE length(\"extUid\") <> 10 OR \"phone\" !~ '^[0-9]{{10}}$'",
        table("Bp")
    );
    assert_eq!(count(&wrong).await, 0);
}

#[tokio::test]
async fn demo_accounts_are_created_once_and_only_in_the_private_database() {
    let database = shop().await;
    let mut client = database.connect().await;
    let inputs = Inputs {
        keys: gom_shop::KEYS,
        purpose: Purpose::Tool,
        variables: BTreeMap::new(),
        directory: None,
        arguments: vec![("auth.accounts.hash_memory", "the test", "64".into())],
    };
    let demo = DemoShop::new(&settings::load(&inputs).unwrap().settings);
    demo.open(&mut client, SCHEMA).await.unwrap();
    let names = ["paletas@demo.gom", "tacos@demo.gom"].map(str::to_owned);
    assert_eq!(seed::demo_logins(&client).await.unwrap(), names);
    let accounts = AccountTable::new(&client);
    let subjects = format!(
        "SELECT count(*) FROM gom.account JOIN \"{SCHEMA}\".\"User\" ON subject = \"extUid\""
    );
    assert_eq!(
        client
            .query_one(&subjects, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        2,
        "they are the shop's sellers"
    );

    accounts
        .set_password_hash(&names[0], "another")
        .await
        .unwrap();
    demo.open(&mut client, SCHEMA).await.unwrap();
    assert_eq!(
        seed::demo_logins(&client).await.unwrap(),
        names[1..],
        "what was changed stays so"
    );

    assert!(
        !demo.add_accounts(&mut client, SCHEMA).await.unwrap(),
        "there are some"
    );

    let other = shop().await;
    let mut client = other.connect().await;
    seed::demo(&mut client, SCHEMA).await.unwrap();
    assert_eq!(
        seed::demo_logins(&client).await.unwrap(),
        Vec::<String>::new(),
        "`gom seed` lets nobody in"
    );
}

#[tokio::test]
async fn the_demo_sellers_get_both_their_accounts_or_none() {
    let database = shop().await;
    let mut client = database.connect().await;
    seed::demo(&mut client, SCHEMA).await.unwrap();
    let inputs = Inputs {
        keys: gom_shop::KEYS,
        purpose: Purpose::Tool,
        variables: BTreeMap::new(),
        directory: None,
        arguments: vec![("auth.accounts.hash_memory", "the test", "64".into())],
    };
    let demo = DemoShop::new(&settings::load(&inputs).unwrap().settings);
    client
        .batch_execute(
            "ALTER TABLE gom.account ADD CONSTRAINT no_tacos CHECK (username <> 'tacos@demo.gom')",
        )
        .await
        .unwrap();
    demo.add_accounts(&mut client, SCHEMA).await.unwrap_err();
    assert_eq!(AccountTable::new(&client).list().await.unwrap().len(), 0);
    client
        .batch_execute("ALTER TABLE gom.account DROP CONSTRAINT no_tacos")
        .await
        .unwrap();
    assert!(demo.add_accounts(&mut client, SCHEMA).await.unwrap());
    assert_eq!(AccountTable::new(&client).list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn every_part_of_the_benchmarks_data_set_can_be_written_twice() {
    let database = shop().await;
    let client = database.connect().await;
    client
        .batch_execute(&format!("SET search_path TO \"{SCHEMA}\""))
        .await
        .unwrap();
    // The rows written here are only a few of each table, and so lack what they link to.
    let keys = "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f'";
    for row in client.query(keys, &[]).await.unwrap() {
        let (table, name): (String, String) = (row.get(0), row.get(1));
        client
            .batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT \"{name}\""))
            .await
            .unwrap();
    }
    for part in &seed::PARTS {
        assert_eq!(
            part.portions().last().unwrap().1,
            part.rows,
            "{}: portions reach the end",
            part.label
        );
        let rows = i32::try_from(part.rows.min(200)).unwrap();
        assert!(
            client.execute(part.sql, &[&1_i32, &rows]).await.unwrap() > 0,
            "{}",
            part.label
        );
        assert_eq!(
            client.execute(part.sql, &[&1_i32, &rows]).await.unwrap(),
            0,
            "{}",
            part.label
        );
    }
}

#[tokio::test]
async fn seeding_a_database_without_tables_is_refused() {
    let database = TestDatabase::create().await;
    let error = seed::demo(&mut database.connect().await, SCHEMA)
        .await
        .unwrap_err();
    assert!(matches!(error, ShopSeedError::NoTables { .. }), "{error}");
    assert!(error.to_string().contains("gom migrate apply"), "{error}");
}

#[tokio::test]
async fn a_database_for_another_datamodel_is_not_migrated_before_seeding_is_refused() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let datamodel = folder.path().join("club.prisma");
    std::fs::write(&datamodel, "type Member { id: ID! @id }").unwrap();
    let arguments = ["seed", "--deploy", "--datamodel"];
    let arguments = [&arguments[..], &[datamodel.to_str().unwrap()]].concat();
    let output = run(&environment(&database.url()), &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("which has no table User"), "{errors}");
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('gom', $1)";
    let made = database.connect().await.query_one(made, &[&SCHEMA]).await;
    assert_eq!(made.unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_datamodel_with_the_tables_of_the_shop_and_other_columns_is_another_one() {
    let check = |text: &str| {
        let model = datamodel::parse("datamodel.prisma", text).unwrap();
        seed::check_datamodel(&model).map_err(|error| error.to_string())
    };
    assert_eq!(check(SHOP), Ok(()));
    let without = |line: &str| {
        assert!(SHOP.contains(line), "{line}");
        check(&SHOP.replacen(line, "", 1)).unwrap_err()
    };
    let error = without("  lastName2: String\n");
    assert!(
        error.contains("which has no column lastName2 in the table Bp"),
        "{error}"
    );
    let renamed = SHOP.replace("issuedTo:", "soldTo:");
    let error = check(&renamed).unwrap_err();
    assert!(
        error.contains("which has no column issuedTo in the table Order"),
        "{error}"
    );
}
