//! Statement texts hold no value that a client gave: hostile strings change the parameters and
//! nothing else, so nothing can be injected and the cache of prepared statements is not flooded.

mod aliases;
mod sources;

use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::events::{LogKind, LogRow, MoveReader, Path, Subscription};
use gom_engine::plan::{Access, PageLimits, Param, Planner, Statement, Step, WriteHooks};
use gom_engine::request::{OperationKind, RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use sources::Counted;

const DATAMODEL: &str = r#"
    enum Color { RED GREEN }

    type Node1 {
      id: ID! @id
      text: String
      code: String @unique
      json: Json
      color: Color
      tags: [String] @scalarList(strategy: RELATION)
      parent: Node1 @relation(name: "Tree", link: INLINE)
      children: [Node1] @relation(name: "Tree")
      friends: [Friend] @relation(name: "Friends", link: TABLE)
      best: Friend @relation(name: "Best", link: TABLE)
    }

    type Friend {
      id: ID! @id
      name: String! @unique
      nodes: [Node1] @relation(name: "Friends")
      bestOf: Node1 @relation(name: "Best")
    }
"#;

const QUERY: &str = "query ($where: Node1WhereInput, $nested: FriendWhereInput, $one: Node1WhereUniqueInput!, \
    $after: String, $before: String, $id: ID!) {
  node1s(where: $where, orderBy: text_DESC, after: $after, before: $before) { id friends(where: $nested, first: 2) { name } }
  node1sConnection(where: $where, last: 3, after: $after) { edges { cursor node { id tags } } aggregate { count } }
  node1(where: $one) { id json best { name } }
  node(id: $id) { id }
}";

const MUTATION: &str =
    "mutation ($where: Node1WhereInput, $one: Node1WhereUniqueInput!, $create: Node1CreateInput!, \
    $update: Node1UpdateInput!, $many: Node1UpdateManyMutationInput!) {
  createNode1(data: $create) { id text }
  updateNode1(where: $one, data: $update) { id text tags }
  upsertNode1(where: $one, create: $create, update: $update) { id }
  updateManyNode1s(where: $where, data: $many) { count }
  deleteManyNode1s(where: $where) { count }
  deleteNode1(where: $one) { id text json tags best { name } }
}";

const SUBSCRIPTION: &str = "subscription ($event: Node1SubscriptionWhereInput) {
  node1(where: $event) { mutation updatedFields node { id tags friends { name } } previousValues { text tags } }
}";

/// Text that would do harm outside of a parameter, longer than anything that statements happen to
/// hold, and marked so that it is found.
fn hostile() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        select(
            &[
                "'",
                "\"",
                "\\",
                "$1",
                "$$",
                "');drop table \"Node1\";--",
                "\u{1}1\u{2}",
                "\u{1}",
                "/*",
                "--",
                "E'\\'",
                "{\"a\",null}",
                "%_",
                "é😀\u{202e}",
                "\n",
                "null",
                "t1.\"id\"",
                "",
            ][..]
        )
        .prop_map(str::to_owned),
        "\\PC{0,6}",
        "[\u{1}-\u{7f}]{0,6}",
    ];
    // At most 25 characters also where it is an id.
    text.prop_map(|text| format!("x¤{text}"))
}

/// What a filter may be, with `?` where its texts go.
fn shapes() -> impl Strategy<Value = Value> {
    let text = [
        "text",
        "text_not",
        "text_lt",
        "text_gte",
        "text_contains",
        "text_not_ends_with",
        "id",
        "code",
    ];
    let leaf = prop_oneof![
        select(text.to_vec()).prop_map(|key| json!({ key: "?" })),
        (select(vec!["id_in", "text_not_in"]), 1..4_usize)
            .prop_map(|(key, n)| json!({ key: vec!["?"; n] })),
        Just(json!({"color_in": ["RED"], "text": null})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (
                select(vec!["AND", "OR", "NOT"]),
                prop::collection::vec(inner.clone(), 0..3)
            )
                .prop_map(|(key, parts)| json!({ key: parts })),
            (
                select(vec![
                    "children_some",
                    "children_every",
                    "children_none",
                    "parent"
                ]),
                inner.clone()
            )
                .prop_map(|(key, part)| json!({ key: part })),
            inner.prop_map(|part| json!({"friends_some": {"nodes_none": part, "name": "?"}})),
            Just(json!({"best": {"name": "?"}})),
        ]
    })
}

/// Puts the texts, one after the other, where the question marks are.
fn filled(shape: &Value, texts: &mut impl Iterator<Item = String>) -> Value {
    match shape {
        Value::String(mark) if mark == "?" => texts.next().unwrap_or_default().into(),
        Value::Array(items) => items.iter().map(|item| filled(item, texts)).collect(),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), filled(value, texts)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn variables(filter: &Value) -> Value {
    json!({
        "where": filter,
        "nested": {"nodes_some": filter, "name_starts_with": "?"},
        "one": {"code": "?"},
        "after": "?", "before": "?", "id": "?",
        "create": {
            "text": "?", "code": "?", "json": {"?": 1, "a": "?"}, "tags": {"set": ["?", "?"]},
            "parent": {"connect": {"code": "?"}},
            "friends": {"create": [{"name": "?"}], "connect": [{"name": "?"}, {"id": "?"}]},
        },
        "update": {
            "text": "?", "tags": {"set": ["?"]}, "json": ["?"],
            "children": {
                "updateMany": [{"where": {"text_contains": "?", "NOT": [{"code": "?"}]}, "data": {"text": "?"}}],
                "deleteMany": [{"text_in": ["?", "?"]}],
                "delete": [{"id": "?"}],
                "upsert": [{"where": {"code": "?"}, "create": {"text": "?"}, "update": {"text": "?"}}],
            },
            "friends": {"set": [{"name": "?"}], "disconnect": [{"id": "?"}]},
            "best": {"upsert": {"create": {"name": "?"}, "update": {"name": "?"}}},
        },
        "many": {"text": "?", "tags": {"set": ["?"]}},
        "event": {
            "node": filter,
            "OR": [{"mutation_in": ["DELETED"]}, {"updatedFields_contains": "?", "NOT": [{"node": {"text": "?"}}]}],
        },
        "changed": "?", "was": "?",
    })
}

struct Compiler {
    requests: Requests,
    planner: Planner,
}

impl Compiler {
    fn new() -> Self {
        let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let served = Served::new(&schema).expect("it can be served");
        let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        Compiler {
            requests: Requests::new(schema, Box::new(validate), RequestOptions::default()),
            planner,
        }
    }

    /// The statements of all root fields, and of all branches of mutations.
    fn statements(&self, document: &str, given: &Value) -> Vec<Statement> {
        let prepared = self
            .requests
            .prepare(document, None, &RequestLimits::UNLIMITED)
            .expect("a sound document");
        let operation = &prepared.operation;
        let mut given = given.as_object().cloned().unwrap_or_default();
        let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
        let (changed, was) = (text("changed"), text("was"));
        given.retain(|name, _| document.contains(&format!("${name}:")));
        let variables = self
            .requests
            .coerce(operation, &given)
            .expect("sound variables");
        let mut statements = Vec::new();
        if operation.kind == OperationKind::Subscription {
            let limits = PageLimits {
                page_size: Some(1000),
                ..PageLimits::default()
            };
            let subscription = self
                .planner
                .subscription_with_leaves(&prepared, variables, limits, None)
                .expect("sound");
            return self.events(&subscription, changed, was);
        }
        for field in &operation.fields {
            let limits = PageLimits {
                page_size: Some(1000),
                ..PageLimits::default()
            };
            if operation.kind == OperationKind::Query {
                statements.push(
                    self.planner
                        .query(field, &variables, limits, Access::Full)
                        .expect("a statement"),
                );
            } else {
                let program = self.planner.mutation(
                    field,
                    &variables,
                    limits,
                    Access::Full,
                    &mut Counted::default(),
                    WriteHooks::default(),
                );
                collect(&program.expect("a program").steps, &mut statements);
            }
        }
        statements
    }
}

impl Compiler {
    /// The statements of an update and a deletion; the rows hold the texts, too.
    fn events(&self, subscription: &Subscription, changed: String, was: String) -> Vec<Statement> {
        let old = json!({"id": changed, "text": was, "parent": was, "code": was}).to_string();
        let row = |kind, node: String| LogRow {
            table: "Node1".into(),
            kind,
            node,
            partner: None,
            columns: vec!["text".into()],
            old: Some(old.clone()),
            links: None,
        };
        let log = [
            row(LogKind::Updated, changed.clone()),
            row(LogKind::Deleted, format!("{changed}2")),
        ];
        let changes = self.planner.changes(&log, 7, 0);
        let changes: Vec<_> = changes
            .iter()
            .filter(|change| change.model.0 == 0)
            .collect();
        let of = &self.planner.physical().model.models[0];
        let [code, friends] =
            ["code", "friends"].map(|name| of.field_named(name).expect("a field"));
        let name = self.planner.physical().model.models[1]
            .field_named("name")
            .expect("a field");
        let paths = [Path::column(code), Path::linked(friends, name)];
        let paths = [paths, paths.map(Path::before)].concat();
        let moves = MoveReader::new(subscription, changes.iter().copied());
        vec![
            moves
                .statement(&self.planner, &changes)
                .expect("a statement"),
            self.planner
                .payloads(subscription, &changes)
                .expect("a statement"),
            self.planner.probe(subscription.model(), &paths, &changes),
        ]
    }
}

fn collect(steps: &[Step], statements: &mut Vec<Statement>) {
    for step in steps {
        match step {
            Step::Run { statement, .. } => statements.push(statement.clone()),
            Step::Choose {
                then, otherwise, ..
            } => {
                collect(then, statements);
                collect(otherwise, statements);
            }
        }
    }
}

/// Makes the same choices for a seed: `STATEMENTS_SEED`, or one of the clock's, which is printed.
fn runner() -> TestRunner {
    let asked = std::env::var("STATEMENTS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let seed = asked.unwrap_or(now.as_secs());
    println!("STATEMENTS_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn values_change_parameters_and_never_the_text() {
    let (compiler, cases) = (
        Compiler::new(),
        (shapes(), prop::collection::vec(hostile(), 1..60)),
    );
    let result = runner().run(&cases, |(shape, texts)| {
        let shape = variables(&shape);
        // Distinct also in the plain filling, so that no coincidence of values shows.
        let mut number = 0;
        let mut plain = std::iter::from_fn(|| {
            number += 1;
            Some(format!("p{number}"))
        });
        let plain = filled(&shape, &mut plain);
        let hostile = filled(&shape, &mut texts.iter().cycle().cloned());
        for document in [QUERY, MUTATION, SUBSCRIPTION] {
            let (plain, hostile) = (
                compiler.statements(document, &plain),
                compiler.statements(document, &hostile),
            );
            let sql = |statements: &[Statement]| -> Vec<String> {
                statements.iter().map(|s| s.sql.clone()).collect()
            };
            prop_assert_eq!(sql(&plain), sql(&hostile));
            for statement in &hostile {
                prop_assert!(!statement.sql.contains('¤'), "{}", statement.sql);
                for text in texts.iter().filter(|t| t.chars().count() > 3) {
                    prop_assert!(
                        !statement.sql.contains(text.as_str()),
                        "{text} in {}",
                        statement.sql
                    );
                }
            }
            // Or nothing was compared.
            let carried = hostile.iter().flat_map(|s| &s.params);
            prop_assert!(
                carried
                    .filter(|p| matches!(p, Param::Text(t) if t.contains('¤')))
                    .count()
                    > 3
            );
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
