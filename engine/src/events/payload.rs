//! What a subscriber is told of changes: the statement that reads it, and the message made of it.

use std::fmt::Write;

use super::subscription::Identity;
use super::{Change, ChangeKind, Ghosts, Subscription};
use crate::datamodel::ModelId;
use crate::error::ApiError;
use crate::plan::{Completed, Planner, Reader, Statement, is_marked, object, unexpected};
use crate::request::{Selected, SelectedField};
use crate::schema::OutputMeaning;
use crate::sql::{self, EventEntry, EventShape, Events, Match};

impl Planner {
    /// The statement that reads what the subscriber is told of those changes that are for the subscription and whose
    /// nodes the viewer may see, as rows `(ordinal, payload)`, an int and a text: the position in `changes`, and the JSON for
    /// [`Planner::message`].
    ///
    /// # Errors
    /// None but faults of ours: all else was refused when the subscription was made.
    pub fn payloads(
        &self,
        subscription: &Subscription,
        changes: &[&Change],
        ghosts: &Ghosts,
    ) -> Result<Statement, ApiError> {
        let (identity, model) = (subscription.identity(), subscription.model());
        let access = identity.access();
        let shape = self.event_shape(model, identity.field()?, identity)?;
        let mut told = Vec::new();
        let rest = subscription.condition().rest(&mut told);
        let visible = access.visible(model);
        let matching = Match::All(vec![rest, Match::Row(&visible)]);
        let names = |change: &Change| {
            let fields = change.updated.iter().filter(|field| access.names(model, **field));
            let names = fields.map(|field| self.model().field(model, *field).name.as_str());
            serde_json::Value::from_iter(names)
        };
        let (living, deleted) = parameters(changes, shape.shows_before(), |change, out| {
            if !subscription.admits(change) {
                out.clear();
                return;
            }
            if change.kind == ChangeKind::Updated {
                push(out, "u", &names(change).to_string());
            }
            if !told.is_empty() {
                let answers = told.iter().map(|condition| condition.holds(change).unwrap_or_default());
                push(out, "b", &serde_json::Value::from_iter(answers).to_string());
            }
        });
        Ok(sql::events(self.physical(), model, &shape, &matching, &Events { living, deleted, ghosts }))
    }

    /// `{"key": payload}` as the subscriber receives it in `data`, with the errors of links that lead nowhere and of
    /// lists that are too long. No answer: `data` is null.
    pub fn message(&self, subscription: &Subscription, payload: &str) -> Completed {
        let identity = subscription.identity();
        let Ok(field) = identity.field() else { return Completed { answer: None, errors: Vec::new() } };
        let around = |payload: &str| format!("{{\"{}\":{payload}}}", field.key);
        if !is_marked(payload) {
            return Completed { answer: Some(around(payload)), errors: Vec::new() };
        }
        let root = &self.schema.object(self.schema.subscription).name;
        let completed =
            self.complete(root, field, identity.variables(), identity.limits(), identity.access(), payload);
        Completed { answer: completed.answer.as_deref().map(around), errors: completed.errors }
    }

    /// What the root field shows of a change.
    pub(super) fn event_shape<'a>(
        &'a self,
        model: ModelId,
        field: &'a SelectedField,
        identity: &'a Identity,
    ) -> Result<EventShape<'a>, ApiError> {
        let reader = Reader {
            planner: self,
            variables: identity.variables(),
            limits: identity.limits(),
            access: identity.access(),
        };
        let (type_name, fields) = object(&field.selection)?;
        let entries = reader.included(fields).map(|field| {
            let entry = match field.meaning {
                Selected::Typename => EventEntry::Typename(type_name),
                Selected::Field(OutputMeaning::EventMutation) => EventEntry::Mutation,
                Selected::Field(OutputMeaning::EventUpdatedFields) => EventEntry::UpdatedFields,
                Selected::Field(OutputMeaning::EventNode) => {
                    EventEntry::Node(reader.shape_of(model, &field.selection)?)
                }
                Selected::Field(OutputMeaning::EventPreviousValues) => {
                    let visible = identity.access().visible(model);
                    EventEntry::PreviousValues(reader.shape_of(model, &field.selection)?, visible)
                }
                _ => return Err(unexpected("field of an event")),
            };
            Ok((field.key.as_str(), entry))
        });
        Ok(EventShape { entries: entries.collect::<Result<_, ApiError>>()? })
    }
}

/// The JSON arrays of the changes whose nodes live, and of those whose nodes are gone; each as [`sql::Events`] says, and
/// what `more` adds to its object. `more` may clear a change that is not to be in. What was before is told of nodes that
/// live only if it is to be shown.
pub(super) fn parameters(
    changes: &[&Change],
    shows_before: bool,
    more: impl Fn(&Change, &mut String),
) -> (Option<String>, Option<String>) {
    let (mut living, mut deleted) = (String::new(), String::new());
    for (ordinal, change) in changes.iter().enumerate() {
        let mut one = format!("{{\"o\":{ordinal}");
        push(&mut one, "i", &serde_json::Value::from(change.id.as_str()).to_string());
        push(&mut one, "k", &format!("\"{}\"", change.kind.name()));
        if let Some(old) = change.old.as_ref().filter(|_| shows_before || change.kind == ChangeKind::Deleted)
        {
            push(&mut one, "p", old);
        }
        if shows_before && !change.lists.is_empty() {
            let mut lists = String::new();
            for (field, removed) in &change.lists {
                let _ =
                    write!(lists, "{}\"{}\":{removed}", if lists.is_empty() { "{" } else { "," }, field.0);
            }
            push(&mut one, "l", &format!("{lists}}}"));
        }
        more(change, &mut one);
        if one.is_empty() {
            continue;
        }
        one.push('}');
        let all = if change.kind == ChangeKind::Deleted { &mut deleted } else { &mut living };
        all.push(if all.is_empty() { '[' } else { ',' });
        all.push_str(&one);
    }
    let closed = |all: String| (!all.is_empty()).then(|| all + "]");
    (closed(living), closed(deleted))
}

/// Adds an entry to a JSON object.
fn push(object: &mut String, key: &str, json: &str) {
    // Writing to a String cannot fail.
    let _ = write!(object, ",\"{key}\":{json}");
}
