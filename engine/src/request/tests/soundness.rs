//! What validation by async-graphql does not see; each of these passes it, or costs it too much.

use std::sync::Arc;

use super::fixture::{argument, error, json, prepare, requests, schema};
use crate::error::ErrorKind;
use crate::request::{Inclusion, RequestLimits, RequestOptions, Requests, Selection, Value};

#[test]
fn soundness_1_exponential_fragments_are_refused_before_validation() {
    let mut text = String::from("{ users { ...F0 } }");
    for n in 0..30 {
        text += &format!(
            " fragment F{n} on User {{ posts {{ author {{ ...F{0} ...F{0} }} }} }}",
            n + 1
        );
    }
    text += " fragment F30 on User { id }";
    let validate = Box::new(|_: &_, _: Option<&str>| panic!("validation must not run"));
    let requests = Requests::new(Arc::new(schema()), validate, RequestOptions::default());
    for limits in [RequestLimits::default(), RequestLimits::UNLIMITED] {
        let errors = requests
            .prepare(&text, None, &limits)
            .expect_err("too large");
        assert_eq!(errors[0].kind, ErrorKind::LimitExceeded, "{errors:?}");
    }
    // Wide instead of deep, in an operation that is not asked for.
    let mut text = String::from("query a { users { id } } query b { users { ...F0 } }");
    for n in 0..20 {
        text += &format!(" fragment F{n} on User {{ ...F{0} ...F{0} }}", n + 1);
    }
    text += " fragment F20 on User { id }";
    let errors = requests
        .prepare(&text, Some("a"), &RequestLimits::UNLIMITED)
        .expect_err("too large");
    assert!(
        errors[0].message.contains("no query may have more than"),
        "{errors:?}"
    );
}

#[test]
fn soundness_1_a_fragment_that_spreads_itself_is_refused() {
    for text in [
        "{ users { ...A } } fragment A on User { posts { author { ...A } } }",
        "{ users { ...A } } fragment A on User { ...B } fragment B on User { ...A }",
        "{ users { id } } fragment A on User { ...A }",
    ] {
        let error = error(text);
        assert!(
            error.message.ends_with("spreads itself"),
            "{}",
            error.message
        );
        assert_eq!(error.kind, ErrorKind::ValidationFailed);
    }
}

#[test]
fn soundness_1_nesting_stays_within_a_small_stack() {
    // Actors and tests run on threads with 2 MiB.
    let chain = |n: usize| {
        let mut text = String::from("{ users { ...F0 } }");
        for i in 0..n {
            text += &format!(" fragment F{i} on User {{ ...F{} }}", i + 1);
        }
        text + &format!(" fragment F{n} on User {{ id }}")
    };
    let run = move || {
        for opening in [
            "{a",
            "[",
            "{a(x:{b:",
            "query($a:",
            "{a(x:[",
            "{...on A",
            "{a@b(x:[",
        ] {
            for repeats in [20, 100, 10_000] {
                let errors = prepare(&opening.repeat(repeats)).expect_err("incomplete");
                assert_eq!(errors.len(), 1);
            }
        }
        let nested = |n: usize| format!("query($a: {}Int{}) {{ a }}", "[".repeat(n), "]".repeat(n));
        assert!(prepare(&nested(98)).is_err());
        let literal = |n: usize| {
            format!(
                "{{ users(where: {}{}) {{ id }} }}",
                "[".repeat(n),
                "]".repeat(n)
            )
        };
        assert!(prepare(&literal(97)).is_err());
        let filter = |n: usize| {
            format!(
                "{{ users(where: {}{}) {{ id }} }}",
                "{AND:".repeat(n),
                "{}".to_owned() + &"}".repeat(n)
            )
        };
        assert!(prepare(&filter(95)).is_ok());
        assert_eq!(error(&chain(10_000)).kind, ErrorKind::LimitExceeded);
        assert!(prepare(&chain(40)).is_ok());
        let deep = "{\"AND\":".repeat(120) + "{}" + &"}".repeat(120);
        let text = "query($w: UserWhereInput) { users(where: $w) { id } }";
        assert!(argument(text, &format!("{{\"w\":{deep}}}")).is_ok());
    };
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn soundness_2_variables_are_checked_on_every_request() {
    let text = "query($id: ID!, $w: UserWhereInput) { user(where: {id: $id}) { id } users(where: $w) { id } }";
    let requests = requests();
    let coerce = |given: &str| {
        let prepared = requests
            .prepare(text, None, &RequestLimits::UNLIMITED)
            .expect("valid");
        requests
            .coerce(&prepared.operation, &json(given))
            .map_err(|error| error.message)
    };
    assert!(coerce(r#"{"id": "a", "extra": 1}"#).is_ok());
    let missing = "Variable '$id' expected value of type 'ID!' but value is undefined.";
    assert_eq!(coerce("{}").expect_err("required"), missing);
    for (given, reason) in [
        (
            r#"{"id": null}"#,
            "Variable '$id' expected value of type 'ID!' but got: null. Reason: String or Int value expected.",
        ),
        (
            r#"{"id": "a", "w": {"age": "5"}}"#,
            "Reason: 'age' Int value expected.",
        ),
        (
            r#"{"id": "a", "w": {"AND": [{}, {"age": 2147483648}]}}"#,
            "'AND[1].age' Int value expected, between",
        ),
        (
            r#"{"id": "a", "w": {"nme": 5}}"#,
            "'nme' Field 'nme' is not defined in the input type 'UserWhereInput'.",
        ),
        (
            r#"{"id": "a", "w": []}"#,
            "Object value of type 'UserWhereInput' expected.",
        ),
    ] {
        let message = coerce(given).expect_err(given);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn soundness_3_literals_are_checked_beside_variables() {
    let text = "query($n: String) { users(where: {age: \"5\", name: $n}) { id } }";
    assert!(
        error(text)
            .message
            .contains("Reason: 'age' Int value expected.")
    );
    let text =
        "query($n: String) { users(where: {AND: [{name: $n}, {name_in: [\"a\", 5]}]}) { id } }";
    assert!(
        error(text)
            .message
            .contains("Reason: 'AND[1].name_in[1]' String value expected.")
    );
    // A variable is checked against where it stands, at any depth.
    let text = "query($n: Int) { users(where: {AND: [{name: $n}]}) { id } }";
    assert!(
        error(text)
            .message
            .contains("'AND[0].name' The variable '$n' is of type 'Int', but 'String' is")
    );
    let text = "query($n: String) { users(where: {name_in: [$n]}) { id } }";
    assert!(error(text).message.contains("but 'String!' is expected"));
    assert!(
        error("{ users(where: {name: $n}) { id } }")
            .message
            .contains("'$n' is not defined")
    );
}

#[test]
fn soundness_3_null_is_not_let_in_by_a_default_value() {
    let text = "query($n: String = \"x\") { users(where: {name_in: [$n]}) { id } }";
    let expected = Value::List(vec![Value::Text("x".into())]);
    match argument(text, "{}").expect("the default") {
        Some(Value::Object(_, fields)) => assert_eq!(fields[0].1, expected),
        other => panic!("{other:?}"),
    }
    let error = argument(text, r#"{"n": null}"#).expect_err("null");
    assert_eq!(error.kind, ErrorKind::BadUserInput);
    assert!(
        error
            .message
            .contains("'$n' expected value of type 'String!' but got: null"),
        "{}",
        error.message
    );
}

#[test]
fn soundness_4_keys_that_conflict_across_type_conditions_are_refused() {
    for text in [
        "{ x: user(where: {id: 1}) { id } ...on Query { x: users { id } } }",
        "{ x: user(where: {id: 1}) { id } ...on Query { x: user(where: {id: 2}) { id } } }",
        "{ x: users { id } ...F } fragment F on Query { ... { x: user(where: {id: 1}) { id } } }",
        "{ node(id: 1) { ...on User { x: id } ...on Node { x: __typename } } }",
        // Of two types, but of different shapes.
        "{ node(id: 1) { ...on User { x: name } ...on Post { x: count } } }",
        "{ node(id: 1) { ...on User { x: posts { x: id } } ...on Post { x: author { x: id } } } }",
    ] {
        let error = error(text);
        assert!(
            error.message.starts_with("Fields conflict: 'x' because"),
            "{}",
            error.message
        );
        assert_eq!(
            (error.kind, error.locations.len()),
            (ErrorKind::ValidationFailed, 2)
        );
    }
    let text = "{ node(id: 1) { ...on User { x: age } ...on Post { x: count } } }";
    assert!(prepare(text).is_ok());
}

#[test]
fn soundness_4_keys_that_conflict_below_merged_parents_are_refused() {
    for text in [
        "{ user(where: {id: 1}) { x: id } user(where: {id: 1}) { x: name } }",
        "{ users { posts(first: 1) { id } } users { ...on User { posts(first: 2) { id } } } }",
        "{ users { posts { id } posts(first: 2) { id } } }",
    ] {
        assert!(error(text).message.starts_with("Fields conflict: "));
    }
    let prepared = prepare("{ users { id posts { id } } users { name posts { title id } id } }")
        .expect("merges");
    let [users] = &prepared.operation.fields[..] else {
        panic!("one key")
    };
    let Selection::Object { fields, .. } = &users.selection else {
        panic!("an object")
    };
    assert_eq!(
        fields.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(),
        ["id", "posts", "name"]
    );
    let Selection::Object { fields, .. } = &fields[1].selection else {
        panic!("an object")
    };
    assert_eq!(
        fields.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(),
        ["id", "title"]
    );
}

/// The keys of the answer to `text`, nested ones after a dot, with these variables.
fn keys(text: &str, variables: &str) -> Vec<String> {
    let requests = requests();
    let prepared = requests
        .prepare(text, None, &RequestLimits::UNLIMITED)
        .expect(text);
    let variables = requests
        .coerce(&prepared.operation, &json(variables))
        .expect(variables);
    let mut keys = Vec::new();
    for field in prepared
        .operation
        .fields
        .iter()
        .filter(|f| f.inclusion.holds(&variables))
    {
        keys.push(field.key.clone());
        if let Selection::Object { fields, .. } = &field.selection {
            let nested = fields.iter().filter(|f| f.inclusion.holds(&variables));
            keys.extend(nested.map(|nested| format!("{}.{}", field.key, nested.key)));
        }
    }
    keys
}

#[test]
fn soundness_5_skip_and_include_combine() {
    let text = "query($a: Boolean!, $b: Boolean = false) {
        users @include(if: $a) { id name @skip(if: $b) }
        users { age ...F @skip(if: $a) ...F @include(if: $b) posts @include(if: false) { id } }
        gone: users @skip(if: true) { id }
    } fragment F on User { x: id }";
    assert_eq!(
        keys(text, r#"{"a": true}"#),
        ["users", "users.id", "users.name", "users.age"]
    );
    assert_eq!(
        keys(text, r#"{"a": false}"#),
        ["users", "users.age", "users.x"]
    );
    assert_eq!(
        keys(text, r#"{"a": true, "b": true}"#),
        ["users", "users.id", "users.age", "users.x"]
    );
    // Never both.
    let text =
        "query($a: Boolean!) { users { id ...on User @skip(if: $a) { name @include(if: $a) } } }";
    assert_eq!(keys(text, r#"{"a": true}"#), ["users", "users.id"]);
    assert_eq!(keys(text, r#"{"a": false}"#), ["users", "users.id"]);

    let text = "query($a: Boolean!) { users { id @skip(if: $a) } users { id } }";
    let prepared = prepare(text).expect("valid");
    let Selection::Object { fields, .. } = &prepared.operation.fields[0].selection else {
        panic!("an object")
    };
    assert_eq!(fields[0].inclusion, Inclusion::default());
    assert!(
        error("{ users @skip(if: 5) { id } }")
            .message
            .contains("Boolean value expected.")
    );
    assert!(
        error("{ users @skip { id } }")
            .message
            .contains("needs the argument 'if'")
    );
}

#[test]
fn soundness_8_the_cache_is_bounded_by_bytes() {
    let options = RequestOptions {
        cache_bytes: 1 << 20,
        assumed_list_size: 100,
        looked_up: |_| {},
    };
    let requests = Requests::new(Arc::new(schema()), Box::new(|_, _| Ok(())), options);
    for n in 0..5_000 {
        let text = format!(
            "{{ users(where: {{name: \"{n}{}\"}}) {{ id }} }}",
            "x".repeat(1_000)
        );
        requests
            .prepare(&text, None, &RequestLimits::UNLIMITED)
            .expect("valid");
        assert!(requests.cached_bytes() <= 1 << 20);
    }
    assert!(requests.cached_bytes() > 1 << 18);
}

#[test]
fn soundness_8_a_cached_document_is_held_against_each_callers_limits() {
    let requests = requests();
    let text = "{ users { posts { id } } }";
    let first = requests
        .prepare(text, None, &RequestLimits::UNLIMITED)
        .expect("valid");
    let again = requests
        .prepare(text, Some(""), &RequestLimits::default())
        .expect("valid");
    assert!(Arc::ptr_eq(&first, &again));
    let limits = RequestLimits {
        depth: Some(2),
        ..RequestLimits::UNLIMITED
    };
    let errors = requests.prepare(text, None, &limits).expect_err("too deep");
    assert_eq!(
        errors[0].message,
        "The query is nested 3 levels deep; the limit is 2 (limits.depth)"
    );
}

#[test]
fn soundness_9_operations_are_chosen_by_name() {
    let requests = requests();
    let choose = |text: &str, name: Option<&str>| {
        let prepared = requests.prepare(text, name, &RequestLimits::UNLIMITED);
        prepared
            .map(|p| p.operation.fields[0].key.clone())
            .map_err(|errors| errors[0].message.clone())
    };
    let two = "query a { a: users { id } } query b { b: users { id } }";
    assert_eq!(choose(two, Some("a")), Ok("a".into()));
    assert_eq!(choose(two, Some("b")), Ok("b".into()));
    assert!(
        choose(two, None)
            .expect_err("which?")
            .contains("several operations")
    );
    assert!(
        choose(two, Some(""))
            .expect_err("which?")
            .contains("several operations")
    );
    assert_eq!(
        choose(two, Some("c")),
        Err("Unknown operation named \"c\"".into())
    );
    assert_eq!(choose("{ x: users { id } }", Some("")), Ok("x".into()));
    assert_eq!(choose("query q { x: users { id } }", None), Ok("x".into()));
    assert_eq!(
        choose("{ x: users { id } }", Some("x")),
        Err("Unknown operation named \"x\"".into())
    );
}

#[test]
fn a_list_of_an_unknown_type_with_a_default_is_refused_before_validation_panics() {
    let error = error("query($x: [Foo!] = [1]) { users { id } }");
    assert_eq!(
        error.message,
        "The variable '$x' has the type '[Foo!]', which is no input type"
    );
}

#[test]
fn who_prepares_the_same_at_once_gets_the_same() {
    let requests = requests();
    for round in 0..50 {
        let text = format!("{{ __typename round{round}: __typename }}");
        let all: Vec<_> = std::thread::scope(|scope| {
            let prepare = || {
                requests
                    .prepare(&text, None, &RequestLimits::UNLIMITED)
                    .unwrap()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(prepare)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(
            all.iter().all(|one| Arc::ptr_eq(one, &all[0])),
            "round {round}"
        );
    }
}
