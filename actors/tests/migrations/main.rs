//! Migrations on real PostgreSQL: every datamodel's tables can be made, changed and recognised again.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod chance;
mod ends;
mod epochs;
mod foreign;
mod losses;
mod misfits;

use gom_actors::migrations::{
    Deployment, MigrateError, Plan, apply, introspect, migrate_system, plan, status, verify,
};
use gom_engine::datamodel::{DataModel, parse};
use gom_engine::migrate::{MigrationStep, Rename, links_with_required_id, sql_text};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

const SCHEMA: &str = "default$default";
const SHOP: &str = include_str!("../../../config/datamodel.prisma");
const PRISMA1: &str = include_str!("../../../tests/fixtures/prisma1.sql");

fn model(text: &str) -> DataModel {
    parse("datamodel.prisma", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Applies a datamodel, which causes no event.
async fn attempt(
    client: &mut Client,
    text: &str,
    renames: &[&str],
    allow_data_loss: bool,
) -> Result<Vec<MigrationStep>, MigrateError> {
    let model = model(text);
    let renames: Vec<Rename> = renames.iter().map(|r| r.parse().unwrap()).collect();
    let deployment = Deployment {
        renames: &renames,
        allow_data_loss,
        ..Deployment::new(&model, text, SCHEMA)
    };
    let planned = plan(client, &deployment).await?;
    let before = logged(client).await;
    let done = apply(client, &deployment, &|_| ()).await;
    assert_eq!(
        logged(client).await,
        before,
        "a deployment is no event and notifies nobody"
    );
    let done = done?;
    assert_eq!(
        planned.steps, done.steps,
        "what was planned is what is done"
    );
    assert!(!planned.is_refused(), "what would be refused is not done");
    Ok(done.steps)
}

/// Applies a datamodel and proves that nothing is left to do; rows of Prisma's without a partner stay as they are.
async fn deploy(
    client: &mut Client,
    text: &str,
    renames: &[&str],
    allow_data_loss: bool,
) -> Result<Vec<MigrationStep>, MigrateError> {
    let steps = attempt(client, text, renames, allow_data_loss).await?;
    let mut left = verify(client, &model(text), SCHEMA).await?;
    left.retain(|difference| !difference.contains("nodes without a partner"));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(
        attempt(client, text, &[], false).await?,
        [],
        "a second time there is nothing to do"
    );
    Ok(steps)
}

/// What `gom migrate plan` reports.
async fn planned(client: &Client, text: &str) -> Plan {
    let model = model(text);
    let deployment = Deployment::new(&model, text, SCHEMA);
    plan(client, &deployment).await.unwrap()
}

/// In the schema of the model's tables.
async fn fill(client: &Client, sql: &str) {
    run(
        client,
        &format!("SET search_path TO \"{SCHEMA}\"; {sql}; RESET search_path"),
    )
    .await;
}

async fn run(client: &Client, sql: &str) {
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn text(client: &Client, query: &str) -> Option<String> {
    client
        .query_one(query, &[])
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}

/// How much the database holds that somebody would be notified of; nothing of it before the first deployment.
async fn logged(client: &Client) -> String {
    let tables = "SELECT (to_regclass('gom.change') IS NOT NULL AND to_regclass('gom.job') IS NOT NULL)::text";
    if text(client, tables).await.as_deref() != Some("true") {
        return "0 changes, 0 jobs".to_owned();
    }
    text(client, "SELECT (SELECT count(*) FROM gom.change) || ' changes, ' || (SELECT count(*) FROM gom.job) || ' jobs'")
        .await
        .unwrap()
}

/// Every row of the model's tables, as text.
async fn rows(client: &Client) -> Vec<String> {
    let mut rows = Vec::new();
    for table in introspect(client, SCHEMA).await.unwrap().tables {
        let name = table.name.replace('"', "\"\"");
        let query = format!("SELECT t::text FROM \"{SCHEMA}\".\"{name}\" t ORDER BY 1");
        for row in client.query(&query, &[]).await.unwrap() {
            rows.push(format!("{}: {}", table.name, row.get::<_, String>(0)));
        }
    }
    rows
}

#[tokio::test]
async fn a_migration_of_goms_tables_gives_up_an_unavailable_lock_and_blocks_nobody() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    migrate_system(&mut client).await.unwrap();
    // As a server of the version before, in the middle of an expansion.
    run(
        &client,
        "DELETE FROM gom.system_migration WHERE version >= 12",
    )
    .await;
    let before = database.connect().await;
    run(&before, "BEGIN; LOCK TABLE gom.job IN ROW EXCLUSIVE MODE").await;
    let migration = tokio::spawn(async move {
        let result = migrate_system(&mut client).await;
        (client, result)
    });
    let waits =
        "SELECT count(*)::text FROM pg_locks WHERE relation = 'gom.job'::regclass AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while text(&before, waits).await.as_deref() != Some("1") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    run(
        &before,
        "LOCK TABLE gom.notification IN ROW EXCLUSIVE MODE NOWAIT",
    )
    .await;
    let (client, result) = migration.await.unwrap();
    let error = result.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(
        error.to_string().contains("a lock for longer than 10s"),
        "{error}"
    );
    assert_eq!(
        text(&client, "SHOW lock_timeout").await.as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn an_empty_database_gets_every_kind_of_table() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, SHOP, &[], false).await.unwrap();

    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let every_kind = r#"
        enum Colour { RED }
        type Number @db(name: "num\"ber") { id: Int! @id @sequence(name: "numbers", initialValue: 10000, allocationSize: 5)
          lists: [Int!]! @scalarList(strategy: RELATION) colours: [Colour!]! json: Json @unique }
        type Plain { key: Int! @id(strategy: SEQUENCE) uuid: UUID @unique b: Boolean! f: Float d: DateTime! @updatedAt
          one: Other @relation(name: "One", link: TABLE) many: [Other!]! @relation(name: "Many") }
        type Other { id: UUID! @id ones: [Plain!]! @relation(name: "One") manies: [Plain] @relation(name: "Many")
          up: Other @relation(name: "Tree") down: [Other] @relation(name: "Tree") }
        type Many @db(name: "many_links") @relationTable { plain: Plain! other: Other! @db(name: "o") id: ID! @id }
        type ANameThatIsAsLongAsPostgresAllowsForTablesWithOtherNamesInside { id: ID! @id
          aFieldThatMakesTheIndexNamesTooLongForPostgres: String @unique
          aFieldThatMakesTheIndexNamesTooLongForPostgre: String @unique
          aLinkThatMakesTheIndexNamesTooLongForPostgresToo: Other }
        "#;
    deploy(&mut client, every_kind, &[], false).await.unwrap();
    run(
        &client,
        &format!("INSERT INTO \"{SCHEMA}\".\"num\"\"ber\" DEFAULT VALUES"),
    )
    .await;
    let id = text(
        &client,
        &format!("SELECT id::text FROM \"{SCHEMA}\".\"num\"\"ber\""),
    )
    .await;
    assert_eq!(id.as_deref(), Some("10000"));
}

#[tokio::test]
async fn a_prisma_1_database_needs_indexes_and_triggers_only_and_keeps_its_rows() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    run(&client, PRISMA1).await;
    let before = rows(&client).await;
    assert_eq!(before.len(), 12);

    let steps = deploy(&mut client, SHOP, &[], false).await.unwrap();
    let (indexes, others): (Vec<_>, Vec<_>) = steps
        .iter()
        .partition(|s| s.sql.starts_with("CREATE INDEX \"gom_"));
    assert!(
        others
            .iter()
            .all(|s| s.description.starts_with("log the changes of")),
        "{others:#?}"
    );
    assert_eq!(
        (indexes.len(), others.len()),
        (8, 9),
        "{}",
        sql_text(&steps)
    );
    assert_eq!(rows(&client).await, before);
    let holes = planned(&client, SHOP).await;
    assert!(
        holes.misfits[0]
            .to_string()
            .contains("`Order.issuedTo` is required"),
        "they are reported"
    );
    assert!(!holes.is_refused(), "and no reason to refuse");

    let shop = model(SHOP);
    let required = links_with_required_id(&shop, &introspect(&client, SCHEMA).await.unwrap());
    let names: Vec<_> = required
        .iter()
        .map(|id| shop.relation(*id).name.as_str())
        .collect();
    assert_eq!(
        names,
        ["CustomerOf"],
        "that of the other table may stay null"
    );
}

#[tokio::test]
async fn models_and_fields_are_added_and_removed() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, "type A { id: ID! @id a: String }", &[], false)
        .await
        .unwrap();
    run(
        &client,
        &format!("INSERT INTO \"{SCHEMA}\".\"A\" VALUES ('1', 'x'), ('2', null)"),
    )
    .await;

    let more = r#"type A { id: ID! @id a: String! @default(value: "it's") n: Int! @default(value: -1)
                    made: DateTime! @createdAt j: Json! @default(value: "{\"a\": \"\\\\\"}") bs: [B!]! tags: [String!]! }
                  type B { id: ID! @id a: A! }"#;
    deploy(&mut client, more, &[], false).await.unwrap();
    let row = format!(
        "SELECT string_agg(a || n || j || (made IS NOT NULL), ' ' ORDER BY id) FROM \"{SCHEMA}\".\"A\""
    );
    assert_eq!(
        text(&client, &row).await.unwrap(),
        r#"x-1{"a": "\\"}true it's-1{"a": "\\"}true"#,
        "rows that are there get the defaults"
    );

    let less = "type A { id: ID! @id n: Int! }";
    let refused = deploy(&mut client, less, &[], false).await.unwrap_err();
    let MigrateError::DataLoss(losses) = &refused else {
        panic!("{refused}")
    };
    assert_eq!(
        losses.len(),
        3,
        "not the empty tables of `B` and of the list: {losses:#?}"
    );
    assert!(
        refused.to_string().contains("drop the column `A.a`"),
        "{refused}"
    );
    assert!(
        introspect(&client, SCHEMA)
            .await
            .unwrap()
            .table("B")
            .is_some(),
        "nothing was changed"
    );
    deploy(&mut client, less, &[], true).await.unwrap();
    assert!(
        introspect(&client, SCHEMA)
            .await
            .unwrap()
            .table("B")
            .is_none()
    );
}

#[tokio::test]
async fn rows_that_prevent_a_step_are_named_and_nothing_is_changed() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(
        &mut client,
        "type A { id: ID! @id a: String b: Int }",
        &[],
        false,
    )
    .await
    .unwrap();
    run(
        &client,
        &format!("INSERT INTO \"{SCHEMA}\".\"A\" VALUES ('1', null, 7), ('2', 'x', 7)"),
    )
    .await;
    for (wanted, problem) in [
        (
            "type A { id: ID! @id a: String! b: Int }",
            "`A.a` becomes required",
        ),
        (
            "type A { id: ID! @id a: String b: Int c: Int! }",
            "`A.c` is required and has no default",
        ),
        (
            "type A { id: ID! @id a: String b: Int @unique x: Int }",
            "`A` (b) becomes unique",
        ),
        (
            "type A { id: ID! @id a: String b: Int c: Int! @unique @default(value: 3) }",
            "`A` (c) becomes unique",
        ),
    ] {
        let error = deploy(&mut client, wanted, &[], false).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        assert!(
            error.to_string().ends_with("nothing was changed"),
            "{error}"
        );
        assert!(
            planned(&client, wanted).await.is_refused(),
            "the plan says so before"
        );
    }
    let columns = introspect(&client, SCHEMA).await.unwrap().tables[0]
        .columns
        .len();
    assert_eq!(columns, 3);
}

const BLOG: &str = "type Post { id: ID! @id title: String words: Int stars: Int }";

#[tokio::test]
async fn a_migration_that_fills_a_column_is_no_event_and_notifies_nobody() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let shop = |stage: &str| SHOP.replace("stage: OrderStage @default(value: OPEN)", stage);
    deploy(
        &mut client,
        &shop("stage: OrderStage @default(value: OPEN)"),
        &[],
        false,
    )
    .await
    .unwrap();
    run(
        &client,
        &format!(
            "SET search_path = \"{SCHEMA}\";
             INSERT INTO \"User\" (uid, business) VALUES ('u', 'Tacos');
             INSERT INTO \"Bp\" (uid, name1) VALUES ('b', 'Ana');
             INSERT INTO \"Order\" (uid, name, \"issuedTo\", \"assignedTo\")
             SELECT 'o' || i, 'order', 'b', 'u' FROM generate_series(1, 20) i;
             RESET search_path"
        ),
    )
    .await;
    let before = logged(&client).await;
    assert!(
        before.starts_with("22 changes"),
        "the rows themselves are logged: {before}"
    );

    deploy(
        &mut client,
        &shop("stage: OrderStage! @default(value: OPEN)"),
        &[],
        false,
    )
    .await
    .unwrap();
    let filled = format!("SELECT count(*)::text FROM \"{SCHEMA}\".\"Order\" WHERE stage = 'OPEN'");
    assert_eq!(text(&client, &filled).await.as_deref(), Some("20"));
    assert_eq!(logged(&client).await, before);

    run(
        &client,
        &format!("UPDATE \"{SCHEMA}\".\"Order\" SET stage = 'WON' WHERE uid = 'o1'"),
    )
    .await;
    assert!(
        logged(&client).await.starts_with("23 changes"),
        "what is written afterwards is logged"
    );
}

#[tokio::test]
async fn a_column_is_filled_beside_one_that_is_dropped_or_renamed() {
    let after = "type Post { id: ID! @id title: String! @default(value: \"none\") words: Int }";
    let renamed =
        "type Post { id: ID! @id title: String! @default(value: \"none\") words: Int likes: Int }";
    for (after, renames, allow_data_loss) in [
        (after, &[][..], true),
        (renamed, &["Post.stars=likes"][..], false),
    ] {
        let database = TestDatabase::create().await;
        let mut client = database.connect().await;
        deploy(&mut client, BLOG, &[], false).await.unwrap();
        run(
            &client,
            &format!("INSERT INTO \"{SCHEMA}\".\"Post\" (id, stars) VALUES ('p', 5)"),
        )
        .await;
        deploy(&mut client, after, renames, allow_data_loss)
            .await
            .unwrap();
        let title = format!("SELECT title FROM \"{SCHEMA}\".\"Post\"");
        assert_eq!(text(&client, &title).await.as_deref(), Some("none"));
        assert!(logged(&client).await.starts_with("1 changes"));
    }
}

#[tokio::test]
async fn renames_are_explicit_and_keep_the_rows() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before =
        "type Author { id: ID! @id name: String @unique tags: [String!]! books: [Book!]! fans: [Fan!]! }
                  type Book { id: ID! @id writer: Author }
                  type Fan { id: ID! @id of: [Author!]! }";
    deploy(&mut client, before, &[], false).await.unwrap();
    run(
        &client,
        &format!(
            "SET search_path TO \"{SCHEMA}\"; INSERT INTO \"Author\" VALUES ('a', 'Ana');
             INSERT INTO \"Book\" VALUES ('b', 'a'); INSERT INTO \"Fan\" VALUES ('f');
             INSERT INTO \"_AuthorToFan\" VALUES ('a', 'f'); INSERT INTO \"Author_tags\" VALUES ('a', 1000, 't')"
        ),
    )
    .await;
    // The new name changes places in the alphabet, and with it the sides of the relation.
    let after =
        "type Writer { id: ID! @id pen: String @unique words: [String!]! books: [Book!]! fans: [Fan!]! }
                 type Book { id: ID! @id by: Writer }
                 type Fan { id: ID! @id of: [Writer!]! }";
    let guessed = deploy(&mut client, after, &[], false).await.unwrap_err();
    assert!(matches!(guessed, MigrateError::DataLoss(_)), "{guessed}");
    let renames = [
        "Author=Writer",
        "Author.name=pen",
        "Book.writer=by",
        "Author.tags=words",
        "_AuthorToFan=_FanToWriter",
    ];
    let steps = deploy(&mut client, after, &renames, false).await.unwrap();
    assert!(
        steps.iter().all(|s| ["RENAME", "FUNCTION", "epoch"]
            .iter()
            .any(|part| s.sql.contains(part))),
        "{}",
        sql_text(&steps)
    );
    let found = rows(&client).await;
    assert_eq!(
        found,
        [
            "Book: (b,a)",
            "Fan: (f)",
            "Writer: (a,Ana)",
            "Writer_words: (a,1000,t)",
            "_FanToWriter: (a,f)"
        ]
    );
    let sides = format!("SELECT \"A\" || \"B\" FROM \"{SCHEMA}\".\"_FanToWriter\"");
    assert_eq!(text(&client, &sides).await.as_deref(), Some("fa"));

    let error = deploy(&mut client, after, &["Book.nothing=by"], false)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the database has none"),
        "{error}"
    );
}

#[tokio::test]
async fn types_change_with_the_keys_that_hold_them() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before = "type A { id: Int! @id n: Int f: Float bs: [B!]! } type B { id: ID! @id a: A }";
    deploy(&mut client, before, &[], false).await.unwrap();
    run(
        &client,
        &format!(
            "SET search_path TO \"{SCHEMA}\"; INSERT INTO \"A\" (id, n, f) VALUES (42, 7, 2.5);
             INSERT INTO \"B\" (id, a) VALUES ('b', 42)"
        ),
    )
    .await;
    let after = "type A { id: ID! @id n: String f: Int bs: [B!]! } type B { id: ID! @id a: A }";
    let error = deploy(&mut client, after, &[], false).await.unwrap_err();
    let MigrateError::DataLoss(losses) = error else {
        panic!("{error}")
    };
    assert_eq!(
        losses.len(),
        1,
        "the float, not the numbers that stay what they are: {losses:#?}"
    );
    deploy(&mut client, after, &[], true).await.unwrap();
    let joined = "SELECT a.id || a.n || a.f FROM \"A\" a JOIN \"B\" b ON b.a = a.id";
    assert_eq!(text(&client, joined).await.as_deref(), Some("4273"));
}

#[tokio::test]
async fn a_connection_that_has_written_before_a_type_changes_writes_on_afterwards() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(
        &mut client,
        "type A { id: ID! @id n: Int tags: [Int!]! }",
        &[],
        false,
    )
    .await
    .unwrap();
    let writer = database.connect().await;
    run(&writer, &format!("SET search_path TO \"{SCHEMA}\"")).await;
    for text in [
        "type A { id: ID! @id n: Int tags: [Int!]! }",
        "type A { id: ID! @id n: String tags: [String!]! }",
    ] {
        deploy(&mut client, text, &[], false).await.unwrap();
        let writes = [
            "INSERT INTO \"A\" (id, n) VALUES ('a', '1')",
            "INSERT INTO \"A_tags\" VALUES ('a', 1000, '7')",
            "UPDATE \"A_tags\" SET value = '8'",
            "UPDATE \"A\" SET n = '2'",
            "DELETE FROM \"A_tags\"",
            "DELETE FROM \"A\"",
        ];
        for write in writes {
            run(&writer, write).await;
        }
    }
}

#[tokio::test]
async fn unique_constraints_and_links_are_added_and_removed() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(
        &mut client,
        "type A { id: ID! @id n: Int @unique } type B { id: ID! @id a: A }",
        &[],
        false,
    )
    .await
    .unwrap();
    run(
        &client,
        &format!("CREATE INDEX by_hand ON \"{SCHEMA}\".\"A\" (n, id)"),
    )
    .await;
    let steps = deploy(
        &mut client,
        "type A { id: ID! @id n: Int } type B { id: ID! @id a: String }",
        &[],
        true,
    )
    .await
    .unwrap();
    let drops = steps
        .iter()
        .filter(|s| s.sql.contains("DROP") && !s.sql.contains("DROP TRIGGER"))
        .count();
    assert_eq!(
        drops, 3,
        "the unique index, our index and the foreign key: {steps:#?}"
    );
    let kept = format!("SELECT to_regclass('\"{SCHEMA}\".by_hand')::text");
    assert!(
        text(&client, &kept).await.is_some(),
        "what somebody made by hand stays"
    );
}

#[tokio::test]
async fn a_link_stays_indexed_when_the_rest_of_its_index_goes() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before = "type A { id: ID! @id } type B { id: ID! @id a: A made: DateTime @createdAt }";
    deploy(&mut client, before, &[], false).await.unwrap();
    let steps = deploy(
        &mut client,
        "type A { id: ID! @id } type B { id: ID! @id a: A }",
        &[],
        true,
    )
    .await
    .unwrap();
    assert!(
        steps[1].sql.starts_with("CREATE INDEX \"gom_B_a\""),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn other_schemas_are_never_touched() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    run(
        &client,
        "CREATE SCHEMA other; CREATE TABLE other.\"A\" (x int)",
    )
    .await;
    let steps = deploy(&mut client, "type A { id: ID! @id }", &[], false)
        .await
        .unwrap();
    assert!(steps.iter().all(|s| s.sql.contains(SCHEMA)), "{steps:#?}");
    let model = model("type A { id: ID! @id }");
    for schema in ["gom", "pg_catalog", ""] {
        let error = verify(&client, &model, schema).await.unwrap_err();
        assert!(matches!(error, MigrateError::ReservedSchema(_)), "{error}");
    }
}

#[tokio::test]
async fn ten_servers_may_start_at_once() {
    let database = TestDatabase::create().await;
    let model = model(SHOP);
    let deployment = Deployment::new(&model, SHOP, SCHEMA);
    let starts = (0..10).map(async |_| {
        let mut client = database.connect().await;
        apply(&mut client, &deployment, &|_| ())
            .await
            .unwrap()
            .steps
            .len()
    });
    let done = futures::future::join_all(starts).await;
    assert_eq!(
        done.iter().filter(|steps| **steps > 0).count(),
        1,
        "{done:?}"
    );
    let client = database.connect().await;
    let status = status(&client, &model, SCHEMA).await.unwrap();
    assert_eq!(status.system_version, Some(status.known_system_version));
    assert_eq!(status.last.unwrap().datamodel, SHOP);
    assert!(status.differences.is_empty());
}

#[tokio::test]
async fn verify_lists_every_difference_and_changes_nothing() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    run(
        &client,
        &format!(
            "CREATE SCHEMA \"{SCHEMA}\"; SET search_path TO \"{SCHEMA}\";
             CREATE TABLE \"A\" (id varchar(25) PRIMARY KEY, n text NOT NULL, extra int);
             CREATE TABLE lost (x int)"
        ),
    )
    .await;
    let model =
        model("type A { id: ID! @id n: Int s: String! @unique b: B } type B { id: ID! @id }");
    let found = verify(&client, &model, SCHEMA).await.unwrap();
    assert_eq!(
        found,
        [
            "the column `A.n` is of type text, it should be integer",
            "the column `A.n` forbids null, it should allow it",
            "the column `A.s` is missing",
            "the column `A.b` is missing",
            "the foreign key `A` (b) to `B` (id) on delete SET NULL is missing",
            "the unique index on `A` (s) is missing",
            "the index on `A` (b) is missing",
            "the table `B` is missing",
            "still to do: log the changes of `A`",
            "still to do: log the changes of `B`",
        ]
    );
    assert!(
        client
            .query_opt("SELECT 1 FROM pg_namespace WHERE nspname = 'gom'", &[])
            .await
            .unwrap()
            .is_none()
    );
}
