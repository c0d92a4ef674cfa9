//! `@live`, declared for tools: async-graphql's dynamic schemas declare no directives of their own,
//! so introspection's answer gets it here, and `gom schema --with-extensions` a line of SDL.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Response, Value};

/// The parts of the schema that Prisma 1 did not have, as SDL.
pub const EXTENSIONS: &str = "\"\"\"Answers the query again whenever its answer changes, over websockets and event streams.\"\"\"\ndirective @live on QUERY\n";
const DESCRIPTION: &str =
    "Answers the query again whenever its answer changes, over websockets and event streams.";

/// Adds the directive to every list of directives in the answer of a validated introspection.
pub(super) fn declare(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    response: &mut Response,
) {
    let mut operations = document.operations.iter();
    let operation = operations
        .find(|(name, _)| operation_name.is_none() || name.map(Name::as_str) == operation_name);
    let (Some((_, operation)), Value::Object(root)) = (operation, &mut response.data) else {
        return;
    };
    for (key, schema) in fields(document, &[&operation.node.selection_set.node]) {
        let Some(Value::Object(answer)) = root.get_mut(key).filter(|_| schema.name == "__schema")
        else {
            continue;
        };
        for (key, directives) in fields(document, &schema.selections) {
            if directives.name != "directives" {
                continue;
            }
            if let Some(Value::List(list)) = answer.get_mut(key) {
                // Which of the fields are there, after `@skip` and `@include`, another one shows.
                let asked = fields(document, &directives.selections);
                let live = match list.first() {
                    Some(Value::Object(other)) => other
                        .keys()
                        .map(|key| (key.clone(), value(asked.get(key.as_str()))))
                        .collect(),
                    _ => continue,
                };
                list.push(Value::Object(live));
            }
        }
    }
}

/// A field of an answer: its name, and what is selected of it wherever it stands.
struct RequestedField<'a> {
    name: &'a str,
    selections: Vec<&'a SelectionSet>,
}

fn value(asked: Option<&RequestedField<'_>>) -> Value {
    match asked.map(|asked| asked.name) {
        Some("name") => Value::from("live"),
        Some("description") => Value::from(DESCRIPTION),
        Some("locations") => Value::List(vec![Value::Enum(Name::new("QUERY"))]),
        Some("args") => Value::List(Vec::new()),
        Some("isRepeatable") => Value::from(false),
        Some("__typename") => Value::from("__Directive"),
        _ => Value::Null,
    }
}

/// The fields of selections by their keys, those of fragments included. Validated documents have no
/// fragment within itself.
fn fields<'a>(
    document: &'a ExecutableDocument,
    selections: &[&'a SelectionSet],
) -> HashMap<&'a str, RequestedField<'a>> {
    let mut found: HashMap<&str, RequestedField<'_>> = HashMap::new();
    let mut waiting = selections.to_vec();
    while let Some(selection) = waiting.pop() {
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let field: &Field = &field.node;
                    let asked = found
                        .entry(field.response_key().node.as_str())
                        .or_insert_with(|| RequestedField {
                            name: field.name.node.as_str(),
                            selections: Vec::new(),
                        });
                    asked.selections.push(&field.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = document.fragments.get(&spread.node.fragment_name.node);
                    waiting.extend(fragment.map(|fragment| &fragment.node.selection_set.node));
                }
                Selection::InlineFragment(inline) => waiting.push(&inline.node.selection_set.node),
            }
        }
    }
    found
}
