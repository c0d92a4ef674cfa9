//! Single changes of a datamodel, one after another: names, types, uniqueness, links.

use super::*;

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
