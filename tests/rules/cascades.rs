//! Deletions that take other rows along.

use gom_server::identity::Viewer;
use serde_json::json;

use gom_test_support::demo_shop::{Shop, holder};

const DATAMODEL: &str = r#"
type User { id: ID! @id }
type Board { id: ID! @id owner: User @relation(name: "BoardOwner", link: INLINE) lists: [List] @relation(name: "BoardLists", onDelete: CASCADE) }
type List {
  id: ID! @id
  owner: User @relation(name: "ListOwner", link: INLINE)
  board: Board @relation(name: "BoardLists", link: INLINE)
  cards: [Card] @relation(name: "ListCards", onDelete: CASCADE)
  pins: [Pin] @relation(name: "ListPins")
}
type Pin { id: ID! @id list: List! @relation(name: "ListPins", link: INLINE) }
type Folder {
  id: ID! @id
  owner: User @relation(name: "FolderOwner", link: INLINE)
  within: Folder @relation(name: "Folders", link: INLINE)
  folders: [Folder] @relation(name: "Folders", onDelete: CASCADE)
}
type Card {
  id: ID! @id
  owner: User @relation(name: "CardOwner", link: INLINE)
  list: List @relation(name: "ListCards", link: INLINE)
}
"#;

const POLICY: &str = r#"
[operations.mutation]
deleteBoard = "do:it"
deleteFolder = "do:it"
[roles.member]
permissions = ["role:member", "do:it"]
[roles.member.rows]
User = "{}"
Board = "{}"
List = "{}"
Card = "{}"
Pin = "{}"
Folder = "{}"
[roles.member.writes]
Board = "{ owner: { id: $sub } }"
List = "{ owner: { id: $sub } }"
Card = "{ owner: { id: $sub } }"
Folder = "{ owner: { id: $sub } }"
"#;

const ROWS: &str = r#"
insert into "User" ("id") values ('me'), ('you');
insert into "Board" ("id", "owner") values ('b', 'me');
insert into "List" ("id", "owner", "board") values ('l', 'me', 'b');
insert into "Card" ("id", "owner", "list") values ('c', 'me', 'l');
"#;

#[actix::test]
async fn a_read_only_row_that_arrives_during_a_deletion_keeps_its_link() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    boards.tables.batch_execute(ROWS).await.unwrap();
    let me = holder("me", vec!["role:member".into(), "do:it".into()]);
    let delete = r#"mutation { deleteBoard(where: {id: "b"}) { id } }"#;
    let come = r#"insert into "Card" ("id", "owner", "list") values ('d', 'you', 'l')"#;
    let response = boards.ask_beside(come, &me, delete, json!({})).await;
    assert_eq!(
        (response.code(), response.errors[0].message.as_str()),
        ("FORBIDDEN", "Cannot access this Board"),
        "{response:?}"
    );
    let cards =
        r#"select string_agg(concat_ws(' ', "id", "list"), ', ' order by "id") from "Card""#;
    assert_eq!(boards.text(cards).await.as_deref(), Some("c l, d l"));
    // Those that are the viewer's go along.
    boards
        .tables
        .batch_execute(r#"update "Card" set "owner" = 'me'"#)
        .await
        .unwrap();
    boards.read(&me, delete).await;
    assert_eq!(boards.text(cards).await, None);
}

#[actix::test]
async fn an_own_row_that_arrives_during_a_deletion_is_deleted_too() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    boards.tables.batch_execute(ROWS).await.unwrap();
    let me = holder("me", vec!["role:member".into(), "do:it".into()]);
    let come = r#"insert into "Card" ("id", "owner", "list") values ('d', 'me', 'l')"#;
    let delete = r#"mutation { deleteBoard(where: {id: "b"}) { id } }"#;
    let response = boards.ask_beside(come, &me, delete, json!({})).await;
    assert!(response.errors.is_empty(), "{response:?}");
    assert_eq!(boards.count(r#"select count(*) from "Card""#).await, 0);
}

#[actix::test]
async fn a_row_that_arrives_while_the_service_deletes_its_parent_is_deleted_or_prevents_it() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    let card = r#"insert into "Card" ("id", "list") values ('d', 'l')"#;
    let pin = r#"insert into "Pin" ("id", "list") values ('p', 'l')"#;
    for delete in [
        r#"deleteBoard(where: {id: "b"}) { id }"#,
        r#"deleteManyLists(where: {id: "l"}) { count }"#,
        r#"updateBoard(where: {id: "b"}, data: {lists: {delete: {id: "l"}}}) { id }"#,
        r#"updateBoard(where: {id: "b"}, data: {lists: {deleteMany: {}}}) { id }"#,
    ] {
        let delete = &format!("mutation {{ {delete} }}");
        let clear = r#"truncate "User", "Board", "List", "Card", "Pin" cascade;"#;
        boards
            .tables
            .batch_execute(&format!("{clear} {ROWS}"))
            .await
            .unwrap();
        let response = boards
            .ask_beside(pin, &Viewer::Service, delete, json!({}))
            .await;
        assert_eq!(response.errors.len(), 1, "{delete}: {response:?}");
        assert_eq!(
            response.errors[0].code,
            Some(3042),
            "{delete}: {response:?}"
        );
        assert_eq!(
            boards.text(r#"select "list" from "Pin""#).await.as_deref(),
            Some("l"),
            "{delete}"
        );
        boards
            .tables
            .batch_execute(r#"delete from "Pin""#)
            .await
            .unwrap();
        let response = boards
            .ask_beside(card, &Viewer::Service, delete, json!({}))
            .await;
        assert!(response.errors.is_empty(), "{delete}: {response:?}");
        assert_eq!(
            boards.count(r#"select count(*) from "Card""#).await,
            0,
            "{delete}"
        );
    }
}

#[actix::test]
async fn a_row_that_leaves_its_parent_during_the_deletion_stays() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    boards.tables.batch_execute(ROWS).await.unwrap();
    let elsewhere = r#"insert into "Board" ("id", "owner") values ('b2', 'me');
        insert into "List" ("id", "owner", "board") values ('l2', 'me', 'b2')"#;
    boards.tables.batch_execute(elsewhere).await.unwrap();
    let me = holder("me", vec!["role:member".into(), "do:it".into()]);
    let leave = r#"update "Card" set "list" = 'l2' where "id" = 'c'"#;
    let delete = r#"mutation { deleteBoard(where: {id: "b"}) { id } }"#;
    let response = boards.ask_beside(leave, &me, delete, json!({})).await;
    assert!(response.errors.is_empty(), "{response:?}");
    let left = r#"select string_agg(concat_ws(' ', "id", "list"), ', ' order by "id") from "Card""#;
    assert_eq!(boards.text(left).await.as_deref(), Some("c l2"));
    let lists = r#"select string_agg("id", ', ' order by "id") from "List""#;
    assert_eq!(boards.text(lists).await.as_deref(), Some("l2"));
}

#[actix::test]
async fn rows_given_away_with_their_children_prevent_no_deletion() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    boards.tables.batch_execute(ROWS).await.unwrap();
    let elsewhere = r#"insert into "Board" ("id", "owner") values ('b2', 'you')"#;
    boards.tables.batch_execute(elsewhere).await.unwrap();
    let me = holder("me", vec!["role:member".into(), "do:it".into()]);
    let leave =
        r#"update "List" set "owner" = 'you', "board" = 'b2'; update "Card" set "owner" = 'you'"#;
    let delete = r#"mutation { deleteBoard(where: {id: "b"}) { id } }"#;
    let response = boards.ask_beside(leave, &me, delete, json!({})).await;
    assert!(response.errors.is_empty(), "{response:?}");
    let boards_left = r#"select string_agg("id", ', ' order by "id") from "Board""#;
    assert_eq!(boards.text(boards_left).await.as_deref(), Some("b2"));
    let left = r#"select concat_ws(' ', c."id", l."id", l."board") from "Card" c join "List" l on l."id" = c."list""#;
    assert_eq!(boards.text(left).await.as_deref(), Some("c l b2"));
}

#[actix::test]
async fn a_cascade_within_a_model_deletes_no_foreign_rows() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    let rows = r#"insert into "User" ("id") values ('me'), ('you');
        insert into "Folder" ("id", "owner", "within") values ('f', 'me', null), ('g', 'me', 'f'), ('h', 'you', 'g')"#;
    boards.tables.batch_execute(rows).await.unwrap();
    let me = holder("me", vec!["role:member".into(), "do:it".into()]);
    let delete = r#"mutation { deleteFolder(where: {id: "f"}) { id } }"#;
    let response = boards.ask(&me, delete, json!({})).await;
    assert_eq!(response.code(), "FORBIDDEN", "{response:?}");
    boards
        .tables
        .batch_execute(r#"update "Folder" set "owner" = 'me'"#)
        .await
        .unwrap();
    boards.read(&me, delete).await;
    assert_eq!(boards.count(r#"select count(*) from "Folder""#).await, 0);
}

#[actix::test]
async fn a_deletion_filtered_by_the_parent_uses_the_parent_after_the_wait() {
    let boards = Shop::open_other(DATAMODEL, POLICY).await;
    let clear = r#"truncate "User", "Board", "List", "Card", "Pin" cascade;"#;
    let elsewhere = r#"insert into "List" ("id", "owner", "board") values ('mine', 'me', 'b'), ('yours', 'you', 'b')"#;
    for (list, left) in [("mine", None), ("yours", Some("c yours"))] {
        boards
            .tables
            .batch_execute(&format!("{clear} {ROWS} {elsewhere}"))
            .await
            .unwrap();
        let moves = format!(r#"update "Card" set "list" = '{list}'"#);
        let delete =
            r#"mutation { deleteManyCards(where: {list: {owner: {id: "me"}}}) { count } }"#;
        let response = boards
            .ask_beside(&moves, &Viewer::Service, delete, json!({}))
            .await;
        let count = i32::from(left.is_none());
        assert_eq!(
            response.data,
            json!({ "deleteManyCards": { "count": count } }),
            "{response:?}"
        );
        let cards = r#"select string_agg(concat_ws(' ', "id", "list"), ', ') from "Card""#;
        assert_eq!(boards.text(cards).await.as_deref(), left);
    }
}

const STAMPED: &str = r#"
type User { id: ID! @id }
type List { id: ID! @id cards: [Card] @relation(name: "ListCards", onDelete: CASCADE) }
type Card {
  id: ID! @id
  list: List @relation(name: "ListCards", link: INLINE)
  notes: [Note] @relation(name: "CardNotes")
}
type Note { id: ID! @id editedBy: String card: Card @relation(name: "CardNotes", link: INLINE) }
"#;

const STAMPED_POLICY: &str = r#"
[operations.mutation]
deleteList = "do:it"
[stamps.update]
editedBy = "$sub"
[roles.member]
permissions = ["role:member", "do:it"]
[roles.member.rows]
User = "{}"
List = "{}"
Card = "{}"
Note = "{}"
[roles.member.writes]
Card = "{ notes_some: { editedBy: $sub } }"
"#;

#[actix::test]
async fn the_stamp_of_a_cascade_grants_no_permission_to_delete() {
    let lists = Shop::open_other(STAMPED, STAMPED_POLICY).await;
    let rows = r#"insert into "List" ("id") values ('l'); insert into "Card" ("id", "list") values ('c', 'l');
        insert into "Note" ("id", "editedBy", "card") values ('n', 'you', 'c')"#;
    lists.tables.batch_execute(rows).await.unwrap();
    let me = holder("me", vec!["role:member".into(), "do:it".into()]);
    let delete = r#"mutation { deleteList(where: {id: "l"}) { id } }"#;
    let response = lists.ask(&me, delete, json!({})).await;
    assert_eq!(response.code(), "FORBIDDEN", "{response:?}");
    let note = r#"select concat_ws(' ', "editedBy", "card") from "Note""#;
    assert_eq!(lists.text(note).await.as_deref(), Some("you c"));
    lists
        .tables
        .batch_execute(r#"update "Note" set "editedBy" = 'me'"#)
        .await
        .unwrap();
    lists.read(&me, delete).await;
    assert_eq!(lists.text(note).await.as_deref(), Some("me"));
}
