//! The row that holds a link, seen from one end: statements name its two columns and need not care
//! whether it is a row of this end, of the partner, or of a relation table.

use super::physical::{LinkAt, Physical};
use super::text::Sql;
use crate::datamodel::{ModelId, RelationId, RelationRef, Side};

/// Whose row holds a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkHolder {
    /// This end's: its column of links holds the partner's id, or null.
    Own(ModelId),
    /// The partner's: its column of links holds this end's id, or null.
    Partner(ModelId),
    /// A relation table's: there is a row for each link.
    Table,
}

/// Where the rows are that hold the links of a relation. All names are quoted.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkRow<'a> {
    pub holder: LinkHolder,
    pub relation: RelationId,
    /// The qualified table.
    pub table: &'a str,
    /// The column with this end's id.
    pub own: &'a str,
    /// The column with the partner's id.
    pub partner: &'a str,
    /// The column of ids in the table of this end's model.
    own_id: &'a str,
    /// The column of ids in the table of the partner's model.
    partner_id: &'a str,
}

impl<'a> LinkRow<'a> {
    /// The column that is emptied to cut the link; none where its row is deleted.
    pub(super) fn nullable(&self) -> Option<(ModelId, &'a str)> {
        match self.holder {
            LinkHolder::Own(model) => Some((model, self.partner)),
            LinkHolder::Partner(model) => Some((model, self.own)),
            LinkHolder::Table => None,
        }
    }

    /// The columns that are equal in the partner's row (first) and this end's row (second); none
    /// where a relation table stands between the two.
    pub(super) fn equal_columns(&self) -> Option<(&'a str, &'a str)> {
        match self.holder {
            LinkHolder::Own(_) => Some((self.partner_id, self.partner)),
            LinkHolder::Partner(_) => Some((self.own, self.own_id)),
            LinkHolder::Table => None,
        }
    }
}

impl Physical {
    /// Where the links of a relation field are.
    pub(super) fn link_row(&self, relation: RelationRef) -> LinkRow<'_> {
        self.link_row_at(relation.relation, relation.side)
    }

    /// Where the links of a relation are, seen from the end of `side`.
    pub(super) fn link_row_at(&self, relation: RelationId, side: Side) -> LinkRow<'_> {
        let ends = self.model.relation(relation);
        let (model, target) = (ends.end(side).model, ends.end(side.other()).model);
        let (own_id, partner_id) = (self.id(model), self.id(target));
        let (holder, table, own, partner) = match self.link_at(relation, side) {
            LinkAt::Own(column) => (LinkHolder::Own(model), self.table(model), own_id, column),
            LinkAt::Partner(column) => (
                LinkHolder::Partner(target),
                self.table(target),
                column,
                partner_id,
            ),
            LinkAt::Table {
                table,
                own,
                partner,
                ..
            } => (LinkHolder::Table, table, own, partner),
        };
        LinkRow {
            holder,
            relation,
            table,
            own,
            partner,
            own_id,
            partner_id,
        }
    }
}

impl Sql {
    /// The rows that hold the links: a table, or as of a snapshot a sub-select.
    pub(super) fn holders_of(&mut self, physical: &Physical, link: &LinkRow<'_>) -> &mut Self {
        match link.holder {
            LinkHolder::Own(model) | LinkHolder::Partner(model) => self.rows_of(physical, model),
            LinkHolder::Table => self.links_of(physical, link.relation),
        }
    }

    /// ` where …` after a table of partners with the alias `partner`: those that are linked to the
    /// row `row` of this end.
    pub(super) fn where_linked(
        &mut self,
        physical: &Physical,
        relation: RelationRef,
        partner: &str,
        row: &str,
    ) -> &mut Self {
        let link = physical.link_row(relation);
        if let Some((theirs, ours)) = link.equal_columns() {
            return self
                .push(" where ")
                .column(partner, theirs)
                .push(" = ")
                .column(row, ours);
        }
        let between = self.alias();
        self.push(" join ")
            .links_of(physical, link.relation)
            .push(" ")
            .push(&between)
            .push(" on ");
        self.column(&between, link.partner)
            .push(" = ")
            .column(partner, link.partner_id);
        self.push(" where ")
            .column(&between, link.own)
            .push(" = ")
            .column(row, link.own_id)
    }

    /// ` join …`: to the rows `row` of this end the partners' rows, with the alias `partner`.
    pub(super) fn join_partners(
        &mut self,
        physical: &Physical,
        link: &LinkRow<'_>,
        target: ModelId,
        (row, partner): (&str, &str),
    ) -> &mut Self {
        let (between, (theirs, ours)) = match link.equal_columns() {
            Some(columns) => (None, columns),
            None => (Some(self.alias()), (link.partner_id, link.partner)),
        };
        if let Some(between) = &between {
            self.push(" join ")
                .push(link.table)
                .push(" ")
                .push(between)
                .push(" on ");
            self.column(between, link.own)
                .push(" = ")
                .column(row, link.own_id);
        }
        self.push(" join ")
            .push(physical.table(target))
            .push(" ")
            .push(partner)
            .push(" on ");
        self.column(partner, theirs)
            .push(" = ")
            .column(between.as_deref().unwrap_or(row), ours)
    }
}
