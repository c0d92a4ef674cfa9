//! Children tied from the parent's end, where the link stands in the child's own row: what the tie makes of the child and
//! of the parent that it had before.

use gom_server::identity::Viewer;
use serde_json::json;

use gom_test_support::demo_shop::{Shop, holder};

const DATAMODEL: &str = r#"
type User { id: ID! @id name: String! @unique }
type Team {
  id: ID! @id
  open: Boolean! @default(value: true)
  owner: User @relation(name: "TeamOwner", link: INLINE)
  tasks: [Task] @relation(name: "TeamTasks")
  players: [Player] @relation(name: "TeamPlayers", link: TABLE)
}
type Task {
  id: ID! @id
  code: String @unique
  owner: User @relation(name: "TaskOwner", link: INLINE)
  team: Team @relation(name: "TeamTasks", link: INLINE)
}
type Player {
  id: ID! @id
  owner: User @relation(name: "PlayerOwner", link: INLINE)
  team: Team @relation(name: "TeamPlayers")
}
"#;

const POLICY: &str = r#"
[operations.query]
tasks = "do:it"
[operations.mutation]
createTeam = "do:it"
updateTeam = "do:it"
updateTask = "do:it"
updatePlayer = "do:it"
# Sees all, and writes tasks of open teams.
[roles.clerk]
permissions = ["role:clerk", "do:it"]
[roles.clerk.rows]
User = "{}"
Team = "{}"
Task = "{}"
[roles.clerk.writes]
Task = "{ owner: { id: $sub }, OR: [{ team: null }, { team: { open: true } }] }"
# Sees what is its own.
[roles.owner]
permissions = ["role:owner", "do:it"]
[roles.owner.rows]
User = "{}"
Team = "{ owner: { id: $sub } }"
Task = "{ owner: { id: $sub } }"
Player = "{ owner: { id: $sub } }"
# Sees teams as long as something of its own is there.
[roles.guest]
permissions = ["role:guest", "do:it"]
[roles.guest.rows]
User = "{}"
Team = "{ OR: [{ owner: { id: $sub } }, { tasks_some: { owner: { id: $sub } } }, { players_some: { owner: { id: $sub } } }] }"
Task = "{ owner: { id: $sub } }"
Player = "{ owner: { id: $sub } }"
"#;

const ROWS: &str = r#"
insert into "User" ("id", "name") values ('me', 'me'), ('you', 'you');
insert into "Team" ("id", "open", "owner") values ('tme', true, 'me'), ('tclosed', false, 'me'), ('tyou', true, 'you');
insert into "Task" ("id", "code", "owner") values ('k', 'K', 'me'), ('k2', 'K2', 'me');
insert into "Player" ("id", "owner") values ('p', 'me'), ('p2', 'me');
"#;

async fn teams(role: &str) -> (Shop, Viewer) {
    let teams = Shop::open_other(DATAMODEL, POLICY).await;
    teams.tables.batch_execute(ROWS).await.unwrap();
    (
        teams,
        holder("me", vec![format!("role:{role}"), "do:it".into()]),
    )
}

const TEAM_OF_K: &str = r#"select "team" from "Task" where "id" = 'k'"#;

#[actix::test]
async fn a_connect_that_makes_a_child_unwritable_is_refused_from_both_ends() {
    let (teams, me) = teams("clerk").await;
    for text in [
        r#"updateTask(where: {id: "k"}, data: {team: {connect: {id: "tclosed"}}}) { id }"#,
        r#"updateTeam(where: {id: "tclosed"}, data: {tasks: {connect: [{id: "k"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tclosed"}, data: {tasks: {connect: [{code: "K"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tclosed"}, data: {tasks: {connect: [{id: "k2"}, {code: "K"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tclosed"}, data: {tasks: {set: [{code: "K"}]}}) { id }"#,
        r#"createTeam(data: {open: false, tasks: {connect: [{code: "K"}]}}) { id }"#,
    ] {
        let response = teams
            .ask(&me, &format!("mutation {{ {text} }}"), json!({}))
            .await;
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            ("FORBIDDEN", "Cannot access this Task"),
            "{text}"
        );
        assert_eq!(teams.text(TEAM_OF_K).await, None, "{text}");
    }
    for child in [r#"{id: "k"}"#, r#"{code: "K"}"#] {
        let text = format!(
            r#"mutation {{ updateTeam(where: {{id: "tme"}}, data: {{tasks: {{connect: [{child}]}}}}) {{ id }} }}"#
        );
        teams.read(&me, &text).await;
        assert_eq!(
            teams.text(TEAM_OF_K).await.as_deref(),
            Some("tme"),
            "{text}"
        );
    }
}

#[actix::test]
async fn a_child_that_moves_to_a_hidden_parent_meanwhile_stays_there() {
    let (teams, me) = teams("owner").await;
    let give = r#"update "Task" set "team" = 'tyou' where "id" = 'k'"#;
    for text in [
        r#"updateTeam(where: {id: "tme"}, data: {tasks: {connect: [{id: "k"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tme"}, data: {tasks: {connect: [{code: "K"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tme"}, data: {tasks: {set: [{id: "k"}]}}) { id }"#,
        r#"createTeam(data: {owner: {connect: {id: "me"}}, tasks: {connect: [{id: "k"}]}}) { id }"#,
    ] {
        teams
            .tables
            .batch_execute(r#"update "Task" set "team" = null"#)
            .await
            .unwrap();
        let response = teams
            .ask_beside(give, &me, &format!("mutation {{ {text} }}"), json!({}))
            .await;
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            ("FORBIDDEN", "Cannot access this Team"),
            "{text}"
        );
        assert_eq!(
            teams.text(TEAM_OF_K).await.as_deref(),
            Some("tyou"),
            "{text}"
        );
    }
}

/// Each of two children keeps the old parent in sight: of two writers that take one each, the second is refused.
#[actix::test]
async fn concurrent_connects_leave_a_parent_its_last_required_child() {
    let (teams, me) = teams("guest").await;
    // The other writer has locked the old parent, as it does here, and taken the other child.
    let lock = r#"select 1 from "Team" where "id" = 'tyou' for update"#;
    for (tied, taken, text) in [
        (
            r#"update "Task" set "team" = 'tyou'"#,
            r#"update "Task" set "team" = 'tclosed' where "id" = 'k2'"#,
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {connect: [{id: "k"}]}}) { id }"#,
        ),
        (
            r#"update "Task" set "team" = null; insert into "_TeamPlayers" values ('p', 'tyou'), ('p2', 'tyou')"#,
            r#"update "_TeamPlayers" set "B" = 'tclosed' where "A" = 'p2'"#,
            r#"updateTeam(where: {id: "tme"}, data: {players: {connect: [{id: "p"}]}}) { id }"#,
        ),
    ] {
        teams.tables.batch_execute(tied).await.unwrap();
        let beside = format!("{lock}; {taken}");
        let response = teams
            .ask_beside(&beside, &me, &format!("mutation {{ {text} }}"), json!({}))
            .await;
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            ("FORBIDDEN", "Cannot access this Team"),
            "{text}"
        );
    }
}

/// Everybody else locks a parent before its children: a write that holds the child and waits for the parent would meet
/// them in a deadlock.
#[actix::test]
async fn a_write_that_waits_for_an_old_parent_has_not_locked_the_child_yet() {
    let (teams, me) = teams("owner").await;
    let delete = r#"select 1 from "Team" where "id" = 'tclosed' for update"#;
    let children = r#"select 1 from "Task" where "team" = 'tclosed' for update nowait"#;
    for text in [
        r#"updateTeam(where: {id: "tme"}, data: {tasks: {connect: [{id: "k"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tme"}, data: {tasks: {connect: [{id: "k2"}, {code: "K"}]}}) { id }"#,
        r#"updateTeam(where: {id: "tme"}, data: {tasks: {set: [{code: "K"}]}}) { id }"#,
        r#"createTeam(data: {owner: {connect: {id: "me"}}, tasks: {connect: [{id: "k"}]}}) { id }"#,
    ] {
        teams
            .tables
            .batch_execute(r#"update "Task" set "team" = 'tclosed'"#)
            .await
            .unwrap();
        let text = format!("mutation {{ {text} }}");
        let response = teams
            .ask_between(delete, children, &me, &text, json!({}))
            .await;
        assert!(response.errors.is_empty(), "{text}: {response:?}");
        assert_ne!(
            teams.text(TEAM_OF_K).await.as_deref(),
            Some("tclosed"),
            "{text}"
        );
    }
}

const BILLS: &str = r#"
type Order { id: ID! @id bill: Bill! @relation(name: "OrderBill") }
type Bill { id: ID! @id order: Order @relation(name: "OrderBill", link: INLINE) }
"#;

const CLERK: &str = r#"
[operations.mutation]
createOrder = "do:it"
updateBill = "do:it"
[roles.clerk]
permissions = ["role:clerk", "do:it"]
[roles.clerk.rows]
Order = "{}"
Bill = "{}"
"#;

#[actix::test]
async fn a_partner_that_another_parent_requires_meanwhile_stays_with_it() {
    let orders = Shop::open_other(BILLS, CLERK).await;
    orders
        .tables
        .batch_execute(r#"insert into "Bill" ("id") values ('b')"#)
        .await
        .unwrap();
    let clerk = holder("me", vec!["role:clerk".into(), "do:it".into()]);
    let first = r#"insert into "Order" ("id") values ('o'); update "Bill" set "order" = 'o'"#;
    let second = r#"mutation { createOrder(data: {bill: {connect: {id: "b"}}}) { id } }"#;
    let response = orders.ask_beside(first, &clerk, second, json!({})).await;
    assert_eq!(
        response.errors.first().map(|error| error.message.as_str()),
        Some(
            "The change you are trying to make would violate the required relation 'OrderBill' between Bill and Order"
        ),
        "{response:?}"
    );
    assert_eq!(
        orders
            .text(r#"select "order" from "Bill""#)
            .await
            .as_deref(),
        Some("o")
    );
}
