//! The rows that one transaction wrote to the log become one change for each node.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::{ChangeKind, LinkChange, LogKind, LogRow, NodeChange, UpdateCause};
use crate::datamodel::{FieldId, ModelId, RelationId, RelationStorage};
use crate::plan::Planner;
use crate::sql::{Logged, Physical};

impl Planner {
    /// The changes that the rows of the transaction at a position, or of a part of it, amount to:
    /// one change for each node, in the order in which the nodes were first written; the first
    /// change gets `first_part`. Rows of tables that are not in the datamodel are ignored.
    pub fn changes(&self, rows: &[LogRow], position: u64, first_part: u32) -> Vec<NodeChange> {
        let physical = self.physical();
        let mut merge = LogMerger {
            physical,
            nodes: IndexMap::new(),
        };
        for row in rows {
            match physical.logged(&row.table) {
                Some(Logged::Nodes(model)) => merge.node(model, row),
                Some(Logged::Links(relation)) => merge.link(relation, row),
                Some(Logged::List(model, field)) => merge.list(model, field, row),
                None => {}
            }
        }
        merge.finish(position, first_part)
    }
}

struct LogMerger<'a> {
    physical: &'a Physical,
    nodes: IndexMap<(ModelId, String), NodeHistory>,
}

/// What happened to one node so far.
#[derive(Default)]
struct NodeHistory {
    row: RowFate,
    updated: BTreeSet<FieldId>,
    /// The row before the transaction.
    old: Option<Arc<str>>,
    /// The API was asked to update it.
    asked: bool,
    /// Whether links came and went, by field and partner.
    links: BTreeMap<(FieldId, String), (bool, bool)>,
    lists: BTreeMap<FieldId, ListHistory>,
}

/// What happened to a node's list.
#[derive(Default)]
struct ListHistory {
    /// The values that it had before, with their positions, as far as they were removed.
    removed: Vec<Json>,
    /// The positions of values that the transaction has added.
    added: HashSet<i64>,
}

impl NodeHistory {
    fn link(&mut self, field: FieldId, partner: &str, came: bool) {
        self.updated.insert(field);
        let link = self.links.entry((field, partner.to_owned())).or_default();
        if came { link.0 = true } else { link.1 = true }
    }
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum RowFate {
    /// Only links or lists of it were written, or nothing at all.
    #[default]
    Unwritten,
    Created,
    Updated,
    Deleted,
    /// Created and deleted in the same transaction: it was never visible.
    Passed,
    /// Deleted and created again under the same id.
    Replaced,
}

/// A link in a column of a model's own table, seen from there.
struct InlineLink<'a> {
    column: &'a str,
    field: Option<FieldId>,
    partner: ModelId,
    partner_field: Option<FieldId>,
}

impl<'a> LogMerger<'a> {
    fn parts(&mut self, model: ModelId, id: &str) -> &mut NodeHistory {
        self.nodes.entry((model, id.to_owned())).or_default()
    }

    fn node(&mut self, model: ModelId, row: &LogRow) {
        let fields: Vec<FieldId> = row
            .columns
            .iter()
            .filter_map(|name| self.field(model, name))
            .collect();
        let inline: Vec<InlineLink<'a>> = self.inline(model).collect();
        let relinked = inline
            .iter()
            .any(|link| row.columns.iter().any(|name| name == link.column));
        let parts = self.parts(model, &row.node);
        let first_old = |parts: &mut NodeHistory| {
            if parts.row == RowFate::Unwritten {
                parts.old = row.old.as_deref().map(Arc::from);
            }
        };
        match row.kind {
            LogKind::Created => {
                parts.row = match parts.row {
                    RowFate::Deleted => RowFate::Replaced,
                    RowFate::Unwritten | RowFate::Passed => RowFate::Created,
                    other => other,
                };
            }
            LogKind::Updated => {
                first_old(parts);
                parts.updated.extend(fields);
                if parts.row == RowFate::Unwritten {
                    parts.row = RowFate::Updated;
                }
            }
            LogKind::Deleted => {
                first_old(parts);
                parts.row = if parts.row == RowFate::Created {
                    RowFate::Passed
                } else {
                    RowFate::Deleted
                };
            }
            _ => {
                parts.asked = true;
                return;
            }
        }
        if inline.is_empty() || (row.kind == LogKind::Updated && !relinked) {
            return;
        }
        let (old, new) = (object(row.old.as_deref()), object(row.links.as_deref()));
        for link in inline {
            let (before, after) = (text(&old, link.column), text(&new, link.column));
            if before == after {
                continue;
            }
            for (partner, came) in [(before, false), (after, true)] {
                let Some(partner) = partner else { continue };
                if let Some(field) = link.field
                    && row.kind == LogKind::Updated
                {
                    self.parts(model, &row.node).link(field, &partner, came);
                }
                if let Some(field) = link.partner_field {
                    self.parts(link.partner, &partner)
                        .link(field, &row.node, came);
                }
            }
        }
    }

    fn link(&mut self, relation: RelationId, row: &LogRow) {
        let definition = self.physical.model.relation(relation);
        let Some(partner) = &row.partner else { return };
        let came = row.kind == LogKind::Linked;
        for (end, id, other) in [
            (&definition.a, &row.node, partner),
            (&definition.b, partner, &row.node),
        ] {
            if let Some(field) = end.field {
                self.parts(end.model, id).link(field, other, came);
            }
        }
    }

    fn list(&mut self, model: ModelId, field: FieldId, row: &LogRow) {
        let parts = self.parts(model, &row.node);
        parts.updated.insert(field);
        let list = parts.lists.entry(field).or_default();
        let position = |row: &Json| row.get("position").and_then(Json::as_i64);
        let logged = if row.kind == LogKind::Unlisted {
            &row.old
        } else {
            &row.links
        };
        let Some(value) = logged
            .as_deref()
            .and_then(|json| serde_json::from_str::<Json>(json).ok())
        else {
            return;
        };
        if row.kind != LogKind::Unlisted {
            list.added.extend(position(&value));
        } else if !position(&value).is_some_and(|position| list.added.remove(&position)) {
            list.removed.push(value);
        }
    }

    /// The field of a column: a scalar's, or that of the link that is in it.
    fn field(&self, model: ModelId, column: &str) -> Option<FieldId> {
        let of = self.physical.model.model(model);
        let scalar = of
            .field_ids()
            .find(|id| of.field(*id).is_column() && of.field(*id).column == column);
        scalar.or_else(|| self.inline(model).find(|link| link.column == column)?.field)
    }

    fn inline(&self, model: ModelId) -> impl Iterator<Item = InlineLink<'a>> + use<'a> {
        self.physical
            .model
            .relations
            .iter()
            .filter_map(move |relation| match &relation.storage {
                RelationStorage::Inline { side, column } if relation.end(*side).model == model => {
                    let (own, partner) = (relation.end(*side), relation.end(side.other()));
                    Some(InlineLink {
                        column,
                        field: own.field,
                        partner: partner.model,
                        partner_field: partner.field,
                    })
                }
                _ => None,
            })
    }

    fn finish(self, position: u64, first_part: u32) -> Vec<NodeChange> {
        let LogMerger { physical, nodes } = self;
        let mut part = first_part;
        let mut changes = Vec::with_capacity(nodes.len());
        for ((model, id), mut parts) in nodes {
            let (kind, cause) = match parts.row {
                RowFate::Passed => continue,
                RowFate::Created => (ChangeKind::Created, UpdateCause::Written),
                RowFate::Deleted => (ChangeKind::Deleted, UpdateCause::Written),
                RowFate::Unwritten if parts.asked => (ChangeKind::Updated, UpdateCause::Asked),
                RowFate::Unwritten => (ChangeKind::Updated, UpdateCause::Parts),
                RowFate::Updated => (
                    ChangeKind::Updated,
                    if parts.asked {
                        UpdateCause::Asked
                    } else {
                        UpdateCause::Written
                    },
                ),
                RowFate::Replaced => {
                    parts
                        .updated
                        .extend(physical.model.model(model).field_ids());
                    (ChangeKind::Updated, UpdateCause::Replaced)
                }
            };
            let updates = kind == ChangeKind::Updated;
            let updated = if updates {
                Vec::from_iter(parts.updated)
            } else {
                Vec::new()
            };
            let links = parts.links.into_iter().filter(|_| updates).map(
                |((field, partner), (came, went))| LinkChange {
                    field,
                    partner,
                    came,
                    went,
                },
            );
            let lists = parts
                .lists
                .into_iter()
                .filter(|_| kind != ChangeKind::Created);
            let lists = lists
                .map(|(field, list)| (field, Json::Array(list.removed).to_string()))
                .collect();
            let links = links.collect();
            changes.push(NodeChange {
                model,
                id,
                kind,
                position,
                updated,
                links,
                cause,
                old: parts.old,
                lists,
                part,
            });
            part = part.saturating_add(1);
        }
        changes
    }
}

/// The log's own JSON; what is not there reads as null.
fn object(json: Option<&str>) -> Map<String, Json> {
    json.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

fn text(row: &Map<String, Json>, column: &str) -> Option<String> {
    match row.get(column)? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
