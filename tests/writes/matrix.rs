//! The table of kinds × states × writes, each read back from both sides.

use futures::future::join_all;
use serde_json::Value;

use crate::relations::{After, End, Kind, Links, UNKNOWN, Write, kinds};
use crate::{outcome, serve};
use gom_test_support::app::TestApp;

#[actix_web::test]
async fn every_relation_keeps_its_promises_under_every_write() {
    let kinds = kinds();
    assert_eq!(kinds.len(), 21);
    let app = serve(&kinds.iter().map(Kind::datamodel).collect::<String>()).await;
    // The kinds share nothing, so that they need not wait for each other.
    let failures: Vec<String> = join_all(kinds.iter().map(|kind| all_writes(&app, kind)))
        .await
        .into_iter()
        .flatten()
        .collect();
    assert!(
        failures.is_empty(),
        "{} cases fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

async fn all_writes(app: &TestApp, kind: &Kind) -> Vec<String> {
    let mut failures = Vec::new();
    let mut number = 0;
    for state in kind.states() {
        for write in kind.writes_in_update() {
            number += 1;
            // Half of them in an upsert's branch.
            let document = if number % 2 == 0 {
                format!(
                    "updateP{0}(where: {{u: \"p1-{number}\"}}, data: {{child: {1}}}) {{ u }}",
                    kind.number,
                    text(kind, write, number)
                )
            } else {
                format!(
                    "upsertP{0}(where: {{u: \"p1-{number}\"}}, update: {{child: {1}}}, create: {{u: \"p4-{number}\", child: {{create: {{u: \"c4-{number}\"}}}}}}) {{ u }}",
                    kind.number,
                    text(kind, write, number)
                )
            };
            let expected = kind.after_update(&state, write);
            failures.extend(case(app, kind, number, &state, write, &document, expected).await);
        }
        for write in [Write::Create, Write::Connect("c1"), Write::Connect(UNKNOWN)] {
            if write == Write::Connect(UNKNOWN)
                && (kind.parent, kind.child) == (End::Required, End::Required)
            {
                continue;
            }
            number += 1;
            let data = format!(
                "{{u: \"p3-{number}\", child: {}}}",
                text(kind, write, number)
            );
            let document = if number % 2 == 0 {
                format!("createP{}(data: {data}) {{ u }}", kind.number)
            } else {
                format!(
                    "upsertP{}(where: {{u: \"p3-{number}\"}}, create: {data}, update: {{u: \"p4\"}}) {{ u }}",
                    kind.number
                )
            };
            let expected = kind.after_create(&state, write);
            failures.extend(case(app, kind, number, &state, write, &document, expected).await);
        }
    }
    failures
}

/// The names carry the number of the case, so that no case sees the nodes of another.
async fn case(
    app: &TestApp,
    kind: &Kind,
    number: usize,
    state: &Links,
    write: Write,
    document: &str,
    expected: Result<After, i64>,
) -> Option<String> {
    let setup = app.ask(&setup(kind, state, number)).await.body;
    assert!(setup.get("errors").is_none(), "{kind:?} {state:?}: {setup}");
    let before = read(app, kind, number).await;
    let answer = app.ask(&format!("mutation {{ {document} }}")).await.body;
    let after = read(app, kind, number).await;
    let wrong = match (outcome(&answer), expected) {
        (Ok(_), Ok(expected)) => {
            let read = links(&after);
            let gone = expected
                .gone
                .is_some_and(|c| names(&after["cs"]).contains(&c.to_owned()));
            let wanted = (
                owned(&expected.links),
                owned(&expected.links),
                expected.changed.map(str::to_owned).into_iter().collect(),
            );
            (read != wanted || gone).then(|| format!("expected {wanted:?}, read {read:?}"))
        }
        (Err((code, message)), Err(wanted)) => {
            let id = before["ps"]
                .as_array()
                .unwrap()
                .iter()
                .find(|p| name(p) == "p1")
                .unwrap()["id"]
                .as_str()
                .unwrap();
            let text = message_of(kind, number, write, wanted).replace("'ID'", &format!("'{id}'"));
            if code != wanted || message != text {
                Some(format!(
                    "expected {wanted} {text}\n      got {code} {message}"
                ))
            } else if before != after {
                Some(format!("{code}, yet {before} became {after}"))
            } else {
                None
            }
        }
        (got, wanted) => Some(format!("expected {wanted:?}, got {got:?}")),
    };
    wrong.map(|wrong| {
        let Kind { parent, child, stored, .. } = kind;
        format!("{parent:?} to {child:?}, {stored:?}, {state:?}, {write:?} in {document}:\n      {wrong}")
    })
}

fn setup(kind: &Kind, state: &Links, n: usize) -> String {
    let k = kind.number;
    let mut out = String::from("mutation {");
    for (p, c) in state {
        out += &format!(
            " {p}: createP{k}(data: {{u: \"{p}-{n}\", child: {{create: {{u: \"{c}-{n}\"}}}}}}) {{ u }}"
        );
    }
    if !state.iter().any(|l| l.0 == "p1") {
        out += &format!(" p1: createP{k}(data: {{u: \"p1-{n}\"}}) {{ u }}");
    }
    if !state.iter().any(|l| l.1 == "c1") {
        out += &format!(" c1: createC{k}(data: {{u: \"c1-{n}\"}}) {{ u }}");
    }
    out + " }"
}

fn text(kind: &Kind, write: Write, n: usize) -> String {
    let single = kind.parent != End::List;
    let unique = |c: &str| format!("{{u: \"{c}-{n}\"}}");
    let flag_or = |c: &str| if single { "true".to_owned() } else { unique(c) };
    let create = format!("{{u: \"c3-{n}\"}}");
    match write {
        Write::Create => format!("{{create: {create}}}"),
        Write::Connect(c) => format!("{{connect: {}}}", unique(c)),
        Write::Disconnect(c) => format!("{{disconnect: {}}}", flag_or(c)),
        Write::Delete(c) => format!("{{delete: {}}}", flag_or(c)),
        Write::Set(c) => format!(
            "{{set: [{}]}}",
            c.iter().map(|c| unique(c)).collect::<Vec<_>>().join(", ")
        ),
        Write::Update(_) if single => "{update: {n: 1}}".to_owned(),
        Write::Update(c) => format!("{{update: {{where: {}, data: {{n: 1}}}}}}", unique(c)),
        Write::Upsert(_) if single => format!("{{upsert: {{update: {{n: 1}}, create: {create}}}}}"),
        Write::Upsert(c) => {
            format!(
                "{{upsert: {{where: {}, update: {{n: 1}}, create: {create}}}}}",
                unique(c)
            )
        }
        Write::UpdateMany(c) => format!("{{updateMany: {{where: {}, data: {{n: 1}}}}}}", unique(c)),
        Write::DeleteMany(c) => format!("{{deleteMany: {}}}", unique(c)),
    }
}

fn message_of(kind: &Kind, n: usize, write: Write, code: i64) -> String {
    let k = kind.number;
    let single = kind.parent != End::List;
    match code {
        3039 => format!("No Node for the model C{k} with value {UNKNOWN}-{n} for u found."),
        3042 => format!(
            "The change you are trying to make would violate the required relation 'C{k}ToP{k}' between C{k} and P{k}"
        ),
        3041 => {
            let mut child = String::new();
            if !single {
                child = format!(" with the value 'c1-{n}' for the field 'u'");
            }
            match write {
                Write::Update(_) => format!(
                    "The relation C{k}ToP{k} has no node for the model P{k} connected to a Node for the model C{k}{child} on your mutation path."
                ),
                _ if single => format!(
                    "The relation C{k}ToP{k} has no node for the model P{k} with the value 'ID' for the field 'id' connected to a node for the model C{k} on your mutation path."
                ),
                _ => format!(
                    "The relation C{k}ToP{k} has no node for the model P{k} with the value 'ID' for the field 'id' connected to a node for the model C{k}{child}"
                ),
            }
        }
        other => unreachable!("{other}"),
    }
}

async fn read(app: &TestApp, kind: &Kind, n: usize) -> Value {
    let k = kind.number;
    let [ps, cs] = ["p", "c"].map(|s| format!("{s}{k}s"));
    let document = format!(
        "{{ ps: {ps}(where: {{u_ends_with: \"-{n}\"}}) {{ id u child {{ u }} }} cs: {cs}(where: {{u_ends_with: \"-{n}\"}}) {{ u n parent {{ u }} }} }}"
    );
    let body = app.ask(&document).await.body;
    outcome(&body).unwrap_or_else(|error| panic!("{kind:?} {document}: {error:?}"))
}

type Read = (Vec<(String, String)>, Vec<(String, String)>, Vec<String>);

/// The links as read from the parents and from the children, and the children that were updated.
fn links(read: &Value) -> Read {
    let list = |model: &str, field: &str| {
        let mut pairs = Vec::new();
        for node in read[model].as_array().unwrap() {
            let partners = match &node[field] {
                Value::Null => Vec::new(),
                Value::Array(partners) => partners.clone(),
                one => vec![one.clone()],
            };
            pairs.extend(partners.iter().map(|p| (name(node), name(p))));
        }
        pairs
    };
    let mut of_parents = list("ps", "child");
    let mut of_children: Vec<_> = list("cs", "parent")
        .into_iter()
        .map(|(c, p)| (p, c))
        .collect();
    of_parents.sort();
    of_children.sort();
    let changed = read["cs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["n"] == 1)
        .map(name)
        .collect();
    (of_parents, of_children, changed)
}

fn names(nodes: &Value) -> Vec<String> {
    nodes.as_array().unwrap().iter().map(name).collect()
}

/// Without the number of the case.
fn name(node: &Value) -> String {
    let (name, _) = node["u"].as_str().unwrap().split_once('-').unwrap();
    name.to_owned()
}

fn owned(links: &Links) -> Vec<(String, String)> {
    links
        .iter()
        .map(|(p, c)| ((*p).to_owned(), (*c).to_owned()))
        .collect()
}
