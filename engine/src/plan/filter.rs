//! Filters and unique look-ups of a request become conditions on rows.

use super::context::{Planner, entries, items, shown};
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::request::Value;
use crate::schema::{Comparison, InputMeaning};
use crate::sql::{Filter, Operand, Quantifier};

/// A `where` that pins one row by one unique field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unique {
    pub model: ModelId,
    pub field: FieldId,
    /// The value in PostgreSQL's text.
    pub text: String,
}

impl Unique {
    pub fn filter(&self) -> Filter {
        Filter::Compare {
            field: self.field,
            comparison: Comparison::Equals,
            operand: Operand::One(self.text.clone()),
        }
    }
}

impl Planner {
    /// A `where` of lists and many-mutations. Nothing given: every row.
    pub(super) fn filter(&self, model: ModelId, value: Option<&Value>) -> Result<Filter, ApiError> {
        let mut parts = Vec::new();
        for (meaning, value) in value.map(entries).unwrap_or_default() {
            parts.push(self.filter_part(model, *meaning, value)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Filter::And(parts) })
    }

    fn filter_part(&self, model: ModelId, meaning: InputMeaning, value: &Value) -> Result<Filter, ApiError> {
        let all = |value: &Value| -> Result<Vec<Filter>, ApiError> {
            items(Some(value)).iter().map(|v| self.filter(model, Some(v))).collect()
        };
        Ok(match meaning {
            // A combinator given as null says nothing.
            InputMeaning::And | InputMeaning::Or | InputMeaning::Not if *value == Value::Null => Filter::TRUE,
            InputMeaning::And => Filter::And(all(value)?),
            InputMeaning::Or => Filter::Or(all(value)?),
            InputMeaning::Not => Filter::Nor(all(value)?),
            InputMeaning::Compare(field, comparison) => {
                let operand = match value {
                    Value::Null => Operand::Null,
                    Value::List(list) => Operand::Many(list.iter().map(|v| self.scalar_text(v)).collect()),
                    one => self.scalar_text(one).map_or(Operand::Null, Operand::One),
                };
                Filter::Compare { field, comparison, operand }
            }
            InputMeaning::RelatedIs(field) if *value == Value::Null => Filter::Unrelated { field },
            InputMeaning::RelatedIs(field) => self.related(model, field, Quantifier::Is, value)?,
            InputMeaning::RelatedSome(field) => self.related(model, field, Quantifier::Some, value)?,
            InputMeaning::RelatedEvery(field) => self.related(model, field, Quantifier::Every, value)?,
            InputMeaning::RelatedNone(field) => self.related(model, field, Quantifier::None, value)?,
            _ => return Err(unexpected("filter")),
        })
    }

    fn related(
        &self,
        model: ModelId,
        field: FieldId,
        quantifier: Quantifier,
        value: &Value,
    ) -> Result<Filter, ApiError> {
        let definition = self.model().field(model, field);
        let Some(relation) = definition.relation() else { return Err(unexpected("relation filter")) };
        if *value == Value::Null {
            return Err(ApiError::numbered(
                3033,
                format!(
                    "The field '{}' is a toMany relation. This cannot be filtered by null.",
                    definition.name
                ),
            ));
        }
        let filter = Box::new(self.filter(relation.target, Some(value))?);
        Ok(Filter::Related { field, quantifier, filter })
    }

    /// A `where` that must name exactly one unique field and value.
    pub(super) fn unique(&self, model: ModelId, value: &Value) -> Result<Unique, ApiError> {
        let mut given = entries(value).iter().filter(|(_, v)| *v != Value::Null);
        let name = self.model_name(model);
        let one = match (given.next(), given.next()) {
            (Some(one), None) => one,
            (None, _) => {
                return Err(ApiError::numbered(
                    3040,
                    format!(
                        "You provided an invalid argument for the where selector on {name}. Please provide exactly one unique field and value."
                    ),
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::numbered(
                    3045,
                    format!(
                        "You provided more than one field for the unique selector on {name}. If you want that behavior you can use the many query and combine fields with AND / OR."
                    ),
                ));
            }
        };
        match one {
            (InputMeaning::Value(field), value) => match self.scalar_text(value) {
                Some(text) => Ok(Unique { model, field: *field, text }),
                None => Err(unexpected("unique value")),
            },
            _ => Err(unexpected("unique selector")),
        }
    }

    /// 3039
    pub(super) fn no_node(&self, unique: &Unique) -> ApiError {
        let field = self.model().field(unique.model, unique.field);
        ApiError::numbered(
            3039,
            format!(
                "No Node for the model {} with value {} for {} found.",
                self.model_name(unique.model),
                shown(field, &unique.text),
                field.name
            ),
        )
    }
}

/// Coercion lets only what the schema declares come here; should it ever not, the request fails.
pub(super) fn unexpected(what: &str) -> ApiError {
    ApiError::new(crate::error::ErrorKind::Internal, format!("a {what} of an unexpected shape"))
}
