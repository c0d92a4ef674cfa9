//! What is in the schema and was never Gom's.

use gom_actors::migrations::{Deployment, MigrateError, apply, introspect, verify};
use gom_test_support::TestDatabase;

use super::{PRISMA1, SCHEMA, SHOP, deploy, fill, model, planned, run};

#[tokio::test]
async fn tables_and_columns_of_others_in_a_prisma_database_forbid_no_deployment_and_stay() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    run(&client, PRISMA1).await;
    fill(&client, "CREATE TABLE report (x int); INSERT INTO report VALUES (1); ALTER TABLE \"Order\" ADD COLUMN memo text; \
                   UPDATE \"Order\" SET memo = 'mine'").await;
    let plan = planned(&client, SHOP).await;
    assert_eq!(plan.left_alone, ["the column `Order.memo`", "the table `report`"]);
    deploy(&mut client, SHOP, &[], false).await.unwrap();
    let found = introspect(&client, SCHEMA).await.unwrap();
    assert!(found.table("report").is_some() && found.table("Order").unwrap().column("memo").is_some());
    assert_eq!(planned(&client, SHOP).await.left_alone.len(), 2, "they are still reported");
}

#[tokio::test]
async fn what_a_datamodel_had_goes_with_it_and_the_rest_goes_only_when_asked() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before = "type A { id: ID! @id a: String b: Int } type B { id: ID! @id }";
    deploy(&mut client, before, &[], false).await.unwrap();
    fill(
        &client,
        "CREATE TABLE mine (x int); INSERT INTO mine VALUES (1); ALTER TABLE \"A\" ADD COLUMN memo text; \
                   INSERT INTO \"A\" VALUES ('1', 'x', 1, 'y'); INSERT INTO \"B\" VALUES ('1')",
    )
    .await;
    let after = "type A { id: ID! @id b: Int }";
    deploy(&mut client, after, &[], true).await.unwrap();
    let found = introspect(&client, SCHEMA).await.unwrap();
    assert!(found.table("B").is_none() && found.table("A").unwrap().column("a").is_none());
    assert!(found.table("mine").is_some() && found.table("A").unwrap().column("memo").is_some());

    let model = model(after);
    let deployment = Deployment {
        model: &model,
        text: after,
        schema: SCHEMA,
        renames: &[],
        allow_data_loss: false,
        drop_unknown: true,
        keep_empty: false,
    };
    let error = apply(&mut client, &deployment, &|_| ()).await.unwrap_err();
    assert!(matches!(error, MigrateError::DataLoss(_)), "{error}");
    apply(&mut client, &Deployment { allow_data_loss: true, ..deployment }, &|_| ()).await.unwrap();
    let found = introspect(&client, SCHEMA).await.unwrap();
    assert!(found.table("mine").is_none() && found.table("A").unwrap().column("memo").is_none());
}

#[tokio::test]
async fn a_column_of_others_that_no_row_can_be_created_with_is_reported() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let text = "type A { id: ID! @id }";
    deploy(&mut client, text, &[], false).await.unwrap();
    fill(&client, "ALTER TABLE \"A\" ADD COLUMN memo text NOT NULL").await;
    let left_alone = planned(&client, text).await.left_alone;
    assert!(left_alone[0].contains("no row can be created"), "{left_alone:?}");
    assert!(verify(&client, &model(text), SCHEMA).await.unwrap().is_empty(), "it is no difference");
}
