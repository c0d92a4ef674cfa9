//! How the rows of a transaction become changes.

use serde_json::json;

use super::*;

#[test]
fn a_nodes_parts_become_one_change() {
    let world = world();
    let updated = |columns: &[&str], text: &str| {
        row("Node1", 'U', "n")
            .columns(columns)
            .old(json!({"text": text}))
    };
    let deleted = |text: &str| row("Node1", 'D', "n").old(json!({"text": text}));
    let created = || row("Node1", 'C', "n");
    for (rows, expected) in [
        (
            vec![created(), updated(&["text"], "a")],
            "Node1 n CREATED [] -",
        ),
        (vec![created(), deleted("a")], ""),
        (
            vec![updated(&["text"], "a"), deleted("b")],
            r#"Node1 n DELETED [] {"text":"a"}"#,
        ),
        (
            vec![
                updated(&["how_big"], "a"),
                updated(&["text"], "b"),
                updated(&[], "c"),
            ],
            r#"Node1 n UPDATED ["text", "size"] {"text":"a"}"#,
        ),
        (
            vec![updated(&[], "a")],
            r#"Node1 n UPDATED [] {"text":"a"}"#,
        ),
        (vec![row("Node1", 'T', "n")], "Node1 n UPDATED [] -"),
        (
            vec![deleted("a"), created()],
            r#"Node1 n UPDATED ["id", "text", "code", "secret", "note", "size", "tags", "parent", "children", "friends", "owner"] {"text":"a"}"#,
        ),
        (
            vec![deleted("a"), created(), deleted("b")],
            r#"Node1 n DELETED [] {"text":"a"}"#,
        ),
        (
            vec![row("Node1_tags", 'A', "n")],
            r#"Node1 n UPDATED ["tags"] -"#,
        ),
        (
            vec![created(), row("Node1_tags", 'A', "n")],
            "Node1 n CREATED [] -",
        ),
        (
            vec![row("Node1_tags", 'V', "n"), deleted("a")],
            r#"Node1 n DELETED [] {"text":"a"}"#,
        ),
        (vec![row("Unknown", 'C', "n")], ""),
    ] {
        assert_eq!(world.changes(&rows).join("\n"), expected, "{rows:?}");
    }
}

#[test]
fn a_link_is_a_change_of_both_ends() {
    let world = world();
    let friends = |kind| row("_Friends", kind, "f").partner("n");
    assert_eq!(
        world.changes(&[friends('L')]),
        [
            r#"Friend f UPDATED ["nodes"] -"#,
            r#"Node1 n UPDATED ["friends"] -"#
        ]
    );
    assert_eq!(
        world.changes(&[
            friends('R'),
            row("Friend", 'D', "f").old(json!({"id": "f"}))
        ]),
        [
            r#"Friend f DELETED [] {"id":"f"}"#,
            r#"Node1 n UPDATED ["friends"] -"#
        ]
    );
    // From one partner to another, each of which names its own end; `owner` has no other end to
    // name.
    let moved = row("Node1", 'U', "n")
        .columns(&["parent", "owner"])
        .old(json!({"parent": "p", "owner": "f"}));
    assert_eq!(
        world.changes(&[moved.links(json!({"parent": "q", "owner": null}))]),
        [
            r#"Node1 n UPDATED ["parent", "owner"] {"parent":"p","owner":"f"}"#,
            r#"Node1 p UPDATED ["children"] -"#,
            r#"Node1 q UPDATED ["children"] -"#,
        ]
    );
    let created = row("Node1", 'C', "n").links(json!({"parent": "p", "owner": null}));
    let both = ["Node1 n CREATED [] -", r#"Node1 p UPDATED ["children"] -"#];
    assert_eq!(world.changes(std::slice::from_ref(&created)), both);
    // A partner that is new itself is that and no more.
    assert_eq!(
        world.changes(&[row("Node1", 'C', "p"), created])[0],
        "Node1 p CREATED [] -"
    );
    let deleted = row("Node1", 'D', "n").old(json!({"id": "n", "parent": "p"}));
    assert_eq!(
        world.changes(&[deleted])[1],
        r#"Node1 p UPDATED ["children"] -"#
    );
}

#[test]
fn parts_are_counted_and_what_was_removed_is_kept() {
    let world = world();
    let rows = [
        row("Friend", 'C', "x"),
        row("Node1_tags", 'V', "n").old(json!({"position": 1000, "value": "a"})),
        row("Friend", 'C', "y"),
        row("Friend", 'D', "y").old(json!({"id": "y"})),
        row("Node1_tags", 'A', "n"),
        row("_Friends", 'R', "f").partner("n"),
        row("Friend", 'D', "f").old(json!({"id": "f"})),
    ];
    let changes = world.planner.changes(&rows, 1, 7);
    assert_eq!(
        changes
            .iter()
            .map(|c| (c.id.as_str(), c.part))
            .collect::<Vec<_>>(),
        [("x", 7), ("n", 8), ("f", 9)]
    );
    assert_eq!(changes[1].lists.len(), 1);
    assert_eq!(changes[1].lists[0].1, r#"[{"position":1000,"value":"a"}]"#);
}

#[test]
fn a_list_that_is_written_twice_in_one_transaction_was_what_it_was_before() {
    let world = world();
    let removed =
        |value: &str| row("Node1_tags", 'V', "n").old(json!({"position": 1000, "value": value}));
    let added = || row("Node1_tags", 'A', "n").links(json!({"position": 1000}));
    let lists = |rows: &[LogRow]| world.planner.changes(rows, 1, 0)[0].lists[0].1.clone();
    let before = r#"[{"position":1000,"value":"a"}]"#;
    assert_eq!(
        lists(&[removed("a"), added(), removed("b"), added()]),
        before
    );
    assert_eq!(
        lists(&[
            removed("a"),
            added(),
            removed("b"),
            row("Node1", 'D', "n").old(json!({}))
        ]),
        before
    );
    assert_eq!(lists(&[added(), removed("b")]), "[]");
}

#[test]
fn a_link_change_records_whether_the_link_came_or_went() {
    let world = world();
    let shown = |rows: &[LogRow]| {
        let changes = world.planner.changes(rows, 1, 0);
        let of = |change: &NodeChange| {
            let model = world.planner.model().model(change.model);
            let link = |link: &LinkChange| {
                let (came, went) = (
                    if link.came { "+" } else { "" },
                    if link.went { "-" } else { "" },
                );
                format!(
                    "{}{came}{went}{}",
                    model.field(link.field).name,
                    link.partner
                )
            };
            format!(
                "{} {:?}",
                change.id,
                change.links.iter().map(link).collect::<Vec<_>>()
            )
        };
        changes.iter().map(of).collect::<Vec<_>>()
    };
    let friends = |kind| row("_Friends", kind, "f").partner("n");
    assert_eq!(
        shown(&[friends('L')]),
        [r#"f ["nodes+n"]"#, r#"n ["friends+f"]"#]
    );
    assert_eq!(
        shown(&[friends('L'), friends('R')]),
        [r#"f ["nodes+-n"]"#, r#"n ["friends+-f"]"#]
    );
    let moved = row("Node1", 'U', "n")
        .columns(&["parent"])
        .old(json!({"parent": "p", "owner": "f"}));
    assert_eq!(
        shown(&[moved.links(json!({"parent": "q", "owner": "f"}))]),
        [
            r#"n ["parent-p", "parent+q"]"#,
            r#"p ["children-n"]"#,
            r#"q ["children+n"]"#
        ]
    );
}
