//! Rows that are the viewer's because the row above them is. Where that one is locked, nobody takes them away; but the link
//! between the two may stand in a table, and the row above may itself be the viewer's because of another.

use gom_server::identity::Viewer;
use serde_json::json;

use gom_test_support::demo_shop::{Shop, holder};

const DATAMODEL: &str = r#"
type User { id: ID! @id }
type Team {
  id: ID! @id
  owner: User @relation(name: "TeamOwner", link: INLINE)
  players: [Player] @relation(name: "TeamPlayers", link: TABLE)
  lists: [List] @relation(name: "TeamLists")
}
type List {
  id: ID! @id
  team: Team @relation(name: "TeamLists", link: INLINE)
  cards: [Card] @relation(name: "ListCards")
}
type Card {
  id: ID! @id
  text: String
  list: List @relation(name: "ListCards", link: INLINE)
  notes: [Note] @relation(name: "CardNotes")
}
type Note { id: ID! @id text: String card: Card @relation(name: "CardNotes", link: INLINE) }
type Player { id: ID! @id name: String tags: [String] @scalarList(strategy: RELATION) team: Team @relation(name: "TeamPlayers") }
"#;

const POLICY: &str = r#"
[operations.mutation]
updateTeam = "do:it"
updateList = "do:it"
deleteCard = "do:it"
deleteManyCards = "do:it"
[parts]
Player = ["Team"]
List = ["Team"]
Card = ["Team", "List"]
[roles.owner]
permissions = ["role:owner", "do:it"]
[roles.owner.rows]
User = "{}"
Team = "{ owner: { id: $sub } }"
Player = "{ team: { owner: { id: $sub } } }"
List = "{ team: { owner: { id: $sub } } }"
Card = "{ list: { team: { owner: { id: $sub } } } }"
Note = "{}"
"#;

const ROWS: &str = r#"
truncate "User", "Team", "Player", "_TeamPlayers", "List", "Card", "Note" cascade;
insert into "User" ("id") values ('me'), ('you');
insert into "Team" ("id", "owner") values ('tme', 'me'), ('tyou', 'you');
insert into "Player" ("id", "name") values ('p', 'as it was');
insert into "_TeamPlayers" ("A", "B") values ('p', 'tme');
insert into "List" ("id", "team") values ('l', 'tme');
insert into "Card" ("id", "text", "list") values ('c', 'as it was', 'l');
insert into "Note" ("id", "text", "card") values ('n', 'as it was', 'c');
"#;

async fn teams() -> (Shop, Viewer) {
    (
        Shop::open_other(DATAMODEL, POLICY).await,
        holder("me", vec!["role:owner".into(), "do:it".into()]),
    )
}

/// While nobody gives anything away. Puts the rows back.
async fn is_allowed(teams: &Shop, viewer: &Viewer, text: &str) {
    teams.tables.batch_execute(ROWS).await.unwrap();
    teams.read(viewer, text).await;
    teams.tables.batch_execute(ROWS).await.unwrap();
}

#[actix::test]
async fn a_row_that_a_relation_table_gives_away_meanwhile_is_neither_changed_nor_deleted() {
    let (teams, me) = teams().await;
    let give =
        r#"update "Player" set "name" = 'yours now'; update "_TeamPlayers" set "B" = 'tyou'"#;
    for players in [
        r#"{update: [{where: {id: "p"}, data: {name: "stolen"}}]}"#,
        r#"{upsert: [{where: {id: "p"}, update: {name: "stolen"}, create: {name: "new"}}]}"#,
        r#"{updateMany: [{where: {id: "p"}, data: {name: "stolen"}}]}"#,
        r#"{updateMany: [{where: {id: "p"}, data: {name: "stolen", tags: {set: ["s"]}}}]}"#,
        r#"{delete: [{id: "p"}]}"#,
        r#"{deleteMany: [{id: "p"}]}"#,
    ] {
        let text = format!(
            r#"mutation {{ updateTeam(where: {{id: "tme"}}, data: {{players: {players}}}) {{ id }} }}"#
        );
        is_allowed(&teams, &me, &text).await;
        teams.ask_beside(give, &me, &text, json!({})).await;
        let player = r#"select concat_ws(' ', p."name", l."B") from "Player" p left join "_TeamPlayers" l on l."A" = p."id"
                        where p."id" = 'p'"#;
        assert_eq!(
            teams.text(player).await.as_deref(),
            Some("yours now tyou"),
            "{players}"
        );
        assert_eq!(
            teams.count(r#"select count(*) from "Player_tags""#).await,
            0,
            "{players}"
        );
    }
}

#[actix::test]
async fn a_row_whose_ancestor_is_given_away_meanwhile_is_neither_changed_nor_deleted() {
    let (teams, me) = teams().await;
    let give = r#"update "Team" set "owner" = 'you' where "id" = 'tme'; update "Card" set "text" = 'yours now'"#;
    for cards in [
        r#"{update: [{where: {id: "c"}, data: {text: "stolen"}}]}"#,
        r#"{upsert: [{where: {id: "c"}, update: {text: "stolen"}, create: {text: "new"}}]}"#,
        r#"{updateMany: [{where: {id: "c"}, data: {text: "stolen"}}]}"#,
        r#"{delete: [{id: "c"}]}"#,
        r#"{deleteMany: [{id: "c"}]}"#,
    ] {
        let text = format!(
            r#"mutation {{ updateList(where: {{id: "l"}}, data: {{cards: {cards}}}) {{ id }} }}"#
        );
        is_allowed(&teams, &me, &text).await;
        teams.ask_beside(give, &me, &text, json!({})).await;
        let card = r#"select concat_ws(' ', "text", "list") from "Card" where "id" = 'c'"#;
        assert_eq!(
            teams.text(card).await.as_deref(),
            Some("yours now l"),
            "{cards}"
        );
    }
}

#[actix::test]
async fn a_row_that_is_given_away_while_its_deletion_waits_for_another_row_stays() {
    let (teams, me) = teams().await;
    let give = r#"update "Team" set "owner" = 'you' where "id" = 'tme'; update "Note" set "text" = 'yours now'"#;
    for delete in [
        r#"deleteCard(where: {id: "c"}) { id }"#,
        r#"deleteManyCards(where: {id: "c"}) { count }"#,
    ] {
        let text = format!("mutation {{ {delete} }}");
        is_allowed(&teams, &me, &text).await;
        let response = teams.ask_beside(give, &me, &text, json!({})).await;
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            ("FORBIDDEN", "Cannot access this Card"),
            "{delete}"
        );
        assert_eq!(
            teams.text(r#"select "card" from "Note""#).await.as_deref(),
            Some("c"),
            "{delete}"
        );
    }
}
