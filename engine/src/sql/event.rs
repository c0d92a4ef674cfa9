//! Statements that read what is told of changed nodes. Any number of changes goes in as a parameter, so that one
//! prepared statement serves them all.

use super::Statement;
use super::history::{Past, When};
use super::physical::Physical;
use super::predicate::{Filter, Polarity};
use super::read::Shape;
use super::text::{Sql, array_literal};
use crate::datamodel::{FieldId, ModelId};

/// Changes of nodes of one model, as JSON arrays of `{"o": ordinal, "a": position of the transaction, "i": id, "k": kind,
/// "p": the row before, "l": {field: [removed values]}, "b": [what is told]}`; none where there are none. Of updates also
/// `"u": [names of fields]` for who sees everything, and for others `"e"`: whether it is told without a name, and `"n":
/// [names]` or, where links are to be looked at, `"x": [{"o": place, "n": name, "f": field, "c": [partners that came],
/// "w": [partners that went]}]`.
#[derive(Debug)]
pub struct Events<'a> {
    /// Of nodes that are read from their tables.
    pub living: Option<String>,
    /// Of nodes that are gone: as they were.
    pub deleted: Option<String>,
    /// The lowest position.
    pub since: u64,
    /// The nodes' ids.
    pub ids: Vec<&'a str>,
}

/// What a viewer with rules sees of changes.
#[derive(Debug)]
pub struct Sight<'a> {
    /// The rows of the model.
    pub visible: &'a Filter,
    /// Whether it matters which fields an update names.
    pub asks_names: bool,
    /// The names of all fields: what an update names of a row that the viewer did not see before.
    pub all: Vec<&'a str>,
    /// The fields whose links are looked at, with the rows of the partners.
    pub checked: Vec<(FieldId, &'a Filter)>,
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
    /// Null where the viewer did not see the row before.
    PreviousValues(Shape<'a>),
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
    /// It is an update that names all of these fields, or any of them. What is not there is the name of none.
    Names {
        every: bool,
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
            Match::Told(_) | Match::Names { .. } => false,
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

/// A change as the alias of a statement sees it.
const COLUMNS: [(&str, &str); 10] = [
    ("k", "text"),
    ("o", "int"),
    ("a", "bigint"),
    ("u", "json"),
    ("n", "text[]"),
    ("x", "json"),
    ("e", "boolean"),
    ("p", "json"),
    ("l", "json"),
    ("b", "boolean[]"),
];

/// Rows `(ordinal, object)`, an int and a text, for the changes that are wanted. No `sight`: of a viewer who sees everything.
pub fn events(
    physical: &Physical,
    model: ModelId,
    shape: &EventShape<'_>,
    matching: &Match<'_>,
    sight: Option<&Sight<'_>>,
    events: &Events<'_>,
) -> Statement {
    let mut sql = Sql::new();
    let keys: Vec<&str> = shape.entries.iter().map(|(key, _)| *key).collect();
    sql.each(events, |sql, changes, living| {
        let (change, row, object) = (sql.alias(), sql.alias(), sql.alias());
        // Who sees all rows sees them at all times.
        let ruled = sight.filter(|sight| living && !sight.visible.is_true());
        let named = sight.filter(|sight| living && (sight.asks_names || !sight.checked.is_empty()));
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
            !living && (matching.is_related() || sight.is_some_and(|s| !s.visible.is_true()));
        sql.push_changes(
            physical,
            model,
            changes,
            (&change, &row),
            Source::of(living, from_log),
        );
        sql.few = true;
        if let (Some(sight), Some(seen)) = (ruled, &seen) {
            sql.push(" left join lateral ").row_if_visible(
                physical,
                model,
                &change,
                When::Before,
                sight.visible,
            );
            sql.push(" ").push(seen).push(" on true");
        }
        if let (Some(sight), Some(names)) = (named, &names) {
            sql.push(" cross join lateral (select ")
                .names(physical, model, sight, &aliases);
            sql.push(" as n offset 0) ").push(names);
        }
        sql.push(" where ");
        if !living {
            sql.enter(&change, When::Before);
        }
        sql.matches(physical, model, &aliases, matching, Polarity::Positive);
        sql.leave_past();
        if let Some(sight) = ruled {
            sql.push(" and exists ").row_if_visible(
                physical,
                model,
                &change,
                When::After,
                sight.visible,
            );
        }
        if sight.is_some() && living {
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

/// Where the row of a changed node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// In its table.
    Table,
    /// It is gone, and was as the change says.
    Change,
    /// It is gone, and was as the log says: before the whole transaction, of which the change may be a piece.
    Log,
}

impl Source {
    pub fn of(living: bool, from_log: bool) -> Self {
        match (living, from_log) {
            (true, _) => Source::Table,
            (false, false) => Source::Change,
            (false, true) => Source::Log,
        }
    }
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
        source: Source,
    ) -> &mut Self {
        self.push(" from json_to_recordset(")
            .placeholder(changes)
            .push("::json) as ")
            .push(change);
        self.push("(\"i\" ").push(physical.id_type(model));
        for (name, ty) in COLUMNS {
            self.push(", ").name(name).push(" ").push(ty);
        }
        self.push(") cross join lateral ");
        match source {
            Source::Table => {
                // `offset 0` keeps PostgreSQL from another order: it cannot tell how few changes there are, and would
                // begin with all rows of an owner to find the one that changed.
                let read = self.alias();
                self.push("(select * from ")
                    .push(physical.table(model))
                    .push(" ");
                self.push(&read)
                    .push(" where ")
                    .column(&read, physical.id(model))
                    .push(" = ");
                self.column(change, "\"i\"").push(" offset 0)")
            }
            Source::Change => {
                self.push("json_populate_record(null::")
                    .push(physical.table(model));
                self.push(", ").column(change, "\"p\"").push(")")
            }
            Source::Log => {
                self.row_if_visible(physical, model, change, When::Before, &Filter::TRUE)
            }
        };
        self.push(" ").push(row)
    }

    /// `(select …)`: the changed node's row at a moment, if it satisfied the filter then.
    fn row_if_visible(
        &mut self,
        physical: &Physical,
        model: ModelId,
        change: &str,
        when: When,
        visible: &Filter,
    ) -> &mut Self {
        let row = self.alias();
        self.push("(select ").push(&row).push(".* from ");
        self.changed_row(
            physical,
            model,
            &Past {
                change: change.to_owned(),
                when,
            },
        );
        self.push(" ")
            .push(&row)
            .push(" where ")
            .column(&row, physical.id(model))
            .push(" = ");
        self.column(change, "\"i\"");
        if !visible.is_true() {
            self.enter(change, when);
            self.push(" and ").predicate(physical, model, &row, visible);
            self.leave_past();
        }
        self.push(" offset 0)")
    }

    /// The names of the fields that an update changed: all of a row that the viewer did not see before; and of a link only
    /// where the viewer sees the partner.
    fn names(
        &mut self,
        physical: &Physical,
        model: ModelId,
        sight: &Sight<'_>,
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
            self.bind(array_literal(sight.all.iter().copied()))
                .push("::text[]");
        }
        if sight.checked.is_empty() {
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
        for (checked, visible) in &sight.checked {
            let Some(relation) = physical.model.field(model, *checked).relation() else {
                continue;
            };
            self.push(" or (")
                .column(&field, "\"f\"")
                .push(&format!(" = {} and (", checked.0));
            // A link that came is one to a partner of after the change, one that went to a partner of before.
            for (column, when) in [("\"c\"", When::After), ("\"w\"", When::Before)] {
                let (id, partner) = (self.alias(), self.alias());
                self.push(if when == When::Before { " or " } else { "" });
                self.push("exists (select 1 from json_array_elements_text(")
                    .column(&field, column);
                self.push(") as ")
                    .push(&id)
                    .push("(id) where exists (select 1 from ");
                self.enter(change, when);
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
                self.leave_past();
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
            Match::Told(place) => return self.column(aliases.change, &format!("\"b\"[{place}]")),
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
        // Of what is no update there are no names.
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
