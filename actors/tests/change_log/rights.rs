//! Who writes and what is logged of it: other roles, databases from before the log, triggers that somebody changed.

use gom_actors::migrations::{Deployment, apply, verify};
use gom_engine::datamodel::parse;
use gom_test_support::TestCluster;

use super::{MODEL, SCHEMA, deploy, deployed, logged};

#[tokio::test]
async fn other_database_roles_need_the_privilege_to_log() {
    let cluster = TestCluster::own().await;
    let mut client = cluster.connect().await;
    deploy(&mut client).await;
    let (owner, mut admin) = (cluster.config(), cluster.admin_config());
    admin.dbname(owner.get_dbname().unwrap());
    let (importer, connection) = admin.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let rights = format!(
        "create role importer; grant usage on schema \"{SCHEMA}\" to importer;
         grant all on all tables in schema \"{SCHEMA}\" to importer; set role importer"
    );
    importer.batch_execute(&rights).await.unwrap();
    let write = format!("insert into \"{SCHEMA}\".\"Fan\" values ('f')");
    let refused = importer.batch_execute(&write).await.unwrap_err();
    assert!(
        refused.as_db_error().unwrap().message().contains("gom"),
        "{refused:?}"
    );
    let rights =
        "reset role; grant usage on schema gom to importer; grant insert on gom.change to importer;
                  set role importer";
    importer.batch_execute(rights).await.unwrap();
    importer.batch_execute(&write).await.unwrap();
    assert_eq!(logged(&client).await, ["Fan C f"]);
}

#[tokio::test]
async fn missing_or_replaced_triggers_are_created_again() {
    let (database, client) = deployed().await;
    let model = parse("datamodel.prisma", MODEL).unwrap();
    let deployment = Deployment::new(&model, MODEL, SCHEMA);
    for harm in [
        r#"drop trigger gom_change on "Fan""#,
        r#"alter table "Fan" disable trigger gom_change"#,
        r#"drop trigger gom_change on "Fan"; create trigger gom_change after insert on "Fan" for each row
           execute function gom."log default$default.Fan"()"#,
        r#"drop trigger gom_change on "Fan"; create trigger gom_change after insert or update or delete on "Fan" for each row
           when (pg_trigger_depth() > 0) execute function gom."log default$default.Fan"()"#,
        r#"create or replace function gom."log default$default.Fan"() returns trigger language plpgsql as
           'begin return null; end'"#,
        // As in a database from before the log.
        r#"drop function gom."log default$default.Fan"() cascade"#,
    ] {
        client.batch_execute(harm).await.unwrap();
        let differences = verify(&client, &model, SCHEMA).await.unwrap();
        assert_eq!(
            differences,
            ["still to do: log the changes of `Fan`"],
            "{harm}"
        );
        let mut migrating = database.connect().await;
        apply(&mut migrating, &deployment, &|_| {}).await.unwrap();
        assert_eq!(
            verify(&client, &model, SCHEMA).await.unwrap(),
            Vec::<String>::new(),
            "{harm}"
        );
        client
            .batch_execute(r#"insert into "Fan" values ('f'); delete from "Fan""#)
            .await
            .unwrap();
        assert_eq!(
            logged(&client).await,
            ["Fan C f", r#"Fan D f {"id": "f"}"#],
            "{harm}"
        );
    }
    client
        .batch_execute("insert into \"Fan\" values ('g')")
        .await
        .unwrap();
    let smaller = "type Shop { id: ID! @id }";
    let model = parse("datamodel.prisma", smaller).unwrap();
    let deployment = Deployment {
        model: &model,
        text: smaller,
        allow_data_loss: true,
        ..deployment
    };
    let mut migrating = database.connect().await;
    apply(&mut migrating, &deployment, &|_| {}).await.unwrap();
    let functions = "select array_agg(proname::text) from pg_proc where proname like 'log %'";
    let left: Vec<String> = client.query_one(functions, &[]).await.unwrap().get(0);
    assert_eq!(
        left,
        ["log default$default.Shop"],
        "the functions of tables that are gone went with them"
    );
}
