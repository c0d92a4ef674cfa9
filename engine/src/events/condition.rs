//! The `where` of a subscription: conditions on a change and conditions on its node, joined by
//! logic.

use super::{ChangeKind, NodeChange};
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::plan::{Access, Planner, entries, items, unexpected};
use crate::request::Value;
use crate::schema::{EnumMeaning, InputMeaning};
use crate::sql::{Filter, Match};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum EventCondition {
    /// All hold; of nothing: true.
    All(Box<[EventCondition]>),
    /// One holds.
    Any(Box<[EventCondition]>),
    /// None holds.
    None(Box<[EventCondition]>),
    Kind(Box<[ChangeKind]>),
    /// An update of all of these. What is not there is the name of no field.
    UpdatedEvery(Box<[Option<FieldId>]>),
    /// An update of any of these.
    UpdatedSome(Box<[Option<FieldId>]>),
    /// An update that names all of these, or any of them, to a viewer with rules: which fields it
    /// names, the rows decide.
    Names {
        every: bool,
        fields: Box<[Option<FieldId>]>,
    },
    Node(Filter),
}

impl Planner {
    /// Nothing given: every change.
    pub(super) fn condition(
        &self,
        model: ModelId,
        value: Option<&Value>,
        access: Access<'_>,
    ) -> Result<EventCondition, ApiError> {
        let given = value.map(entries).unwrap_or_default().iter();
        // Null has no effect.
        let given = given.filter(|(_, value)| *value != Value::Null);
        let parts =
            given.map(|(meaning, value)| self.condition_part(model, *meaning, value, access));
        let mut parts: Vec<EventCondition> = parts.collect::<Result<_, _>>()?;
        Ok(if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            EventCondition::All(parts.into())
        })
    }

    fn condition_part(
        &self,
        model: ModelId,
        meaning: InputMeaning,
        value: &Value,
        access: Access<'_>,
    ) -> Result<EventCondition, ApiError> {
        let parts = || -> Result<Box<[EventCondition]>, ApiError> {
            items(Some(value))
                .iter()
                .map(|part| self.condition(model, Some(part), access))
                .collect()
        };
        let fields = || -> Result<Box<[Option<FieldId>]>, ApiError> {
            items(Some(value))
                .iter()
                .map(|name| self.named_field(model, name, access))
                .collect()
        };
        Ok(match meaning {
            InputMeaning::And => EventCondition::All(parts()?),
            InputMeaning::Or => EventCondition::Any(parts()?),
            InputMeaning::Not => EventCondition::None(parts()?),
            InputMeaning::MutationIn => {
                let kinds = items(Some(value)).iter().map(|kind| self.kind(kind));
                EventCondition::Kind(kinds.collect::<Result<_, _>>()?)
            }
            InputMeaning::UpdatedFieldsContains | InputMeaning::UpdatedFieldsContainsEvery => {
                updated(true, fields()?, access)
            }
            InputMeaning::UpdatedFieldsContainsSome => updated(false, fields()?, access),
            InputMeaning::EventNode => {
                EventCondition::Node(self.filter(model, Some(value), access)?)
            }
            _ => return Err(unexpected("condition")),
        })
    }

    fn kind(&self, value: &Value) -> Result<ChangeKind, ApiError> {
        match value {
            Value::Enum(id, _)
                if self.schema.enumeration(*id).meaning == EnumMeaning::MutationType =>
            {
                let name = self.scalar_text(value);
                name.and_then(|name| ChangeKind::named(&name))
                    .ok_or_else(|| unexpected("kind of change"))
            }
            _ => Err(unexpected("kind of change")),
        }
    }

    fn named_field(
        &self,
        model: ModelId,
        name: &Value,
        access: Access<'_>,
    ) -> Result<Option<FieldId>, ApiError> {
        let Value::Text(name) = name else {
            return Err(unexpected("field's name"));
        };
        let field = self.model().model(model).field_named(name);
        if let Some(field) = field {
            access.check_field(self, model, field)?;
            access.check_plain(self, model, field)?;
        }
        Ok(field)
    }
}

fn updated(every: bool, fields: Box<[Option<FieldId>]>, access: Access<'_>) -> EventCondition {
    match every {
        _ if access.is_limited() => EventCondition::Names { every, fields },
        true => EventCondition::UpdatedEvery(fields),
        false => EventCondition::UpdatedSome(fields),
    }
}

impl EventCondition {
    /// Whether it holds for a change; `None` where its node decides.
    pub(super) fn holds(&self, change: &NodeChange) -> Option<bool> {
        let updated =
            |field: &Option<FieldId>| field.is_some_and(|field| change.updated.contains(&field));
        let update = change.kind == ChangeKind::Updated;
        match self {
            EventCondition::All(parts) => all(parts.iter().map(|part| part.holds(change))),
            EventCondition::Any(parts) => {
                not(all(parts.iter().map(|part| not(part.holds(change)))))
            }
            EventCondition::None(parts) => all(parts.iter().map(|part| not(part.holds(change)))),
            EventCondition::Kind(kinds) => Some(kinds.contains(&change.kind)),
            EventCondition::UpdatedEvery(fields) => Some(update && fields.iter().all(updated)),
            EventCondition::UpdatedSome(fields) => Some(update && fields.iter().any(updated)),
            EventCondition::Names { .. } => (!update).then_some(false),
            EventCondition::Node(_) => None,
        }
    }

    /// Whether the change alone decides it.
    fn is_of_change(&self) -> bool {
        match self {
            EventCondition::All(parts)
            | EventCondition::Any(parts)
            | EventCondition::None(parts) => parts.iter().all(EventCondition::is_of_change),
            EventCondition::Node(_) | EventCondition::Names { .. } => false,
            _ => true,
        }
    }

    /// Whether it depends on the fields that an update names to the viewer.
    pub(super) fn needs_names(&self) -> bool {
        match self {
            EventCondition::All(parts)
            | EventCondition::Any(parts)
            | EventCondition::None(parts) => parts.iter().any(EventCondition::needs_names),
            EventCondition::Names { .. } => true,
            _ => false,
        }
    }

    /// The filters that a node must satisfy whatever its change is.
    pub(super) fn node_filters<'a>(&'a self, found: &mut Vec<&'a Filter>) {
        match self {
            EventCondition::All(parts) => parts.iter().for_each(|part| part.node_filters(found)),
            EventCondition::Node(filter) => found.push(filter),
            _ => {}
        }
    }

    /// The rows that an event may be about: a condition on the change counts as if it held, inside
    /// `NOT` as if it did not.
    pub(super) fn rows(&self) -> Filter {
        self.rows_where(true)
    }

    fn rows_where(&self, change_holds: bool) -> Filter {
        let all = |parts: &[EventCondition], holds: bool| -> Vec<Filter> {
            parts.iter().map(|part| part.rows_where(holds)).collect()
        };
        match self {
            EventCondition::All(parts) => all(parts, change_holds)
                .into_iter()
                .fold(Filter::TRUE, Filter::and),
            EventCondition::Any(parts) => Filter::Or(all(parts, change_holds)),
            EventCondition::None(parts) => Filter::Nor(all(parts, !change_holds)),
            EventCondition::Node(filter) => filter.clone(),
            _ if change_holds => Filter::TRUE,
            _ => Filter::FALSE,
        }
    }

    /// What is left to decide, given changes for which it [`EventCondition::holds`] or the node
    /// decides. Conditions on the change among them are collected in `of_change`, for an answer per
    /// change.
    pub(super) fn rest<'a>(&'a self, of_change: &mut Vec<&'a EventCondition>) -> Match<'a> {
        match self {
            EventCondition::All(parts) => {
                let open = parts.iter().filter(|part| !part.is_of_change());
                Match::All(open.map(|part| part.rest(of_change)).collect())
            }
            of_change if of_change.is_of_change() => Match::All(Vec::new()),
            other => other.inner(of_change),
        }
    }

    fn inner<'a>(&'a self, of_change: &mut Vec<&'a EventCondition>) -> Match<'a> {
        if self.is_of_change() {
            of_change.push(self);
            return Match::OfChange(of_change.len());
        }
        match self {
            EventCondition::All(parts) => {
                Match::All(parts.iter().map(|part| part.inner(of_change)).collect())
            }
            EventCondition::Any(parts) => {
                Match::Any(parts.iter().map(|part| part.inner(of_change)).collect())
            }
            EventCondition::None(parts) => {
                Match::None(parts.iter().map(|part| part.inner(of_change)).collect())
            }
            EventCondition::Node(filter) => Match::Row(filter),
            EventCondition::Names { every, fields } => Match::Names {
                every: *every,
                fields,
            },
            _ => Match::All(Vec::new()),
        }
    }
}

fn not(holds: Option<bool>) -> Option<bool> {
    holds.map(|holds| !holds)
}

fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => all = None,
            Some(true) => {}
        }
    }
    all
}
