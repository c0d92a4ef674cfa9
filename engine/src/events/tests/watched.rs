//! Which changes wake a live query.

use super::*;

/// `Model All`, `Model path=value`, `Model was path=value` or `Model [fields]`, for all that a query watches.
fn watched(query: &str, rights: Option<Arc<Rights>>) -> Vec<String> {
    let world = world();
    let prepared = world
        .requests
        .prepare(query, None, &RequestLimits::UNLIMITED)
        .expect("a sound document");
    let variables = world
        .requests
        .coerce(&prepared.operation, &Map::new())
        .expect("no variables");
    let model = world.planner.model();
    let shown = |watched: &Watched| {
        let mut of = model.model(watched.model);
        let name = of.name.clone();
        match &watched.lead {
            Lead::All => format!("{name} All"),
            Lead::Updates(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|field| of.field(*field).name.as_str())
                    .collect();
                format!("{name} {fields:?}")
            }
            Lead::Value(SubscriptionKey { path, value }) => {
                let mut place = String::new();
                for hop in path.hops() {
                    place += &format!("{}.", of.field(hop).name);
                    of = model.model(of.field(hop).relation().expect("a relation").target);
                }
                let end = &of.field(path.end()).name;
                let was = if path.is_before() { "was " } else { "" };
                format!("{name} {was}{place}{end}={value}")
            }
        }
    };
    let watched = world
        .planner
        .watched(&prepared.operation, &variables, rights.as_deref());
    watched.iter().map(shown).collect()
}

fn me() -> Option<Arc<Rights>> {
    Some(world().rights(&json!({"sub": "me"})))
}

#[test]
fn the_service_watches_what_its_filters_find_before_and_after_a_change() {
    for (query, expected) in [
        ("{ __typename }", &[][..]),
        ("{ node1s { id } }", &["Node1 All"]),
        (
            "{ node1s(where: { text: \"a\" }) { id } }",
            &["Node1 text=a", "Node1 was text=a"],
        ),
        (
            "{ node1s(where: { OR: [{ text: \"a\" }] }) { id } }",
            &["Node1 All"],
        ),
        (
            "{ node1(where: { code: \"c\" }) { id } }",
            &["Node1 code=c", "Node1 was code=c"],
        ),
        (
            "{ node1sConnection(where: { owner: { name: \"x\" } }) { edges { node { id } } aggregate { count } } }",
            &[
                "Node1 owner.name=x",
                "Node1 was owner.name=x",
                "Friend [\"name\"]",
            ],
        ),
        (
            "{ node1s(where: { text: \"a\" }, after: \"x\") { id } }",
            &["Node1 All"],
        ),
        (
            "{ a: node1s(where: { text: \"a\" }) { id } b: node1s { id } }",
            &["Node1 All"],
        ),
        ("{ node1s(where: { owner: null }) { id } }", &["Node1 All"]),
        (
            "{ node(id: \"x\") { id ... on Friend { name } } }",
            &["Node1 All", "Friend All"],
        ),
    ] {
        assert_eq!(watched(query, None), expected, "{query}");
    }
}

#[test]
fn related_rows_are_watched_by_what_they_are_linked_to_or_by_what_is_seen_of_them() {
    for (query, expected) in [
        (
            "{ node1(where: { id: \"x\" }) { children { text } } }",
            &["Node1 id=x", "Node1 was id=x", "Node1 parent.id=x"][..],
        ),
        // Back through a list a change would lead to everybody who has it.
        (
            "{ node1(where: { id: \"x\" }) { parent { text } } }",
            &["Node1 id=x", "Node1 was id=x", "Node1 [\"text\"]"],
        ),
        (
            "{ node1(where: { id: \"x\" }) { friends(orderBy: name_ASC) { nodes { id } } } }",
            &[
                "Node1 id=x",
                "Node1 was id=x",
                "Friend [\"name\", \"nodes\"]",
            ],
        ),
        // Nothing leads back from there.
        (
            "{ node1(where: { id: \"x\" }) { owner { name } } }",
            &["Node1 id=x", "Node1 was id=x", "Friend [\"name\"]"],
        ),
        // Ids do not change.
        (
            "{ node1(where: { id: \"x\" }) { owner { id } } }",
            &["Node1 id=x", "Node1 was id=x"],
        ),
        (
            "{ node1(where: { id: \"x\" }) { friends(where: { name: \"y\" }) { id } } }",
            &[
                "Node1 id=x",
                "Node1 was id=x",
                "Friend name=y",
                "Friend was name=y",
            ],
        ),
    ] {
        assert_eq!(watched(query, None), expected, "{query}");
    }
}

#[test]
fn a_viewer_watches_what_the_rules_let_through() {
    for (query, expected) in [
        (
            "{ node1s { id } }",
            &[
                "Node1 owner.name=me",
                "Node1 was owner.name=me",
                "Friend [\"name\"]",
            ][..],
        ),
        (
            "{ node1s(where: { text: \"a\" }) { id owner { name } } }",
            &[
                "Node1 owner.name=me",
                "Node1 was owner.name=me",
                "Friend name=me",
                "Friend was name=me",
                "Friend [\"name\"]",
            ],
        ),
        // Other rows decide whether the field is shown.
        (
            "{ node1s { note } }",
            &[
                "Node1 owner.name=me",
                "Node1 was owner.name=me",
                "Friend [\"name\"]",
            ],
        ),
    ] {
        assert_eq!(watched(query, me()), expected, "{query}");
    }
}
