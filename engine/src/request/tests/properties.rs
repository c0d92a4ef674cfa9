//! Whatever a stranger sends: no panic, and the same meaning however it is sent.

use proptest::prelude::*;
use serde_json::{Map, Value as Json};

use super::fixture::{requests, schema};
use super::values::coerce;
use crate::request::datetime;
use crate::request::names::Names;
use crate::request::{Operation, OperationKind, RequestLimits, VariableDefinition, Variables};
use crate::schema::{InputId, TypeRef};

/// Pieces of documents, so that chance gets past the parser.
pub(super) fn documents() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "$",
        "!",
        "=",
        "...",
        "@",
        "on ",
        "query ",
        "mutation ",
        "fragment F ",
        "users",
        "user",
        "node",
        "name",
        "id",
        "where",
        "AND",
        "first",
        "$v",
        "...F",
        "...on User",
        "...on Node",
        "{id}",
        "{name:$v}",
        "{AND:[{age:1}]}",
        "(where:{id:1})",
        "@skip(if:$v)",
        "@include(if:true)",
        "x:",
        "\"",
        "\"\"\"",
        "\\",
        "1",
        "-1.5e3",
        "null",
        "true",
        "RED",
        "# c\n",
        "\n",
        ",",
        "\u{feff}",
        "é",
        "😀",
        "\0",
        "($v:Int)",
        "($v:[UserWhereInput!]={})",
        "{ users { id } }",
        "__typename",
        "__schema{types{name}}",
        "subscription{user{node{id}}}",
        "fragment F on User{id}",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.join(" "))
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
        prop::sample::select(vec!["RED", "2016-01", "{}", "1"]).prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop::sample::select(vec![
            "AND", "name", "age", "data", "posts", "create", "title", "x", "id",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..5)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(400),
        failure_persistence: None,
        // Two of three values are none that can be written as a literal.
        max_global_rejects: u32::MAX,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_text_panics(text in any::<String>(), name in any::<Option<String>>()) {
        let _ = requests().prepare(&text, name.as_deref(), &RequestLimits::default());
    }

    #[test]
    fn no_document_panics(text in documents()) {
        let requests = requests();
        if let Ok(prepared) = requests.prepare(&text, None, &RequestLimits::UNLIMITED) {
            let _ = requests.coerce(&prepared.operation, &Map::new());
        }
    }

    #[test]
    fn no_variables_panic(values in prop::collection::vec(any_json(), 16)) {
        let schema = schema();
        let names = Names::new(&schema);
        let scalars = ["ID", "String!", "[[Int!]]", "Float", "Boolean", "DateTime", "Json", "UUID", "Long", "Color"];
        let scalars = scalars.iter().map(|ty| async_graphql::parser::types::Type::new(ty).unwrap());
        let types = scalars.map(|ty| names.input_type(&ty).unwrap());
        let types = types.chain((0..schema.inputs.len()).map(|id| TypeRef::Input(InputId(id))));
        for (index, ty) in types.enumerate() {
            let variable = VariableDefinition { name: "v".into(), ty, default: None, used_as_required: false };
            let operation =
                Operation { kind: OperationKind::Query, fields: Vec::new(), variables: vec![variable] };
            let mut given = Map::new();
            given.insert("v".into(), values[index].clone());
            if let Err(error) = Variables::coerce(&schema, &operation, &given) {
                let ty = schema.type_text(&operation.variables[0].ty);
                let prefix = format!("Variable '$v' expected value of type '{ty}'");
                prop_assert!(error.message.starts_with(&prefix));
            }
        }
    }

    #[test]
    fn a_value_means_the_same_as_a_literal_and_as_a_variable(value in any_json(), choice in 0..8usize) {
        let fields = [
            ("id", "ID"), ("age", "Int"), ("big", "Long"), ("score", "Float"), ("active", "Boolean"),
            ("born", "DateTime"), ("key", "UUID"), ("tags", "[String!]"),
        ];
        let (field, ty) = fields[choice];
        // JSON is a literal of GraphQL but for objects, and for escaped control characters.
        prop_assume!(!value.to_string().contains(['{', '\\']));
        let given = value.to_string();
        let literal = coerce(field, ty, Some(&given), None);
        let variable = coerce(field, ty, None, Some(&given));
        match (literal, variable) {
            (Ok(literal), Ok(variable)) => prop_assert_eq!(literal, variable),
            // A whole number with a point is an Int in JSON only.
            (Err(_), Ok(_)) => prop_assert!(given.contains('.') || given.contains('e')),
            (Ok(_), Err(error)) => prop_assert!(false, "{} as a variable only: {}", given, error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn json_means_the_same_as_a_literal_and_as_a_variable(value in any_json()) {
        prop_assume!(value.is_object() || value.is_array());
        let text = value.to_string();
        let literal = serde_json::to_string(&text).unwrap();
        let literal = coerce("data", "Json", Some(&literal), None);
        let variable = coerce("data", "Json", None, Some(&text));
        prop_assert_eq!(literal.is_ok(), variable.is_ok());
        if let (Ok(literal), Ok(variable)) = (literal, variable) {
            prop_assert_eq!(literal, variable);
        }
    }

    #[test]
    fn a_canonical_date_is_its_own_canonical_form(text in "[0-9]{4}(-[01][0-9](-[0-3][0-9](T[0-2][0-9](:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,5})?)?)?(Z|[+-][0-2][0-9](:?[0-5][0-9])?)?)?)?)?") {
        if let Some(canonical) = datetime::canonical(&text) {
            prop_assert_eq!(canonical.len(), 23);
            prop_assert_eq!(datetime::canonical(&canonical), Some(canonical));
        }
    }
}
