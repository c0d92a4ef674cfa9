//! The policy that the settings name: where it is read from, and what it makes of an operation, for people. What it
//! means is the engine's.

mod explain;
mod issued;

use std::fmt;
use std::path::PathBuf;

use gom_engine::datamodel::DataModel;
use gom_engine::plan::{Planner, RuleCost};
use gom_engine::policy::{Policy, PolicyProblem, PolicySource};
use gom_engine::schema::Schema;

pub use explain::{Explained, explain};
pub use issued::{RoleError, check_role, unreachable};

use crate::datamodel::BuiltIn;
use crate::settings::{Limits, Settings};

/// Why there is no policy to work with.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file that the settings name cannot be read.
    #[error("the policy {path} cannot be read: {cause}; correct --policy (policy.file)")]
    File {
        /// As the settings name it.
        path: PathBuf,
        /// What the system reported.
        cause: std::io::Error,
    },
    /// The text is no TOML, or no policy.
    #[error("the policy {name} is not of the right form: {cause}")]
    Form {
        /// The file, for messages.
        name: String,
        /// Where it is wrong, and how.
        cause: toml::de::Error,
    },
    /// It names what the datamodel does not have, or an application's rules refuse it.
    #[error("the policy {name} does not fit the datamodel:{}", Listed(.problems))]
    Wrong {
        /// The file, for messages.
        name: String,
        /// All of them.
        problems: Vec<PolicyProblem>,
    },
    /// Its rules alone exceed what `limits` permits of a filter.
    #[error("rules of the policy are beyond the limits of filters:{}", Listed(.problems))]
    TooCostly {
        /// One for each limit that is exceeded.
        problems: Vec<PolicyProblem>,
    },
}

struct Listed<'a>(&'a [PolicyProblem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The policy as it is written: from the file that the settings name, or the one of the built-in datamodel. A policy
/// belongs to a datamodel: for another one there is none unless it is named, and only the service role has access.
///
/// # Errors
/// If the file cannot be read, or is no policy.
pub fn read(
    settings: &Settings,
    built_in: Option<&BuiltIn>,
) -> Result<Option<(String, PolicySource)>, PolicyError> {
    let built_in = built_in.filter(|_| settings.datamodel.file.is_none());
    let (name, text) = match (&settings.policy.file, built_in) {
        (Some(path), _) => {
            let failed = |cause| PolicyError::File {
                path: path.clone(),
                cause,
            };
            (
                path.display().to_string(),
                std::fs::read_to_string(path).map_err(failed)?,
            )
        }
        (None, Some(built_in)) => (
            "policy.toml (built in)".to_owned(),
            built_in.policy.to_owned(),
        ),
        (None, None) => return Ok(None),
    };
    match toml::from_str(&text) {
        Ok(source) => Ok(Some((name, source))),
        Err(cause) => Err(PolicyError::Form { name, cause }),
    }
}

/// Reads the policy and checks it against the schema, and then with `more`, the checks of an application.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(
    settings: &Settings,
    built_in: Option<&BuiltIn>,
    model: &DataModel,
    schema: &Schema,
    more: impl FnOnce(&PolicySource) -> Vec<PolicyProblem>,
) -> Result<Option<Policy>, PolicyError> {
    let Some((name, source)) = read(settings, built_in)? else {
        return Ok(None);
    };
    match Policy::new(&source, model, schema) {
        Ok(policy) => {
            let problems = more(&source);
            if problems.is_empty() {
                Ok(Some(policy))
            } else {
                Err(PolicyError::Wrong { name, problems })
            }
        }
        Err(problems) => Err(PolicyError::Wrong { name, problems }),
    }
}

/// Holds each row rule against users' limits of filters: it counts in every filter that leads to its table, so that a
/// rule that is beyond a limit by itself would forbid all of these.
///
/// # Errors
/// The rules that are, and which limit.
pub fn check_cost(policy: &Policy, planner: &Planner, limits: &Limits) -> Result<(), PolicyError> {
    let model = &planner.physical().model;
    let mut problems = Vec::new();
    for role in policy.roles() {
        for id in model.model_ids() {
            let Some(rule) = role.row_rule(id) else {
                continue;
            };
            let name = &model.model(id).name;
            let RuleCost {
                conditions,
                depth,
                relations,
            } = planner.rule_cost(rule);
            for (key, what, cost, limit) in [
                (
                    "filter_conditions",
                    "conditions",
                    conditions,
                    limits.filter_conditions,
                ),
                // The filter crosses one to get there.
                (
                    "filter_depth",
                    "relations one within the other",
                    depth + 1,
                    limits.filter_depth,
                ),
                (
                    "filter_relations",
                    "relations",
                    relations + 1,
                    limits.filter_relations,
                ),
            ] {
                if cost > limit {
                    problems.push(PolicyProblem {
                        place: format!("roles.{}.rows.{name}", role.name),
                        message: format!(
                            "every filter that leads to {name} has {cost} {what} by this rule; the limit is {limit} \
                             (limits.{key})"
                        ),
                    });
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(PolicyError::TooCostly { problems })
    }
}
