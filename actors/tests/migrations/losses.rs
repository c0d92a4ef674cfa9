//! What a deployment destroys: only where there is something, only with permission, and with it nobody is stuck.

use gom_actors::migrations::MigrateError;
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use super::{SCHEMA, deploy, fill, planned, text};

async fn deployed(before: &str, rows: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, before, &[], false).await.unwrap();
    fill(&client, rows).await;
    (database, client)
}

/// Refused as a loss with these words, and done when it is allowed.
async fn lost(client: &mut Client, after: &str, words: &str) {
    let error = super::attempt(client, after, &[], false).await.unwrap_err();
    assert!(matches!(error, MigrateError::DataLoss(_)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
    deploy(client, after, &[], true).await.unwrap();
}

async fn all(client: &Client, expression: &str, table: &str) -> String {
    let query = format!(
        "SELECT string_agg(coalesce(({expression})::text, '-'), ' ' ORDER BY id) FROM \"{SCHEMA}\".\"{table}\""
    );
    text(client, &query).await.unwrap()
}

async fn count(client: &Client, table: &str) -> String {
    text(
        client,
        &format!("SELECT count(*)::text FROM \"{SCHEMA}\".\"{table}\""),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_relation_is_pointed_at_another_model() {
    let models = "type B { id: ID! @id } type C { id: ID! @id }";
    let before = format!("type A {{ id: ID! @id to: B }} {models}");
    let rows = "INSERT INTO \"B\" VALUES ('x'); INSERT INTO \"C\" VALUES ('x'); INSERT INTO \"A\" VALUES ('1', 'x'), ('2', NULL)";
    let (_database, mut client) = deployed(&before, rows).await;
    lost(
        &mut client,
        &format!("type A {{ id: ID! @id to: C }} {models}"),
        "are lost: 1 row, e.g. `1`",
    )
    .await;
    assert_eq!(
        all(&client, "\"to\"", "A").await,
        "- -",
        "that the ids are the same means nothing"
    );
    let in_tables =
        |to: &str| format!("type A {{ id: ID! @id to: [{to}!]! @relation(name: \"R\") }} {models}");
    deploy(&mut client, &in_tables("B"), &[], false)
        .await
        .unwrap();
    fill(&client, "INSERT INTO \"_R\" VALUES ('1', 'x')").await;
    lost(&mut client, &in_tables("C"), "are lost: 1 row").await;
    assert_eq!(
        count(&client, "_R").await,
        "0",
        "nor do they in a table of links"
    );
}

#[tokio::test]
async fn links_in_a_table_are_pointed_at_a_model_with_ids_of_another_type() {
    let models = "type B { id: ID! @id } type C { id: Int! @id }";
    let to = |to: &str| {
        format!(
            "type A {{ id: ID! @id to: [{to}!]! @relation(name: \"R\", link: TABLE) }} {models}"
        )
    };
    let rows = "INSERT INTO \"A\" VALUES ('1'); INSERT INTO \"B\" VALUES ('7'), ('8'); INSERT INTO \"C\" VALUES (7); \
                INSERT INTO \"_R\" VALUES ('1', '7'), ('1', '8')";
    let (_database, mut client) = deployed(&to("B"), rows).await;
    lost(&mut client, &to("C"), "are lost: 2 rows").await;
    assert_eq!(count(&client, "_R").await, "0");
    fill(&client, "INSERT INTO \"_R\" VALUES ('1', 7)").await;
    // Also where nothing is lost, and where the other end of lost links allows one only.
    fill(&client, "DELETE FROM \"_R\"").await;
    deploy(&mut client, &to("B"), &[], false).await.unwrap();
    fill(&client, "INSERT INTO \"_R\" VALUES ('1', '7'), ('1', '8')").await;
    lost(
        &mut client,
        &to("C").replace("[C!]!", "C"),
        "are lost: 2 rows",
    )
    .await;
}

#[tokio::test]
async fn sessions_that_have_written_before_a_type_changes_write_afterwards() {
    let before = "type A { id: ID! @id n: Int l: [Int!]! bs: [B!]! @relation(name: \"R\") } type B { id: Int! @id }";
    let (database, mut client) = deployed(before, "SELECT").await;
    let server = database.connect().await;
    let writes = "INSERT INTO \"A\" VALUES ('1', 7) ON CONFLICT (id) DO UPDATE SET n = excluded.n; UPDATE \"A\" SET n = '8'; \
                  INSERT INTO \"B\" VALUES ('1'); INSERT INTO \"A_l\" VALUES ('1', 1000, '7'); UPDATE \"A_l\" SET value = '8'; \
                  INSERT INTO \"_R\" VALUES ('1', '1'); DELETE FROM \"_R\"; DELETE FROM \"A\"; DELETE FROM \"B\"";
    fill(&server, writes).await;
    let after = before
        .replace("n: Int", "n: String")
        .replace("[Int!]!", "[String!]!")
        .replace("Int! @id", "ID! @id");
    deploy(&mut client, &after, &[], false).await.unwrap();
    fill(
        &server,
        &writes
            .replace("n = excluded.n", "n = '9'")
            .replace("('1', 7)", "('1', '7')"),
    )
    .await;
}

#[tokio::test]
async fn a_scalar_becomes_a_relation_of_the_same_name() {
    let before = "type A { id: ID! @id by: String! } type U { id: ID! @id }";
    let rows = "INSERT INTO \"U\" VALUES ('u'); INSERT INTO \"A\" VALUES ('1', 'u'), ('2', 'nobody, with a name that is long')";
    let (_database, mut client) = deployed(before, rows).await;
    let changes = "SELECT count(*)::text FROM gom.change";
    let logged = text(&client, changes).await;
    lost(
        &mut client,
        "type A { id: ID! @id by: U } type U { id: ID! @id }",
        "`A.by`",
    )
    .await;
    assert_eq!(
        all(&client, "by", "A").await,
        "u -",
        "ids of nodes become links"
    );
    assert_eq!(
        text(&client, changes).await,
        logged,
        "a migration is no event"
    );
    // Nothing more is lost by what fits.
    fill(&client, "UPDATE \"A\" SET by = 'u'").await;
    deploy(
        &mut client,
        "type A { id: ID! @id by: String } type U { id: ID! @id }",
        &[],
        true,
    )
    .await
    .unwrap();
    let steps = deploy(
        &mut client,
        "type A { id: ID! @id by: U } type U { id: ID! @id }",
        &[],
        false,
    )
    .await
    .unwrap();
    assert!(
        steps
            .iter()
            .all(|step| !step.description.starts_with("empty")),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn values_that_are_not_of_the_new_type_go_and_the_others_stay() {
    let before = "type A { id: ID! @id v: String }";
    let cases = [
        ("Int", "7,x,99999999999,-3,,2.5", "7 - - -3 - -"),
        ("Int", "\t7 ,\u{2003}7,7\u{b}\u{c}\r\n,7\u{85}", "7 - 7 -"),
        ("Float", "7,x,1e5,-2.5,,.5", "7.0 - 100000.0 -2.5 - 0.5"),
        (
            "Float",
            "5e-01,1e40,1e,\u{2003}1,1E+3,1e999",
            "0.5 - - - 1000.0 -",
        ),
        ("Boolean", "true,x,no,1,,maybe", "true - false true - -"),
        (
            "UUID",
            "7f6b1d80-3d0c-4a59-9df1-6b2f3a5c1d2e,x,,,,",
            "7f6b1d80-3d0c-4a59-9df1-6b2f3a5c1d2e - - - - -",
        ),
        (
            "DateTime",
            "2024-02-29,2023-02-29,2024-13-01,2024-01-02T03:04:05.678Z,soon,2024-01-01T25:00",
            "2024-02-29 - - 2024-01-02 - -",
        ),
        (
            "ID",
            "short,a text that is longer than an id may be",
            "short -",
        ),
    ];
    for (kind, values, expected) in cases {
        let (_database, mut client) = deployed(before, "SELECT").await;
        for (at, value) in values.split(',').enumerate() {
            fill(
                &client,
                &format!("INSERT INTO \"A\" VALUES ('{at}', '{value}')"),
            )
            .await;
        }
        lost(
            &mut client,
            &before.replace("String", kind),
            "values that do not fit the new type are lost",
        )
        .await;
        let expression = match kind {
            "Float" => "round(v, 1)",
            "DateTime" => "v::date",
            _ => "v",
        };
        assert_eq!(all(&client, expression, "A").await, expected, "{kind}");
    }
}

#[tokio::test]
async fn what_does_not_fit_a_required_field_gets_its_default_or_is_refused() {
    let before = "type A { id: ID! @id v: String! l: [String!]! }";
    let rows = "INSERT INTO \"A\" VALUES ('1', '7'), ('2', 'x'); INSERT INTO \"A_l\" VALUES ('1', 1000, '5'), ('1', 2000, 'y')";
    let (_database, mut client) = deployed(before, rows).await;
    let error = super::attempt(
        &mut client,
        &before.replace("v: String!", "v: Int!"),
        &[],
        true,
    )
    .await
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`A.v` is required, but there are values that are not of type integer"),
        "{error}"
    );
    let after = "type A { id: ID! @id v: Int! @default(value: 3) l: [Int!]! }";
    lost(&mut client, after, "`A_l.value`").await;
    assert_eq!(all(&client, "v", "A").await, "7 3");
    assert_eq!(
        text(
            &client,
            &format!("SELECT string_agg(value::text, ' ') FROM \"{SCHEMA}\".\"A_l\"")
        )
        .await
        .as_deref(),
        Some("5")
    );
}

#[tokio::test]
async fn an_empty_table_or_column_loses_nothing() {
    let before = "type A { id: ID! @id a: String b: Int l: [String!]! bs: [B!]! } type B { id: ID! @id a: A } type C { id: ID! @id }";
    let (_database, mut client) =
        deployed(before, "INSERT INTO \"A\" (id, b) VALUES ('1', 7)").await;
    let after = "type A { id: ID! @id b: String }";
    let plan = planned(&client, after).await;
    assert!(plan.losses().is_empty(), "{plan:#?}");
    deploy(&mut client, after, &[], false).await.unwrap();
    let same = "type A { id: ID! @id b: Int }";
    deploy(&mut client, same, &[], false)
        .await
        .expect("a text that is a number stays what it is");
}

#[tokio::test]
async fn a_previous_version_drops_nothing_that_the_next_has_added_though_it_is_empty() {
    let (before, after) = (
        "type A { id: ID! @id }",
        "type A { id: ID! @id b: String } type B { id: ID! @id }",
    );
    let (_database, mut client) = deployed(before, "SELECT").await;
    deploy(&mut client, after, &[], false).await.unwrap();
    let error = super::attempt(&mut client, before, &[], false)
        .await
        .unwrap_err();
    let MigrateError::DataLoss(losses) = error else {
        panic!("{error}")
    };
    assert_eq!(losses.len(), 2, "{losses:#?}");
}

#[tokio::test]
async fn a_table_in_use_is_locked_for_no_longer_than_two_seconds() {
    let (before, after) = ("type A { id: ID! @id b: String }", "type A { id: ID! @id }");
    let (database, mut client) = deployed(before, "SELECT").await;
    let other = database.connect().await;
    other
        .batch_execute(&format!("BEGIN; SELECT FROM \"{SCHEMA}\".\"A\""))
        .await
        .unwrap();
    let error = super::attempt(&mut client, after, &[], false)
        .await
        .unwrap_err();
    assert!(error.is_temporary() && error.is_lock_timeout(), "{error}");
    assert!(
        error.to_string().contains("\"A\" for longer than 2s"),
        "{error}"
    );
    other.batch_execute("ROLLBACK").await.unwrap();
    deploy(&mut client, after, &[], false).await.unwrap();
}

#[tokio::test]
async fn rows_that_are_lost_are_counted_once_in_a_deployment() {
    let before = "type A { id: ID! @id a: String } type B { id: ID! @id }";
    let (database, client) = deployed(before, "INSERT INTO \"A\" VALUES ('1', 'x')").await;
    drop(client);
    let observer = database.connect().await;
    let backends = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'";
    let scans = format!("SELECT pg_stat_get_numscans('\"{SCHEMA}\".\"A\"'::regclass)::text");
    let alone = async || {
        while text(&observer, backends).await.as_deref() != Some("1") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    alone().await;
    let number = async || {
        text(&observer, &scans)
            .await
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    let so_far = number().await;
    let mut client = database.connect().await;
    let after = "type A { id: ID! @id }";
    let model = super::model(after);
    let deployment = gom_actors::migrations::Deployment {
        allow_data_loss: true,
        ..gom_actors::migrations::Deployment::new(&model, after, SCHEMA)
    };
    let plan = gom_actors::migrations::apply(&mut client, &deployment, &|_| ())
        .await
        .unwrap();
    assert_eq!(
        plan.losses().len(),
        1,
        "the other table is empty, and so is looked at a second time: {plan:#?}"
    );
    drop(client);
    alone().await;
    assert_eq!(number().await - so_far, 1);
}
