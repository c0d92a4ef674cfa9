//! A policy bound to one viewer's claims: the filters, views and stamps of its role, with the
//! claims' values in place.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::access::{Access, forbidden};
use super::context::Planner;
use super::input_cost::RuleCost;
use super::rule_inputs::RuleInputs;
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::policy::{FieldRule, Permissions, Policy, Role};
use crate::request::{OperationKind, Value, WrittenFilter};
use crate::sql::{self, Filter, OwnValue, Param, Statement, View};

/// The rights of one viewer. Made once for each token, used by all its requests.
#[derive(Debug)]
pub struct Rights {
    pub(super) policy: Arc<Policy>,
    pub(super) role: usize,
    pub(super) permissions: Permissions,
    /// The values of the claims that `rows` uses, in the order of the claims' names.
    seen_by: Vec<(String, Json)>,
    /// The values of all claims that the role's rules and the stamps use.
    decided_by: Map<String, Json>,
    /// By model.
    rows: Vec<Filter>,
    /// By model: what `rows` adds to a filter that leads there.
    pub(super) costs: Vec<RuleCost>,
    writes: Vec<Filter>,
    /// By model: what decides `writes`, so that only changes of these are checked after the write.
    pub(super) rule_inputs: Vec<RuleInputs>,
    /// Fields that are not read as their columns have them, and what each of them costs.
    pub(super) views: Views,
    pub(super) stamps_on_create: Vec<Vec<(FieldId, String)>>,
    pub(super) stamps_on_update: Vec<Vec<(FieldId, String)>>,
}

type Views = HashMap<(ModelId, FieldId), (Arc<View>, RuleCost)>;

impl Planner {
    /// Binds a policy to a viewer.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::error::ErrorKind::Forbidden), if the permissions name no
    /// role of the policy or several, or if the claims lack what the role's rules need.
    pub fn rights(
        &self,
        policy: &Arc<Policy>,
        permissions: Permissions,
        claims: &Map<String, Json>,
    ) -> Result<Rights, ApiError> {
        let known = |name: &str| policy.roles.iter().position(|role| role.name == name);
        let mut roles: Vec<usize> = permissions.roles().filter_map(known).collect();
        roles.dedup();
        let role = match roles.as_slice() {
            [role] => *role,
            [] => return Err(forbidden("The token names no role that the policy knows")),
            _ => return Err(forbidden("The token names several roles; it must have one")),
        };
        let Role { rows, writes, .. } = &policy.roles[role];
        let bind = |rule: &Option<WrittenFilter>, without: Filter| match rule {
            None => Ok(without),
            Some(rule) => self.written(rule, claims, Access::Full),
        };
        let mut names: Vec<&str> = policy.roles[role].visibility_claims().collect();
        names.sort_unstable();
        names.dedup();
        let value = |name: &&str| Some(((*name).to_owned(), claims.get(*name)?.clone()));
        let seen_by = names.iter().filter_map(value).collect();
        let of_stamps = policy
            .stamps_on_create
            .iter()
            .chain(&policy.stamps_on_update);
        let decided_by = policy.roles[role]
            .claims()
            .chain(of_stamps.flatten().map(|(_, claim)| claim.as_str()))
            .filter_map(|name| value(&name))
            .collect();
        let rows: Vec<Filter> = rows
            .iter()
            .map(|rule| bind(rule, Filter::FALSE))
            .collect::<Result<_, _>>()?;
        let writes: Vec<Filter> = writes
            .iter()
            .zip(&rows)
            .map(|(rule, rows)| Ok(rows.clone().and(bind(rule, Filter::TRUE)?)))
            .collect::<Result<_, ApiError>>()?;
        let rule_inputs = self
            .model()
            .model_ids()
            .map(|model| self.rule_inputs(model, &writes[model.0]))
            .collect();
        let stamps = |stamps: &[Vec<(FieldId, String)>]| -> Result<Vec<_>, ApiError> {
            let bound = |(field, claim): &(FieldId, String)| match claims.get(claim) {
                Some(Json::String(text)) => Ok((*field, text.clone())),
                _ => Err(forbidden(&format!(
                    "The token has no text in the claim '{claim}'"
                ))),
            };
            stamps
                .iter()
                .map(|of_model| of_model.iter().map(bound).collect())
                .collect()
        };
        Ok(Rights {
            stamps_on_create: stamps(&policy.stamps_on_create)?,
            stamps_on_update: stamps(&policy.stamps_on_update)?,
            policy: Arc::clone(policy),
            role,
            permissions,
            seen_by,
            decided_by,
            costs: rows.iter().map(RuleCost::of).collect(),
            rows,
            writes,
            rule_inputs,
            views: self.views(&policy.roles[role], claims)?,
        })
    }

    fn views(&self, role: &Role, claims: &Map<String, Json>) -> Result<Views, ApiError> {
        let bind = |rule: &WrittenFilter| self.written(rule, claims, Access::Full);
        let view = |rule: &FieldRule| {
            let own = rule.own.as_ref().map(|own| {
                let (table, value) = (own.table.clone(), own.value.clone());
                let (node, owner) = (own.node.clone(), own.owner.clone());
                Ok(OwnValue {
                    table,
                    value,
                    node,
                    owner,
                    of: own.owners.model,
                    owners: bind(&own.owners)?,
                })
            });
            let shown = rule.shown.as_ref().map_or(Ok(Filter::TRUE), bind)?;
            let view = View {
                shown,
                own: own.transpose()?,
            };
            let cost = RuleCost::of_view(&view);
            Ok((Arc::new(view), cost))
        };
        role.views
            .iter()
            .map(|(field, rule)| Ok((*field, view(rule)?)))
            .collect()
    }

    /// Plans a filter of the policy or the application, with its values in place. With limited
    /// access, only visible partners count.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::error::ErrorKind::Forbidden), if a value is absent.
    pub fn written(
        &self,
        filter: &WrittenFilter,
        values: &Map<String, Json>,
        access: Access<'_>,
    ) -> Result<Filter, ApiError> {
        let value = filter
            .bind(&self.schema, values)
            .map_err(|unbound| forbidden(&format!("A rule cannot be decided: {unbound}")))?;
        self.filter(filter.model, Some(&value), access)
    }

    /// The row that a `where` names, if the viewer may write it.
    ///
    /// # Errors
    /// 3040 and 3045, and [`ErrorKind::Forbidden`](crate::error::ErrorKind::Forbidden) for a field
    /// that the viewer may not name.
    pub fn row_to_write(
        &self,
        model: ModelId,
        given: &Value,
        access: Access<'_>,
    ) -> Result<Filter, ApiError> {
        Ok(self
            .unique(model, given, access)?
            .filter()
            .and(access.writable(model)))
    }

    /// Writes the viewer's own value of a field of the row that a `where` names. Nothing, if the
    /// viewer reads the field from its column.
    ///
    /// # Errors
    /// As [`Planner::row_to_write`].
    pub fn write_own_value(
        &self,
        (model, field): (ModelId, FieldId),
        given: &Value,
        value: &Value,
        access: Access<'_>,
    ) -> Result<Option<Statement>, ApiError> {
        let Some(own) = access.view(model, field).and_then(|view| view.own.as_ref()) else {
            return Ok(None);
        };
        if !self.physical().has_system_table(&own.table) {
            return Ok(None);
        }
        let row = self.row_to_write(model, given, access)?;
        let value = self.scalar_text(value).map_or(Param::Null, Param::Text);
        Ok(Some(sql::write_own(
            self.physical(),
            model,
            own,
            &row,
            value,
        )))
    }
}

impl Rights {
    /// The name of the viewer's role.
    pub fn role(&self) -> &str {
        &self.policy.roles[self.role].name
    }

    /// The claims that decide, with the role, what the viewer sees and may write, and what is written of it.
    pub fn decided_by(&self) -> &Map<String, Json> {
        &self.decided_by
    }

    /// Whether both see the same rows and values: they have the same role, and the claims that its
    /// row rules use have the same values.
    pub(crate) fn same_visibility(&self, other: &Rights) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy)
            && self.role == other.role
            && self.seen_by == other.seen_by
    }

    /// Hashes what [`Rights::same_visibility`] compares.
    pub(crate) fn hash_visibility(&self, state: &mut impl Hasher) {
        self.role.hash(state);
        self.seen_by.hash(state);
    }

    /// The rows of a model that the viewer may see.
    pub fn visible(&self, model: ModelId) -> &Filter {
        &self.rows[model.0]
    }

    /// The rows of a model that the viewer may write, as they are before and as they must be after.
    pub fn writable(&self, model: ModelId) -> &Filter {
        &self.writes[model.0]
    }

    /// Whether the viewer may use the top-level field.
    pub fn allows(&self, kind: OperationKind, name: &str) -> bool {
        self.policy.allows(kind, name, &self.permissions)
    }
}

impl Planner {
    /// The error for a write of a row that does not exist or that the viewer may not write: the
    /// same for both.
    pub fn no_access(&self, model: ModelId) -> ApiError {
        forbidden(&format!("Cannot access this {}", self.model_name(model)))
    }
}
