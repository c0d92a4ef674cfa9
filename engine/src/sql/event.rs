//! Statements that read the events of changed nodes. Any number of changes goes in as a parameter,
//! so that one prepared statement serves them all.

use super::Statement;
use super::changes::{ChangeBatch, RowSource};
use super::filter::Filter;
use super::history::SnapshotTime;
use super::physical::Physical;
use super::predicate::Polarity;
use super::read::Shape;
use super::text::{Sql, array_literal};
use crate::datamodel::{FieldId, ModelId};

/// The rules that decide what a viewer receives of changes.
#[derive(Debug)]
pub struct ViewerRules<'a> {
    /// The rows of the model.
    pub visible: &'a Filter,
    /// Whether it matters which fields an update names.
    pub needs_names: bool,
    /// The names of all fields: what an update names of a row that the viewer did not see before.
    pub all: Vec<&'a str>,
    /// The fields whose links count only to visible partners, with the filter of these.
    pub checked: Vec<(FieldId, &'a Filter)>,
}

/// The JSON object made of a change.
#[derive(Debug)]
pub struct EventShape<'a> {
    /// The selected fields by their keys, in the order of the selection.
    pub entries: Vec<(&'a str, EventEntry<'a>)>,
}

/// A field of an event.
#[derive(Debug)]
pub enum EventEntry<'a> {
    /// `mutation`: `CREATED`, `UPDATED` or `DELETED`.
    Mutation,
    /// `node`: the row now; null for a deleted row.
    Node(Shape<'a>),
    /// `updatedFields`: the names of the fields that an update changed; else null.
    UpdatedFields,
    /// Null where the viewer did not see the row before.
    PreviousValues(Shape<'a>),
    /// `__typename`, with the type's name.
    Typename(&'a str),
}

/// Which changes are wanted.
#[derive(Debug)]
pub enum Match<'a> {
    /// All hold; of nothing: true.
    All(Vec<Match<'a>>),
    /// One holds; of nothing: false.
    Any(Vec<Match<'a>>),
    /// None holds; of nothing: true.
    None(Vec<Match<'a>>),
    /// The answer at this position, from 1, among those that each change carries.
    OfChange(usize),
    /// It is an update that names all of these fields, or any of them. A name that no field has
    /// never matches.
    Names {
        /// All of the fields, rather than any of them.
        every: bool,
        /// The fields; `None` for a name that no field has.
        fields: &'a [Option<FieldId>],
    },
    /// The node's row satisfies it.
    Row(&'a Filter),
}

impl EventShape<'_> {
    /// Whether the rows before are shown.
    pub fn shows_before(&self) -> bool {
        self.entries
            .iter()
            .any(|(_, entry)| matches!(entry, EventEntry::PreviousValues(_)))
    }

    /// Whether the fields that changed are shown.
    pub fn shows_names(&self) -> bool {
        self.entries
            .iter()
            .any(|(_, entry)| matches!(entry, EventEntry::UpdatedFields))
    }
}

impl Match<'_> {
    fn is_true(&self) -> bool {
        match self {
            Match::All(parts) => parts.iter().all(Match::is_true),
            Match::Row(filter) => filter.is_true(),
            _ => false,
        }
    }

    fn is_related(&self) -> bool {
        match self {
            Match::All(parts) | Match::Any(parts) | Match::None(parts) => {
                parts.iter().any(Match::is_related)
            }
            Match::Row(filter) => filter.is_related(),
            Match::OfChange(_) | Match::Names { .. } => false,
        }
    }
}

/// The aliases of one part of a statement.
struct Aliases<'a> {
    change: &'a str,
    /// The node's row: as it is, or of what was deleted as it was.
    row: &'a str,
    /// The row as it was before the change, if the viewer saw it then.
    seen: Option<&'a str>,
    /// The names of the fields that changed, in its column `n`.
    names: Option<&'a str>,
}

/// Rows `(ordinal, object)`, an int and a text, for the changes that are wanted. Without `rules`,
/// the viewer sees everything.
pub fn events(
    physical: &Physical,
    model: ModelId,
    shape: &EventShape<'_>,
    matching: &Match<'_>,
    rules: Option<&ViewerRules<'_>>,
    events: &ChangeBatch<'_>,
) -> Statement {
    let mut sql = Sql::new();
    let keys: Vec<&str> = shape.entries.iter().map(|(key, _)| *key).collect();
    sql.each(events, |sql, changes, living| {
        let (change, row, object) = (sql.alias(), sql.alias(), sql.alias());
        // A viewer who sees all rows saw them before the change as well.
        let ruled = rules.filter(|rules| living && !rules.visible.is_true());
        let named =
            rules.filter(|rules| living && (rules.needs_names || !rules.checked.is_empty()));
        let (seen, names) = (ruled.map(|_| sql.alias()), named.map(|_| sql.alias()));
        let aliases = Aliases {
            change: &change,
            row: &row,
            seen: seen.as_deref(),
            names: names.as_deref(),
        };
        sql.push("select ")
            .column(&change, "\"o\"")
            .push(", (select ")
            .object_of(&keys, &object);
        sql.push(" from (select ");
        for (i, (key, entry)) in shape.entries.iter().enumerate() {
            sql.push(if i > 0 { ", " } else { "" });
            match entry {
                EventEntry::Mutation => sql.column(&change, "\"k\""),
                EventEntry::UpdatedFields => match &names {
                    Some(names) => sql.column(names, "n"),
                    None => sql.column(&change, "\"u\""),
                },
                EventEntry::Typename(name) => sql.typename(name),
                EventEntry::Node(shape) if living => sql.object_over(physical, shape, &row, None),
                EventEntry::Node(_) => sql.push("null::json"),
                EventEntry::PreviousValues(shape) => {
                    sql.previous(physical, shape, &aliases, living)
                }
            };
            sql.key(&keys, i, key);
        }
        sql.push(") ").push(&object).push(")::text");
        let from_log =
            !living && (matching.is_related() || rules.is_some_and(|s| !s.visible.is_true()));
        sql.push_changes(
            physical,
            model,
            changes,
            (&change, &row),
            RowSource::of(living, from_log),
        );
        sql.few = true;
        if let (Some(rules), Some(seen)) = (ruled, &seen) {
            sql.push(" left join lateral ").row_if_visible(
                physical,
                model,
                &change,
                SnapshotTime::Before,
                rules.visible,
            );
            sql.push(" ").push(seen).push(" on true");
        }
        if let (Some(rules), Some(names)) = (named, &names) {
            sql.push(" cross join lateral (select ")
                .names(physical, model, rules, &aliases);
            sql.push(" as n offset 0) ").push(names);
        }
        sql.push(" where ");
        if !living {
            sql.enter_snapshot(&change, SnapshotTime::Before);
        }
        sql.matches(physical, model, &aliases, matching, Polarity::Positive);
        sql.leave_snapshot();
        if let Some(rules) = ruled {
            sql.push(" and exists ").row_if_visible(
                physical,
                model,
                &change,
                SnapshotTime::After,
                rules.visible,
            );
        }
        if rules.is_some() && living {
            sql.push(" and (")
                .column(&change, "\"k\"")
                .push(" = 'CREATED' or ")
                .column(&change, "\"e\"");
            if let Some(seen) = &seen {
                sql.push(" or ")
                    .column(seen, physical.id(model))
                    .push(" is null");
            }
            if let Some(names) = &names {
                sql.push(" or cardinality(")
                    .column(names, "n")
                    .push(") > 0");
            }
            sql.push(")");
        }
        sql.few = false;
    });
    sql.finish_with_history(physical, events.since, events.ids.iter().copied())
}

impl Sql {
    /// The names of the fields that an update changed: all of a row that the viewer did not see
    /// before; and of a link only where the viewer sees the partner.
    fn names(
        &mut self,
        physical: &Physical,
        model: ModelId,
        rules: &ViewerRules<'_>,
        aliases: &Aliases<'_>,
    ) -> &mut Self {
        let change = aliases.change;
        self.push("case when ")
            .column(change, "\"k\"")
            .push(" <> 'UPDATED' then null");
        if let Some(seen) = aliases.seen {
            self.push(" when ")
                .column(seen, physical.id(model))
                .push(" is null then ");
            self.bind(array_literal(rules.all.iter().copied()))
                .push("::text[]");
        }
        if rules.checked.is_empty() {
            return self.push(" else ").column(change, "\"n\"").push(" end");
        }
        let field = self.alias();
        self.push(" when ")
            .column(change, "\"n\"")
            .push(" is not null then ")
            .column(change, "\"n\"");
        self.push(" else array(select ")
            .column(&field, "\"n\"")
            .push(" from json_to_recordset(");
        self.column(change, "\"x\"").push(") as ").push(&field);
        self.push("(\"o\" int, \"n\" text, \"f\" int, \"c\" json, \"w\" json) where ");
        self.column(&field, "\"f\"").push(" is null");
        for (checked, visible) in &rules.checked {
            let Some(relation) = physical.model.field(model, *checked).relation() else {
                continue;
            };
            self.push(" or (")
                .column(&field, "\"f\"")
                .push(&format!(" = {} and (", checked.0));
            // A new link leads to a partner as it was after the change, a removed one to a partner
            // as it was before.
            for (column, when) in [
                ("\"c\"", SnapshotTime::After),
                ("\"w\"", SnapshotTime::Before),
            ] {
                let (id, partner) = (self.alias(), self.alias());
                self.push(if when == SnapshotTime::Before {
                    " or "
                } else {
                    ""
                });
                self.push("exists (select 1 from json_array_elements_text(")
                    .column(&field, column);
                self.push(") as ")
                    .push(&id)
                    .push("(id) where exists (select 1 from ");
                self.enter_snapshot(change, when);
                self.rows_of(physical, relation.target)
                    .push(" ")
                    .push(&partner)
                    .push(" where ");
                self.column(&partner, physical.id(relation.target))
                    .push(" = ")
                    .column(&id, "id");
                self.push("::")
                    .push(physical.id_type(relation.target))
                    .push(" and ");
                self.predicate(physical, relation.target, &partner, visible)
                    .push(" offset 0))");
                self.leave_snapshot();
            }
            self.push("))");
        }
        self.push(" order by ")
            .column(&field, "\"o\"")
            .push(") end")
    }

    fn object_over(
        &mut self,
        physical: &Physical,
        shape: &Shape<'_>,
        row: &str,
        source: Option<&str>,
    ) -> &mut Self {
        let object = self.alias();
        self.push("(select ")
            .object(physical, shape, &object)
            .push(" from (select ");
        self.entries(physical, row, shape);
        if let Some(source) = source {
            self.push(" from ").push(source).push(" ").push(row);
        }
        self.push(") ").push(&object).push(")")
    }

    /// The values before: of an update that wrote nothing of the row, the values now.
    fn previous(
        &mut self,
        physical: &Physical,
        shape: &Shape<'_>,
        aliases: &Aliases<'_>,
        living: bool,
    ) -> &mut Self {
        let Aliases {
            change, row, seen, ..
        } = *aliases;
        let lists = format!("{change}.\"l\"");
        if !living {
            self.before = Some((row.to_owned(), lists));
            self.object_over(physical, shape, row, None);
        } else if let Some(seen) = seen {
            self.before = Some((seen.to_owned(), lists));
            self.push("case when ")
                .column(seen, physical.id(shape.model))
                .push(" is not null then ");
            self.object_over(physical, shape, seen, None).push(" end");
        } else {
            let old = self.alias();
            self.before = Some((old.clone(), lists));
            self.push("case when ")
                .column(change, "\"k\"")
                .push(" <> 'CREATED' then ");
            let table = physical.table(shape.model);
            let source = format!(
                "json_populate_record(null::{table}, coalesce({change}.\"p\", row_to_json({row}.*)))"
            );
            self.object_over(physical, shape, &old, Some(&source))
                .push(" end");
        }
        self.before = None;
        self
    }

    fn matches(
        &mut self,
        physical: &Physical,
        model: ModelId,
        aliases: &Aliases<'_>,
        matching: &Match<'_>,
        polarity: Polarity,
    ) -> &mut Self {
        let (parts, with, empty, polarity) = match matching {
            Match::OfChange(place) => {
                return self.column(aliases.change, &format!("\"b\"[{place}]"));
            }
            Match::Names { every, fields } => {
                return self.names_hold(physical, model, aliases, *every, fields);
            }
            Match::Row(filter) => {
                return self.condition(physical, model, aliases.row, filter, polarity);
            }
            Match::All(parts) => (parts, " and ", "true", polarity),
            Match::Any(parts) => (parts, " or ", "false", polarity),
            Match::None(parts) => (parts, " or ", "false", Polarity::Negated),
        };
        let negated = matches!(matching, Match::None(_));
        self.push(if negated { "not (" } else { "(" });
        let conjunction = matches!(matching, Match::All(_));
        let mut parts = parts
            .iter()
            .filter(|part| !conjunction || !part.is_true())
            .peekable();
        if parts.peek().is_none() {
            self.push(empty);
        }
        for (i, part) in parts.enumerate() {
            self.push(if i > 0 { with } else { "" });
            self.matches(physical, model, aliases, part, polarity);
        }
        self.push(")")
    }

    fn names_hold(
        &mut self,
        physical: &Physical,
        model: ModelId,
        aliases: &Aliases<'_>,
        every: bool,
        fields: &[Option<FieldId>],
    ) -> &mut Self {
        let known: Vec<FieldId> = fields.iter().copied().flatten().collect();
        // Only updates have names.
        let Some(names) = aliases
            .names
            .filter(|_| !every || known.len() == fields.len())
        else {
            return self.push("false");
        };
        let known = known
            .iter()
            .map(|field| physical.model.field(model, *field).name.as_str());
        self.push("coalesce(")
            .column(names, "n")
            .push(if every { " @> " } else { " && " });
        self.bind(array_literal(known)).push("::text[], false)")
    }
}
