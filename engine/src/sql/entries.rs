//! The select list of a shape over a row: columns as JSON shows them, scalar lists, partners.

use super::filter::Filter;
use super::physical::{LinkAt, Physical};
use super::read::{Shape, ShapeEntry};
use super::text::{MISSING_LINK, Sql};
use crate::datamodel::{Field, FieldId, FieldKind, ModelId, OWN_COLUMN, ScalarType};

/// Of a field that is not read as its column has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaskedForm {
    /// As JSON shows it.
    Json,
    /// As comparisons take it.
    Column,
}

impl Sql {
    /// The select list of a shape over the row `alias`.
    pub(super) fn entries(
        &mut self,
        physical: &Physical,
        alias: &str,
        shape: &Shape<'_>,
    ) -> &mut Self {
        let keys: Vec<&str> = shape.entries.iter().map(|(key, _)| *key).collect();
        for (i, (key, entry)) in shape.entries.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            match entry {
                ShapeEntry::Column(field) => self.value(
                    physical.model.field(shape.model, *field),
                    alias,
                    physical.column(shape.model, *field),
                ),
                ShapeEntry::Viewed(field, view) => self.viewed(
                    physical,
                    shape.model,
                    (alias, *field),
                    view,
                    MaskedForm::Json,
                ),
                ShapeEntry::Hidden => self.push("null::text"),
                ShapeEntry::ScalarList(field) => {
                    self.scalar_list(physical, shape.model, *field, alias)
                }
                ShapeEntry::Typename(name) => self.typename(name),
                ShapeEntry::ToOne(field, filter, inner) => {
                    self.partner(physical, shape.model, *field, alias, filter, inner)
                }
                ShapeEntry::ToMany(field, rows, inner) => {
                    match physical.model.field(shape.model, *field).relation() {
                        Some(relation) => self.list(physical, rows, inner, Some((relation, alias))),
                        None => self.push("'[]'::json"),
                    }
                }
            };
            self.key(&keys, i, key);
        }
        self
    }

    /// A column in the form in which JSON shows it.
    pub(super) fn value(&mut self, field: &Field, alias: &str, column: &str) -> &mut Self {
        match field.kind {
            FieldKind::Scalar(ScalarType::DateTime) => self
                .push("to_char(")
                .column(alias, column)
                .push(", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
            FieldKind::Scalar(ScalarType::Float) => self.column(alias, column).push("::float8"),
            FieldKind::Scalar(ScalarType::Json) => self.column(alias, column).push("::json"),
            _ => self.column(alias, column),
        }
    }

    pub(super) fn scalar_list(
        &mut self,
        physical: &Physical,
        model: ModelId,
        field: FieldId,
        alias: &str,
    ) -> &mut Self {
        if let Some((_, number)) = self.record.clone().filter(|(record, _)| record == alias) {
            return self
                .placeholder(number)
                .push("::json->'")
                .push(&list_key(field))
                .push("'");
        }
        if let Some((_, lists)) = self.before.clone().filter(|(before, _)| before == alias) {
            let removed = format!("{lists}->'{}'", field.0);
            let row = self.alias();
            self.push("case when ")
                .push(&removed)
                .push(" is not null then ");
            self.push("(select coalesce(json_agg(");
            self.value(physical.model.field(model, field), &row, "\"value\"");
            self.push(" order by ")
                .column(&row, "\"position\"")
                .push("), '[]'::json) from ");
            self.push("json_populate_recordset(null::")
                .push(physical.list_table(model, field))
                .push(", ");
            self.push(&removed).push(") ").push(&row).push(") else ");
            return self
                .current_list(physical, model, field, alias)
                .push(" end");
        }
        self.current_list(physical, model, field, alias)
    }

    fn current_list(
        &mut self,
        physical: &Physical,
        model: ModelId,
        field: FieldId,
        alias: &str,
    ) -> &mut Self {
        let row = self.alias();
        self.push("(select coalesce(json_agg(");
        self.value(physical.model.field(model, field), &row, "\"value\"");
        self.push(" order by ")
            .column(&row, "\"position\"")
            .push("), '[]'::json) from ");
        self.push(physical.list_table(model, field))
            .push(" ")
            .push(&row)
            .push(" where ");
        self.column(&row, "\"nodeId\"")
            .push(" = ")
            .column(alias, physical.id(model))
            .push(")")
    }

    fn partner(
        &mut self,
        physical: &Physical,
        model: ModelId,
        field: FieldId,
        alias: &str,
        filter: &Filter,
        shape: &Shape<'_>,
    ) -> &mut Self {
        let definition = physical.model.field(model, field);
        let Some(relation) = definition.relation() else {
            return self.push("null::json");
        };
        let (row, object) = (self.alias(), self.alias());
        if definition.required {
            self.push("coalesce(");
        }
        self.push("(select ")
            .object(physical, shape, &object)
            .push(" from (select ");
        self.entries(physical, &row, shape);
        self.push(" from ")
            .push(physical.table(relation.target))
            .push(" ")
            .push(&row);
        self.where_linked(physical, relation, &row, alias);
        if !filter.is_true() {
            self.push(" and ")
                .predicate(physical, relation.target, &row, filter);
        }
        if !matches!(physical.link(relation), LinkAt::Own(_)) {
            // Nothing in the tables keeps two from tying themselves to one: all are shown the same.
            self.push(" order by ")
                .column(&row, physical.id(relation.target))
                .push(" limit 1");
        }
        self.push(") ").push(&object).push(")");
        if definition.required {
            self.push(", '").push(MISSING_LINK).push("'::json)");
        }
        self
    }
}

pub(super) fn list_key(field: FieldId) -> String {
    format!("{OWN_COLUMN}list_{}", field.0)
}
