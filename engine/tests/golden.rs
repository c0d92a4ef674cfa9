//! What the compiler makes of operations on Gom's own model: `golden/operations/NAME.graphql`
//! (variables in its first line) beside `NAME.sql`, the statements; and in `golden/subscriptions/`
//! what reads the events of a subscription; for a viewer named in a line `# viewer: ROLE SUB` or
//! for the service. `UPDATE_EXPECT=1 cargo test -p gom-engine --test golden` rewrites the latter,
//! for review in the diff.

mod sources;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gom_engine::datamodel::{self, JobRule, WatchedModel};
use gom_engine::events::{LogKind, LogRow, MoveReader, SubscriptionKey};
use gom_engine::plan::{
    ANSWER, Access, AnswerSlot, Expect, PageLimits, Param, Planner, Rights, Statement, Step,
    WriteHooks,
};
use gom_engine::policy::{Permissions, Policy, PolicySource};
use gom_engine::request::{OperationKind, RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};

use sources::Counted;

#[test]
fn operations_compile_to_the_statements_beside_them() {
    compare("operations", 10, compile);
}

#[test]
fn subscriptions_compile_to_the_statements_beside_them() {
    compare("subscriptions", 3, events);
}

#[test]
fn the_writer_is_recorded_where_another_models_mutation_may_change_a_watched_row() {
    let notes = |mutation: &str| {
        compile(&format!(
            "# viewer: seller a\nmutation {{ {mutation} {{ uid }} }}"
        ))
        .contains("gom.writer")
    };
    assert!(notes(
        r#"updateOrder(where: {uid: "o"}, data: {name: "n"})"#
    ));
    assert!(notes(
        r#"updateBp(where: {uid: "b"}, data: {orders: {connect: [{uid: "o"}]}})"#
    ));
    assert!(
        notes(r#"deleteBp(where: {uid: "b"})"#),
        "its orders go along"
    );
    assert!(
        !notes(r#"updateBp(where: {uid: "b"}, data: {name1: "n"})"#),
        "a statement more for nothing"
    );
}

#[test]
fn write_hooks_apply_to_the_top_level_row_in_either_branch_of_an_upsert() {
    let Shop {
        requests, planner, ..
    } = Shop::new();
    let text = r#"mutation { upsertOrder(where: {uid: "o"},
        update: {items: {create: [{quantity: 1}]}},
        create: {name: "n", assignedTo: {connect: {uid: "u"}}, issuedTo: {create: {name1: "x"}}}) { uid } }"#;
    let prepared = requests
        .prepare(text, None, &RequestLimits::default())
        .expect("the document is sound");
    let variables = requests
        .coerce(&prepared.operation, &serde_json::Map::new())
        .expect("there are none");
    let order = planner
        .physical()
        .model
        .model_named("Order")
        .expect("there are orders");
    let name = planner
        .physical()
        .model
        .model(order)
        .field_named("name")
        .expect("they have names");
    let amendments = WriteHooks {
        set: vec![(name, "amended".into())],
        ..WriteHooks::default()
    };
    let field = &prepared.operation.fields[0];
    let limits = PageLimits::default();
    let program = planner.mutation(
        field,
        &variables,
        limits,
        Access::Full,
        &mut Counted::default(),
        amendments,
    );
    let mut out = String::new();
    show_steps(&mut out, "", &program.expect("a program").steps);
    let lines: Vec<&str> = out.lines().collect();
    let amended: Vec<&str> = lines
        .windows(2)
        .filter(|pair| pair[1].contains("'amended'"))
        .map(|pair| {
            pair[0]
                .trim_start()
                .split(" set ")
                .next()
                .expect("a first part")
        })
        .collect();
    assert_eq!(amended.len(), 2, "{out}");
    assert!(amended[0].starts_with("update \"shop\".\"Order\""), "{out}");
    assert!(
        amended[1].contains("insert into \"shop\".\"Order\""),
        "{out}"
    );
}

#[test]
fn an_idempotency_key_adds_a_claim_before_and_a_store_after_all_else() {
    let Shop {
        requests, planner, ..
    } = Shop::new();
    let text = r#"mutation { createOrder(data: {name: "n", assignedTo: {connect: {uid: "u"}}, issuedTo: {create: {name1: "x"}}}) { uid } }"#;
    let prepared = requests
        .prepare(text, None, &RequestLimits::default())
        .expect("the document is sound");
    let variables = requests
        .coerce(&prepared.operation, &serde_json::Map::new())
        .expect("there are none");
    let slot = AnswerSlot {
        viewer: "aa".into(),
        key: "k".into(),
        request: "bb".into(),
        session: None,
        field: 0,
        answer_bytes: 1_024,
        keys: None,
    };
    let steps = |slot: Option<AnswerSlot>| {
        let program = planner.mutation(
            &prepared.operation.fields[0],
            &variables,
            PageLimits::default(),
            Access::Full,
            &mut Counted::default(),
            WriteHooks {
                writer: Some("w".into()),
                slot,
                ..WriteHooks::default()
            },
        );
        program.expect("a program").steps
    };
    let (without, with) = (steps(None), steps(Some(slot.clone())));
    let [first, between @ .., last] = with.as_slice() else {
        panic!("{with:?}");
    };
    assert_eq!(between, without);
    let Step::Run {
        statement, expect, ..
    } = first
    else {
        panic!("{first:?}");
    };
    assert_eq!(*statement, slot.claim());
    assert!(
        matches!(expect, Expect::Awaited(_)),
        "no row ends the program before its writes"
    );
    let Step::Run {
        statement, expect, ..
    } = last
    else {
        panic!("{last:?}");
    };
    assert_eq!(*statement, slot.store(Param::Register(ANSWER)));
    assert_eq!(*expect, Expect::Anything, "it is sent with the commit");
}

#[test]
fn the_claims_that_decide_are_those_that_rules_and_stamps_use() {
    let Shop {
        planner, policy, ..
    } = Shop::new();
    let permissions = Permissions::of(["role:seller", "manage:all"]);
    let claims = serde_json::json!({ "sub": "a", "email": "a@example.com" });
    let rights = planner.rights(&policy, permissions, claims.as_object().expect("an object"));
    let decided_by = rights.expect("the role is known").decided_by().clone();
    assert_eq!(
        serde_json::Value::from(decided_by),
        serde_json::json!({ "sub": "a" })
    );
}

fn compare(folder: &str, least: usize, compile: impl Fn(&str) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder);
    let mut documents: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "graphql"))
        .collect();
    documents.sort();
    assert!(documents.len() >= least, "the golden documents are gone");
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document can be read");
        let compiled = compile(&text);
        let beside = document.with_extension("sql");
        expect_test::expect_file![beside].assert_eq(&compiled);
    }
}

/// Gom's own model.
struct Shop {
    requests: Requests,
    planner: Planner,
    policy: Arc<Policy>,
}

impl Shop {
    fn new() -> Shop {
        let model_text = include_str!("../../config/datamodel.prisma");
        let mut model =
            datamodel::parse("datamodel.prisma", model_text).expect("Gom's model is sound");
        let order = model.model_named("Order").expect("there are orders");
        model.watched.push(WatchedModel {
            model: order,
            subject: "order",
            jobs: JobRule::Each,
            open: None,
        });
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let served = Served::new(&schema).expect("Gom's model can be served");
        let source: PolicySource = serde_json::from_value(serde_json::json!({
            "operations": {
                "subscription": {"order": "subscribe:order"},
                "mutation": {
                    "createOrder": "create:order", "updateOrder": "update:order", "deleteOrder": "delete:order",
                    "createBp": "create:bp", "updateBp": "update:bp", "deleteBp": "delete:bp",
                },
            },
            "parts": {"Item": ["Order"], "Price": ["Order"]},
            "stamps": {"create": {"createdBy": "$sub"}, "update": {"updatedBy": "$sub"}},
            "generated": {"Bp.extUid": 10},
            "roles": {"seller": {
                "rows": {
                    "Order": "{ assignedTo: { extUid: $sub } }", "User": "{ extUid: $sub }",
                    "Bp": "{ OR: [{ customerOf_some: { extUid: $sub } }, { orders_some: { assignedTo: { extUid: $sub } } }] }",
                    "Item": "{ order: { assignedTo: { extUid: $sub } } }",
                    "Price": "{ item: { order: { assignedTo: { extUid: $sub } } } }",
                },
                "writes": {"Bp": "{ customerOf_some: { extUid: $sub } }"},
            }},
        }))
        .expect("a policy");
        let policy = Policy::new(&source, &model, &schema).expect("a sound policy");
        let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        Shop {
            requests,
            planner,
            policy: Arc::new(policy),
        }
    }
}

/// What the value of a comment `# NAME: VALUE` is.
fn comment<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        line.strip_prefix("# ")?
            .strip_prefix(name)?
            .strip_prefix(": ")
    })
}

/// Of the viewer that a comment names.
fn rights(text: &str, planner: &Planner, policy: &Arc<Policy>) -> Option<Rights> {
    let (role, sub) = comment(text, "viewer")?.split_once(' ')?;
    let role = format!("role:{role}");
    let permissions = Permissions::of([role.as_str(), "manage:all"]);
    let claims = serde_json::json!({ "sub": sub });
    let rights = planner.rights(policy, permissions, claims.as_object().expect("an object"));
    Some(rights.expect("the role is known"))
}

/// The key, the statement that reads values for the index, and the one that reads payloads: of an
/// order that was updated and one that was deleted with its customer.
fn events(text: &str) -> String {
    let Shop {
        requests,
        planner,
        policy,
    } = Shop::new();
    let prepared = requests
        .prepare(text, None, &RequestLimits::default())
        .expect("the document is sound");
    let variables =
        serde_json::from_str(comment(text, "variables").unwrap_or("{}")).expect("a JSON object");
    let variables = requests
        .coerce(&prepared.operation, &variables)
        .expect("the variables are sound");
    let rights = rights(text, &planner, &policy).map(Arc::new);
    let limits = PageLimits {
        page_size: Some(1000),
        ..PageLimits::default()
    };
    let leaves = comment(text, "leaves").is_some();
    let subscription = if leaves {
        planner.subscription_with_leaves(&prepared, variables, limits, rights)
    } else {
        planner.subscription(&prepared, variables, limits, rights)
    };
    let subscription = subscription.expect("it is allowed");
    let row = |table: &str, kind, node: &str, columns: &[&str], old: &str| LogRow {
        table: table.into(),
        kind,
        node: node.into(),
        partner: None,
        columns: columns.iter().map(|&column| column.into()).collect(),
        old: Some(old.into()),
        links: None,
    };
    let log = [
        row(
            "Order",
            LogKind::Updated,
            "o1",
            &["stage"],
            r#"{"uid":"o1","stage":"OPEN"}"#,
        ),
        row(
            "Order",
            LogKind::Deleted,
            "o2",
            &[],
            r#"{"uid":"o2","stage":"OPEN"}"#,
        ),
        row("Bp", LogKind::Deleted, "b1", &[], r#"{"uid":"b1"}"#),
        row(
            "User",
            LogKind::Updated,
            "u1",
            &["extUid"],
            r#"{"uid":"u1"}"#,
        ),
    ];
    let log = planner.changes(&log, 7, 0);
    let changes: Vec<_> = log
        .iter()
        .filter(|c| c.model == subscription.model())
        .collect();
    let mut out = String::new();
    let key = subscription.key().map(|SubscriptionKey { path, value }| {
        format!("Some(Key {{ path: {path:?}, value: {value:?} }})")
    });
    let key = key.as_deref().unwrap_or("None");
    writeln!(out, "-- key: {key}").expect("a string takes everything");
    if let Some(key) = subscription.key() {
        let before = subscription.key_before().map(|before| before.path);
        let paths: Vec<_> = [key.path].into_iter().chain(before).collect();
        show(
            &mut out,
            "",
            &planner.probe(subscription.model(), &paths, &changes),
        );
    }
    let payloads = planner.payloads(&subscription, &changes);
    show(&mut out, "", &payloads.expect("a statement"));
    if leaves {
        let concerned: Vec<_> = log.iter().filter(|c| subscription.concerns(c)).collect();
        let moves = MoveReader::new(&subscription, &log).statement(&planner, &concerned);
        show(&mut out, "", &moves.expect("a statement"));
    }
    out
}

fn compile(text: &str) -> String {
    let Shop {
        requests,
        planner,
        policy,
    } = Shop::new();
    let rights = rights(text, &planner, &policy);
    let access = rights.as_ref().map_or(Access::Full, Access::Limited);
    let variables =
        serde_json::from_str(comment(text, "variables").unwrap_or("{}")).expect("a JSON object");
    let prepared = requests
        .prepare(text, None, &RequestLimits::default())
        .expect("the document is sound");
    let operation = &prepared.operation;
    let variables = requests
        .coerce(operation, &variables)
        .expect("the variables are sound");
    let mut out = String::new();
    for field in operation
        .fields
        .iter()
        .filter(|f| f.inclusion.holds(&variables))
    {
        writeln!(out, "-- {}", field.key).expect("a string takes everything");
        if operation.kind == OperationKind::Query {
            match planner.query(field, &variables, PageLimits::default(), access) {
                Ok(statement) => show(&mut out, "", &statement),
                Err(error) => writeln!(out, "-- {error}").expect("a string takes everything"),
            }
            continue;
        }
        match planner.mutation(
            field,
            &variables,
            PageLimits::default(),
            access,
            &mut Counted::default(),
            WriteHooks {
                writer: rights.is_some().then(|| "a".into()),
                ..WriteHooks::default()
            },
        ) {
            Ok(program) => show_steps(&mut out, "", &program.steps),
            Err(error) => writeln!(out, "-- {error}").expect("a string takes everything"),
        }
    }
    out
}

fn show_steps(out: &mut String, indent: &str, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Run {
                statement,
                fills,
                expect,
            } => {
                show(out, indent, statement);
                for register in fills {
                    writeln!(out, "{indent}-- into r{}", register.0)
                        .expect("a string takes everything");
                }
                let expected = match expect {
                    Expect::Anything => continue,
                    Expect::Some(error) | Expect::Awaited(error) | Expect::Found(error) => {
                        format!("a row, or: {error}")
                    }
                    Expect::None(error) => format!("no row, or: {error}"),
                    Expect::NoConflict => "no row, or the program is repeated".to_owned(),
                    Expect::Filled(columns) => {
                        let each = columns
                            .iter()
                            .map(|(i, error)| format!("column {i}, or: {error}"));
                        each.collect::<Vec<_>>().join("; ")
                    }
                };
                writeln!(out, "{indent}-- expects {expected}").expect("a string takes everything");
            }
            Step::Choose {
                register,
                then,
                otherwise,
            } => {
                writeln!(out, "{indent}-- if r{} holds a value", register.0)
                    .expect("a string takes everything");
                show_steps(out, &format!("{indent}  "), then);
                writeln!(out, "{indent}-- otherwise").expect("a string takes everything");
                show_steps(out, &format!("{indent}  "), otherwise);
            }
        }
    }
}

fn show(out: &mut String, indent: &str, statement: &Statement) {
    let params = statement.params.iter().enumerate().map(|(i, param)| {
        let value = match param {
            Param::Null => "null".into(),
            Param::Text(text) => format!("'{text}'"),
            Param::Register(register) => format!("r{}", register.0),
        };
        format!("${} = {value}", i + 1)
    });
    writeln!(out, "{indent}{}", statement.sql).expect("a string takes everything");
    writeln!(out, "{indent}-- {}", params.collect::<Vec<_>>().join(", "))
        .expect("a string takes everything");
}
