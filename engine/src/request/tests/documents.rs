//! Documents as a whole: errors and their words, measures, introspection, subscriptions.

use super::fixture::{COLOR, POST, USER, argument, error, prepare, requests};
use crate::error::{ApiError, ErrorKind, Position};
use crate::request::{
    OperationKind, RequestLimits, RequestOptions, Requests, Selected, Selection, Template, Value,
};
use crate::schema::{InputMeaning, OutputMeaning};

#[test]
fn syntax_errors_say_where() {
    let error = error("{ users {\n  id(\n}");
    assert_eq!(error.kind, ErrorKind::ParseFailed);
    assert!(
        error
            .message
            .starts_with("Syntax error (line 3, column 1): expected"),
        "{}",
        error.message
    );
    assert_eq!(error.locations, [Position { line: 3, column: 1 }]);
    for text in [
        "",
        " # nothing\n",
        "fragment F on User { id }",
        "type A { a: Int }",
        "{ users(first: 1e999) { id } }",
    ] {
        assert_eq!(
            super::fixture::error(text).kind,
            ErrorKind::ParseFailed,
            "{text}"
        );
    }
    // The parser quotes the line; we do not, it may be as long as the text.
    let long = format!(
        "{{ users(where: {{name: \"{}\"}}) {{ id ) }}",
        "x".repeat(50_000)
    );
    assert!(super::fixture::error(&long).message.len() < 1_000);
}

#[test]
fn arguments_are_refused_in_prismas_words() {
    let create =
        |data: &str| error(&format!("mutation {{ createUser(data: {data}) {{ id }} }}")).message;
    assert_eq!(
        create("{age: 5, name: null}"),
        "Argument 'data' expected type 'UserCreateInput!' but got: {age: 5, name: null}. \
         Reason: 'name' String value expected. (line 1, column 29)"
    );
    for (data, reason) in [
        (
            "{name: \"a\", id: true}",
            "Reason: 'id' String or Int value expected. ",
        ),
        (
            "{name: \"a\", born: \"2016-0B-31T23:59:01.000Z\"}",
            "Reason: 'born' Date value expected. ",
        ),
        (
            "{name: \"a\", born: 2016}",
            "Reason: 'born' Date value expected. ",
        ),
        (
            "{name: \"a\", data: \"[{'a':2}]\"}",
            "Reason: 'data' Not valid JSON. ",
        ),
        (
            "{name: \"a\", data: {a: 1}}",
            "Reason: 'data' Not valid JSON. ",
        ),
        (
            "{name: \"a\", age: B}",
            "Reason: 'age' Int value expected. ",
        ),
        (
            "{name: \"a\", key: \"x\"}",
            "Reason: 'key' This is not a valid type 4 UUID. ",
        ),
        (
            "{name: \"a\", color: BLUE}",
            "'BLUE' is undefined in enum type 'Color'. Known values are: RED, GREEN. ",
        ),
        (
            "{name: \"a\", color: \"RED\"}",
            "Reason: 'color' Enum value of type 'Color' expected. ",
        ),
        (
            "{name: \"a\", nme: 1}",
            " Reason: 'nme' Field 'nme' is not defined in the input type 'UserCreateInput'. ",
        ),
        (
            "{age: 1}",
            "Reason: 'name' Field 'name' of required type 'String!' was not provided. ",
        ),
        (
            "{name: \"a\", posts: {create: [{title: \"t\"}, {title: 4}]}}",
            "Reason: 'posts.create[1].title' String",
        ),
        (
            "{name: \"a\", tags: [\"t\", null]}",
            "Reason: 'tags[1]' String value expected. ",
        ),
        (
            "{name: \"a\\u0000\"}",
            "Reason: 'name' A value without the character U+0000 expected",
        ),
        (
            "{name: \"a\", data: \"[\\\"\\\\u0000\\\"]\"}",
            "Reason: 'data' A value without the character U+0000",
        ),
        (
            "[]",
            "Reason: Object value of type 'UserCreateInput' expected. ",
        ),
    ] {
        let message = create(data);
        assert!(message.contains(reason), "{message}");
    }
    let error = error("{ user(where: {string: \"a\"}) { id } }");
    let expected = "Argument 'where' expected type 'UserWhereUniqueInput!' but got: {string: \"a\"}. Reason: 'string' Field";
    assert!(error.message.starts_with(expected), "{}", error.message);
    assert_eq!(
        (error.kind, error.locations),
        (
            ErrorKind::ValidationFailed,
            vec![Position {
                line: 1,
                column: 15
            }]
        )
    );
    assert!(
        super::fixture::error("{ user { id } }")
            .message
            .contains("is required but not provided")
    );
    assert!(
        super::fixture::error("{ users(wher: 1) { id } }")
            .message
            .contains("no argument 'wher'")
    );
    let twice = super::fixture::error("{ users(where: {name: \"a\", name: \"b\"}) { id } }");
    assert_eq!(
        twice.message,
        "There can be only one input field named 'name'"
    );
}

#[test]
fn an_argument_at_fault_is_the_only_error_of_an_invalid_document() {
    let invalid = || {
        (0..30)
            .map(|n| ApiError::new(ErrorKind::ValidationFailed, format!("upstream {n}")))
            .collect()
    };
    let schema = std::sync::Arc::new(super::fixture::schema());
    let requests = Requests::new(
        schema,
        Box::new(move |_, _| Err(invalid())),
        RequestOptions::default(),
    );
    let errors = |text: &str| {
        let errors = requests
            .prepare(text, None, &RequestLimits::UNLIMITED)
            .expect_err("invalid");
        errors.into_iter().map(|e| e.message).collect::<Vec<_>>()
    };
    let of_arguments = errors(
        "query { nope ...F } fragment F on Query { users { ...on User { posts(first: true) { x } } } }",
    );
    assert_eq!(of_arguments.len(), 1);
    assert!(
        of_arguments[0].starts_with("Argument 'first' expected type 'Int' but got: true."),
        "{of_arguments:?}"
    );
    let of_default = errors("query($n: Int = \"a\") { users(first: $n) { id } }");
    assert!(
        of_default[0]
            .starts_with("Variable '$n' expected a default value of type 'Int' but got: \"a\".")
    );
    // Otherwise what validation said, and not all of it.
    let upstream = errors("{ nope users(first: $nope) { id } }");
    assert_eq!((upstream.len(), upstream[0].as_str()), (10, "upstream 0"));
}

#[test]
fn arguments_are_in_the_schemas_order_and_constant_where_they_can_be() {
    let text = "query($n: String, $s: Int) { users(skip: $s, orderBy: name_DESC, where: {name: $n, AND: [{age: 1}]}) { id } }";
    let prepared = prepare(text).expect("valid");
    let arguments = &prepared.operation.fields[0].arguments;
    let meanings: Vec<_> = arguments.iter().map(|(meaning, _)| *meaning).collect();
    assert_eq!(
        meanings,
        [
            InputMeaning::Where,
            InputMeaning::OrderBy,
            InputMeaning::Skip
        ]
    );
    let Template::Object(_, fields) = &arguments[0].1 else {
        panic!("an object with a variable")
    };
    assert!(matches!(fields[1].1, Template::Constant(Value::List(_))));
    assert!(matches!(
        arguments[1].1,
        Template::Constant(Value::Enum(_, 1))
    ));
    // Without values the field is left out, and so is the argument.
    match argument(text, "{}") {
        Ok(Some(Value::Object(_, fields))) => assert_eq!(fields.len(), 1),
        other => panic!("{other:?}"),
    }
    let text = "query($s: Int) { users(skip: $s) { id } }";
    assert_eq!(argument(text, "{}"), Ok(None));
    assert_eq!(argument(text, r#"{"s": null}"#), Ok(Some(Value::Null)));
    let text = "mutation($c: Color = GREEN) { createUser(data: {name: \"a\", color: $c}) { id } }";
    match argument(text, "{}") {
        Ok(Some(Value::Object(_, fields))) => assert_eq!(fields[1].1, Value::Enum(COLOR, 1)),
        other => panic!("{other:?}"),
    }
    let text = "query($n: Int) { users(where: {posts_some: {}, AND: {name_in: \"a\"}}, first: $n) { id } }";
    assert!(prepare(text).is_ok());
}

#[test]
fn an_absent_item_of_a_list_is_null() {
    let text = "mutation($s: Int) { createUser(data: {name: \"a\", posts: {create: {title: \"t\", stars: [1, $s]}}}) { id } }";
    let shown = format!("{:?}", argument(text, "{}").expect("valid"));
    assert!(shown.contains("List([Int(1), Null])"), "{shown}");
}

#[test]
fn a_node_is_selected_for_each_model() {
    let text = "{ node(id: 5) { id ...on User { name } ...on Post { title } __typename } }";
    let prepared = prepare(text).expect("valid");
    let field = &prepared.operation.fields[0];
    assert_eq!(field.meaning, Selected::Field(OutputMeaning::Node));
    assert_eq!(
        field.arguments,
        [(
            InputMeaning::NodeId,
            Template::Constant(Value::Text("5".into()))
        )]
    );
    let Selection::Node(models) = &field.selection else {
        panic!("a node")
    };
    let selected = models.iter().map(|(model, _, fields)| {
        (
            *model,
            fields
                .iter()
                .map(|field| field.key.as_str())
                .collect::<Vec<_>>(),
        )
    });
    let expected = [
        (USER, vec!["id", "name", "__typename"]),
        (POST, vec!["id", "title", "__typename"]),
    ];
    assert_eq!(selected.collect::<Vec<_>>(), expected);
}

#[test]
fn introspection_is_kept_for_the_schema_and_bounded() {
    let prepared =
        prepare("{ __schema { types { name } } users { id } __typename }").expect("valid");
    let meanings: Vec<_> = prepared
        .operation
        .fields
        .iter()
        .map(|f| f.meaning)
        .collect();
    assert_eq!(meanings[0], Selected::Introspection);
    assert_eq!(meanings[2], Selected::Typename);
    assert!(prepared.document.is_some());
    assert!(
        prepare("{ users { id } }")
            .expect("valid")
            .document
            .is_none()
    );

    // What clients ask for passes the limits of everyone.
    let limits = RequestLimits::default();
    let usual = "query I { __schema { queryType { name } types { ...T } directives { name args { ...I } } } }
        fragment T on __Type { kind name description fields(includeDeprecated: true) { name description
          args { ...I } type { ...R } isDeprecated deprecationReason } inputFields { ...I } interfaces { ...R }
          enumValues(includeDeprecated: true) { name description isDeprecated } possibleTypes { ...R } }
        fragment I on __InputValue { name description type { ...R } defaultValue }
        fragment R on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind
          name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";
    let requests = requests();
    assert_eq!(
        requests
            .prepare(usual, None, &limits)
            .expect("valid")
            .measures
            .depth,
        1
    );
    let nested = "fields { type { ".repeat(4) + "name" + &" } }".repeat(4);
    let arguments = "types { fields { args { name type { name } } } } ";
    let aliased = (0..20).map(|n| format!("a{n}: __schema {{ {arguments} }} "));
    for text in [
        format!("{{ __schema {{ types {{ {nested} }} }} }}"),
        format!("{{ {} }}", aliased.collect::<String>()),
        format!("{{ __schema {{ {} }} }}", arguments.repeat(60)),
    ] {
        let errors = requests
            .prepare(&text, None, &limits)
            .expect_err("too dear");
        assert!(errors[0].message.contains("introspection"), "{errors:?}");
    }
}

#[test]
fn a_subscription_has_one_field() {
    let prepared = prepare("subscription { user { node { id } } }").expect("valid");
    assert_eq!(prepared.operation.kind, OperationKind::Subscription);
    for text in [
        "subscription { user { node { id } } b: user { node { id } } }",
        "subscription { __typename }",
    ] {
        assert!(error(text).message.contains("exactly one field"));
    }
}

#[test]
fn measures_are_of_the_expanded_document() {
    let measures = |text: &str| prepare(text).expect(text).measures;
    let text = "{ a: users(first: 3) { ...F ...F } b: users { id } } fragment F on User { x: id }";
    let measured = measures(text);
    assert_eq!(
        (
            measured.aliases,
            measured.fields,
            measured.depth,
            measured.root_fields
        ),
        (4, 5, 2, 2)
    );
    assert_eq!(measured.query_bytes, text.len() as u64);
    assert_eq!(
        measures("{ users(first: 3) { id posts { id } } }").complexity,
        Some(1 + 3 * (1 + 1 + 100))
    );
    assert_eq!(
        measures(
            "{ usersConnection(first: 7) { pageInfo { hasNextPage } edges { node { id } } } }"
        )
        .complexity,
        Some(1 + 2 + 1 + 7 * 2)
    );
    assert_eq!(
        measures("{ node(id: 1) { id ...on User { name } } }").complexity,
        Some(3)
    );
}

#[test]
fn documents_beyond_a_limit_are_refused() {
    let refuse = |text: &str, limits: RequestLimits| {
        let errors = requests().prepare(text, None, &limits).expect_err(text);
        assert_eq!(errors[0].kind, ErrorKind::LimitExceeded);
        errors[0].message.clone()
    };
    let none = RequestLimits::UNLIMITED;
    assert_eq!(
        refuse(
            "{ users { id } }",
            RequestLimits {
                query_bytes: Some(10),
                ..none.clone()
            }
        ),
        "The query text has 16 bytes; the limit is 10 (limits.query_bytes)"
    );
    assert_eq!(
        refuse(
            "{ users { id } }",
            RequestLimits {
                tokens: Some(5),
                ..none.clone()
            }
        ),
        "The query has too many tokens; the limit is 5 (limits.tokens)"
    );
    let aliases = "{ a: users { id } b: users { id } }";
    assert_eq!(
        refuse(
            aliases,
            RequestLimits {
                aliases: Some(1),
                ..none.clone()
            }
        ),
        "The query has 2 aliases; the limit is 1 (limits.aliases)"
    );
    assert_eq!(
        refuse(
            aliases,
            RequestLimits {
                root_fields: Some(1),
                ..none.clone()
            }
        ),
        "The query has 2 fields at its root; the limit is 1 (limits.root_fields)"
    );
    assert_eq!(
        refuse(
            "{ users(first: 1000000000) { posts(first: 1000000000) { posts: id } } }",
            RequestLimits {
                complexity: Some(200_000),
                ..none.clone()
            }
        ),
        "The query has a complexity of 1000000001000000001; the limit is 200000 (limits.complexity)"
    );
    // With a size that is a variable it is judged when the variable has its value.
    let sized = "query ($n: Int) { users(first: $n) { posts(first: 1000000000) { id } } }";
    let limits = RequestLimits {
        complexity: Some(200_000),
        ..none.clone()
    };
    assert_eq!(
        requests()
            .prepare(sized, None, &limits)
            .expect(sized)
            .measures
            .complexity,
        None
    );
    // Argument values are copied for every expansion of a fragment.
    let text = format!(
        "{{ users {{ {} }} }} fragment F on User {{ posts(where: {{name: \"{}\"}}) {{ id }} }}",
        "...F ".repeat(1_000),
        "x".repeat(20_000)
    );
    assert!(refuse(&text, none).contains("bytes of arguments' values"));
}
