//! The complexity of an operation: the fields of its answer, times the sizes of the lists around
//! them.

use super::operation::{Selected, SelectedField, Selection, Template, Value};
use super::variables::Variables;
use crate::schema::{InputMeaning, OutputMeaning};

/// How long the lists of an answer are.
#[derive(Clone, Copy)]
pub(crate) struct Sizes<'a> {
    /// Of a list without `first` and `last`.
    pub assumed: u64,
    /// `None` before there are values: then fields that a variable may leave out count.
    pub variables: Option<&'a Variables>,
}

impl Sizes<'_> {
    /// The number of fields in the answer if every list is as long as requested (`first`, `last`).
    pub(crate) fn complexity(self, fields: &[SelectedField]) -> u64 {
        self.sum(fields, 1)
    }

    /// `page` is the size of the enclosing connection, which its `edges` have.
    fn sum(self, fields: &[SelectedField], page: u64) -> u64 {
        let included = fields.iter().filter(|field| {
            self.variables
                .is_none_or(|values| field.inclusion.holds(values))
        });
        included.fold(0u64, |sum, field| {
            sum.saturating_add(self.cost(field, page))
        })
    }

    fn cost(self, field: &SelectedField, page: u64) -> u64 {
        let Selected::Field(meaning) = field.meaning else {
            return 1;
        };
        let (items, page) = self.of(field, meaning, page);
        let children = match &field.selection {
            Selection::Leaf => 0,
            Selection::Object { fields, .. } => self.sum(fields, page),
            // A node is of one of these models.
            Selection::Node(models) => models
                .iter()
                .map(|(_, _, fields)| self.sum(fields, page))
                .max()
                .unwrap_or(0),
        };
        children.saturating_mul(items).saturating_add(1)
    }

    /// How often the fields within come, and the size of a connection for its `edges`.
    pub(crate) fn of(self, field: &SelectedField, meaning: OutputMeaning, page: u64) -> (u64, u64) {
        match meaning {
            OutputMeaning::FindMany(_) | OutputMeaning::ToMany(_) => (self.list(field), 1),
            OutputMeaning::Connection(_) => (1, self.list(field)),
            OutputMeaning::Edges => (page, 1),
            _ => (1, 1),
        }
    }

    fn list(self, field: &SelectedField) -> u64 {
        let sizes = page_sizes(field).filter_map(|template| match template {
            Template::Constant(Value::Int(size)) => u64::try_from(*size).ok(),
            Template::Variable(id, _) => match self.variables?.get(*id) {
                Some(Value::Int(size)) => u64::try_from(*size).ok(),
                _ => None,
            },
            _ => None,
        });
        sizes.min().unwrap_or(self.assumed)
    }
}

/// The values of `first` and `last`.
fn page_sizes(field: &SelectedField) -> impl Iterator<Item = &Template> {
    let is_size = |meaning| matches!(meaning, InputMeaning::First | InputMeaning::Last);
    field
        .arguments
        .iter()
        .filter(move |(meaning, _)| is_size(*meaning))
        .map(|(_, template)| template)
}

/// Whether a variable sets the length of a list.
pub(super) fn has_variable_sizes(fields: &[SelectedField]) -> bool {
    any(fields, &|field| {
        page_sizes(field).any(|template| matches!(template, Template::Variable(..)))
    })
}

/// Whether an argument holds a filter or data, perhaps by a variable.
pub(super) fn has_input(fields: &[SelectedField]) -> bool {
    any(fields, &|field| {
        field
            .arguments
            .iter()
            .any(|(meaning, _)| is_where_or_data(*meaning))
    })
}

/// Whether a field at some level is such.
fn any(fields: &[SelectedField], such: &impl Fn(&SelectedField) -> bool) -> bool {
    fields.iter().any(|field| {
        let within = match &field.selection {
            Selection::Leaf => false,
            Selection::Object { fields, .. } => any(fields, such),
            Selection::Node(models) => models.iter().any(|(_, _, fields)| any(fields, such)),
        };
        within || such(field)
    })
}

pub(crate) fn is_where_or_data(argument: InputMeaning) -> bool {
    use InputMeaning::{Create, Data, Update, Where};
    matches!(argument, Where | Data | Create | Update)
}
