//! The rows that one transaction wrote to the log become one change for each node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::{Change, ChangeKind, Ghosts, LogKind, LogRow, Transaction};
use crate::datamodel::{FieldId, ModelId, RelationId, RelationStorage, Side};
use crate::plan::Planner;
use crate::sql::{LinkAt, Logged, Physical};

impl Planner {
    /// What the rows of one transaction, or of a piece of one, come to; the first change gets `first_part`.
    /// Rows of tables that the datamodel does not know are passed over.
    pub fn changes(&self, rows: &[LogRow], first_part: u32) -> Transaction {
        let physical = self.physical();
        let mut merge = Merge { physical, nodes: IndexMap::new(), cut: Vec::new() };
        for row in rows {
            match physical.logged(&row.table) {
                Some(Logged::Nodes(model)) => merge.node(model, row),
                Some(Logged::Links(relation)) => merge.link(relation, row),
                Some(Logged::List(model, field)) => merge.list(model, field, row),
                None => {}
            }
        }
        merge.finish(first_part)
    }
}

struct Merge<'a> {
    physical: &'a Physical,
    nodes: IndexMap<(ModelId, String), Parts>,
    /// Rows of relation tables that were deleted: the qualified table and the row.
    cut: Vec<(&'a str, String)>,
}

/// What happened to one node so far.
#[derive(Default)]
struct Parts {
    row: Row,
    updated: BTreeSet<FieldId>,
    /// The row before the transaction.
    old: Option<Arc<str>>,
    /// Whether a link in its own column changed.
    relinked: bool,
    /// Of each list that changed, the removed values with their positions.
    lists: BTreeMap<FieldId, Vec<Json>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Only links or lists of it were written, or nothing at all.
    #[default]
    Unwritten,
    Created,
    Updated,
    Deleted,
    /// Created and deleted: nobody has ever seen it.
    Passed,
    /// Deleted and created again under the same id.
    Replaced,
}

/// A link in a column of a model's own table, seen from there.
struct Inline<'a> {
    column: &'a str,
    field: Option<FieldId>,
    partner: ModelId,
    partner_field: Option<FieldId>,
}

impl<'a> Merge<'a> {
    fn parts(&mut self, model: ModelId, id: &str) -> &mut Parts {
        self.nodes.entry((model, id.to_owned())).or_default()
    }

    fn node(&mut self, model: ModelId, row: &LogRow) {
        let fields: Vec<FieldId> = row.columns.iter().filter_map(|name| self.field(model, name)).collect();
        let inline: Vec<Inline<'a>> = self.inline(model).collect();
        let relinked = inline.iter().any(|link| row.columns.iter().any(|name| name == link.column));
        let parts = self.parts(model, &row.node);
        let first_old = |parts: &mut Parts| {
            if parts.row == Row::Unwritten {
                parts.old = row.old.as_deref().map(Arc::from);
            }
        };
        match row.kind {
            LogKind::Created => {
                parts.row = match parts.row {
                    Row::Deleted => Row::Replaced,
                    Row::Unwritten | Row::Passed => Row::Created,
                    other => other,
                };
            }
            LogKind::Updated => {
                first_old(parts);
                parts.updated.extend(fields);
                parts.relinked |= relinked;
                if parts.row == Row::Unwritten {
                    parts.row = Row::Updated;
                }
            }
            LogKind::Deleted => {
                first_old(parts);
                parts.row = if parts.row == Row::Created { Row::Passed } else { Row::Deleted };
            }
            // To be known is enough.
            _ => return,
        }
        if inline.is_empty() || (row.kind == LogKind::Updated && !relinked) {
            return;
        }
        let (old, new) = (object(row.old.as_deref()), object(row.links.as_deref()));
        for link in inline {
            let Some(field) = link.partner_field else { continue };
            let (before, after) = (text(&old, link.column), text(&new, link.column));
            if before != after {
                for partner in [before, after].into_iter().flatten() {
                    self.parts(link.partner, &partner).updated.insert(field);
                }
            }
        }
    }

    fn link(&mut self, relation: RelationId, row: &LogRow) {
        let definition = self.physical.model.relation(relation);
        let Some(partner) = &row.partner else { return };
        for (end, id) in [(&definition.a, &row.node), (&definition.b, partner)] {
            if let Some(field) = end.field {
                self.parts(end.model, id).updated.insert(field);
            }
        }
        if let (
            LogKind::Unlinked,
            RelationStorage::Table { a_column, b_column, .. },
            LinkAt::Table { table, .. },
        ) = (row.kind, &definition.storage, self.physical.link_at(relation, Side::A))
        {
            let link = serde_json::json!({ a_column: row.node, b_column: partner });
            self.cut.push((table, link.to_string()));
        }
    }

    fn list(&mut self, model: ModelId, field: FieldId, row: &LogRow) {
        let parts = self.parts(model, &row.node);
        parts.updated.insert(field);
        let removed = parts.lists.entry(field).or_default();
        if row.kind == LogKind::Unlisted {
            removed.extend(row.old.as_deref().and_then(|old| serde_json::from_str::<Json>(old).ok()));
        }
    }

    /// The field of a column: a scalar's, or that of the link that is in it.
    fn field(&self, model: ModelId, column: &str) -> Option<FieldId> {
        let of = self.physical.model.model(model);
        let scalar = of.field_ids().find(|id| of.field(*id).is_column() && of.field(*id).column == column);
        scalar.or_else(|| self.inline(model).find(|link| link.column == column)?.field)
    }

    fn inline(&self, model: ModelId) -> impl Iterator<Item = Inline<'a>> + use<'a> {
        self.physical.model.relations.iter().filter_map(move |relation| match &relation.storage {
            RelationStorage::Inline { side, column } if relation.end(*side).model == model => {
                let (own, partner) = (relation.end(*side), relation.end(side.other()));
                Some(Inline {
                    column,
                    field: own.field,
                    partner: partner.model,
                    partner_field: partner.field,
                })
            }
            _ => None,
        })
    }

    fn finish(self, first_part: u32) -> Transaction {
        let Merge { physical, nodes, cut } = self;
        let rows = nodes.iter().filter_map(|((model, id), parts)| {
            let gone = parts.row == Row::Deleted;
            let replaced = (!gone).then_some(id.as_str());
            let other = gone || parts.row == Row::Replaced || parts.relinked;
            other.then(|| Some((physical.table(*model), parts.old.as_deref()?, replaced))).flatten()
        });
        let rows = rows.chain(cut.iter().map(|(table, row)| (*table, row.as_str(), None)));
        // Nothing but a deleted node is looked at as it was.
        let deleted = nodes.values().any(|parts| parts.row == Row::Deleted);
        let ghosts = if deleted { Ghosts::of(rows) } else { Ghosts::default() };
        let mut part = first_part;
        let mut changes = Vec::with_capacity(nodes.len());
        for ((model, id), mut parts) in nodes {
            let kind = match parts.row {
                Row::Passed => continue,
                Row::Created => ChangeKind::Created,
                Row::Deleted => ChangeKind::Deleted,
                Row::Unwritten | Row::Updated => ChangeKind::Updated,
                // Which values differ is not in the log.
                Row::Replaced => {
                    let of = physical.model.model(model);
                    parts.updated.extend(of.field_ids().filter(|field| of.field(*field).is_column()));
                    ChangeKind::Updated
                }
            };
            let updated =
                if kind == ChangeKind::Updated { Vec::from_iter(parts.updated) } else { Vec::new() };
            let lists =
                parts.lists.into_iter().map(|(field, removed)| (field, Json::Array(removed).to_string()));
            let lists = if kind == ChangeKind::Created { Vec::new() } else { lists.collect() };
            changes.push(Change { model, id, kind, updated, old: parts.old, lists, part });
            part = part.saturating_add(1);
        }
        Transaction { changes, ghosts }
    }
}

/// The log's own JSON; what is not there reads as null.
fn object(json: Option<&str>) -> Map<String, Json> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn text(row: &Map<String, Json>, column: &str) -> Option<String> {
    match row.get(column)? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
