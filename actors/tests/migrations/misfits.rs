//! Rows that a datamodel does not allow: a plan reports them, and a deployment refuses to leave them behind.

use gom_actors::migrations::{MigrateError, verify};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use super::{deploy, fill, model, planned, text};

/// Deploys, writes rows, and expects that the next datamodel is refused because of them, with these words.
async fn refused(
    before: &str,
    rows: &str,
    after: &str,
    allow_data_loss: bool,
    words: &[&str],
) -> (TestDatabase, Client) {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, before, &[], false).await.unwrap();
    fill(&client, rows).await;
    let plan = planned(&client, after).await;
    assert!(plan.is_refused(), "{plan:#?}");
    let misfits: Vec<String> = plan.misfits.iter().map(ToString::to_string).collect();
    let error = deploy_refused(&mut client, after, allow_data_loss).await;
    let listed = verify(&client, &model(after), super::SCHEMA).await.unwrap();
    for word in words {
        assert!(
            misfits.iter().any(|misfit| misfit.contains(word)),
            "{word}: {misfits:#?}"
        );
        assert!(error.contains(word), "{error}");
        assert!(
            listed.iter().any(|difference| difference.contains(word)),
            "{word}: {listed:#?}"
        );
    }
    assert!(error.ends_with("nothing was changed"), "{error}");
    (database, client)
}

async fn deploy_refused(client: &mut Client, after: &str, allow_data_loss: bool) -> String {
    let error = super::attempt(client, after, &[], allow_data_loss)
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::Misfits(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn an_enum_value_in_use_cannot_be_removed() {
    let before = "enum S { OPEN WON } type Order { id: ID! @id stage: S }";
    let rows =
        "INSERT INTO \"Order\" VALUES ('1', 'OPEN'), ('2', 'OPEN'), ('3', 'WON'), ('4', NULL)";
    let after = before.replace("OPEN WON", "WON");
    let words = [
        "`Order.stage` holds values that the enum `S` lacks: 2 rows of `Order`, e.g. `OPEN` in `1`; change these rows, or keep the values in the enum",
    ];
    let (_database, mut client) = refused(before, rows, &after, true, &words).await;
    let error = super::attempt(&mut client, &after, &[], false)
        .await
        .unwrap_err()
        .without_values();
    assert!(
        error.contains("2 rows of `Order`, e.g. `1`; change these rows") && !error.contains("OPEN"),
        "{error}"
    );
    fill(&client, "UPDATE \"Order\" SET stage = 'WON'").await;
    deploy(&mut client, &after, &[], false).await.unwrap();
}

#[tokio::test]
async fn a_text_becomes_an_enum_only_if_the_enum_has_its_values() {
    let before = "type U { id: ID! @id role: String }";
    let after = "enum Role { SELLER } type U { id: ID! @id role: Role }";
    let rows = "INSERT INTO \"U\" VALUES ('1', 'SELLER'), ('2', 'seller')";
    refused(
        before,
        rows,
        after,
        false,
        &["1 row of `U`, e.g. `seller` in `2`"],
    )
    .await;
}

#[tokio::test]
async fn items_of_a_list_of_an_enum_are_checked_too() {
    let before = "enum S { A B } type U { id: ID! @id all: [S!]! }";
    let rows = "INSERT INTO \"U\" VALUES ('1'); INSERT INTO \"U_all\" VALUES ('1', 1000, 'A'), ('1', 2000, 'B')";
    refused(
        before,
        rows,
        &before.replace("A B", "A"),
        false,
        &["`U.all` holds values", "e.g. `B` in `1`"],
    )
    .await;
}

#[tokio::test]
async fn a_relation_with_several_partners_cannot_become_single() {
    let before = "type Match { id: ID! @id winner: Team } type Team { id: ID! @id }";
    let after = "type Match { id: ID! @id winner: Team @relation(link: INLINE) } type Team { id: ID! @id wins: Match }";
    let rows = "INSERT INTO \"Team\" VALUES ('t'), ('u'); \
                INSERT INTO \"Match\" VALUES ('1', 't'), ('2', 't'), ('3', 'u')";
    let words = [
        "`Team.wins` is a single relation, but there are nodes with several partners: 1 node of `Team`, e.g. `t`",
    ];
    let (_database, mut client) = refused(before, rows, after, false, &words).await;
    fill(&client, "UPDATE \"Match\" SET winner = NULL WHERE id = '2'").await;
    deploy(&mut client, after, &[], false).await.unwrap();
}

#[tokio::test]
async fn a_relation_in_a_table_with_several_partners_cannot_become_single() {
    let before = "type A { id: ID! @id bs: [B!]! } type B { id: ID! @id as: [A!]! }";
    let after =
        "type A { id: ID! @id bs: [B!]! } type B { id: ID! @id as: A @relation(link: TABLE) }";
    let rows = "INSERT INTO \"A\" VALUES ('a'), ('b'); INSERT INTO \"B\" VALUES ('x'), ('y'); \
                INSERT INTO \"_AToB\" VALUES ('a', 'x'), ('a', 'y'), ('b', 'x')";
    refused(
        before,
        rows,
        after,
        false,
        &["`B.as` is a single relation", "1 node of `B`, e.g. `x`"],
    )
    .await;
}

#[tokio::test]
async fn a_required_relation_needs_a_partner_for_every_node() {
    let before = "type Item { id: ID! @id of: User } type User { id: ID! @id }";
    let rows =
        "INSERT INTO \"User\" VALUES ('u'); INSERT INTO \"Item\" VALUES ('1', 'u'), ('2', NULL)";
    let required = before.replace("of: User", "of: User!");
    let words = [
        "`Item.of` is required, but there are nodes without a partner: 1 node of `Item`, e.g. `2`",
    ];
    refused(before, rows, &required, false, &words).await;
    // A new one, from either end, in a column and in a table.
    for more in [
        "type Item { id: ID! @id of: User by: User! @relation(name: \"By\") } type User { id: ID! @id }",
        "type Item { id: ID! @id of: User by: User! @relation(name: \"By\", link: TABLE) } type User { id: ID! @id }",
    ] {
        refused(
            before,
            rows,
            more,
            false,
            &["`Item.by` is required", "2 nodes of `Item`"],
        )
        .await;
    }
    let other_end = "type Item { id: ID! @id of: User @relation(link: INLINE) } type User { id: ID! @id has: Item! }";
    let rows = "INSERT INTO \"User\" VALUES ('u'), ('v'); INSERT INTO \"Item\" VALUES ('1', 'u')";
    refused(
        before,
        rows,
        other_end,
        false,
        &["`User.has` is required", "1 node of `User`, e.g. `v`"],
    )
    .await;
}

#[tokio::test]
async fn rows_are_checked_under_their_names_before_a_rename() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before = "enum S { OPEN WON } type Order { id: ID! @id stage: S of: User } type User { id: ID! @id }";
    deploy(&mut client, before, &[], false).await.unwrap();
    fill(&client, "INSERT INTO \"Order\" VALUES ('1', 'OPEN', NULL)").await;
    let after =
        "enum S { WON } type Sale { id: ID! @id state: S of: User! } type User { id: ID! @id }";
    let renames = ["Order=Sale", "Sale.stage=state"];
    let error = super::attempt(&mut client, after, &renames, false)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`Sale.state` holds values") && error.contains("`Sale.of` is required"),
        "{error}"
    );
    fill(&client, "DELETE FROM \"Order\"").await;
    deploy(&mut client, after, &renames, false).await.unwrap();
}

#[tokio::test]
async fn rows_written_since_a_deployment_do_not_prevent_its_repetition() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let same = "enum S { OPEN } type Order { id: ID! @id stage: S }";
    deploy(&mut client, same, &[], false).await.unwrap();
    fill(
        &client,
        "INSERT INTO \"Order\" SELECT i, 'LOST' FROM generate_series(1, 2000) i",
    )
    .await;
    let plan = planned(&client, same).await;
    assert!(!plan.is_refused());
    assert!(
        plan.misfits[0]
            .to_string()
            .contains("more than 1000 rows of `Order`"),
        "{:?}",
        plan.misfits
    );
    super::attempt(&mut client, same, &[], false).await.unwrap();
    assert_eq!(
        text(
            &client,
            "SELECT count(*)::text FROM \"default$default\".\"Order\""
        )
        .await
        .as_deref(),
        Some("2000")
    );
}

#[tokio::test]
async fn rows_that_already_violated_the_datamodel_do_not_prevent_another() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let optional =
        "enum S { OPEN } type Item { id: ID! @id stage: S of: User } type User { id: ID! @id }";
    deploy(&mut client, optional, &[], false).await.unwrap();
    // As Prisma 1 leaves a database.
    fill(
        &client,
        "INSERT INTO \"Item\" VALUES ('1', NULL, NULL); DELETE FROM gom.applied_datamodel",
    )
    .await;
    let required = optional.replace("of: User", "of: User!");
    deploy(&mut client, &required, &[], false).await.unwrap();
    fill(
        &client,
        "INSERT INTO \"Item\" VALUES ('2', 'LOST', NULL), ('3', 'OPEN', NULL)",
    )
    .await;
    let next = required
        .replace("OPEN }", "OPEN WON }")
        .replace("id stage", "id memo: String stage");
    let plan = planned(&client, &next).await;
    assert_eq!(plan.misfits.len(), 2, "both are reported: {plan:#?}");
    super::attempt(&mut client, &next, &[], false)
        .await
        .unwrap();
    super::attempt(&mut client, &format!("# a comment\n{next}"), &[], false)
        .await
        .unwrap();
    let renamed = next.replace("Item", "Part").replace("stage", "state");
    super::attempt(
        &mut client,
        &renamed,
        &["Item=Part", "Part.stage=state"],
        false,
    )
    .await
    .unwrap();

    let fewer = renamed.replace("OPEN WON", "WON");
    assert!(
        deploy_refused(&mut client, &fewer, true)
            .await
            .contains("`Part.state` holds values")
    );
    let more = renamed.replace("of: User!", "of: User! by: User! @relation(name: \"By\")");
    let error = deploy_refused(&mut client, &more, true).await;
    assert!(
        error.contains("`Part.by` is required") && !error.contains("`Part.of`"),
        "{error}"
    );
}
