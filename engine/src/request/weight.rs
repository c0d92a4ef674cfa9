//! How many bytes a prepared operation takes, about, so that the cache of documents can be bounded
//! by bytes.

use std::mem::size_of;

use super::operation::{InclusionCondition, Operation, SelectedField, Selection, Template, Value};

pub(super) fn operation(operation: &Operation) -> u64 {
    let variables = operation.variables.iter().map(|variable| {
        size_of_val(variable) + variable.name.len() + variable.default.as_ref().map_or(0, value)
    });
    (variables.sum::<usize>() + fields(&operation.fields)) as u64
}

fn fields(selected: &[SelectedField]) -> usize {
    selected.iter().map(field).sum()
}

fn field(field: &SelectedField) -> usize {
    let arguments: usize = field
        .arguments
        .iter()
        .map(|(_, argument)| template(argument))
        .sum();
    let conditions: usize = field
        .inclusion
        .0
        .iter()
        .map(|all| all.len() * size_of::<InclusionCondition>() + 24)
        .sum();
    let selection = match &field.selection {
        Selection::Leaf => 0,
        Selection::Object {
            type_name,
            fields: selected,
        } => type_name.len() + fields(selected),
        Selection::Node(models) => models
            .iter()
            .map(|(_, name, selected)| size_of_val(name) + name.len() + fields(selected))
            .sum(),
    };
    size_of_val(field) + field.key.len() + field.name.len() + arguments + conditions + selection
}

fn template(given: &Template) -> usize {
    size_of::<Template>()
        + match given {
            Template::Constant(constant) => value(constant),
            Template::Variable(..) => size_of::<Template>(),
            Template::List(items) => items.iter().map(template).sum(),
            Template::Object(_, fields) => {
                fields.iter().map(|(_, field)| 24 + template(field)).sum()
            }
        }
}

fn value(given: &Value) -> usize {
    size_of::<Value>()
        + match given {
            Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(value).sum(),
            Value::Object(_, fields) => fields.iter().map(|(_, field)| 24 + value(field)).sum(),
            Value::Null | Value::Boolean(_) | Value::Int(_) | Value::Enum(..) => 0,
        }
}
