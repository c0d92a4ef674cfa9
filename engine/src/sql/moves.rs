//! The statement that finds the rows that changes made join a set or leave it, by the rows as they
//! were before and after the transaction of each change.

use super::Statement;
use super::filter::Filter;
use super::history::SnapshotTime;
use super::physical::Physical;
use super::text::Sql;
use crate::datamodel::{FieldId, ModelId};

/// Of another model: the paths that lead to its rows, and its changes as a JSON array.
type OtherRows<'a> = (ModelId, &'a [Box<[FieldId]>], String);

/// Changes that may move rows, as JSON arrays of `{"o": ordinal, "a": position of the transaction,
/// "i": id}`.
#[derive(Debug)]
pub struct MovingChanges<'a> {
    /// Of rows of the set's model, which may move themselves.
    pub own: Option<String>,
    /// Of other rows, by their model; with the relation fields that lead to them from the set's
    /// model.
    pub others: Vec<OtherRows<'a>>,
    /// The lowest position.
    pub since: u64,
    /// The ids of `own`.
    pub ids: Vec<&'a str>,
}

/// Rows `(ordinal, id, came)`, an int, a text and a boolean: the rows of the model that a change
/// made satisfy the filter (`came`) or satisfy it no more. At most `limit` of each change.
pub fn moves(
    physical: &Physical,
    model: ModelId,
    filter: &Filter,
    changes: &MovingChanges<'_>,
    limit: usize,
) -> Statement {
    let mut sql = Sql::new();
    sql.few = true;
    let mut some = false;
    if let Some(own) = &changes.own {
        some = true;
        let change = sql.begin_moves(physical, model, own);
        let id = format!("{change}.\"i\"");
        sql.push("(select ")
            .push(&id)
            .push("::text as id, ")
            .moved(physical, model, filter, &change, None)
            .push(" offset 0) m where m.was <> m.\"is\"");
    }
    for (of, paths, json) in &changes.others {
        sql.push(if some { " union all " } else { "" });
        some = true;
        let change = sql.begin_moves(physical, *of, json);
        let reached = sql.alias();
        sql.push("(select id::text, was, \"is\" from (select ")
            .column(&reached, "id")
            .push(", ")
            .moved(physical, model, filter, &change, Some(&reached))
            .push(" from (");
        // A row that reached it before by a link that went is found from the other end of that link,
        // whose change is one of these too, or is that row itself.
        sql.enter_snapshot(&change, SnapshotTime::After);
        for (i, path) in paths.iter().enumerate() {
            sql.push(if i > 0 { " union " } else { "" })
                .reaching(physical, model, path, &change);
        }
        sql.leave_snapshot();
        sql.push(" offset 0) ")
            .push(&reached)
            .push(" offset 0) m where was <> \"is\"");
        sql.push(&format!(" limit {limit}) m"));
    }
    if !some {
        sql.push("select null::int, null::text, null::boolean where false");
    }
    sql.few = false;
    sql.finish_with_history(physical, changes.since, changes.ids.iter().copied())
}

impl Sql {
    /// `select … from` the changes in a parameter ` cross join lateral `; their alias.
    fn begin_moves(&mut self, physical: &Physical, model: ModelId, json: &str) -> String {
        let change = self.alias();
        self.push("select ")
            .column(&change, "\"o\"")
            .push(", m.id, m.\"is\" from json_to_recordset(");
        let number = self.add_param(json);
        self.placeholder(number)
            .push("::json) as ")
            .push(&change)
            .push("(\"i\" ")
            .push(physical.id_type(model))
            .push(", \"o\" int, \"a\" bigint) cross join lateral ");
        change
    }

    /// Whether the row satisfied the filter before and after: `… as was, … as "is"`. The changed
    /// node itself, or the one whose id is in `reached`.
    fn moved(
        &mut self,
        physical: &Physical,
        model: ModelId,
        filter: &Filter,
        change: &str,
        reached: Option<&str>,
    ) -> &mut Self {
        for (when, name) in [
            (SnapshotTime::Before, " as was, "),
            (SnapshotTime::After, " as \"is\""),
        ] {
            self.push("exists ");
            match reached {
                None => self.row_if_visible(physical, model, change, when, filter),
                Some(reached) => {
                    let row = self.alias();
                    self.enter_snapshot(change, when);
                    self.push("(select 1 from ")
                        .rows_of(physical, model)
                        .push(" ")
                        .push(&row)
                        .push(" where ")
                        .column(&row, physical.id(model))
                        .push(" = ")
                        .column(reached, "id");
                    self.push(" and ").predicate(physical, model, &row, filter);
                    self.leave_snapshot();
                    self.push(" offset 0)")
                }
            };
            self.push(name);
        }
        self
    }

    /// `select … as id`: the rows of the model from which the fields of the path lead to the
    /// changed node, as of the snapshot.
    fn reaching(
        &mut self,
        physical: &Physical,
        model: ModelId,
        path: &[FieldId],
        change: &str,
    ) -> &mut Self {
        let mut relations = Vec::with_capacity(path.len());
        let mut at = model;
        for field in path {
            let Some(relation) = physical.model.field(at, *field).relation() else {
                return self.push("select null where false");
            };
            relations.push(relation);
            at = relation.target;
        }
        // From the changed node back to the beginning of the path, link by link.
        let links: Vec<String> = relations.iter().map(|_| self.alias()).collect();
        self.push("select ");
        if let Some(last) = links.last() {
            self.column(last, "id");
        }
        self.push(" from ");
        let mut previous = format!("{change}.\"i\"");
        for (i, (relation, link)) in relations.iter().rev().zip(&links).enumerate() {
            let (at, row) = (physical.link_row(*relation), self.alias());
            self.push(if i > 0 { " cross join lateral " } else { "" })
                .push("(select ")
                .column(&row, at.own)
                .push(" as id from ")
                .holders_of(physical, &at)
                .push(" ")
                .push(&row)
                .push(" where ")
                .column(&row, at.partner)
                .push(" = ")
                .push(&previous)
                .push(" offset 0) ")
                .push(link);
            previous = format!("{link}.id");
        }
        self
    }
}
