//! The stage together with a generated schema and async-graphql's validation.

use std::sync::Arc;

use proptest::prelude::*;

use super::fixture::json;
use super::properties::documents;
use crate::datamodel;
use crate::error::{ApiError, ErrorKind};
use crate::request::{RequestLimits, RequestOptions, Requests, Selection, Value};
use crate::schema::{SchemaOptions, Served, generate};

const DATAMODEL: &str = r#"
    type User {
      id: ID! @id
      name: String!
      email: String @unique
      age: Int
      posts: [Post]
      color: Color
      tags: [String] @scalarList(strategy: RELATION)
      createdAt: DateTime! @createdAt
    }
    type Post {
      id: ID! @id
      title: String!
      author: User! @relation(link: INLINE)
      editor: User @relation(name: "Edits", link: INLINE)
    }
    enum Color { RED GREEN }
"#;

fn requests() -> Requests {
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a datamodel");
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    let served = Served::new(&schema).expect("a schema");
    let validate =
        Box::new(move |document: &_, name: Option<&str>| served.validate(document, name));
    Requests::new(schema, validate, RequestOptions::default())
}

fn errors(text: &str) -> Vec<ApiError> {
    requests()
        .prepare(text, None, &RequestLimits::default())
        .expect_err(text)
}

#[test]
fn a_whole_document_of_a_client() {
    let text =
        "query Users($where: UserWhereInput, $orderBy: UserOrderByInput, $first: Int = 20, $more: Boolean!) {
          usersConnection(where: $where, orderBy: $orderBy, first: $first) {
            pageInfo { hasNextPage __typename }
            edges { node { ...Line posts(first: 3) @include(if: $more) { title author { id } } __typename } }
            aggregate { count }
          }
        }
        fragment Line on User { id name ...Details }
        fragment Details on Node { id ...on User { age color tags } }";
    let requests = requests();
    let prepared = requests
        .prepare(text, Some("Users"), &RequestLimits::default())
        .expect("valid");
    let given = r#"{"where": {"posts_some": {"author": {"name_in": "a"}}}, "orderBy": "name_DESC", "more": true}"#;
    let variables = requests
        .coerce(&prepared.operation, &json(given))
        .expect("coerced");
    let field = &prepared.operation.fields[0];
    let values: Vec<_> = field
        .arguments
        .iter()
        .filter_map(|(_, t)| t.resolve(&variables))
        .collect();
    assert_eq!(values.len(), 3);
    assert_eq!(*values[2], Value::Int(20));
    let Selection::Object { fields, .. } = &field.selection else {
        panic!("an object")
    };
    let Selection::Object { fields, .. } = &fields[1].selection else {
        panic!("an object")
    };
    let Selection::Object { fields, .. } = &fields[0].selection else {
        panic!("an object")
    };
    let keys: Vec<_> = fields.iter().map(|field| field.key.as_str()).collect();
    assert_eq!(
        keys,
        ["id", "name", "age", "color", "tags", "posts", "__typename"]
    );
    let text = "subscription($where: UserSubscriptionWhereInput) { user(where: $where) { mutation node { id } } }";
    let prepared = requests
        .prepare(text, None, &RequestLimits::default())
        .expect("valid");
    let given = r#"{"where": {"mutation_in": ["CREATED", "UPDATED"], "node": {"email": "a"}}}"#;
    assert!(requests.coerce(&prepared.operation, &json(given)).is_ok());
}

#[test]
fn exactly_one_error_in_prismas_words_for_an_argument() {
    for (text, expected) in [
        (
            "mutation a { createUser(data: { age: 1 name: null }) { id nope } }",
            "Argument 'data' expected type 'UserCreateInput!' but got: {age: 1, name: null}. Reason: 'name' String value expected",
        ),
        (
            "mutation { createUser(data: {name: \"a\", id: true}) { id } }",
            "Reason: 'id' String or Int value expected",
        ),
        (
            "mutation { deleteUser(where: {name: \"a\"}) { id } }",
            "Argument 'where' expected type 'UserWhereUniqueInput!' but got: {name: \"a\"}. Reason: 'name' Field 'name'",
        ),
        (
            "mutation { updatePost(where: {id: 1}, data: {editor: {deleteMany: {where: {name: \"c\"}}}}) { id } }",
            " Reason: 'editor.deleteMany' Field 'deleteMany' is not defined in the input type 'UserUpdateOneInput'.",
        ),
        (
            "mutation { updatePost(where: {id: 1}, data: {author: {delete: true}}) { id } }",
            "Argument 'data' expected type 'PostUpdateInput!'",
        ),
    ] {
        let errors = errors(text);
        assert_eq!(
            (errors.len(), errors[0].kind, errors[0].code),
            (1, ErrorKind::ValidationFailed, None)
        );
        assert!(
            errors[0].message.contains(expected),
            "{}",
            errors[0].message
        );
        assert_eq!(errors[0].locations.len(), 1);
    }
}

#[test]
fn what_else_is_wrong_comes_from_validation() {
    for (text, expected) in [
        ("{ users { nope } }", "\"nope\""),
        ("{ users { id } } fragment F on User { id }", "\"F\""),
        ("query($n: Int) { users { id } }", "n"),
        ("{ users @live { id } }", "live"),
        ("{ users }", "users"),
    ] {
        let errors = errors(text);
        assert_eq!(errors[0].kind, ErrorKind::ValidationFailed);
        assert!(
            errors[0].message.contains(expected),
            "{}",
            errors[0].message
        );
        assert!(!errors[0].locations.is_empty());
    }
    // Every one of these passes upstream.
    for text in [
        "{ x: user(where: {id: 1}) { id } ...on Query { x: users { id } } }",
        "{ user(where: {id: 1}) { x: id } user(where: {id: 1}) { x: name } }",
        "query($w: UserWhereInput!) { users(where: {age: \"5\", NOT: [$w]}) { id } }",
        "query($x: [Foo!] = [1]) { users { id } }",
    ] {
        assert_eq!(errors(text).len(), 1);
    }
}

#[test]
fn validation_stays_within_a_small_stack() {
    let run = || {
        let requests = requests();
        let levels = "posts { author { ".repeat(29);
        let text = format!("{{ users {{ {levels} id {} }} }}", "} }".repeat(29));
        assert!(
            requests
                .prepare(&text, None, &RequestLimits::UNLIMITED)
                .is_ok()
        );
        let mut text = String::from("{ users { ...F0 } }");
        for n in 0..60 {
            text += &format!(" fragment F{n} on User {{ ...F{} }}", n + 1);
        }
        text += " fragment F60 on User { id }";
        assert!(
            requests
                .prepare(&text, None, &RequestLimits::UNLIMITED)
                .is_ok()
        );
        let filter = "{AND:".repeat(90) + "{}" + &"}".repeat(90);
        let text = format!("{{ users(where: {filter}) {{ id }} }}");
        assert!(
            requests
                .prepare(&text, None, &RequestLimits::UNLIMITED)
                .is_ok()
        );
    };
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_panics_in_validation(texts in prop::collection::vec(documents(), 16)) {
        let requests = requests();
        for text in texts {
            let _ = requests.prepare(&text, None, &RequestLimits::UNLIMITED);
        }
    }
}
