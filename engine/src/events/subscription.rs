//! A subscription that was checked and compiled.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::condition::EventCondition;
use super::membership::{Dependency, Membership};
use super::{ChangeKind, NodeChange, SubscriptionKey};
use crate::datamodel::ModelId;
use crate::error::{ApiError, ErrorKind};
use crate::plan::{Access, PageLimits, Planner, Rights, unexpected};
use crate::request::{OperationKind, PreparedOperation, Selected, SelectedField, Variables};
use crate::schema::{InputMeaning, OutputMeaning};

/// Which changes a subscriber wants, and how they are shown to that viewer.
#[derive(Debug)]
pub struct Subscription {
    identity: Arc<SubscriptionIdentity>,
    model: ModelId,
    key: Option<SubscriptionKey>,
    condition: EventCondition,
    /// Of one that reports leaves.
    membership: Option<Box<Membership>>,
}

/// Subscriptions with equal identities have equal answers to every change.
#[derive(Debug)]
pub struct SubscriptionIdentity {
    /// Kept, so that no other document is ever found at its address.
    prepared: Arc<PreparedOperation>,
    variables: Variables,
    limits: PageLimits,
    rights: Option<Arc<Rights>>,
    reports_leaves: bool,
}

impl PartialEq for SubscriptionIdentity {
    fn eq(&self, other: &Self) -> bool {
        let same_sight = match (&self.rights, &other.rights) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.same_visibility(other),
            _ => false,
        };
        same_sight
            && Arc::ptr_eq(&self.prepared, &other.prepared)
            && self.limits == other.limits
            && self.reports_leaves == other.reports_leaves
            && self.variables == other.variables
    }
}

impl Eq for SubscriptionIdentity {}

impl Hash for SubscriptionIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.prepared).hash(state);
        self.variables.hash(state);
        self.reports_leaves.hash(state);
        if let Some(rights) = &self.rights {
            rights.hash_visibility(state);
        }
    }
}

impl Planner {
    /// Compiles a subscription for a viewer; `None` is the service.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for what the viewer may not
    /// read, and the errors of arguments that make it impossible.
    pub fn subscription(
        &self,
        prepared: &Arc<PreparedOperation>,
        variables: Variables,
        limits: PageLimits,
        rights: Option<Arc<Rights>>,
    ) -> Result<Subscription, ApiError> {
        self.compile_subscription(prepared, variables, limits, rights, false)
    }

    /// The same, of a subscription that reports which rows leave its filter or the viewer's sight.
    ///
    /// # Errors
    /// As [`Planner::subscription`]; and [`ErrorKind::BadUserInput`] for a filter of which leaves
    /// cannot be derived from the change log.
    pub fn subscription_with_leaves(
        &self,
        prepared: &Arc<PreparedOperation>,
        variables: Variables,
        limits: PageLimits,
        rights: Option<Arc<Rights>>,
    ) -> Result<Subscription, ApiError> {
        self.compile_subscription(prepared, variables, limits, rights, true)
    }

    fn compile_subscription(
        &self,
        prepared: &Arc<PreparedOperation>,
        variables: Variables,
        limits: PageLimits,
        rights: Option<Arc<Rights>>,
        reports_leaves: bool,
    ) -> Result<Subscription, ApiError> {
        let identity = SubscriptionIdentity {
            prepared: Arc::clone(prepared),
            variables,
            limits,
            rights,
            reports_leaves,
        };
        let (field, access) = (identity.field()?, identity.access());
        let Selected::Field(OutputMeaning::Subscribe(model)) = field.meaning else {
            return Err(unexpected("subscription"));
        };
        access.check_operation(OperationKind::Subscription, &field.name)?;
        let given = self.argument(field, InputMeaning::Where, &identity.variables);
        let condition = self.condition(model, given.as_ref(), access)?;
        // Whether all fields may be shown.
        self.event_shape(model, field, &identity)?;
        let visible = access.visible(model);
        let mut filters = vec![&visible];
        condition.node_filters(&mut filters);
        let key = self.key(model, &filters);
        let membership = if reports_leaves {
            // Leaves show ids.
            access.check_field(self, model, self.model().model(model).id)?;
            let rows = visible.clone().and(condition.rows());
            Some(Box::new(Membership::of(self, model, rows)?))
        } else {
            None
        };
        Ok(Subscription {
            identity: Arc::new(identity),
            model,
            key,
            condition,
            membership,
        })
    }
}

impl SubscriptionIdentity {
    /// The one field of the operation.
    pub(super) fn field(&self) -> Result<&SelectedField, ApiError> {
        let operation = &self.prepared.operation;
        let mut fields = operation
            .fields
            .iter()
            .filter(|field| field.inclusion.holds(&self.variables));
        match (operation.kind, fields.next()) {
            (OperationKind::Subscription, Some(field)) => Ok(field),
            (OperationKind::Subscription, None) => {
                let message = "A subscription selects exactly one field of the type Subscription";
                Err(ApiError::new(ErrorKind::BadUserInput, message))
            }
            _ => Err(unexpected("operation")),
        }
    }

    pub(super) fn access(&self) -> Access<'_> {
        self.rights.as_deref().map_or(Access::Full, Access::Limited)
    }

    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    pub(super) fn limits(&self) -> PageLimits {
        self.limits
    }
}

impl Subscription {
    /// The model whose changes it is about.
    pub fn model(&self) -> ModelId {
        self.model
    }

    /// What makes two subscriptions equal.
    pub fn identity(&self) -> &Arc<SubscriptionIdentity> {
        &self.identity
    }

    /// A value that every matching node has. `None`: every change of the model may match.
    pub fn key(&self) -> Option<&SubscriptionKey> {
        self.key.as_ref()
    }

    /// Whether the change may match the subscription, as far as the change alone decides.
    pub fn admits(&self, change: &NodeChange) -> bool {
        change.model == self.model && self.condition.holds(change) != Some(false)
    }

    /// Whether it reports which rows leave.
    pub fn reports_leaves(&self) -> bool {
        self.membership.is_some()
    }

    /// As [`Subscription::key`], of what a node had before: it finds the rows that leave.
    pub fn key_before(&self) -> Option<SubscriptionKey> {
        let SubscriptionKey { path, value } =
            self.key.as_ref().filter(|_| self.reports_leaves())?;
        Some(SubscriptionKey {
            path: path.before(),
            value: value.clone(),
        })
    }

    /// The rows of which changes may make others join or leave.
    pub fn dependencies(&self) -> &[Dependency] {
        self.membership
            .as_deref()
            .map_or(&[], |membership| &membership.others)
    }

    /// The models whose changes it is about.
    pub fn models(&self) -> impl Iterator<Item = ModelId> {
        let others = self.dependencies().iter().map(|other| other.model);
        std::iter::once(self.model).chain(others)
    }

    /// Whether a message of it may come of the change, as far as the change alone decides.
    pub fn concerns(&self, change: &NodeChange) -> bool {
        let is_own = change.model == self.model;
        self.admits(change)
            || (self.reports_leaves() && is_own && change.kind != ChangeKind::Created)
            || self.moves_others(change)
    }

    /// Whether the change may make other rows join or leave.
    pub fn moves_others(&self, change: &NodeChange) -> bool {
        self.membership
            .as_deref()
            .is_some_and(|membership| membership.paths_to(change).is_some())
    }

    pub(super) fn membership(&self) -> Option<&Membership> {
        self.membership.as_deref()
    }

    pub(super) fn condition(&self) -> &EventCondition {
        &self.condition
    }
}
