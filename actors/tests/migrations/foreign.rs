//! What is in the schema and was never Gom's.

use gom_actors::migrations::{Deployment, MigrateError, apply, introspect, verify};
use gom_test_support::TestDatabase;

use super::{PRISMA1, SCHEMA, SHOP, attempt, deploy, fill, model, planned, run, text};

#[tokio::test]
async fn foreign_tables_and_columns_prevent_no_deployment_and_stay() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    run(&client, PRISMA1).await;
    fill(&client, "CREATE TABLE report (x int); INSERT INTO report VALUES (1); ALTER TABLE \"Order\" ADD COLUMN memo text; \
                   UPDATE \"Order\" SET memo = 'mine'").await;
    let plan = planned(&client, SHOP).await;
    let left_alone: Vec<String> = plan.left_alone.iter().map(ToString::to_string).collect();
    assert_eq!(
        left_alone,
        ["the column `Order.memo`", "the table `report`"]
    );
    deploy(&mut client, SHOP, &[], false).await.unwrap();
    let found = introspect(&client, SCHEMA).await.unwrap();
    assert!(
        found.table("report").is_some() && found.table("Order").unwrap().column("memo").is_some()
    );
    assert_eq!(
        planned(&client, SHOP).await.left_alone.len(),
        2,
        "they are still reported"
    );
}

#[tokio::test]
async fn objects_of_a_datamodel_are_dropped_with_it_and_others_only_on_request() {
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
    apply(
        &mut client,
        &Deployment {
            allow_data_loss: true,
            ..deployment
        },
        &|_| (),
    )
    .await
    .unwrap();
    let found = introspect(&client, SCHEMA).await.unwrap();
    assert!(found.table("mine").is_none() && found.table("A").unwrap().column("memo").is_none());
}

#[tokio::test]
async fn a_foreign_required_column_is_reported() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let datamodel = "type A { id: ID! @id }";
    deploy(&mut client, datamodel, &[], false).await.unwrap();
    fill(&client, "ALTER TABLE \"A\" ADD COLUMN memo text NOT NULL").await;
    let left_alone = planned(&client, datamodel).await.left_alone;
    assert!(left_alone[0].forbids_rows, "{left_alone:?}");
    assert!(
        left_alone[0].to_string().contains("no row can be created"),
        "{left_alone:?}"
    );
    assert!(
        verify(&client, &model(datamodel), SCHEMA)
            .await
            .unwrap()
            .is_empty(),
        "it is no difference"
    );
}

#[tokio::test]
async fn other_applications_foreign_keys_survive_a_change_of_an_ids_type_or_need_permission() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before = "type A { id: ID! @id }";
    deploy(&mut client, before, &[], false).await.unwrap();
    let id = "7f6b1d80-3d0c-4a59-9df1-6b2f3a5c1d2e";
    fill(
        &client,
        "ALTER TABLE \"A\" ALTER id TYPE text; INSERT INTO \"A\" VALUES ('1'); \
             CREATE TABLE mine (x text REFERENCES \"A\" ON DELETE CASCADE); INSERT INTO mine VALUES ('1')",
    )
    .await;
    let keys = "SELECT string_agg(pg_get_constraintdef(oid), '') FROM pg_constraint \
                WHERE contype = 'f' AND conrelid = '\"default$default\".mine'::regclass";
    let key = text(&client, keys).await.unwrap();
    deploy(&mut client, before, &[], false)
        .await
        .expect("the types still agree");
    assert_eq!(
        text(&client, keys).await.as_deref(),
        Some(key.as_str()),
        "the same key"
    );

    // A key that would not be the same.
    fill(
        &client,
        "ALTER TABLE mine DROP CONSTRAINT mine_x_fkey, ADD FOREIGN KEY (x) REFERENCES \"A\" ON UPDATE CASCADE; \
         ALTER TABLE \"A\" ALTER id TYPE text",
    )
    .await;
    let refused = attempt(&mut client, before, &[], false).await.unwrap_err();
    assert!(matches!(refused, MigrateError::DataLoss(_)), "{refused}");

    // Also without any row.
    fill(
        &client,
        &format!("DELETE FROM mine; UPDATE \"A\" SET id = '{id}'"),
    )
    .await;
    let after = "type A { id: UUID! @id }";
    let refused = attempt(&mut client, after, &[], false)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("a foreign key that is not in the datamodel is lost"),
        "{refused}"
    );
    deploy(&mut client, after, &[], true).await.unwrap();
    assert_eq!(text(&client, keys).await, None);
}
