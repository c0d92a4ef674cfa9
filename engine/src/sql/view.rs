//! Fields that are not shown to everybody as their columns have them: null in rows that a filter
//! leaves out, and values of which each owner has its own, kept in a table of Gom's beside the
//! model's.

use super::entries::MaskedForm;
use super::filter::Filter;
use super::physical::Physical;
use super::text::Sql;
use super::{Param, Statement};
use crate::datamodel::{FieldId, ModelId};

/// What a viewer reads of a field in place of its column.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Rows that show it; in others it is null.
    pub shown: Filter,
    /// Where the viewer's own value is. `None`: in the column.
    pub own: Option<OwnValue>,
}

/// A value for each node and owner, in a table of the schema `gom` that has a column `schema_name`
/// for the model's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnValue {
    /// Quoted, like the columns: of the value, of the node's id and of the owner's.
    pub table: String,
    /// The column of the value, quoted.
    pub value: String,
    /// The column of the node's id, quoted.
    pub node: String,
    /// The column of the owner's id, quoted.
    pub owner: String,
    /// Whose value the viewer reads: of this model the row that satisfies the filter.
    pub of: ModelId,
    /// Which row of that model the viewer is.
    pub owners: Filter,
}

impl View {
    /// Whether anything but the row itself decides it.
    pub fn is_related(&self) -> bool {
        self.own.is_some() || self.shown.is_related()
    }
}

/// Writes the viewer's own value of these rows.
pub fn write_own(
    physical: &Physical,
    model: ModelId,
    own: &OwnValue,
    rows: &Filter,
    value: Param,
) -> Statement {
    let mut sql = Sql::new();
    let (kept, row) = (sql.alias(), sql.alias());
    sql.push("update gom.")
        .push(&own.table)
        .push(" ")
        .push(&kept)
        .push(" set ")
        .push(&own.value)
        .push(" = ");
    sql.bind(value)
        .push(" where ")
        .of_owner(physical, own, &kept)
        .push(" and ")
        .column(&kept, &own.node);
    sql.push(" in (select ")
        .column(&row, physical.id(model))
        .push("::text from ");
    sql.push(physical.table(model))
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.predicate(physical, model, &row, rows).push(")");
    sql.finish()
}

impl Sql {
    /// What the viewer reads of a field of the row `alias`, in that form.
    pub(super) fn viewed(
        &mut self,
        physical: &Physical,
        model: ModelId,
        (alias, field): (&str, FieldId),
        view: &View,
        form: MaskedForm,
    ) -> &mut Self {
        let masked = !view.shown.is_true();
        if masked {
            self.push("case when ")
                .predicate(physical, model, alias, &view.shown)
                .push(" then ");
        }
        match &view.own {
            None => {
                let (definition, column) = (
                    physical.model.field(model, field),
                    physical.column(model, field),
                );
                match form {
                    MaskedForm::Json => self.value(definition, alias, column),
                    MaskedForm::Column => self.column(alias, column),
                }
            }
            // A database to which no datamodel was deployed has no such tables.
            Some(own) if !physical.has_system_table(&own.table) => self.push("null::text"),
            Some(own) => {
                let kept = self.alias();
                self.push("(select ")
                    .column(&kept, &own.value)
                    .push(" from gom.")
                    .push(&own.table)
                    .push(" ");
                self.push(&kept)
                    .push(" where ")
                    .column(&kept, &own.node)
                    .push(" = ");
                self.column(alias, physical.id(model));
                // Such tables keep ids of all types as text.
                if physical.id_type(model) != "varchar" {
                    self.push("::text");
                }
                self.push(" and ")
                    .of_owner(physical, own, &kept)
                    .push(" limit 1)")
            }
        };
        if masked { self.push(" end") } else { self }
    }

    /// The condition that a row of the table of own values is of this schema and of the viewer.
    fn of_owner(&mut self, physical: &Physical, own: &OwnValue, kept: &str) -> &mut Self {
        let owner = self.alias();
        self.column(kept, "schema_name")
            .push(" = ")
            .bind(physical.schema_name())
            .push(" and ");
        self.column(kept, &own.owner)
            .push(" in (select ")
            .column(&owner, physical.id(own.of))
            .push("::text from ");
        self.push(physical.table(own.of))
            .push(" ")
            .push(&owner)
            .push(" where ");
        self.predicate(physical, own.of, &owner, &own.owners)
            .push(")")
    }
}
