//! Names decide which end of a relation is in which column of its table of links: a new name must not turn links round.

use gom_actors::migrations::{Deployment, MigrateError, apply};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use super::{SCHEMA, attempt, deploy, fill, model, text};

async fn links(client: &Client, columns: &str, table: &str) -> String {
    let query = format!(
        "SELECT string_agg({columns}, ' ' ORDER BY {columns}) FROM \"{SCHEMA}\".\"{table}\""
    );
    text(client, &query).await.unwrap_or_default()
}

#[tokio::test]
async fn a_renamed_model_keeps_the_links_of_a_relation_that_keeps_its_name() {
    let before = "type Author { id: ID! @id books: [Book!]! @relation(name: \"Wrote\") }
                  type Book { id: Int! @id by: [Author!]! @relation(name: \"Wrote\") }";
    for (after, renames) in [
        (before.replace("Author", "Writer"), &["Author=Writer"][..]),
        // Only the model's name changes, not the table's.
        (
            before
                .replace("type Author", "type Writer @db(name: \"Author\")")
                .replace("[Author!]", "[Writer!]"),
            &[],
        ),
    ] {
        let database = TestDatabase::create().await;
        let mut client = database.connect().await;
        deploy(&mut client, before, &[], false).await.unwrap();
        fill(
            &client,
            "INSERT INTO \"Author\" VALUES ('a'), ('b'); INSERT INTO \"Book\" VALUES (1), (2); \
             INSERT INTO \"_Wrote\" VALUES ('a', 1), ('b', 1), ('b', 2)",
        )
        .await;
        deploy(&mut client, &after, renames, false).await.unwrap();
        assert_eq!(links(&client, "\"A\" || \"B\"", "_Wrote").await, "1a 1b 2b");
        // A session whose trigger has seen the columns the other way round still writes.
        fill(
            &client,
            "INSERT INTO \"_Wrote\" (\"A\", \"B\") VALUES (2, 'a')",
        )
        .await;
        // As a datamodel that is new here: a server of the previous version may not do this by itself.
        let back = format!("# back\n{before}");
        deploy(
            &mut client,
            &back,
            &["Writer=Author"][..renames.len()],
            false,
        )
        .await
        .unwrap();
        assert_eq!(
            links(&client, "\"A\" || \"B\"", "_Wrote").await,
            "a1 a2 b1 b2"
        );
    }
}

#[tokio::test]
async fn renaming_a_field_does_not_swap_the_links_of_a_self_relation() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let before = "type User { id: ID! @id
        likes: [User!]! @relation(name: \"Likes\") likedBy: [User!]! @relation(name: \"Likes\") }";
    deploy(&mut client, before, &[], false).await.unwrap();
    // `likedBy` comes first in the alphabet: a is liked by b.
    fill(&client, "INSERT INTO \"User\" VALUES ('a'), ('b'), ('c'); INSERT INTO \"_Likes\" VALUES ('a', 'b'), ('c', 'b')").await;
    let after = before.replace("likes", "admires");
    // A server that deploys by itself may be of the previous version, and would turn them back.
    let datamodel = model(&after);
    let by_itself = Deployment {
        keep_empty: true,
        ..Deployment::new(&datamodel, &after, SCHEMA)
    };
    let refused = apply(&mut client, &by_itself, &|_| ()).await.unwrap_err();
    assert!(matches!(refused, MigrateError::DataLoss(_)), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("would read these links the other way round"),
        "{refused}"
    );
    deploy(&mut client, &after, &[], false).await.unwrap();
    assert_eq!(
        links(&client, "\"B\" || \"A\"", "_Likes").await,
        "ab cb",
        "now the other one comes first"
    );
    assert_eq!(
        attempt(&mut client, &format!("# a comment\n{after}"), &[], false)
            .await
            .unwrap(),
        []
    );
}
