//! A policy as it is written, before anything is known of the schema. What the parts mean stands in the project's
//! `config/policy.toml`, which is an example of all of them.

use indexmap::IndexMap;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    #[serde(default)]
    pub operations: OperationsSource,
    /// Models whose rows are written inside the data of others: the part, and the models of the operations that may
    /// hold it.
    #[serde(default)]
    pub parts: IndexMap<String, Vec<String>>,
    /// Columns that the server sets on every row that a user writes.
    #[serde(default)]
    pub stamps: StampSource,
    /// `Model.field` and the number of random characters that a new row gets there.
    #[serde(default)]
    pub generated: IndexMap<String, usize>,
    #[serde(default)]
    pub roles: IndexMap<String, RoleSource>,
}

/// For each top-level field of the API that users may ask for, the permissions that it needs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsSource {
    #[serde(default)]
    pub query: IndexMap<String, OneOrMany>,
    #[serde(default)]
    pub mutation: IndexMap<String, OneOrMany>,
    #[serde(default)]
    pub subscription: IndexMap<String, OneOrMany>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StampSource {
    /// Field and claim (`$sub`), on creation.
    #[serde(default)]
    pub create: IndexMap<String, String>,
    /// The same, on every change.
    #[serde(default)]
    pub update: IndexMap<String, String>,
}

/// What a role may see and do.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSource {
    /// The permissions in tokens that Gom itself issues for this role.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// For each model, the filter that its visible rows satisfy. A model that is not named shows nothing.
    #[serde(default)]
    pub rows: IndexMap<String, String>,
    /// For each model, what rows must satisfy as well to be written, before and after.
    #[serde(default)]
    pub writes: IndexMap<String, String>,
    /// For each model, the only fields that may be named at all.
    #[serde(default)]
    pub fields: IndexMap<String, Vec<String>>,
}

/// `"a"` or `["a", "b"]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn items(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}
