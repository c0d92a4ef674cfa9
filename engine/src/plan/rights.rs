//! A policy bound to one viewer's claims, and what it means for a plan: every visit of a table asks here which rows
//! and fields there are for the viewer.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::context::Planner;
use super::input_cost::RuleCost;
use crate::datamodel::{FieldId, ModelId, RelationId};
use crate::error::{ApiError, ErrorKind};
use crate::policy::{FieldRule, Permissions, Policy, Role};
use crate::request::{OperationKind, Value, WrittenFilter};
use crate::schema::OutputMeaning;
use crate::sql::{self, Filter, LinkAt, OwnValue, Param, Quantifier, Statement, View};

/// What one viewer may see and do. Made once for each token, used by all its requests.
#[derive(Debug)]
pub struct Rights {
    policy: Arc<Policy>,
    role: usize,
    permissions: Permissions,
    /// The values of the claims that `rows` uses, in the order of the claims' names.
    seen_by: Vec<(String, Json)>,
    /// By model.
    rows: Vec<Filter>,
    /// By model: what `rows` adds to a filter that leads there.
    costs: Vec<RuleCost>,
    writes: Vec<Filter>,
    /// By model: what `writes` looks at, so that only changes of these are followed by another look.
    looks: Vec<Looks>,
    /// Fields that are not read as their columns have them, and what each of them costs.
    views: Views,
    stamps_on_create: Vec<Vec<(FieldId, String)>>,
    stamps_on_update: Vec<Vec<(FieldId, String)>>,
}

type Views = HashMap<(ModelId, FieldId), (Arc<View>, RuleCost)>;

/// What decides a filter: columns and relations.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Looks {
    columns: Vec<(ModelId, FieldId)>,
    relations: Vec<(RelationId, Change)>,
}

/// What happens to the links of a row along a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Made,
    Cut,
    Any,
}

/// On whose behalf a plan is made.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// The service role: no rule applies.
    Full,
    Limited(&'a Rights),
}

impl Planner {
    /// Binds a policy to a viewer.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], if the permissions name no role of the policy or several, or if the claims lack
    /// what the role's rules need.
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
        let mut names: Vec<&str> = policy.roles[role].sight().collect();
        names.sort_unstable();
        names.dedup();
        let value = |name: &&str| Some(((*name).to_owned(), claims.get(*name)?.clone()));
        let seen_by = names.iter().filter_map(value).collect();
        let rows: Vec<Filter> = rows
            .iter()
            .map(|rule| bind(rule, Filter::FALSE))
            .collect::<Result<_, _>>()?;
        let writes: Vec<Filter> = writes
            .iter()
            .zip(&rows)
            .map(|(rule, rows)| Ok(rows.clone().and(bind(rule, Filter::TRUE)?)))
            .collect::<Result<_, ApiError>>()?;
        let looks = self
            .model()
            .model_ids()
            .map(|model| self.looks(model, &writes[model.0]))
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
            costs: rows.iter().map(RuleCost::of).collect(),
            rows,
            writes,
            looks,
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

    /// A filter of the policy's or the application's own, with its values in place. With limited access, it counts
    /// only what the viewer may see.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], if a value is absent.
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
    /// 3040 and 3045, and [`ErrorKind::Forbidden`] for a field that the viewer may not name.
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

    /// Writes the viewer's own value of a field of the row that a `where` names. Nothing, if the viewer reads the field
    /// from its column.
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
        if !self.physical().has_own_values() {
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

    fn looks(&self, model: ModelId, filter: &Filter) -> Looks {
        let mut looks = Looks::default();
        self.note(model, filter, true, &mut looks);
        looks
    }

    /// `wanted`: the whole is true rather than false where the filter is.
    fn note(&self, model: ModelId, filter: &Filter, wanted: bool, looks: &mut Looks) {
        let relation = |field| self.model().field(model, field).relation();
        match filter {
            Filter::And(parts) | Filter::Or(parts) => {
                parts
                    .iter()
                    .for_each(|part| self.note(model, part, wanted, looks));
            }
            Filter::Nor(parts) => parts
                .iter()
                .for_each(|part| self.note(model, part, !wanted, looks)),
            Filter::NotTrue(part) => self.note(model, part, !wanted, looks),
            Filter::Compare { field, .. } => looks.columns.push((model, *field)),
            // Rules are read with full access, which sees columns as they are.
            Filter::CompareView { field, .. } => looks.columns.push((model, *field)),
            Filter::Related {
                field,
                quantifier,
                filter,
            } => {
                let Some(relation) = relation(*field) else {
                    return;
                };
                // One more partner can only make "some partner is such" true, and "none is such" false.
                let (change, within) = match quantifier {
                    Quantifier::Is => (Change::Any, wanted),
                    Quantifier::Some if wanted => (Change::Cut, true),
                    Quantifier::Some => (Change::Made, false),
                    Quantifier::None if wanted => (Change::Made, false),
                    Quantifier::None => (Change::Cut, true),
                };
                looks.relations.push((relation.relation, change));
                self.note(relation.target, filter, within, looks);
            }
            Filter::Unrelated { field } => {
                looks
                    .relations
                    .extend(relation(*field).map(|r| (r.relation, Change::Any)));
            }
            Filter::IdIn(_) | Filter::IdIs(_) => {}
        }
    }

    /// Whether the filter depends on links and columns that stand in other rows. Anyone who has waited for a lock sees
    /// the row itself as it is by then, but other rows as they were before. Columns of the partners that a row's own
    /// columns name do not count: such filters (`owner: { id: … }`) say whose the row is.
    pub(super) fn is_decided_elsewhere(&self, model: ModelId, filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts
                .iter()
                .any(|part| self.is_decided_elsewhere(model, part)),
            Filter::NotTrue(part) => self.is_decided_elsewhere(model, part),
            Filter::Related { field, filter, .. } => {
                filter.is_related() || !self.holds_link(model, *field)
            }
            Filter::Unrelated { field } => !self.holds_link(model, *field),
            Filter::Compare { .. }
            | Filter::CompareView { .. }
            | Filter::IdIn(_)
            | Filter::IdIs(_) => false,
        }
    }

    /// Whether other rows than one of the model decide whether it satisfies the filter.
    pub(super) fn reads_other_rows(&self, model: ModelId, filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts.iter().any(|part| self.reads_other_rows(model, part))
            }
            Filter::NotTrue(part) => self.reads_other_rows(model, part),
            Filter::Unrelated { field } => !self.holds_link(model, *field),
            other => other.is_related(),
        }
    }

    fn holds_link(&self, model: ModelId, field: FieldId) -> bool {
        let relation = self.model().field(model, field).relation();
        relation.is_some_and(|relation| matches!(self.physical().link(relation), LinkAt::Own(_)))
    }
}

impl Rights {
    pub fn role(&self) -> &str {
        &self.policy.roles[self.role].name
    }

    /// Whether the two see the same: they are of the same role, and the claims that its rules of rows use have the same
    /// values.
    pub(crate) fn same_visibility(&self, other: &Rights) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy)
            && self.role == other.role
            && self.seen_by == other.seen_by
    }

    /// Of all that see the same.
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

    /// Whether the top-level field may be asked for.
    pub fn allows(&self, kind: OperationKind, name: &str) -> bool {
        self.policy.allows(kind, name, &self.permissions)
    }
}

impl<'a> Access<'a> {
    fn rights(self) -> Option<&'a Rights> {
        match self {
            Access::Full => None,
            Access::Limited(rights) => Some(rights),
        }
    }

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

    /// Refuses to order by a field, or to look for its changes, of which the viewer does not read every row's value.
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

    /// Refuses to write rows of `model` inside the data of an operation on `top`, unless they are a part of it.
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

    /// Refuses to tie or cut rows of `model` whose own columns hold the link, unless they may be updated.
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
        self.rights()
            .is_some_and(|rights| rights.looks[model.0].columns.contains(&(model, field)))
    }

    /// Whether such a change of the relation's links can.
    pub(super) fn links_matter(self, model: ModelId, relation: RelationId, change: Change) -> bool {
        let of_kind =
            |looks: Change| looks == change || looks == Change::Any || change == Change::Any;
        self.rights().is_some_and(|rights| {
            rights.looks[model.0]
                .relations
                .iter()
                .any(|(known, looks)| *known == relation && of_kind(*looks))
        })
    }

    /// Whether rows of `child`, tied to a writable row of `parent` by the child's field, are writable by that alone.
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

/// The answer to what the policy does not allow.
pub(super) fn forbidden(message: &str) -> ApiError {
    ApiError::new(ErrorKind::Forbidden, message)
}

impl Planner {
    /// The answer to a write of a row that is not there, or not for this viewer: the two are not told apart.
    pub fn no_access(&self, model: ModelId) -> ApiError {
        forbidden(&format!("Cannot access this {}", self.model_name(model)))
    }
}
