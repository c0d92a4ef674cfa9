//! Documents held against the served schema, and documents that ask about it.

use async_graphql::Variables;
use async_graphql::parser::parse_query;
use gom_engine::error::Position;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::schema::Served;
use serde_json::{Value as Json, json};

fn served() -> Served {
    let schema = super::schema(
        "type Todo { id: ID! @id title: String! at: DateTime user: User! @relation(link: INLINE) }\n\
         type User { id: ID! @id todoes: [Todo] }",
    );
    Served::new(&schema).expect("the schema can be served")
}

fn verdict(document: &str, operation_name: Option<&str>) -> Result<(), Vec<ApiError>> {
    let document = parse_query(document).unwrap_or_else(|error| panic!("{error}: {document}"));
    served().validate(&document, operation_name)
}

#[track_caller]
fn refused(document: &str) -> Vec<ApiError> {
    verdict(document, None).expect_err(document)
}

fn introspected(document: &str, operation_name: Option<&str>, variables: Json) -> Json {
    let document = parse_query(document).expect("the document is well formed");
    let answer = served().introspect(document, operation_name, Variables::from_json(variables));
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    answer.data.into_json().expect("an answer is JSON")
}

#[test]
fn valid_documents_of_every_kind_pass() {
    for document in [
        "{ todoes(where: { title_in: [\"a\"], AND: [{ user: { id: 12 } }] }, orderBy: at_DESC) { id user { id } } }",
        "query($w: TodoWhereInput!) { todoes(where: $w) { ...t } } fragment t on Todo { title }",
        "mutation { createTodo(data: { title: \"x\", user: { connect: { id: \"1\" } } }) { id } }",
        "subscription { todo(where: { mutation_in: [CREATED] }) { mutation node { title } } }",
        "{ node(id: 1) { id __typename ... on Todo { title } } }",
        "{ __schema { queryType { name } } users { __typename } }",
    ] {
        verdict(document, None).unwrap_or_else(|errors| panic!("{document}: {errors:?}"));
    }
}

#[test]
fn values_of_variables_play_no_part() {
    verdict(
        "query($id: ID!, $first: Int) { node(id: $id) { id } todoes(first: $first) { id } }",
        None,
    )
    .expect("variables need no values here");
}

#[test]
fn literals_of_the_datamodel_s_scalars_pass_whatever_they_are() {
    verdict("{ todoes(where: { at: 12 }) { id } }", None)
        .expect("the format is checked at coercion");
}

#[test]
fn documents_against_the_schema_are_refused_at_their_place() {
    let errors = refused("{\n  todoes { nope }\n}");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, ErrorKind::ValidationFailed);
    assert_eq!(
        errors[0].locations,
        [Position {
            line: 2,
            column: 12
        }]
    );
    assert!(
        errors[0].message.contains("\"nope\""),
        "{}",
        errors[0].message
    );

    for document in [
        "{ todoes }",
        "{ todoes { id { id } } }",
        "{ todoes(first: \"1\") { id } }",
        "{ todoes(where: { nope: 1 }) { id } }",
        "{ todo { id } }",
        "{ users { todoes { ...f } } }",
        "query($x: Nope) { users { id } }",
        "{ users { ... on Nope { id } } }",
        "{ users @nope { id } }",
        "mutation { deleteTodo(where: { id: true }) { id } }",
        "mutation { updateTodo(data: { user: { delete: true } }, where: { id: 1 }) { id } }",
        "subscription { todo { nope } }",
    ] {
        refused(document);
    }
}

#[test]
fn the_operation_s_name_must_be_in_the_document() {
    let two = "query a { users { id } } query b { todoes { id } }";
    verdict(two, Some("b")).expect("there is an operation b");
    verdict(two, Some("c")).expect_err("there is no operation c");
    verdict(two, None).expect_err("there are two operations");
}

#[test]
fn documents_that_nest_beyond_the_stack_s_guard_are_refused() {
    let fragment = |nth: usize| {
        format!(
            "fragment f{nth} on User {{ todoes {{ user {{ ...f{} }} }} }}",
            nth + 1
        )
    };
    for (levels, passes) in [(30, true), (60, false), (2000, false)] {
        let fragments: String = (0..levels).map(fragment).collect();
        let document =
            format!("{{ users {{ ...f0 }} }} {fragments} fragment f{levels} on User {{ id }}");
        assert_eq!(verdict(&document, None).is_ok(), passes, "{levels} levels");
    }
}

#[test]
fn introspection_and_data_may_be_asked_for_together() {
    let document = "{ users { id } __typename kind: __type(name: \"Todo\") { kind fields { name } } node(id: 1) { id } }";
    let fields = ["id", "title", "at", "user"].map(|name| json!({ "name": name }));
    let expected = json!({
        "users": null,
        "__typename": "Query",
        "kind": { "kind": "OBJECT", "fields": fields },
        "node": null,
    });
    let answer = introspected(document, None, json!({}));
    assert_eq!(answer.to_string(), expected.to_string());
}

#[test]
fn introspection_takes_variables_names_and_directives() {
    let document = "query a { __typename }
        query b($name: String!, $with: Boolean!) {
          __type(name: $name) { name possibleTypes @include(if: $with) { name } interfaces @skip(if: $with) { name } }
        }";
    let answer = introspected(document, Some("b"), json!({ "name": "Node", "with": true }));
    assert_eq!(
        answer["__type"],
        json!({ "name": "Node", "possibleTypes": [{ "name": "Todo" }, { "name": "User" }] })
    );
    assert_eq!(
        introspected("mutation { __typename }", None, json!({})),
        json!({ "__typename": "Mutation" })
    );
}

#[test]
fn a_schema_without_anything_to_write_or_watch_is_served() {
    let datamodel = gom_engine::datamodel::DataModel {
        models: vec![],
        enums: vec![],
        relations: vec![],
        watched: vec![],
        followed: vec![],
        lists: vec![],
    };
    let schema = super::generate(&datamodel, super::SchemaOptions::default());
    let served = Served::new(&schema).expect("the schema can be served");
    let document = parse_query("{ __schema { mutationType { name } subscriptionType { name } } }")
        .expect("well formed");
    let answer = served
        .introspect(document, None, Variables::default())
        .data
        .into_json()
        .expect("JSON");
    assert_eq!(
        answer["__schema"],
        json!({ "mutationType": null, "subscriptionType": null })
    );
}
