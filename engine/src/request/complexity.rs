//! What an operation's answer may come to: its fields, times the sizes of the lists around them.

use super::operation::{Selected, SelectedField, Selection, Template, Value};
use crate::schema::{InputMeaning, OutputMeaning};

/// The number of fields in the answer if every list is as long as it asks for (`first`, `last`), or
/// `assumed_list_size` where it does not say so in the document.
pub(super) fn complexity(fields: &[SelectedField], assumed_list_size: u64) -> u64 {
    sum(fields, assumed_list_size, 1)
}

/// `page` is the size of the enclosing connection, which its `edges` have.
fn sum(fields: &[SelectedField], assumed: u64, page: u64) -> u64 {
    fields.iter().fold(0u64, |sum, field| sum.saturating_add(cost(field, assumed, page)))
}

fn cost(field: &SelectedField, assumed: u64, page: u64) -> u64 {
    let Selected::Field(meaning) = field.meaning else { return 1 };
    let (items, page) = sizes(field, meaning, assumed, page);
    let children = match &field.selection {
        Selection::Leaf => 0,
        Selection::Object { fields, .. } => sum(fields, assumed, page),
        // A node is of one of these models.
        Selection::Node(models) => {
            models.iter().map(|(_, _, fields)| sum(fields, assumed, page)).max().unwrap_or(0)
        }
    };
    children.saturating_mul(items).saturating_add(1)
}

/// How often the fields within come, and the size of a connection for its `edges`.
pub(crate) fn sizes(field: &SelectedField, meaning: OutputMeaning, assumed: u64, page: u64) -> (u64, u64) {
    match meaning {
        OutputMeaning::FindMany(_) | OutputMeaning::ToMany(_) => (list_size(field, assumed), 1),
        OutputMeaning::Connection(_) => (1, list_size(field, assumed)),
        OutputMeaning::Edges => (page, 1),
        _ => (1, 1),
    }
}

/// Whether an argument holds a filter or data, perhaps by a variable.
pub(super) fn has_input(fields: &[SelectedField]) -> bool {
    fields.iter().any(|field| {
        let is_input = |(meaning, _): &(InputMeaning, Template)| is_where_or_data(*meaning);
        let within = match &field.selection {
            Selection::Leaf => false,
            Selection::Object { fields, .. } => has_input(fields),
            Selection::Node(models) => models.iter().any(|(_, _, fields)| has_input(fields)),
        };
        within || field.arguments.iter().any(is_input)
    })
}

pub(crate) fn is_where_or_data(argument: InputMeaning) -> bool {
    use InputMeaning::{Create, Data, Update, Where};
    matches!(argument, Where | Data | Create | Update)
}

fn list_size(field: &SelectedField, assumed: u64) -> u64 {
    let sizes = field.arguments.iter().filter_map(|(meaning, template)| match (meaning, template) {
        (InputMeaning::First | InputMeaning::Last, Template::Constant(Value::Int(size))) => {
            u64::try_from(*size).ok()
        }
        _ => None,
    });
    sizes.min().unwrap_or(assumed)
}
