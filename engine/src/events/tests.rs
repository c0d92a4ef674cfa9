//! How the rows of a transaction come to changes, and what of a subscription is decided without a database.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::datamodel;
use crate::error::ErrorKind;
use crate::plan::{PageLimits, Planner, Rights};
use crate::policy::{Permissions, Policy, PolicySource};
use crate::request::{Limits, RequestOptions, Requests};
use crate::schema::{SchemaOptions, Served, generate};
use crate::sql::{Physical, PhysicalOptions};

const DATAMODEL: &str = r#"
    type Node1 {
      id: ID! @id
      text: String
      code: String @unique
      secret: String
      note: String
      size: Int @db(name: "how_big")
      tags: [String] @scalarList(strategy: RELATION)
      parent: Node1 @relation(name: "Tree", link: INLINE)
      children: [Node1] @relation(name: "Tree")
      friends: [Friend] @relation(name: "Friends", link: TABLE)
      owner: Friend @relation(name: "Owned", link: INLINE)
    }

    type Friend {
      id: ID! @id
      name: String! @unique
      nodes: [Node1] @relation(name: "Friends")
    }
"#;

struct World {
    requests: Requests,
    planner: Planner,
    policy: Arc<Policy>,
}

fn world() -> World {
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    let served = Served::new(&schema).expect("it can be served");
    let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
    let source: PolicySource = serde_json::from_value(json!({
        "operations": {"subscription": {"node1": "subscribe:node1"}},
        "roles": {"user": {
            "rows": {"Node1": "{ owner: { name: $sub } }", "Friend": "{ name: $sub }"},
            "fields": {"Node1": ["id", "text", "code", "size", "tags", "owner", "note"]},
            "shown": {"Node1.note": "{ friends_some: { name: $sub } }"},
        }},
    }))
    .expect("a policy");
    let policy = Policy::new(&source, &physical.model, &schema).expect("a sound policy");
    let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
    let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
    let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
    World {
        requests,
        planner,
        policy: Arc::new(policy),
    }
}

impl World {
    fn rights(&self, claims: &Value) -> Arc<Rights> {
        let none = Map::new();
        let claims = claims.as_object().unwrap_or(&none);
        let permissions = Permissions::of(["role:user", "subscribe:node1"]);
        Arc::new(
            self.planner
                .rights(&self.policy, permissions, claims)
                .expect("rights"),
        )
    }

    fn subscribe(
        &self,
        text: &str,
        rights: Option<Arc<Rights>>,
    ) -> Result<Subscription, crate::error::ApiError> {
        let prepared = self
            .requests
            .prepare(text, None, &Limits::UNLIMITED)
            .expect("a sound document");
        let variables = self.requests.coerce(&prepared.operation, &Map::new())?;
        self.planner
            .subscription(&prepared, variables, PageLimits::default(), rights)
    }

    fn with(&self, filter: &str) -> Subscription {
        self.subscribe(
            &format!("subscription {{ node1(where: {filter}) {{ mutation }} }}"),
            None,
        )
        .expect("sound")
    }

    /// `MODEL ID KIND [updated fields] old`, for each change.
    fn changes(&self, rows: &[LogRow]) -> Vec<String> {
        let shown = |change: &Change| {
            let model = self.planner.model().model(change.model);
            let updated: Vec<&str> = change
                .updated
                .iter()
                .map(|f| model.field(*f).name.as_str())
                .collect();
            let old = change.old.as_deref().unwrap_or("-");
            format!(
                "{} {} {} {updated:?} {old}",
                model.name,
                change.id,
                change.kind.name()
            )
        };
        self.planner.changes(rows, 1, 0).iter().map(shown).collect()
    }
}

fn row(table: &str, kind: char, node: &str) -> LogRow {
    LogRow {
        table: table.into(),
        kind: LogKind::of(kind).expect("a kind"),
        node: node.into(),
        partner: None,
        columns: Vec::new(),
        old: None,
        links: None,
    }
}

impl LogRow {
    fn columns(mut self, columns: &[&str]) -> Self {
        self.columns = columns.iter().map(|&c| c.to_owned()).collect();
        self
    }

    fn old(mut self, old: Value) -> Self {
        self.old = Some(old.to_string());
        self
    }

    fn links(mut self, links: Value) -> Self {
        self.links = Some(links.to_string());
        self
    }

    fn partner(mut self, partner: &str) -> Self {
        self.partner = Some(partner.into());
        self
    }
}

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
    // From one partner to another, each of which names its own end; `owner` has no other end to name.
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
fn a_link_tells_whether_it_came_or_went() {
    let world = world();
    let shown = |rows: &[LogRow]| {
        let changes = world.planner.changes(rows, 1, 0);
        let of = |change: &Change| {
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
fn a_key_is_the_equality_that_tells_most() {
    let world = world();
    let shown = |subscription: Subscription| {
        let Some(key) = subscription.key() else {
            return String::new();
        };
        let model = world.planner.model();
        let of = model.model(subscription.model());
        let path = match key.path {
            Path::Column(field) => of.field(field).name.clone(),
            Path::Linked(field, unique) => {
                let target = of.field(field).relation().expect("a relation").target;
                format!(
                    "{}.{}",
                    of.field(field).name,
                    model.field(target, unique).name
                )
            }
        };
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
fn who_sees_and_asks_the_same_is_the_same() {
    let world = world();
    let hash = |identity: &Arc<Identity>| {
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
    let told = format!("{:?}", statement.params);
    assert!(told.contains("text") && !told.contains("secret"), "{told}");
    // Nor does a change of nothing else become an event, which would be a change that something was said of.
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
fn changes_of_a_field_that_not_every_row_shows_are_not_told() {
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
    let told = format!("{:?}", statement.params);
    assert!(
        told.contains("text") && !told.contains("\\\"note\\\"]"),
        "{told}"
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
