//! Roles, row rules and permissions: a policy is checked against the schema once, at start, and
//! then bound to each viewer's claims. Knows no SQL: what the rules do to a statement is the plan's
//! business.
//!
//! Everything is denied that the policy does not allow: an operation that is not listed, a model
//! without a row rule, a nested write of a model that is no part of the operation's.

mod check;
mod permission;
mod source;

use std::collections::HashMap;

pub use check::PolicyProblem;
pub use permission::{Permission, Permissions};
pub use source::{
    OneOrMany, OperationsSource, OwnValueSource, PolicySource, RoleSource, StampSource,
};

use crate::datamodel::{FieldId, ModelId};
use crate::request::{OperationKind, WrittenFilter};

/// A policy that fits its schema.
#[derive(Debug)]
pub struct Policy {
    /// By the name of the top-level field.
    pub(crate) operations: Operations,
    /// By model: within operations on which models it may be written.
    pub(crate) parts: Vec<Vec<ModelId>>,
    /// By model: the column and the claim that it gets.
    pub(crate) stamps_on_create: Vec<Vec<(FieldId, String)>>,
    pub(crate) stamps_on_update: Vec<Vec<(FieldId, String)>>,
    /// By model: the column and the number of characters.
    pub(crate) generated: Vec<Vec<(FieldId, usize)>>,
    pub(crate) roles: Vec<Role>,
}

#[derive(Debug)]
pub(crate) struct Operations {
    pub query: HashMap<String, Vec<Permission>>,
    pub mutation: HashMap<String, Vec<Permission>>,
    pub subscription: HashMap<String, Vec<Permission>>,
}

/// One role's rules.
#[derive(Debug)]
pub struct Role {
    /// The name, as tokens carry it (`role:NAME`).
    pub name: String,
    /// In tokens that Gom issues itself.
    pub permissions: Vec<String>,
    /// By model; `None`: no row is visible.
    pub(crate) rows: Vec<Option<WrittenFilter>>,
    /// By model, in addition to `rows`.
    pub(crate) writes: Vec<Option<WrittenFilter>>,
    /// By model and field; `None`: all fields.
    pub(crate) fields: Vec<Option<Vec<bool>>>,
    /// Fields that the role does not read as their columns have them.
    pub(crate) views: HashMap<(ModelId, FieldId), FieldRule>,
}

/// How a field is read.
#[derive(Debug, Default)]
pub(crate) struct FieldRule {
    /// Rows that show it; `None`: all.
    pub shown: Option<WrittenFilter>,
    pub own: Option<OwnRule>,
}

/// Where the values are that each owner has of a field. Names are quoted.
#[derive(Debug)]
pub(crate) struct OwnRule {
    pub table: String,
    pub value: String,
    pub node: String,
    pub owner: String,
    pub owners: WrittenFilter,
}

impl FieldRule {
    fn filters(&self) -> impl Iterator<Item = &WrittenFilter> {
        self.shown
            .iter()
            .chain(self.own.iter().map(|own| &own.owners))
    }
}

impl Policy {
    /// All roles, in the order of the policy.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The claims that are written into rows.
    pub fn stamps(&self) -> impl Iterator<Item = &str> {
        let stamps = self.stamps_on_create.iter().chain(&self.stamps_on_update);
        stamps.flatten().map(|(_, claim)| claim.as_str())
    }

    /// The permissions that the top-level field of that name needs; `None`: it is closed to users.
    pub fn needed(&self, kind: OperationKind, operation: &str) -> Option<&[Permission]> {
        let operations = match kind {
            OperationKind::Query => &self.operations.query,
            OperationKind::Mutation => &self.operations.mutation,
            OperationKind::Subscription => &self.operations.subscription,
        };
        operations.get(operation).map(Vec::as_slice)
    }

    /// Whether these permissions do for the top-level field of that name.
    pub fn allows(&self, kind: OperationKind, operation: &str, permissions: &Permissions) -> bool {
        self.needed(kind, operation).is_some_and(|needed| {
            needed
                .iter()
                .all(|permission| permissions.grant(permission))
        })
    }
}

impl Role {
    /// The rule of a model's visible rows.
    pub fn row_rule(&self, model: ModelId) -> Option<&WrittenFilter> {
        self.rows[model.0].as_ref()
    }

    /// The claims that the role's rules need.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.visibility_claims().chain(
            self.writes
                .iter()
                .flatten()
                .flat_map(WrittenFilter::variables),
        )
    }

    /// The claims that decide which rows and values are visible.
    pub(crate) fn visibility_claims(&self) -> impl Iterator<Item = &str> {
        let views = self.views.values().flat_map(FieldRule::filters);
        self.rows
            .iter()
            .flatten()
            .chain(views)
            .flat_map(WrittenFilter::variables)
    }

    /// The additional rule of a model's rows that are written.
    pub fn write_rule(&self, model: ModelId) -> Option<&WrittenFilter> {
        self.writes[model.0].as_ref()
    }

    /// Whether the role may name the field.
    pub fn names(&self, model: ModelId, field: FieldId) -> bool {
        self.fields[model.0]
            .as_ref()
            .is_none_or(|fields| fields[field.0])
    }
}
