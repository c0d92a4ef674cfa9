//! The events of a subscription: the statement that reads their payloads, and the messages made of
//! these.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::subscription::SubscriptionIdentity;
use super::{ChangeKind, NodeChange, Subscription, UpdateCause};
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::plan::{
    Access, Completed, Planner, ReadPlanner, Statement, is_marked, object, unexpected,
};
use crate::request::{Selected, SelectedField};
use crate::schema::OutputMeaning;
use crate::sql::{self, ChangeBatch, EventEntry, EventShape, Filter, Match, ViewerRules};

impl Planner {
    /// The statement that reads the payloads of those changes that match the subscription and that
    /// the viewer may see, as rows `(ordinal, payload)`, an int and a text: the position in
    /// `changes`, and the JSON for [`Planner::message`].
    ///
    /// A viewer with rules gets an update of a row that was there for it after the change and is
    /// there now. If it was not there for the viewer before, it is as new: no previous values are
    /// compared.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::error::ErrorKind::Internal) only: all else was refused when
    /// the subscription was compiled.
    pub fn payloads(
        &self,
        subscription: &Subscription,
        changes: &[&NodeChange],
    ) -> Result<Statement, ApiError> {
        let (identity, model) = (subscription.identity(), subscription.model());
        let access = identity.access();
        let shape = self.event_shape(model, identity.field()?, identity)?;
        let mut of_change = Vec::new();
        let condition = subscription.condition();
        let rest = condition.rest(&mut of_change);
        let visible = access.visible(model);
        let naming = Naming::of(self, model, access, changes);
        let rules = access.is_limited().then(|| ViewerRules {
            visible: &visible,
            needs_names: shape.shows_names() || condition.needs_names(),
            all: naming.all.clone(),
            checked: naming
                .checked
                .iter()
                .map(|(field, filter)| (*field, filter))
                .collect(),
        });
        let matching = Match::All(vec![rest, Match::Row(&visible)]);
        let before = if shape.shows_before() {
            PreviousRows::Shown
        } else {
            PreviousRows::Unseen
        };
        let events = events(changes, before, |change, out| {
            if !subscription.admits(change) {
                out.clear();
                return;
            }
            if change.kind == ChangeKind::Updated {
                naming.push(change, out);
            }
            if !of_change.is_empty() {
                let answers = of_change
                    .iter()
                    .map(|condition| condition.holds(change).unwrap_or_default());
                push(out, "b", &Json::from_iter(answers).to_string());
            }
        });
        Ok(sql::events(
            self.physical(),
            model,
            &shape,
            &matching,
            rules.as_ref(),
            &events,
        ))
    }

    /// `{"key": payload}` as the subscriber receives it in `data`, with the errors of links that
    /// lead nowhere and of lists that are too long. No answer: `data` is null.
    pub fn message(&self, subscription: &Subscription, payload: &str) -> Completed {
        let identity = subscription.identity();
        let Ok(field) = identity.field() else {
            return Completed {
                answer: None,
                errors: Vec::new(),
            };
        };
        let around = |payload: &str| format!("{{\"{}\":{payload}}}", field.key);
        if !is_marked(payload) {
            return Completed {
                answer: Some(around(payload)),
                errors: Vec::new(),
            };
        }
        let root = &self.schema.object(self.schema.subscription).name;
        let completed = self.complete(
            root,
            field,
            identity.variables(),
            identity.limits(),
            identity.access(),
            payload,
        );
        Completed {
            answer: completed.answer.as_deref().map(around),
            errors: completed.errors,
        }
    }

    /// `{"key": null}`: a message that is about no change of a node.
    pub fn empty_message(&self, subscription: &Subscription) -> Completed {
        let field = subscription.identity().field().ok();
        Completed {
            answer: field.map(|field| format!("{{\"{}\":null}}", field.key)),
            errors: Vec::new(),
        }
    }

    /// What the root field shows of a change.
    pub(super) fn event_shape<'a>(
        &'a self,
        model: ModelId,
        field: &'a SelectedField,
        identity: &'a SubscriptionIdentity,
    ) -> Result<EventShape<'a>, ApiError> {
        let reader = ReadPlanner {
            planner: self,
            variables: identity.variables(),
            limits: identity.limits(),
            access: identity.access(),
            of_previous_rows: false,
        };
        let before = ReadPlanner {
            of_previous_rows: true,
            ..reader
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
                    EventEntry::PreviousValues(before.shape_of(model, &field.selection)?)
                }
                _ => return Err(unexpected("field of an event")),
            };
            Ok((field.key.as_str(), entry))
        });
        Ok(EventShape {
            entries: entries.collect::<Result<_, ApiError>>()?,
        })
    }
}

/// Which fields an update names to a viewer.
struct Naming<'a> {
    planner: &'a Planner,
    model: ModelId,
    access: Access<'a>,
    /// Of a row that is new to the viewer.
    all: Vec<&'a str>,
    /// The fields whose links changed, and the partners that the viewer may see: a link to another
    /// one has not changed.
    checked: Vec<(FieldId, Filter)>,
}

impl<'a> Naming<'a> {
    fn of(
        planner: &'a Planner,
        model: ModelId,
        access: Access<'a>,
        changes: &[&NodeChange],
    ) -> Self {
        let definition = planner.model().model(model);
        let named = definition
            .field_ids()
            .filter(|field| access.reads_plainly(model, *field));
        let all = named
            .map(|field| definition.field(field).name.as_str())
            .collect();
        let mut checked: Vec<(FieldId, Filter)> = Vec::new();
        let of_model = changes
            .iter()
            .filter(|change| change.model == model && change.cause != UpdateCause::Replaced);
        for field in of_model
            .flat_map(|change| &change.links)
            .map(|link| link.field)
        {
            let Some(relation) = definition.field(field).relation() else {
                continue;
            };
            let visible = access.visible(relation.target);
            if !visible.is_true() && !checked.iter().any(|(known, _)| *known == field) {
                checked.push((field, visible));
            }
        }
        // The same statement, whatever changed first.
        checked.sort_by_key(|(field, _)| field.0);
        Naming {
            planner,
            model,
            access,
            all,
            checked,
        }
    }

    fn push(&self, change: &NodeChange, out: &mut String) {
        let definition = self.planner.model().model(self.model);
        let named = change
            .updated
            .iter()
            .filter(|field| self.access.reads_plainly(self.model, **field));
        let named: Vec<FieldId> = named.copied().collect();
        let check = |field: &FieldId| {
            change.cause != UpdateCause::Replaced
                && self.checked.iter().any(|(checked, _)| checked == field)
        };
        let name = |field: &FieldId| definition.field(*field).name.as_str();
        if !self.access.is_limited() {
            return push(
                out,
                "u",
                &Json::from_iter(named.iter().map(name)).to_string(),
            );
        }
        let hides = self.all.len() < definition.fields.len();
        let certain = named.iter().any(|field| !check(field));
        let asked =
            change.cause == UpdateCause::Asked || (change.cause == UpdateCause::Written && !hides);
        if asked || certain {
            push(out, "e", "true");
        }
        if !named.iter().any(check) {
            return push(
                out,
                "n",
                &Json::from_iter(named.iter().map(name)).to_string(),
            );
        }
        let entries = named.iter().enumerate().map(|(place, field)| {
            let partners = |which: fn(&super::LinkChange) -> bool| {
                let links = change
                    .links
                    .iter()
                    .filter(|link| link.field == *field && which(link));
                links.map(|link| link.partner.as_str()).collect::<Vec<_>>()
            };
            let mut entry = json!({ "o": place, "n": name(field) });
            if check(field) {
                entry = json!({ "o": place, "n": name(field), "f": field.0,
                    "c": partners(|link| link.came), "w": partners(|link| link.went) });
            }
            entry
        });
        push(out, "x", &Json::from_iter(entries).to_string());
    }
}

/// Whether the rows before are read from the changes of nodes that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreviousRows {
    Shown,
    Unseen,
}

/// The changes as the parameters of a statement; with what `more` adds to the object of each.
/// `more` may clear a change that is not to be in.
pub(super) fn events<'a>(
    changes: &[&'a NodeChange],
    before: PreviousRows,
    more: impl Fn(&NodeChange, &mut String),
) -> ChangeBatch<'a> {
    let (mut living, mut deleted) = (String::new(), String::new());
    let (mut since, mut ids) = (u64::MAX, Vec::with_capacity(changes.len()));
    let shows_before = before == PreviousRows::Shown;
    for (ordinal, change) in changes.iter().enumerate() {
        let mut one = format!("{{\"o\":{ordinal},\"a\":{}", change.position);
        push(&mut one, "i", &Json::from(change.id.as_str()).to_string());
        push(&mut one, "k", &format!("\"{}\"", change.kind.name()));
        if let Some(old) = change
            .old
            .as_ref()
            .filter(|_| shows_before || change.kind == ChangeKind::Deleted)
        {
            push(&mut one, "p", old);
        }
        if shows_before && !change.lists.is_empty() {
            let mut lists = String::new();
            for (field, removed) in &change.lists {
                let _ = write!(
                    lists,
                    "{}\"{}\":{removed}",
                    if lists.is_empty() { "{" } else { "," },
                    field.0
                );
            }
            push(&mut one, "l", &format!("{lists}}}"));
        }
        more(change, &mut one);
        if one.is_empty() {
            continue;
        }
        one.push('}');
        let all = if change.kind == ChangeKind::Deleted {
            &mut deleted
        } else {
            &mut living
        };
        all.push(if all.is_empty() { '[' } else { ',' });
        all.push_str(&one);
        since = since.min(change.position);
        ids.push(change.id.as_str());
    }
    let closed = |all: String| (!all.is_empty()).then(|| all + "]");
    ChangeBatch {
        living: closed(living),
        deleted: closed(deleted),
        since,
        ids,
    }
}

/// Adds an entry to a JSON object.
fn push(object: &mut String, key: &str, json: &str) {
    // Writing to a String cannot fail.
    let _ = write!(object, ",\"{key}\":{json}");
}
