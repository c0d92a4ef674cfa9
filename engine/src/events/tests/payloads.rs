//! What an event may show of a change, and how its message is made.

use serde_json::json;

use super::*;

#[test]
fn what_the_policy_hides_can_be_named_nowhere() {
    let world = world();
    let rights = || Some(world.rights(&json!({"sub": "me"})));
    for refused in [
        "subscription { friend { mutation } }",
        "subscription { node1 { node { secret } } }",
        "subscription { node1 { previousValues { secret } } }",
        "subscription { node1(where: { node: { secret: \"a\" } }) { mutation } }",
        "subscription { node1(where: { updatedFields_contains: \"secret\" }) { mutation } }",
        "subscription { node1(where: { OR: [{ updatedFields_contains_some: [\"children\"] }] }) { mutation } }",
    ] {
        let error = world.subscribe(refused, rights()).expect_err(refused);
        assert_eq!(error.kind, ErrorKind::Forbidden, "{refused}");
    }
    let text = "subscription { node1 { updatedFields previousValues { text } } }";
    let subscription = world.subscribe(text, rights()).expect("allowed");
    let updated = row("Node1", 'U', "n")
        .columns(&["text", "secret"])
        .old(json!({"text": "a"}));
    let changes = world.planner.changes(&[updated], 1, 0);
    let statement = world
        .planner
        .payloads(&subscription, &[&changes[0]])
        .expect("a statement");
    let shown = format!("{:?}", statement.params);
    assert!(
        shown.contains("text") && !shown.contains("secret"),
        "{shown}"
    );
    // Nor does a change of nothing else become an event, which would be a change that something was
    // said of.
    let hidden = row("Node1", 'U', "n")
        .columns(&["secret"])
        .old(json!({"text": "a"}));
    let unchanged = row("Node1", 'U', "n").old(json!({"text": "a"}));
    for rows in [[hidden], [unchanged]] {
        let changes = world.planner.changes(&rows, 1, 0);
        let statement = world
            .planner
            .payloads(&subscription, &[&changes[0]])
            .expect("a statement");
        assert!(
            !format!("{:?}", statement.params).contains(r#"\"e\":true"#),
            "{:?}",
            statement.params
        );
    }
}

#[test]
fn changes_of_a_field_that_not_every_row_shows_are_not_reported() {
    let world = world();
    let rights = || Some(world.rights(&json!({"sub": "me"})));
    let named = "subscription { node1(where: { updatedFields_contains: \"note\" }) { mutation } }";
    assert_eq!(
        world.subscribe(named, rights()).expect_err(named).kind,
        ErrorKind::Forbidden
    );
    let text =
        "subscription { node1 { updatedFields node { now: note } previousValues { then: note } } }";
    let subscription = world.subscribe(text, rights()).expect("allowed");
    let updated = row("Node1", 'U', "n")
        .columns(&["text", "note"])
        .old(json!({"note": "hidden"}));
    let changes = world.planner.changes(&[updated], 1, 0);
    let statement = world
        .planner
        .payloads(&subscription, &[&changes[0]])
        .expect("a statement");
    // The row now shows it by the rule; of the row before, only the present could tell.
    assert!(
        statement.sql.contains(" end as \"now\""),
        "{}",
        statement.sql
    );
    assert!(
        statement.sql.contains("null::text as \"then\""),
        "{}",
        statement.sql
    );
    let shown = format!("{:?}", statement.params);
    assert!(
        shown.contains("text") && !shown.contains("\\\"note\\\"]"),
        "{shown}"
    );
    let hidden = row("Node1", 'U', "n")
        .columns(&["note"])
        .old(json!({"note": "hidden"}));
    let changes = world.planner.changes(&[hidden], 1, 0);
    let statement = world
        .planner
        .payloads(&subscription, &[&changes[0]])
        .expect("a statement");
    assert!(
        !format!("{:?}", statement.params).contains(r#"\"e\":true"#),
        "{:?}",
        statement.params
    );
}

#[test]
fn a_message_names_its_key_and_reports_what_is_marked() {
    let world = world();
    let text = "subscription { it: node1 { node { friends { id } } } }";
    let subscription = world.subscribe(text, None).expect("sound");
    let sound = world.planner.message(&subscription, r#"{"node":null}"#);
    assert_eq!(
        (sound.answer.as_deref(), sound.errors.len()),
        (Some(r#"{"it":{"node":null}}"#), 0)
    );
    let marked = world
        .planner
        .message(&subscription, r#"{"node":{"friends":"\u0000too many"}}"#);
    assert_eq!(
        marked.answer.as_deref(),
        Some(r#"{"it":{"node":{"friends":null}}}"#)
    );
    assert_eq!(marked.errors[0].kind, ErrorKind::LimitExceeded);
    let path: Vec<String> = marked.errors[0]
        .path
        .iter()
        .map(|segment| format!("{segment:?}"))
        .collect();
    assert_eq!(
        path,
        [r#"Key("it")"#, r#"Key("node")"#, r#"Key("friends")"#]
    );
}
