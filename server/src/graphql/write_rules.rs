//! Rules for users' writes that an application has beside the policy.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use gom_engine::error::ApiError;
use gom_engine::plan::{Access, Planner, WriteHooks};
use gom_engine::request::{SelectedField, Variables};

/// What an application adds to users' mutations. The service role's writes are not asked about.
pub trait WriteRules: Debug + Send + Sync {
    /// Whether the rules judge a mutation's field by the time: then `now` of [`WriteRules::amend`] is the database's.
    fn needs_time(&self, field: &SelectedField) -> bool;

    /// What is checked before a top-level mutation, in its own transaction, and set by it.
    ///
    /// # Errors
    /// What the arguments alone forbid.
    fn amend(
        &self,
        planner: &Planner,
        field: &SelectedField,
        variables: &Variables,
        access: Access<'_>,
        now: Option<DateTime<Utc>>,
    ) -> Result<WriteHooks, ApiError>;
}
