//! The policy that the settings name: where it is read from, and what it makes of an operation, for people. What it
//! means is the engine's.

mod explain;

use std::fmt;
use std::path::PathBuf;

use gom_engine::datamodel::DataModel;
use gom_engine::policy::{Policy, PolicyProblem, PolicySource};
use gom_engine::schema::Schema;

pub use explain::{Explained, explain};

use crate::settings::Settings;

/// Of Gom's own datamodel.
const OWN: &str = include_str!("../../config/policy.toml");

/// Why there is no policy to work with.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy {path} cannot be read: {cause}; correct --policy (policy.file)")]
    File { path: PathBuf, cause: std::io::Error },
    #[error("the policy {name} is not of the right form: {cause}")]
    Form { name: String, cause: toml::de::Error },
    #[error("the policy {name} does not fit the datamodel:{}", Listed(.problems))]
    Wrong { name: String, problems: Vec<PolicyProblem> },
}

struct Listed<'a>(&'a [PolicyProblem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The policy as it is written: from the file that the settings name, or the one of Gom's own datamodel. A policy
/// belongs to a datamodel: for another one there is none unless it is named, and only the service role has access.
///
/// # Errors
/// If the file cannot be read, or is no policy.
pub fn read(settings: &Settings) -> Result<Option<(String, PolicySource)>, PolicyError> {
    let (name, text) = match &settings.policy.file {
        Some(path) => {
            let failed = |cause| PolicyError::File { path: path.clone(), cause };
            (path.display().to_string(), std::fs::read_to_string(path).map_err(failed)?)
        }
        None if settings.datamodel.file.is_none() => ("policy.toml (built in)".to_owned(), OWN.to_owned()),
        None => return Ok(None),
    };
    match toml::from_str(&text) {
        Ok(source) => Ok(Some((name, source))),
        Err(cause) => Err(PolicyError::Form { name, cause }),
    }
}

/// Reads the policy and checks it against the schema.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(settings: &Settings, model: &DataModel, schema: &Schema) -> Result<Option<Policy>, PolicyError> {
    let Some((name, source)) = read(settings)? else { return Ok(None) };
    match Policy::new(&source, model, schema) {
        Ok(policy) => {
            let problems = crate::shop::detours(&source, model, schema);
            if problems.is_empty() { Ok(Some(policy)) } else { Err(PolicyError::Wrong { name, problems }) }
        }
        Err(problems) => Err(PolicyError::Wrong { name, problems }),
    }
}
