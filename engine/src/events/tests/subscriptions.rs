//! What of a subscription is decided without a database: its filter, its key, its identity.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::*;

#[test]
fn conditions_on_the_change_are_joined_by_logic() {
    let world = world();
    let rows = [
        row("Node1", 'C', "c"),
        row("Node1", 'U', "u")
            .columns(&["text", "how_big"])
            .old(json!({})),
        row("Node1", 'D', "d").old(json!({})),
        row("Node1", 'T', "t"),
        row("Friend", 'C', "f"),
    ];
    let changes = world.planner.changes(&rows, 1, 0);
    for (filter, expected) in [
        ("{}", "cudt"),
        ("{ mutation_in: null, node: null, OR: null }", "cudt"),
        ("{ mutation_in: [] }", ""),
        ("{ mutation_in: CREATED }", "c"),
        ("{ mutation_in: [CREATED, DELETED] }", "cd"),
        (
            "{ OR: [{ mutation_in: [CREATED] }, { mutation_in: [UPDATED] }] }",
            "cut",
        ),
        ("{ NOT: [{ mutation_in: [CREATED] }] }", "udt"),
        (
            "{ NOT: [{ mutation_in: [CREATED] }, { updatedFields_contains: \"text\" }] }",
            "dt",
        ),
        ("{ updatedFields_contains: \"size\" }", "u"),
        ("{ updatedFields_contains: \"nothing\" }", ""),
        (
            "{ updatedFields_contains_every: [\"size\", \"text\"] }",
            "u",
        ),
        ("{ updatedFields_contains_every: [\"size\", \"code\"] }", ""),
        ("{ updatedFields_contains_every: [] }", "ut"),
        ("{ updatedFields_contains_some: [\"size\", \"code\"] }", "u"),
        ("{ updatedFields_contains_some: [] }", ""),
        ("{ mutation_in: [CREATED], node: { text: \"a\" } }", "c"),
        (
            "{ OR: [{ mutation_in: [CREATED] }, { node: { text: \"a\" } }] }",
            "cudt",
        ),
        (
            "{ AND: [{ mutation_in: [CREATED] }, { NOT: [{ node: { text: \"a\" } }] }] }",
            "c",
        ),
    ] {
        let subscription = world.with(filter);
        let admitted = changes.iter().filter(|change| subscription.admits(change));
        assert_eq!(
            admitted
                .map(|change| change.id.as_str())
                .collect::<String>(),
            expected,
            "{filter}"
        );
    }
}

#[test]
fn the_most_selective_equality_becomes_the_key() {
    let world = world();
    let shown = |subscription: Subscription| {
        let Some(key) = subscription.key() else {
            return String::new();
        };
        let model = world.planner.model();
        let of = model.model(subscription.model());
        assert!(!key.path.is_before(), "a path of now");
        let (mut of, mut path) = (of, String::new());
        for hop in key.path.hops() {
            path += &format!("{}.", of.field(hop).name);
            of = model.model(of.field(hop).relation().expect("a relation").target);
        }
        path += &of.field(key.path.end()).name;
        format!("{path}={}", key.value)
    };
    for (filter, expected) in [
        ("{}", ""),
        ("{ node: { text: \"a\" } }", "text=a"),
        ("{ node: { text: \"a\", id: \"x\", code: \"c\" } }", "id=x"),
        (
            "{ node: { text: \"a\", AND: [{ code: \"c\" }] } }",
            "code=c",
        ),
        (
            "{ node: { text: \"a\", owner: { name: \"b\" } } }",
            "owner.name=b",
        ),
        (
            "{ node: { friends_some: { id_in: [\"b\"], name_not: \"x\" } } }",
            "friends.id=b",
        ),
        (
            "{ AND: [{ node: { size: 3 } }, { mutation_in: [CREATED] }] }",
            "size=3",
        ),
        (
            "{ node: { children_some: { text: \"a\" }, friends_none: { id: \"x\" }, text: null } }",
            "",
        ),
        ("{ OR: [{ node: { id: \"x\" } }] }", ""),
        (
            "{ NOT: [{ node: { id: \"x\" } }], node: { id_not: \"x\", id_in: [\"x\", \"y\"] } }",
            "",
        ),
    ] {
        assert_eq!(shown(world.with(filter)), expected, "{filter}");
    }
    let rights = Some(world.rights(&json!({"sub": "me"})));
    let mine = world
        .subscribe("subscription { node1 { mutation } }", rights)
        .expect("allowed");
    assert_eq!(shown(mine), "owner.name=me");
}

#[test]
fn equal_visibility_and_equal_requests_make_equal_subscriptions() {
    let world = world();
    let hash = |identity: &Arc<SubscriptionIdentity>| {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        hasher.finish()
    };
    let made = |text: &str, claims: Option<Value>| {
        let rights = claims.map(|claims| world.rights(&claims));
        world
            .subscribe(text, rights)
            .expect("allowed")
            .identity()
            .clone()
    };
    let (text, other) = (
        "subscription { node1 { mutation } }",
        "subscription { node1 { updatedFields } }",
    );
    let mine = made(text, Some(json!({"sub": "a", "iat": 1})));
    let again = made(text, Some(json!({"sub": "a", "iat": 2})));
    assert_eq!(mine, again);
    assert_eq!(hash(&mine), hash(&again));
    assert_ne!(mine, made(text, Some(json!({"sub": "b"}))));
    assert_ne!(mine, made(other, Some(json!({"sub": "a"}))));
    assert_ne!(mine, made(text, None));
    assert_eq!(made(text, None), made(text, None));
    assert!(
        size_of::<Subscription>() < 256,
        "{}",
        size_of::<Subscription>()
    );
}
