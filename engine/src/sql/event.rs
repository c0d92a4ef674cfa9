//! Statements that read what is told of changed nodes. Any number of changes goes in as a parameter, so that one
//! prepared statement serves them all.

use super::physical::Physical;
use super::predicate::{Filter, Polarity};
use super::read::Shape;
use super::text::Sql;
use crate::datamodel::ModelId;
use crate::events::Ghosts;
use crate::plan::Statement;

/// Changes of nodes of one model, as JSON arrays of `{"o": position, "i": id, "k": kind, "u": [names of fields],
/// "p": the row before, "l": {field: [removed values]}, "b": [what is told]}`; none where there are none.
#[derive(Debug)]
pub struct Events<'a> {
    /// Of nodes that are read from their tables.
    pub living: Option<String>,
    /// Of nodes that are gone: as they were.
    pub deleted: Option<String>,
    pub ghosts: &'a Ghosts,
}

/// The JSON object made of a change.
#[derive(Debug)]
pub struct EventShape<'a> {
    pub entries: Vec<(&'a str, EventEntry<'a>)>,
}

#[derive(Debug)]
pub enum EventEntry<'a> {
    Mutation,
    Node(Shape<'a>),
    UpdatedFields,
    /// Null where the row before does not satisfy the filter: what the viewer may see now, it may not have seen then.
    PreviousValues(Shape<'a>, Filter),
    Typename(&'a str),
}

/// Which changes are wanted.
#[derive(Debug)]
pub enum Match<'a> {
    All(Vec<Match<'a>>),
    Any(Vec<Match<'a>>),
    None(Vec<Match<'a>>),
    /// The answer at this place, from 1, in what is told of each change.
    Told(usize),
    /// The node's row satisfies it.
    Row(&'a Filter),
}

impl EventShape<'_> {
    /// Whether the rows before are shown.
    pub fn shows_before(&self) -> bool {
        self.entries.iter().any(|(_, entry)| matches!(entry, EventEntry::PreviousValues(..)))
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
}

/// A change as the alias of a statement sees it.
const COLUMNS: [(&str, &str); 6] =
    [("k", "text"), ("o", "int"), ("u", "json"), ("p", "json"), ("l", "json"), ("b", "boolean[]")];

/// Rows `(ordinal, object)`, an int and a text, for the changes that are wanted.
pub fn events(
    physical: &Physical,
    model: ModelId,
    shape: &EventShape<'_>,
    matching: &Match<'_>,
    events: &Events<'_>,
) -> Statement {
    let mut sql = Sql::new();
    let keys: Vec<&str> = shape.entries.iter().map(|(key, _)| *key).collect();
    sql.each(events, |sql, changes, living| {
        let (change, row, object) = (sql.alias(), sql.alias(), sql.alias());
        sql.push("select ").column(&change, "\"o\"").push(", (select ").object_of(&keys, &object);
        sql.push(" from (select ");
        for (i, (key, entry)) in shape.entries.iter().enumerate() {
            sql.push(if i > 0 { ", " } else { "" });
            match entry {
                EventEntry::Mutation => sql.column(&change, "\"k\""),
                EventEntry::UpdatedFields => sql.column(&change, "\"u\""),
                EventEntry::Typename(name) => sql.typename(name),
                EventEntry::Node(shape) if living => sql.object_over(physical, shape, &row, None),
                EventEntry::Node(_) => sql.push("null::json"),
                EventEntry::PreviousValues(shape, visible) => {
                    sql.previous(physical, (shape, visible), &change, &row, living)
                }
            };
            sql.key(&keys, i, key);
        }
        sql.push(") ").push(&object).push(")::text");
        sql.push_changes(physical, model, changes, (&change, &row), living);
        if !matching.is_true() {
            sql.push(" where ");
            if !living {
                sql.enter_past(events.ghosts);
            }
            sql.few = true;
            sql.matches(physical, model, (&change, &row), matching, Polarity::Positive);
            sql.few = false;
            sql.leave_past();
        }
    });
    sql.finish()
}

impl Sql {
    /// What is written for the living and for the deleted, given the parameter that holds them, one under the other.
    pub(super) fn each(&mut self, events: &Events<'_>, write: impl Fn(&mut Sql, usize, bool)) {
        let mut some = false;
        for (changes, living) in [(&events.living, true), (&events.deleted, false)] {
            let Some(changes) = changes else { continue };
            if some {
                self.push(" union all ");
            }
            some = true;
            let number = self.add_param(changes.as_str());
            write(self, number, living);
        }
        if !some {
            self.push("select null::int, null::text, null::text where false");
        }
    }

    /// ` from` the changes in a parameter, with their nodes' rows.
    pub(super) fn push_changes(
        &mut self,
        physical: &Physical,
        model: ModelId,
        changes: usize,
        (change, row): (&str, &str),
        living: bool,
    ) -> &mut Self {
        self.push(" from json_to_recordset(").placeholder(changes).push("::json) as ").push(change);
        self.push("(\"i\" ").push(physical.id_type(model));
        for (name, ty) in COLUMNS {
            self.push(", ").name(name).push(" ").push(ty);
        }
        if living {
            // `offset 0` keeps PostgreSQL from another order: it cannot tell how few changes there are, and would
            // begin with all rows of a seller to find the one that changed.
            let read = self.alias();
            self.push(") cross join lateral (select * from ").push(physical.table(model)).push(" ");
            self.push(&read).push(" where ").column(&read, physical.id(model)).push(" = ");
            self.column(change, "\"i\"").push(" offset 0) ").push(row)
        } else {
            self.push(") cross join lateral json_populate_record(null::").push(physical.table(model));
            self.push(", ").column(change, "\"p\"").push(") ").push(row)
        }
    }

    fn object_over(
        &mut self,
        physical: &Physical,
        shape: &Shape<'_>,
        row: &str,
        before: Option<(&str, &Filter)>,
    ) -> &mut Self {
        let object = self.alias();
        self.push("(select ").object(shape, &object).push(" from (select ");
        self.entries(physical, row, shape);
        if let Some((source, visible)) = before {
            self.push(" from ").push(source).push(" ").push(row);
            if !visible.is_true() {
                self.push(" where ").predicate(physical, shape.model, row, visible);
            }
        }
        self.push(") ").push(&object).push(")")
    }

    /// The values before: of an update that wrote nothing of the row, the values now.
    fn previous(
        &mut self,
        physical: &Physical,
        (shape, visible): (&Shape<'_>, &Filter),
        change: &str,
        row: &str,
        living: bool,
    ) -> &mut Self {
        let lists = format!("{change}.\"l\"");
        if !living {
            self.before = Some((row.to_owned(), lists));
            self.object_over(physical, shape, row, None);
        } else {
            let old = self.alias();
            self.before = Some((old.clone(), lists));
            self.push("case when ").column(change, "\"k\"").push(" <> 'CREATED' then ");
            let table = physical.table(shape.model);
            let source = format!(
                "json_populate_record(null::{table}, coalesce({change}.\"p\", row_to_json({row}.*)))"
            );
            self.object_over(physical, shape, &old, Some((&source, visible))).push(" end");
        }
        self.before = None;
        self
    }

    fn matches(
        &mut self,
        physical: &Physical,
        model: ModelId,
        (change, row): (&str, &str),
        matching: &Match<'_>,
        polarity: Polarity,
    ) -> &mut Self {
        let (parts, with, empty, polarity) = match matching {
            Match::Told(place) => return self.column(change, &format!("\"b\"[{place}]")),
            Match::Row(filter) => return self.condition(physical, model, row, filter, polarity),
            Match::All(parts) => (parts, " and ", "true", polarity),
            Match::Any(parts) => (parts, " or ", "false", polarity),
            Match::None(parts) => (parts, " or ", "false", Polarity::Negated),
        };
        let negated = matches!(matching, Match::None(_));
        self.push(if negated { "not (" } else { "(" });
        let conjunction = matches!(matching, Match::All(_));
        let mut parts = parts.iter().filter(|part| !conjunction || !part.is_true()).peekable();
        if parts.peek().is_none() {
            self.push(empty);
        }
        for (i, part) in parts.enumerate() {
            self.push(if i > 0 { with } else { "" });
            self.matches(physical, model, (change, row), part, polarity);
        }
        self.push(")")
    }
}
