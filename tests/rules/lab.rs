//! Rules on a datamodel where all may be seen and few rows be written: links in tables and in columns, optional and
//! lists, owners that change while somebody writes.

use gom_server::identity::Viewer;
use serde_json::{Value, json};

use gom_test_support::demo_shop::{Shop, holder};

const DATAMODEL: &str = include_str!("../fixtures/lab/datamodel.prisma");

const POLICY: &str = include_str!("../fixtures/lab/policy.toml");

const ROWS: &str = include_str!("../fixtures/lab/rows.sql");

async fn lab() -> (Shop, Viewer) {
    let lab = Shop::open_other(DATAMODEL, POLICY).await;
    lab.tables.batch_execute(ROWS).await.unwrap();
    (lab, member("me"))
}

fn member(sub: &str) -> Viewer {
    holder(sub, vec!["role:member".into(), "do:it".into()])
}

async fn done(lab: &Shop, viewer: &Viewer, text: &str) -> Value {
    lab.read(viewer, &format!("mutation {{ {text} }}")).await
}

async fn refused(lab: &Shop, viewer: &Viewer, text: &str, message: &str) {
    let response = lab
        .ask(viewer, &format!("mutation {{ {text} }}"), json!({}))
        .await;
    assert_eq!(
        (response.code(), response.errors[0].message.as_str()),
        ("FORBIDDEN", message),
        "{text}"
    );
}

/// R3
#[actix::test]
async fn a_row_that_is_given_away_meanwhile_is_not_overwritten_however_the_write_is_nested() {
    let (lab, me) = lab().await;
    let give = r#"update "Task" set "owner" = 'you', "title" = 'yours now'"#;
    for (text, answer) in [
        (
            r#"updateTask(where: {id: "kme"}, data: {title: "stolen"}) { id }"#,
            None,
        ),
        (r#"deleteTask(where: {id: "kme"}) { id }"#, None),
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {update: [{where: {id: "kme"}, data: {title: "stolen"}}]}}) { id }"#,
            None,
        ),
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {delete: [{id: "kme"}]}}) { id }"#,
            None,
        ),
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {disconnect: [{id: "kme"}]}}) { id }"#,
            None,
        ),
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {connect: [{id: "kme"}]}}) { id }"#,
            None,
        ),
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {set: [{id: "kme"}]}}) { id }"#,
            None,
        ),
        // Like a row that was not there: the other branch is taken.
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {upsert: [{where: {id: "kme"}, update: {title: "stolen"}, create: {owner: {connect: {id: "me"}}}}]}}) { id }"#,
            Some(json!({ "updateTeam": { "id": "tme" } })),
        ),
        (
            r#"updateManyTasks(where: {id: "kme"}, data: {title: "stolen"}) { count }"#,
            Some(json!({ "updateManyTasks": { "count": 0 } })),
        ),
        (
            r#"updateManyTasks(where: {id: "kme"}, data: {title: "stolen", tags: {set: ["z"]}}) { count }"#,
            Some(json!({ "updateManyTasks": { "count": 0 } })),
        ),
        (
            r#"deleteManyTasks(where: {id: "kme"}) { count }"#,
            Some(json!({ "deleteManyTasks": { "count": 0 } })),
        ),
        (
            r#"updateTeam(where: {id: "tme"}, data: {tasks: {updateMany: [{where: {id: "kme"}, data: {title: "stolen"}}], deleteMany: [{id: "kme"}]}}) { id }"#,
            Some(json!({ "updateTeam": { "id": "tme" } })),
        ),
    ] {
        lab.tables
            .batch_execute(
                r#"update "Task" set "owner" = 'me', "team" = 'tme', "updatedBy" = null"#,
            )
            .await
            .unwrap();
        let response = lab
            .ask_beside(
                &format!("{give} where \"id\" = 'kme'"),
                &me,
                &format!("mutation {{ {text} }}"),
                json!({}),
            )
            .await;
        match answer {
            None => assert_eq!(response.code(), "FORBIDDEN", "{text}"),
            Some(answer) => assert_eq!(
                (&response.data, response.errors.len()),
                (&answer, 0),
                "{text}"
            ),
        }
        let row = r#"select concat_ws(' ', "owner", "team", "title", "updatedBy", (select count(*) from "Task_tags")) from "Task" where "id" = 'kme'"#;
        assert_eq!(
            lab.text(row).await.as_deref(),
            Some("you tme yours now 0"),
            "{text}"
        );
    }
}

/// R3b, nested and of many: other rows decide whose the row is.
#[actix::test]
async fn where_other_rows_decide_a_write_looks_at_them_after_it_has_waited() {
    let (lab, me) = lab().await;
    let give = r#"update "Person" set "owner" = 'you' where "id" = 'p1'; update "Passport" set "number" = 'A2' where "id" = 'a'"#;
    let response = lab
        .ask_beside(
            give,
            &me,
            r#"mutation { updatePassport(where: {id: "a"}, data: {number: "A3"}) { number } }"#,
            json!({}),
        )
        .await;
    assert_eq!(response.code(), "FORBIDDEN");
    assert_eq!(
        lab.text(r#"select "number" from "Passport" where "id" = 'a'"#)
            .await
            .as_deref(),
        Some("A2")
    );
}

/// A row that goes from one partner of the viewer's to another while a write waits for it is the viewer's still.
#[actix::test]
async fn a_row_that_changes_partners_meanwhile_and_stays_the_viewers_is_written() {
    let (lab, me) = lab().await;
    for text in [
        r#"updateNote(where: {id: "nme"}, data: {text: "b"}) { id }"#,
        r#"updateManyNotes(where: {id: "nme"}, data: {text: "b"}) { count }"#,
    ] {
        let give = r#"update "Note" set "task" = 'kme2', "text" = 'given' where "id" = 'nme'"#;
        lab.tables
            .batch_execute(
                r#"update "Note" set "task" = 'kme', "text" = 'mine' where "id" = 'nme'"#,
            )
            .await
            .unwrap();
        let response = lab
            .ask_beside(give, &me, &format!("mutation {{ {text} }}"), json!({}))
            .await;
        assert!(response.errors.is_empty(), "{response:?}");
        let note = r#"select concat_ws(' ', "task", "text") from "Note" where "id" = 'nme'"#;
        assert_eq!(lab.text(note).await.as_deref(), Some("kme2 b"), "{text}");
    }
}

/// R4
#[actix::test]
async fn disconnecting_in_a_relation_table_needs_write_permission_for_one_of_its_rows() {
    let (lab, me) = lab().await;
    let connect = |player: &str| {
        format!(
            "updateTeam(where: {{id: \"tme\"}}, data: {{players: {{connect: [{{id: \"{player}\"}}]}}}}) {{ players {{ id }} }}"
        )
    };
    refused(&lab, &me, &connect("pyou"), "Cannot access this Team").await;
    refused(
        &lab,
        &me,
        &connect("pyou").replace("connect", "set"),
        "Cannot access this Team",
    )
    .await;
    assert_eq!(
        lab.count(r#"select count(*) from "_TeamPlayers" where "B" = 'tyou' or "A" = 'tyou'"#)
            .await,
        1
    );
    // A player of nobody's, and an own one that is the other's.
    lab.tables
        .batch_execute(
            r#"delete from "_TeamPlayers"; insert into "_TeamPlayers" values ('pme', 'tyou')"#,
        )
        .await
        .unwrap();
    assert_eq!(
        done(&lab, &me, &connect("pyou")).await["updateTeam"]["players"],
        json!([{ "id": "pyou" }])
    );
    let both = json!([{ "id": "pme" }, { "id": "pyou" }]);
    assert_eq!(
        done(&lab, &me, &connect("pme")).await["updateTeam"]["players"],
        both
    );
    assert_eq!(
        done(&lab, &me, &connect("pme")).await["updateTeam"]["players"],
        both,
        "as it was"
    );
}

/// R5
#[actix::test]
async fn a_deletion_does_not_write_read_only_rows() {
    let (lab, me) = lab().await;
    refused(
        &lab,
        &me,
        r#"updateCat(where: {id: "cme"}, data: {tasks: {disconnect: [{id: "kyou"}]}}) { id }"#,
        "Cannot access this Task",
    )
    .await;
    refused(
        &lab,
        &me,
        r#"deleteCat(where: {id: "cme"}) { id }"#,
        "Cannot access this Cat",
    )
    .await;
    assert_eq!(
        lab.text(r#"select "cat" from "Task" where "id" = 'kyou'"#)
            .await
            .as_deref(),
        Some("cme")
    );
    // R6: whose link is cut with it bears the stamp.
    lab.tables
        .batch_execute(
            r#"update "Task" set "cat" = null; update "Task" set "cat" = 'cme' where "id" = 'kme'"#,
        )
        .await
        .unwrap();
    done(&lab, &me, r#"deleteCat(where: {id: "cme"}) { id }"#).await;
    assert_eq!(
        lab.text(r#"select concat_ws(' ', "cat", "updatedBy") from "Task" where "id" = 'kme'"#)
            .await
            .as_deref(),
        Some("me")
    );
}

/// R7
#[actix::test]
async fn a_field_that_is_stamped_by_changes_is_not_chosen_at_creation() {
    let (lab, me) = lab().await;
    let text = r#"createTeam(data: {id: "f", name: "f", updatedBy: "you", owner: {connect: {id: "me"}}}) { updatedBy }"#;
    assert_eq!(done(&lab, &me, text).await["createTeam"]["updatedBy"], "me");
}

/// R9 and 7 of the engine
#[actix::test]
async fn an_id_that_may_not_be_named_is_neither_shown_in_cursors_nor_in_messages() {
    let (lab, _) = lab().await;
    let blind = holder("me", vec!["role:blind".into(), "do:it".into()]);
    let response = lab
        .ask(&blind, r#"mutation { updateTeam(where: {name: "mine"}, data: {players: {disconnect: [{id: "pyou"}]}}) { name } }"#, json!({}))
        .await;
    assert_eq!(response.errors[0].code, Some(3041), "{response:?}");
    assert!(!response.errors[0].message.contains("tme"), "{response:?}");
    for text in [
        "{ teams { id } }",
        "{ teamsConnection { pageInfo { endCursor } } }",
        "{ teamsConnection { pageInfo { startCursor } } }",
        "{ teamsConnection { edges { cursor } } }",
        "{ teams(after: \"tme\") { name } }",
        "{ teamsConnection(before: \"tme\") { edges { node { name } } } }",
    ] {
        let response = lab.ask(&blind, text, json!({})).await;
        assert_eq!(
            (response.code(), response.errors[0].message.as_str()),
            ("FORBIDDEN", "The field 'id' of 'Team' may not be used"),
            "{text}"
        );
    }
    let read = lab
        .read(
            &blind,
            "{ teamsConnection(first: 1) { pageInfo { hasNextPage } edges { node { name } } } }",
        )
        .await;
    assert_eq!(read["teamsConnection"]["pageInfo"]["hasNextPage"], true);
}

/// 3 of the engine
#[actix::test]
async fn an_existing_link_can_be_connected_again_where_it_makes_the_row_the_viewers() {
    let (lab, me) = lab().await;
    // Kept in the parent: the passport goes from one own person to the other, and back, and stays.
    for person in ["p2", "p1", "p1"] {
        let text = format!(
            r#"updatePerson(where: {{id: "{person}"}}, data: {{passport: {{connect: {{id: "a"}}}}}}) {{ passport {{ id }} }}"#
        );
        assert_eq!(
            done(&lab, &me, &text).await["updatePerson"]["passport"]["id"],
            "a"
        );
    }
    let text = r#"updatePassport(where: {id: "a"}, data: {holder: {connect: {id: "p1"}}}) { holder { id } }"#;
    assert_eq!(
        done(&lab, &me, text).await["updatePassport"]["holder"]["id"],
        "p1"
    );
    for tasks in [
        r#"{set: [{id: "kme"}, {id: "kme2"}]}"#,
        r#"{set: [{id: "kme2"}]}"#,
        r#"{connect: [{id: "kme2"}]}"#,
        "{set: []}",
    ] {
        done(
            &lab,
            &me,
            &format!(r#"updateTeam(where: {{id: "tme"}}, data: {{tasks: {tasks}}}) {{ id }}"#),
        )
        .await;
    }
    assert_eq!(
        lab.count(r#"select count(*) from "Task" where "team" is not null"#)
            .await,
        0
    );
}

/// 13 of the engine
#[actix::test]
async fn an_upsert_is_not_judged_by_the_branch_that_it_does_not_take() {
    let (lab, me) = lab().await;
    let text = r#"upsertTeam(where: {id: "tme"}, create: {id: "tyou", name: "x"}, update: {name: "n"}) { name }"#;
    assert_eq!(done(&lab, &me, text).await["upsertTeam"]["name"], "n");
    let text = r#"updateTeam(where: {id: "tme"}, data: {tasks: {upsert: [{where: {id: "kme"}, create: {id: "kyou"}, update: {title: "t"}}]}}) { id }"#;
    done(&lab, &me, text).await;
    // A failure in the branch that is taken is the answer, though another check was to follow.
    let response = lab
        .ask(&me, r#"mutation { upsertTeam(where: {id: "new"}, create: {id: "tyou", name: "x", owner: {connect: {id: "me"}}}, update: {name: "n"}) { name } }"#, json!({}))
        .await;
    assert_eq!(response.errors[0].code, Some(3010), "{response:?}");
    // The one that is taken is.
    refused(
        &lab,
        &me,
        r#"upsertTeam(where: {id: "new"}, create: {name: "x"}, update: {name: "n"}) { name }"#,
        "Cannot access this Team",
    )
    .await;
    let text = r#"updateTeam(where: {id: "tme"}, data: {tasks: {upsert: [{where: {id: "new"}, create: {title: "nobody's"}, update: {}}]}}) { id }"#;
    refused(&lab, &me, text, "Cannot access this Task").await;
}

/// 15 of the engine
#[actix::test]
async fn of_two_concurrent_sets_of_a_list_the_second_wins() {
    let (lab, me) = lab().await;
    let other = r#"select 1 from "Task" where "id" = 'kme' for update; insert into "Task_tags" values ('kme', 1000, 'x')"#;
    let set = r#"mutation { updateTeam(where: {id: "tme"}, data: {tasks: {update: [{where: {id: "kme"}, data: {tags: {set: ["z"]}}}]}}) { id } }"#;
    for viewer in [&me, &Viewer::Service] {
        lab.tables
            .batch_execute(r#"delete from "Task_tags""#)
            .await
            .unwrap();
        let response = lab.ask_beside(other, viewer, set, json!({})).await;
        assert!(response.errors.is_empty(), "{response:?}");
        assert_eq!(
            lab.text(r#"select string_agg("value", ' ') from "Task_tags""#)
                .await
                .as_deref(),
            Some("z")
        );
    }
}

/// 15 of the engine
#[actix::test]
async fn of_two_partners_at_a_single_end_every_query_shows_the_same() {
    let (lab, me) = lab().await;
    lab.tables
        .batch_execute(r#"insert into "_TeamPlayers" values ('pme', 'tyou'), ('pme', 'tme')"#)
        .await
        .unwrap();
    let teams = lab
        .read(
            &me,
            "{ teams(where: { id: \"tme\" }) { players { team { id } } } }",
        )
        .await;
    assert_eq!(
        teams["teams"][0]["players"],
        json!([{ "team": { "id": "tme" } }])
    );
}
