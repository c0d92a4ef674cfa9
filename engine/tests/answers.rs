//! What becomes of answers in which PostgreSQL has marked a place.

use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::error::{ApiError, PathSegment};
use gom_engine::plan::{Access, Completed, PageLimits, Planner};
use gom_engine::request::{OperationKind, RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{MISSING_LINK, Physical, PhysicalOptions, TOO_MANY};
use serde_json::Map;

const DATAMODEL: &str = r#"
    type Book {
      id: ID! @id
      facts: Json
      price: Float
      author: Person! @relation(name: "Author", link: INLINE)
      editor: Person @relation(name: "Editor", link: INLINE)
    }

    type Person {
      id: ID! @id
      books: [Book] @relation(name: "Author")
      edited: [Book] @relation(name: "Editor")
    }
"#;

struct World {
    requests: Requests,
    planner: Planner,
}

fn world() -> World {
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    let served = Served::new(&schema).expect("it can be served");
    let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
    let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
    let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
    let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
    World { requests, planner }
}

impl World {
    fn complete(&self, query: &str, answer: &str) -> Completed {
        let prepared = self
            .requests
            .prepare(query, None, &RequestLimits::UNLIMITED)
            .expect("a sound document");
        let variables = self
            .requests
            .coerce(&prepared.operation, &Map::new())
            .expect("no variables");
        let field = &prepared.operation.fields[0];
        let root = if prepared.operation.kind == OperationKind::Query {
            "Query"
        } else {
            "Mutation"
        };
        self.planner.complete(
            root,
            field,
            &variables,
            PageLimits::default(),
            Access::Full,
            answer,
        )
    }
}

fn paths(completed: &Completed) -> Vec<String> {
    let segment = |segment: &PathSegment| match segment {
        PathSegment::Key(key) => key.clone(),
        PathSegment::Index(index) => index.to_string(),
    };
    let path = |error: &ApiError| error.path.iter().map(segment).collect::<Vec<_>>().join(".");
    completed.errors.iter().map(path).collect()
}

#[test]
fn numbers_beside_a_marked_place_keep_their_digits() {
    let world = world();
    let stored =
        r#"{"n": 12345678901234567890123, "d": [1.50, 1E+2, -0], "text": "a \u00e9 \" }"}"#;
    let answer = format!(
        r#"[{{"facts":{stored},"price":0.10,"editor":{{"books":{TOO_MANY}}}}}, {{"facts":[ ],"price":1.50,"editor":null}}]"#
    );
    let completed = world.complete("{ books { facts price editor { books { id } } } }", &answer);
    let expected = format!(
        r#"[{{"facts":{stored},"price":0.10,"editor":{{"books":null}}}},{{"facts":[ ],"price":1.50,"editor":null}}]"#
    );
    assert_eq!(completed.answer.as_deref(), Some(expected.as_str()));
    assert_eq!(paths(&completed), ["books.0.editor.books"]);
}

#[test]
fn null_goes_up_to_the_next_place_that_may_be_null() {
    let world = world();
    let query = "{ books { id again: id editor { edited { author { id } } } } }";
    let answer = format!(
        r#"[{{"id":"a","again":"a","editor":{{"edited":[{{"author":{{"id":"p"}}}},{{"author":{MISSING_LINK}}},{{"author":{{"id":"q"}}}}]}}}},{{"id":"b","again":"b","editor":null}}]"#
    );
    let completed = world.complete(query, &answer);
    assert_eq!(
        completed.answer.as_deref(),
        Some(
            r#"[{"id":"a","again":"a","editor":{"edited":null}},{"id":"b","again":"b","editor":null}]"#
        )
    );
    assert_eq!(paths(&completed), ["books.0.editor.edited.1.author"]);

    // A text that looks like a mark, where no mark can be, is somebody's text.
    let completed = world.complete(
        "{ books { facts } }",
        &format!(r#"[{{"facts":{MISSING_LINK}}}]"#),
    );
    assert_eq!(
        completed.answer,
        Some(format!(r#"[{{"facts":{MISSING_LINK}}}]"#))
    );
    assert!(completed.errors.is_empty());

    // Nothing above may be null: no answer at all.
    let mutation =
        r#"mutation { createBook(data: { author: { create: {} } }) { id author { id } } }"#;
    let completed = world.complete(
        mutation,
        &format!(r#"{{"id":"a","author":{MISSING_LINK}}}"#),
    );
    assert_eq!(completed.answer, None);
    assert_eq!(paths(&completed), ["createBook.author"]);
}

#[test]
fn of_a_node_the_fields_of_its_own_type_are_completed() {
    let world = world();
    let query = r#"{ node(id: "a") { id ... on Person { edited { id } } ... on Book { price author { id } } } }"#;
    let completed = world.complete(
        query,
        &format!(r#"{{"id":"a","price":1.50,"author":{MISSING_LINK}}}"#),
    );
    assert_eq!(completed.answer.as_deref(), Some("null"));
    assert_eq!(paths(&completed), ["node.author"]);
}

#[test]
fn what_is_no_json_is_no_answer() {
    let world = world();
    for broken in [
        "",
        "[",
        "[{\"id\":\"a\"",
        "[{\"id\":\"a\"}",
        "[{\"id\" 1}]",
        "[{\"id\":\"a\"}] x",
        "[{\"id\":}]",
        "[1 2]",
    ] {
        let completed = world.complete("{ books { id } }", broken);
        assert_eq!(completed.answer, None, "{broken}");
        assert_eq!(completed.errors.len(), 1, "{broken}");
        assert!(
            completed.errors[0].to_string().contains("not JSON"),
            "{broken}"
        );
    }
}
