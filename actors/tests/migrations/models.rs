//! Whole datamodels: every kind of table, Prisma's database, models and fields that come and go.

use super::*;

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
        (6, 9),
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
