//! Watched models: what leaves a job, in the transaction that causes it.

use gom_actors::migrations::{Deployment, apply, verify};
use gom_engine::datamodel::{DataModel, JobRule, WatchedModel, parse};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use super::{MODEL, SCHEMA, connect};

fn model(watched: &[(&str, &'static str, JobRule)]) -> DataModel {
    let mut model = parse("datamodel.prisma", MODEL).unwrap();
    let named = |name: &str| model.model_named(name).unwrap();
    model.watched = watched
        .iter()
        .map(|(name, subject, jobs)| WatchedModel {
            model: named(name),
            subject,
            jobs: *jobs,
            open: None,
        })
        .collect();
    model
}

fn watching() -> DataModel {
    model(&[
        ("Order", "order", JobRule::Each),
        ("Shop", "shop", JobRule::Latest),
    ])
}

async fn deploy(client: &mut Client, model: &DataModel) -> Vec<String> {
    let deployment = Deployment::new(model, MODEL, SCHEMA);
    let steps = apply(client, &deployment, &|_| {}).await.unwrap();
    steps
        .steps
        .into_iter()
        .map(|step| step.description)
        .collect()
}

async fn watched() -> (TestDatabase, Client) {
    let database = TestDatabase::create().await;
    deploy(&mut database.connect().await, &watching()).await;
    let client = connect(&database).await;
    (database, client)
}

async fn jobs(client: &Client) -> Vec<String> {
    let query = "select concat_ws(' ', subject, node, case when created then 'new' end, writer, version) \
                 from gom.job order by node";
    client
        .query(query, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

#[tokio::test]
async fn each_transaction_leaves_one_job_for_each_row_that_it_creates_or_updates() {
    let (_database, client) = watched().await;
    for (sql, expected) in [
        // Of several changes the first counts.
        (
            r#"begin; select set_config('gom.writer', 'ana', true);
               insert into "Order" values ('o', 1, null), ('p', 2, null);
               update "Order" set n = 3 where id = 'o'; commit"#,
            &["order o new ana 1", "order p new ana 1"][..],
        ),
        // The writer of an earlier transaction on the same connection is not this one's.
        (r#"update "Order" set n = 4"#, &["order o 1", "order p 1"]),
        // As the API notes an update of links alone.
        (
            "insert into gom.change (schema_name, table_name, kind, node) \
             values ('default$default', 'Order', 'T', 'o')",
            &["order o 1"],
        ),
        (r#"begin; update "Order" set n = 5; rollback"#, &[]),
        (r#"delete from "Order""#, &[]),
        (r#"insert into "Fan" values ('f')"#, &[]),
    ] {
        client.batch_execute("delete from gom.job").await.unwrap();
        client.batch_execute(sql).await.unwrap();
        assert_eq!(jobs(&client).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_node_of_the_other_kind_has_one_job_that_counts_its_changes() {
    let (_database, client) = watched().await;
    client
        .batch_execute(r#"insert into "Shop" values ('s', 'Tacos')"#)
        .await
        .unwrap();
    let later = "update gom.job set due_at = now() + interval '1 hour'";
    client.batch_execute(later).await.unwrap();
    client
        .batch_execute(r#"update "Shop" set name = 'Pan'"#)
        .await
        .unwrap();
    assert_eq!(jobs(&client).await, ["shop s new 2"]);
    let due = client
        .query_one("select due_at <= now() from gom.job", &[])
        .await
        .unwrap();
    assert!(due.get::<_, bool>(0), "a changed node is due at once");

    client.batch_execute(r#"delete from "Shop""#).await.unwrap();
    assert_eq!(jobs(&client).await, ["shop s new 3"]);
    client.batch_execute("delete from gom.job").await.unwrap();
    client
        .batch_execute(
            r#"insert into "Shop" values ('t', ''); delete from gom.job; delete from "Shop""#,
        )
        .await
        .unwrap();
    assert_eq!(
        jobs(&client).await,
        [""; 0],
        "who had no job gets none by going"
    );
}

#[tokio::test]
async fn triggers_follow_what_is_watched() {
    let (database, client) = watched().await;
    let mut own = database.connect().await;
    assert_eq!(verify(&client, &watching(), SCHEMA).await.unwrap(), [""; 0]);
    assert_eq!(deploy(&mut own, &watching()).await, [""; 0]);

    // A trigger that somebody dropped comes back.
    client
        .batch_execute(r#"drop trigger "watch order default$default.Order" on gom.change"#)
        .await
        .unwrap();
    assert_eq!(
        verify(&client, &watching(), SCHEMA).await.unwrap(),
        ["still to do: queue a job for changes of `Order`"]
    );
    assert_eq!(
        deploy(&mut own, &watching()).await,
        ["queue a job for changes of `Order`"]
    );

    // Another kind of job is another trigger of the same name; what is not watched any more has none.
    let fewer = model(&[("Order", "order", JobRule::Latest)]);
    assert_eq!(
        deploy(&mut own, &fewer).await,
        [
            "queue a job for changes of `Order`",
            "drop the trigger `watch shop default$default.Shop`"
        ]
    );
    client
        .batch_execute(
            r#"insert into "Shop" values ('s', ''); insert into "Order" values ('o', 1, 's')"#,
        )
        .await
        .unwrap();
    client
        .batch_execute(r#"update "Order" set n = 2"#)
        .await
        .unwrap();
    assert_eq!(jobs(&client).await, ["order o new 2"]);
}
