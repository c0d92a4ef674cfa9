//! What decides the set of a subscription that reports leaves, and which changes may move rows.

use super::*;

fn with_leaves(world: &World, filter: &str, rights: Option<Arc<Rights>>) -> Subscription {
    let text = format!("subscription {{ node1(where: {filter}) {{ mutation }} }}");
    try_leaves(world, &text, rights).expect("sound")
}

fn try_leaves(
    world: &World,
    text: &str,
    rights: Option<Arc<Rights>>,
) -> Result<Subscription, crate::error::ApiError> {
    let prepared = world
        .requests
        .prepare(text, None, &RequestLimits::UNLIMITED)
        .expect("a sound document");
    let variables = world.requests.coerce(&prepared.operation, &Map::new())?;
    let limits = PageLimits::default();
    world
        .planner
        .subscription_with_leaves(&prepared, variables, limits, rights)
}

/// `Model field field`, for each model whose rows move others.
fn dependencies(world: &World, subscription: &Subscription) -> Vec<String> {
    let shown = |dependency: &Dependency| {
        let model = world.planner.model().model(dependency.model);
        let fields = dependency
            .fields
            .iter()
            .map(|field| &model.field(*field).name);
        let fields: Vec<&str> = fields.map(String::as_str).collect();
        format!("{} {}", model.name, fields.join(" "))
    };
    subscription.dependencies().iter().map(shown).collect()
}

#[test]
fn fields_of_related_rows_decide_and_their_ids_do_not() {
    let world = world();
    for (filter, expected) in [
        ("{}", &[][..]),
        ("{ node: { text: \"a\", parent: null } }", &[]),
        ("{ node: { owner: { id: \"x\" } } }", &[]),
        ("{ node: { owner: { name: \"x\" } } }", &["Friend name"]),
        (
            "{ OR: [{ node: { friends_none: { name: \"x\" } } }, { mutation_in: [CREATED] }] }",
            &["Friend name"],
        ),
        (
            "{ NOT: [{ node: { children_every: { text: \"x\", owner: { name: \"y\" } } } }] }",
            &["Node1 text owner", "Friend name"],
        ),
    ] {
        let subscription = with_leaves(&world, filter, None);
        assert_eq!(dependencies(&world, &subscription), expected, "{filter}");
    }
    // The viewer's rule decides as well.
    let mine = with_leaves(&world, "{}", Some(world.rights(&json!({"sub": "me"}))));
    assert_eq!(dependencies(&world, &mine), ["Friend name"]);
}

#[test]
fn conditions_on_the_change_take_no_row_out_of_the_set() {
    let world = world();
    let node = |name: &str| format!("{{ node: {{ text: \"{name}\" }} }}");
    let a = node("a");
    for (filter, equal) in [
        ("{ mutation_in: [CREATED] }".to_owned(), "{}"),
        (
            "{ NOT: [{ mutation_in: [DELETED] }] }".to_owned(),
            "{ NOT: [{ OR: [] }] }",
        ),
        (
            format!("{{ AND: [{a}, {{ updatedFields_contains: \"text\" }}] }}"),
            &a,
        ),
        (
            format!("{{ AND: [{{ mutation_in: [UPDATED] }}, {a}] }}"),
            &a,
        ),
    ] {
        let rows = |filter: &str| {
            let subscription = with_leaves(&world, filter, None);
            subscription.membership().map(|set| set.filter.clone())
        };
        assert_eq!(rows(&filter), rows(equal), "{filter}");
    }
    let either = with_leaves(
        &world,
        &format!("{{ OR: [{{ mutation_in: [CREATED] }}, {a}] }}"),
        None,
    );
    let set = either.membership().expect("a set");
    let crate::sql::Filter::Or(parts) = &set.filter else {
        panic!("{:?}", set.filter)
    };
    assert!(parts[0].is_true(), "any row may be reported");
}

#[test]
fn subscribers_with_and_without_leaves_are_no_group() {
    let world = world();
    let text = "subscription { node1 { mutation } }";
    let (with, without) = (
        try_leaves(&world, text, None).expect("sound"),
        world.subscribe(text, None).expect("sound"),
    );
    assert_ne!(with.identity(), without.identity());
    assert!(without.key_before().is_none() && without.dependencies().is_empty());
}

#[test]
fn the_key_finds_what_had_its_value_before() {
    let world = world();
    let keyed = with_leaves(&world, "{ node: { code: \"c\" } }", None);
    let (key, before) = (keyed.key().cloned(), keyed.key_before());
    assert_eq!(key.map(|key| key.path.before()), before.map(|key| key.path));
}

#[test]
fn a_role_that_may_not_name_the_id_gets_no_leaves() {
    let mut world = world();
    let source: PolicySource = serde_json::from_value(json!({
        "operations": {"subscription": {"node1": "subscribe:node1"}},
        "roles": {"user": {"rows": {"Node1": "{}"}, "fields": {"Node1": ["text"]}}},
    }))
    .expect("a policy");
    let schema = generate(world.planner.model(), SchemaOptions::default());
    let policy = Policy::new(&source, world.planner.model(), &schema).expect("a sound policy");
    world.policy = Arc::new(policy);
    let text = "subscription { node1 { mutation } }";
    let rights = || Some(world.rights(&json!({})));
    assert!(world.subscribe(text, rights()).is_ok());
    let refused = try_leaves(&world, text, rights()).expect_err("no id");
    assert_eq!(refused.kind, ErrorKind::Forbidden);
}

#[test]
fn filters_through_too_many_ways_are_refused() {
    let world = world();
    let mut filter = "{ text: \"a\" }".to_owned();
    for _ in 0..40 {
        filter = format!("{{ parent: {filter}, text: \"a\" }}");
    }
    let text = format!("subscription {{ node1(where: {{ node: {filter} }}) {{ mutation }} }}");
    assert!(world.subscribe(&text, None).is_ok());
    let refused = try_leaves(&world, &text, None).expect_err("too many");
    assert_eq!(refused.kind, ErrorKind::BadUserInput);
    assert!(refused.message.contains("40 ways"), "{}", refused.message);
}
