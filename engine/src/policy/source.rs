//! A policy as it is written, not yet checked against a schema. The project's `config/policy.toml`
//! is an example that explains every part.

use indexmap::IndexMap;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    /// The permissions of the API's top-level fields.
    #[serde(default)]
    pub operations: OperationsSource,
    /// Models whose rows are written inside the data of others: the part, and the models of the
    /// operations that may hold it.
    #[serde(default)]
    pub parts: IndexMap<String, Vec<String>>,
    /// Columns that the server sets on every row that a user writes.
    #[serde(default)]
    pub stamps: StampSource,
    /// `Model.field` and the number of random characters that a new row gets there.
    #[serde(default)]
    pub generated: IndexMap<String, usize>,
    /// The roles by their names.
    #[serde(default)]
    pub roles: IndexMap<String, RoleSource>,
}

/// For each top-level field of the API that is open to users, the permissions that it needs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsSource {
    /// Of fields of `Query`.
    #[serde(default)]
    pub query: IndexMap<String, OneOrMany>,
    /// Of fields of `Mutation`.
    #[serde(default)]
    pub mutation: IndexMap<String, OneOrMany>,
    /// Of fields of `Subscription`.
    #[serde(default)]
    pub subscription: IndexMap<String, OneOrMany>,
}

/// Columns that get a claim's value on every write of a user.
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
    /// For each model, the filter that its visible rows satisfy. A model that is not named shows
    /// nothing.
    #[serde(default)]
    pub rows: IndexMap<String, String>,
    /// For each model, what rows must satisfy as well to be written, before and after.
    #[serde(default)]
    pub writes: IndexMap<String, String>,
    /// For each model, the only fields that may be named at all.
    #[serde(default)]
    pub fields: IndexMap<String, Vec<String>>,
    /// For `Model.field`, the filter of the rows that show it; in others it is null.
    #[serde(default)]
    pub shown: IndexMap<String, String>,
    /// For `Model.field`, where the value is that the viewer has of its own, in place of the
    /// column's.
    #[serde(default)]
    pub own_values: IndexMap<String, OwnValueSource>,
}

/// Values in a table of the schema `gom`, which has a column `schema_name` beside those that are
/// named here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnValueSource {
    /// The table's name, without its schema.
    pub table: String,
    /// The column of the value, of the node's id, and of the owner's id.
    pub value: String,
    /// The column of the node's id.
    pub node: String,
    /// The column of the owner's id.
    pub owner: String,
    /// The owner's type, and which of its rows the viewer is.
    pub of: String,
    /// A filter that the viewer's own row satisfies.
    pub is: String,
}

/// `"a"` or `["a", "b"]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// A single text.
    One(String),
    /// A list of texts.
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts, in either case.
    pub fn items(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}
