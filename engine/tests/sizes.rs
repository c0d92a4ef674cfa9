//! How large a value may be that is written, and how an answer's size is bounded in its statement.

mod sources;

use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Access, PageLimits, Planner, WriteHooks};
use gom_engine::request::{OperationKind, RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use serde_json::{Value, json};

use sources::Counted;

const DATAMODEL: &str = r#"
    type Note {
      id: ID! @id
      code: String! @unique
      count: Int
      body: String
      page: String @size(max: 20)
      data: Json
      tags: [String!] @scalarList(strategy: RELATION)
      marks: [Int!] @scalarList(strategy: RELATION) @size(max: 12)
      answers: [Note!] @relation(name: "Answers")
      to: Note @relation(name: "Answers", link: INLINE)
    }
"#;

/// The planned statements of an operation's first field, as one text.
fn plan(document: &str, variables: &Value, limits: PageLimits) -> Result<String, ApiError> {
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    let served = Served::new(&schema).expect("it can be served");
    let physical = Physical::new(model, &PhysicalOptions::in_schema("s"));
    let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
    let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
    let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
    let prepared = requests
        .prepare(document, None, &RequestLimits::UNLIMITED)
        .expect("a sound document");
    let given = variables.as_object().cloned().unwrap_or_default();
    let variables = requests
        .coerce(&prepared.operation, &given)
        .expect("sound variables");
    let field = &prepared.operation.fields[0];
    if prepared.operation.kind == OperationKind::Query {
        return planner
            .query(field, &variables, limits, Access::Full)
            .map(|statement| statement.sql);
    }
    let amendments = WriteHooks::default();
    let program = planner.mutation(
        field,
        &variables,
        limits,
        Access::Full,
        &mut Counted::default(),
        amendments,
    )?;
    Ok(format!("{program:?}"))
}

fn create(data: &Value) -> Result<String, ApiError> {
    let limits = PageLimits {
        text_bytes: Some(16),
        ..PageLimits::default()
    };
    let document = "mutation($data: NoteCreateInput!) { createNote(data: $data) { id } }";
    plan(document, &json!({ "data": data }), limits)
}

#[test]
fn a_value_that_is_too_large_is_not_stored_and_the_datamodel_says_what_is_too_large() {
    let of = |field: &str, value: Value| {
        let mut data = json!({ "code": "c" });
        data[field] = value;
        data
    };
    for (fits, exceeds, message) in [
        (
            of("body", json!("x".repeat(16))),
            // Bytes, not characters.
            of("body", json!("ñ".repeat(9))),
            "The value of the field 'body' has 18 bytes; the limit is 16 (limits.text_bytes)",
        ),
        (
            of("page", json!("x".repeat(20))),
            of("page", json!("x".repeat(21))),
            "The value of the field 'page' has 21 bytes; the limit is 20 (@size of Note.page)",
        ),
        (
            of("data", json!({ "a": 1 })),
            of("data", json!({ "a": "xxxxxxxxxxxx" })),
            "The value of the field 'data' has 20 bytes; the limit is 16 (limits.text_bytes)",
        ),
        (
            of("tags", json!({ "set": ["xxxx", "yyyy"] })),
            of("tags", json!({ "set": ["xxxx", "yyyy", ""] })),
            "The value of the field 'tags' has 20 bytes; the limit is 16 (limits.text_bytes)",
        ),
        (
            of("marks", json!({ "set": [1, 2] })),
            of("marks", json!({ "set": [1, 2, 3] })),
            "The value of the field 'marks' has 15 bytes; the limit is 12 (@size of Note.marks)",
        ),
    ] {
        create(&fits).unwrap_or_else(|error| panic!("{fits}: {error}"));
        // At the top, below it, and wherever a row is changed.
        let nested = json!({ "code": "d", "answers": { "create": [exceeds.clone()] } });
        for data in [&exceeds, &nested] {
            let error = create(data).expect_err(message);
            assert_eq!(
                (error.kind, error.message.as_str()),
                (ErrorKind::LimitExceeded, message)
            );
        }
        let mut changes = exceeds;
        changes.as_object_mut().expect("an object").remove("code");
        let limits = PageLimits {
            text_bytes: Some(16),
            ..PageLimits::default()
        };
        for document in [
            "mutation($d: NoteUpdateInput!) { updateNote(where: { id: \"x\" }, data: $d) { id } }",
            "mutation($d: NoteUpdateManyMutationInput!) { updateManyNotes(where: {}, data: $d) { count } }",
        ] {
            let error = plan(document, &json!({ "d": changes }), limits).expect_err(message);
            assert_eq!(error.message, message);
        }
    }
    create(&json!({ "code": "x".repeat(17) })).expect_err("a unique text is a text");
}

#[test]
fn only_what_may_be_large_is_measured_and_nothing_without_a_limit() {
    let limits = PageLimits {
        page_size: Some(1_000),
        answer_bytes: Some(8_388_608),
        ..PageLimits::default()
    };
    let measures = |document: &str, limits| {
        plan(document, &json!({}), limits)
            .expect("a statement")
            .matches("width_bucket")
            .count()
    };
    for (document, expected) in [
        ("{ notes { id count } }", 0),
        ("{ notes { id body } }", 1),
        ("{ notes { body answers { body } } }", 2),
        ("{ notes { to { id } } }", 1),
        ("{ notesConnection { edges { cursor node { id } } } }", 1),
        ("{ notesConnection { edges { node { body } } } }", 2),
        ("{ note(where: { id: \"x\" }) { id count } }", 0),
        ("{ note(where: { id: \"x\" }) { a: body b: body } }", 1),
        (
            "mutation { updateNote(where: { id: \"x\" }, data: { count: 1 }) { body } }",
            1,
        ),
    ] {
        assert_eq!(measures(document, limits), expected, "{document}");
        assert_eq!(
            measures(
                document,
                PageLimits {
                    answer_bytes: None,
                    ..limits
                }
            ),
            0,
            "{document}"
        );
    }
}
