//! Filters and unique look-ups of a request become conditions on rows.

use std::sync::Arc;

use indexmap::IndexSet;

use super::access::Access;
use super::context::{Planner, display_value, entries, items};
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::request::Value;
use crate::schema::{EnumMeaning, InputMeaning};
use crate::sql::{Comparison, Filter, Operand, Quantifier, View};

/// A `where` that pins one row by one unique field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unique {
    pub model: ModelId,
    pub field: FieldId,
    /// The value in PostgreSQL's text.
    pub text: String,
    /// How the viewer reads the field, if not as its column has it.
    pub view: Option<Arc<View>>,
}

impl Unique {
    pub(crate) fn filter(&self) -> Filter {
        self.compared(Comparison::Equals, Operand::One(self.text.clone()))
    }

    /// The conditions of which a row satisfies one if it is among the rows named, all of one model:
    /// one for each field by which they are named.
    pub(super) fn any_of(named: &[Unique]) -> Vec<Filter> {
        let mut by_field: Vec<(&Unique, IndexSet<&str>)> = Vec::new();
        for unique in named {
            // A model has few unique fields.
            match by_field
                .iter_mut()
                .find(|(first, _)| first.field == unique.field)
            {
                Some((_, texts)) => {
                    texts.insert(&unique.text);
                }
                None => by_field.push((unique, IndexSet::from([unique.text.as_str()]))),
            }
        }
        let any = |(first, texts): (&Unique, IndexSet<&str>)| {
            let texts = texts
                .into_iter()
                .map(|text| Some(text.to_owned()))
                .collect();
            first.compared(Comparison::In, Operand::Many(texts))
        };
        by_field.into_iter().map(any).collect()
    }

    fn compared(&self, comparison: Comparison, operand: Operand) -> Filter {
        let field = self.field;
        match &self.view {
            None => Filter::Compare {
                field,
                comparison,
                operand,
            },
            // Equal to a value, hence not null: so the column's index finds it.
            Some(view) if view.own.is_none() => Filter::Compare {
                field,
                comparison,
                operand,
            }
            .and(view.shown.clone()),
            Some(view) => Filter::CompareView {
                field,
                view: Arc::clone(view),
                comparison,
                operand,
            },
        }
    }
}

impl Planner {
    /// The field that an `orderBy` names.
    pub(crate) fn ordered_by(&self, order: &Value) -> Option<FieldId> {
        let Value::Enum(id, position) = order else {
            return None;
        };
        match &self.schema.enumeration(*id).meaning {
            EnumMeaning::OrderBy(fields) => fields.get(*position).map(|(field, _)| *field),
            _ => None,
        }
    }

    /// A `where` of lists and many-mutations. Nothing given: every row. Partners that the viewer
    /// may not see do not count, so that no filter reveals them; the caller restricts the rows
    /// themselves.
    pub(crate) fn filter(
        &self,
        model: ModelId,
        value: Option<&Value>,
        access: Access<'_>,
    ) -> Result<Filter, ApiError> {
        let mut parts = Vec::new();
        for (meaning, value) in value.map(entries).unwrap_or_default() {
            parts.push(self.filter_part(model, *meaning, value, access)?);
        }
        Ok(if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            Filter::And(parts)
        })
    }

    fn filter_part(
        &self,
        model: ModelId,
        meaning: InputMeaning,
        value: &Value,
        access: Access<'_>,
    ) -> Result<Filter, ApiError> {
        let all = |value: &Value| -> Result<Vec<Filter>, ApiError> {
            items(Some(value))
                .iter()
                .map(|v| self.filter(model, Some(v), access))
                .collect()
        };
        let partners = |field| self.partners(model, field, value, access);
        Ok(match meaning {
            // A combinator given as null has no effect.
            InputMeaning::And | InputMeaning::Or | InputMeaning::Not if *value == Value::Null => {
                Filter::TRUE
            }
            InputMeaning::And => Filter::And(all(value)?),
            InputMeaning::Or => Filter::Or(all(value)?),
            InputMeaning::Not => Filter::Nor(all(value)?),
            InputMeaning::Compare(field, comparison) => {
                access.check_field(self, model, field)?;
                let operand = match value {
                    Value::Null => Operand::Null,
                    Value::List(list) => {
                        Operand::Many(list.iter().map(|v| self.scalar_text(v)).collect())
                    }
                    one => self.scalar_text(one).map_or(Operand::Null, Operand::One),
                };
                match access.view(model, field) {
                    None => Filter::Compare {
                        field,
                        comparison,
                        operand,
                    },
                    Some(view) => Filter::CompareView {
                        field,
                        view: Arc::clone(view),
                        comparison,
                        operand,
                    },
                }
            }
            InputMeaning::RelatedIs(field) if *value == Value::Null => {
                let visible = access.visible(self.target(model, field, access)?);
                if visible.is_true() {
                    Filter::Unrelated { field }
                } else {
                    Filter::Related {
                        field,
                        quantifier: Quantifier::None,
                        filter: Box::new(visible),
                    }
                }
            }
            InputMeaning::RelatedEvery(field) => {
                let (visible, filter) = partners(field)?;
                Filter::every(field, filter, visible)
            }
            InputMeaning::RelatedIs(field)
            | InputMeaning::RelatedSome(field)
            | InputMeaning::RelatedNone(field) => {
                let (visible, filter) = partners(field)?;
                let quantifier = match meaning {
                    InputMeaning::RelatedIs(_) => Quantifier::Is,
                    InputMeaning::RelatedSome(_) => Quantifier::Some,
                    _ => Quantifier::None,
                };
                Filter::Related {
                    field,
                    quantifier,
                    filter: Box::new(filter.and(visible)),
                }
            }
            _ => return Err(unexpected("filter")),
        })
    }

    /// The model behind a relation field that the viewer may name.
    pub(super) fn target(
        &self,
        model: ModelId,
        field: FieldId,
        access: Access<'_>,
    ) -> Result<ModelId, ApiError> {
        access.check_field(self, model, field)?;
        let relation = self.model().field(model, field).relation();
        relation
            .map(|r| r.target)
            .ok_or_else(|| unexpected("relation field"))
    }

    /// What decides which partners a relation filter means: those that the viewer may see, and the
    /// filter on them.
    fn partners(
        &self,
        model: ModelId,
        field: FieldId,
        value: &Value,
        access: Access<'_>,
    ) -> Result<(Filter, Filter), ApiError> {
        let target = self.target(model, field, access)?;
        if *value == Value::Null {
            let name = &self.model().field(model, field).name;
            return Err(ApiError::numbered(
                3033,
                format!(
                    "The field '{name}' is a toMany relation. This cannot be filtered by null."
                ),
            ));
        }
        Ok((
            access.visible(target),
            self.filter(target, Some(value), access)?,
        ))
    }

    /// A `where` that must name exactly one unique field and value.
    pub(crate) fn unique(
        &self,
        model: ModelId,
        value: &Value,
        access: Access<'_>,
    ) -> Result<Unique, ApiError> {
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
            (InputMeaning::Value(field), value) => {
                access.check_field(self, model, *field)?;
                let text = self
                    .scalar_text(value)
                    .ok_or_else(|| unexpected("unique value"))?;
                Ok(Unique {
                    model,
                    field: *field,
                    text,
                    view: access.view(model, *field).cloned(),
                })
            }
            _ => Err(unexpected("unique selector")),
        }
    }

    /// 3039, or for users [`ErrorKind::Forbidden`].
    pub(super) fn missing(&self, unique: &Unique, access: Access<'_>) -> ApiError {
        if access.is_limited() {
            self.no_access(unique.model)
        } else {
            self.no_node(unique)
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
                display_value(field, &unique.text),
                field.name
            ),
        )
    }
}

/// Coercion lets only what the schema declares come here; should it ever not, the request fails.
pub(crate) fn unexpected(what: &str) -> ApiError {
    ApiError::new(
        crate::error::ErrorKind::Internal,
        format!("a {what} of an unexpected shape"),
    )
}
