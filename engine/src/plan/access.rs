//! The access with which a plan is made: it decides, at every visit of a table, which rows and
//! fields are visible to the viewer.

use std::sync::Arc;

use super::context::Planner;
use super::input_cost::RuleCost;
use super::rights::Rights;
use super::rule_inputs::LinkEffect;
use crate::datamodel::{FieldId, ModelId, RelationId};
use crate::error::{ApiError, ErrorKind};
use crate::request::OperationKind;
use crate::schema::OutputMeaning;
use crate::sql::{Filter, Quantifier, View};

/// The access with which a plan is made.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// The service role: no rule applies.
    Full,
    /// A user: the rules of the rights apply.
    Limited(&'a Rights),
}

impl<'a> Access<'a> {
    fn rights(self) -> Option<&'a Rights> {
        match self {
            Access::Full => None,
            Access::Limited(rights) => Some(rights),
        }
    }

    /// Whether rules apply.
    pub fn is_limited(self) -> bool {
        matches!(self, Access::Limited(_))
    }

    pub(crate) fn visible(self, model: ModelId) -> Filter {
        self.rights()
            .map_or(Filter::TRUE, |rights| rights.visible(model).clone())
    }

    /// What [`Access::visible`] costs.
    pub(super) fn rule_cost(self, model: ModelId) -> RuleCost {
        self.rights()
            .map_or(RuleCost::default(), |rights| rights.costs[model.0])
    }

    pub(super) fn writable(self, model: ModelId) -> Filter {
        self.rights()
            .map_or(Filter::TRUE, |rights| rights.writable(model).clone())
    }

    /// Refuses a top-level field for which the viewer lacks a permission.
    pub(crate) fn check_operation(self, kind: OperationKind, name: &str) -> Result<(), ApiError> {
        match self.rights() {
            Some(rights) if !rights.allows(kind, name) => {
                Err(forbidden("No permission to perform the operation"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the viewer may name the field.
    pub(crate) fn names(self, model: ModelId, field: FieldId) -> bool {
        self.rights()
            .is_none_or(|r| r.policy.roles[r.role].names(model, field))
    }

    /// How the viewer reads the field, if not as its column has it.
    pub(crate) fn view(self, model: ModelId, field: FieldId) -> Option<&'a Arc<View>> {
        self.rights()?
            .views
            .get(&(model, field))
            .map(|(view, _)| view)
    }

    /// What [`Access::view`] costs wherever the field is read or compared.
    pub(super) fn view_cost(self, model: ModelId, field: FieldId) -> Option<RuleCost> {
        self.rights()?
            .views
            .get(&(model, field))
            .map(|(_, cost)| *cost)
    }

    /// Whether there are fields that the viewer does not read as their columns have them.
    pub(super) fn has_views(self) -> bool {
        self.rights().is_some_and(|rights| !rights.views.is_empty())
    }

    /// Whether the viewer reads the field as its column has it.
    pub(crate) fn reads_plainly(self, model: ModelId, field: FieldId) -> bool {
        self.names(model, field) && self.view(model, field).is_none()
    }

    /// Refuses to order by a field, or to look for its changes, of which the viewer does not read
    /// every row's value.
    pub(crate) fn check_plain(
        self,
        planner: &Planner,
        model: ModelId,
        field: FieldId,
    ) -> Result<(), ApiError> {
        if self.view(model, field).is_none() {
            return Ok(());
        }
        let definition = planner.model().model(model);
        Err(forbidden(&format!(
            "The field '{}' of '{}' can be read, but neither ordered by nor watched for changes: not every row shows it",
            definition.field(field).name,
            definition.name
        )))
    }

    /// Refuses a field that the viewer may not name.
    pub(crate) fn check_field(
        self,
        planner: &Planner,
        model: ModelId,
        field: FieldId,
    ) -> Result<(), ApiError> {
        if self.names(model, field) {
            return Ok(());
        }
        let definition = planner.model().model(model);
        let message = format!(
            "The field '{}' of '{}' may not be used",
            definition.field(field).name,
            definition.name
        );
        Err(forbidden(&message))
    }

    /// Refuses to write rows of `model` inside the data of an operation on `top`, unless they are a
    /// part of it.
    pub(super) fn check_part(
        self,
        planner: &Planner,
        model: ModelId,
        top: ModelId,
    ) -> Result<(), ApiError> {
        if self
            .rights()
            .is_none_or(|rights| rights.policy.parts[model.0].contains(&top))
        {
            return Ok(());
        }
        Err(forbidden(&format!(
            "'{}' may not be written inside the data of '{}'",
            planner.model_name(model),
            planner.model_name(top)
        )))
    }

    /// Refuses to tie or cut rows of `model` whose own columns hold the link, unless they may be
    /// updated.
    pub(super) fn check_link_in(
        self,
        planner: &Planner,
        model: ModelId,
        top: ModelId,
    ) -> Result<(), ApiError> {
        let Some(rights) = self.rights() else {
            return Ok(());
        };
        let schema = &planner.schema;
        let update = schema.object(schema.mutation).fields.iter();
        let mut update = update.filter(|(_, field)| field.meaning == OutputMeaning::Update(model));
        if update.any(|(name, _)| rights.allows(OperationKind::Mutation, name)) {
            return Ok(());
        }
        self.check_part(planner, model, top)
    }

    /// The columns that the server sets on a new row.
    pub(super) fn stamps_on_create(self, model: ModelId) -> &'a [(FieldId, String)] {
        self.rights()
            .map_or(&[], |rights| &rights.stamps_on_create[model.0])
    }

    /// The columns that the server sets on a row that is changed.
    pub(super) fn stamps_on_update(self, model: ModelId) -> &'a [(FieldId, String)] {
        self.rights()
            .map_or(&[], |rights| &rights.stamps_on_update[model.0])
    }

    /// The columns of a new row that the server makes up, and the number of characters.
    pub(super) fn generated(self, model: ModelId) -> &'a [(FieldId, usize)] {
        self.rights()
            .map_or(&[], |rights| &rights.policy.generated[model.0])
    }

    /// Whether a change of the column can take a row of the model out of what may be written.
    pub(super) fn column_matters(self, model: ModelId, field: FieldId) -> bool {
        self.rights().is_some_and(|rights| {
            rights.rule_inputs[model.0]
                .columns
                .contains(&(model, field))
        })
    }

    /// Whether such a change of the relation's links can.
    pub(super) fn links_matter(
        self,
        model: ModelId,
        relation: RelationId,
        change: LinkEffect,
    ) -> bool {
        let of_kind = |looks: LinkEffect| {
            looks == change || looks == LinkEffect::Any || change == LinkEffect::Any
        };
        self.rights().is_some_and(|rights| {
            rights.rule_inputs[model.0]
                .relations
                .iter()
                .any(|(known, decisive)| *known == relation && of_kind(*decisive))
        })
    }

    /// Whether rows of `child`, tied to a writable row of `parent` by the child's field, are
    /// writable by that alone.
    pub(super) fn follows(self, child: ModelId, back: Option<FieldId>, parent: ModelId) -> bool {
        let (Some(rights), Some(back)) = (self.rights(), back) else {
            return false;
        };
        matches!(
            rights.writable(child),
            Filter::Related { field, filter, quantifier: Quantifier::Is }
                if *field == back && **filter == *rights.writable(parent)
        )
    }
}

/// The error for what the policy does not permit.
pub(super) fn forbidden(message: &str) -> ApiError {
    ApiError::new(ErrorKind::Forbidden, message)
}
