//! Stage three: text and variables become a checked, coerced [`Operation`]. What the text alone
//! decides is done once and cached; the variables' values are coerced for every request. Knows no
//! SQL and no HTTP.

mod arguments;
mod collect;
mod complexity;
mod datetime;
mod document;
mod escapes;
mod guard;
mod json_text;
mod limits;
mod literal;
mod names;
mod operation;
mod prepare;
mod reason;
mod scalar;
mod scan;
mod shape;
#[cfg(test)]
mod tests;
mod variables;
mod weight;
mod written;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

pub(crate) use complexity::{Sizes, is_where_or_data};
pub use limits::{InputMeasures, Measures, RequestLimits, VALUES_PER_CONDITION};
pub use operation::*;
pub use variables::Variables;
pub use written::{UnboundVariableError, WrittenFilter};

use crate::error::ApiError;
use crate::schema::Schema;
use names::Names;
use prepare::Preparation;

/// Strict validation of a document against the served schema, for the operation of that name.
pub type Validate =
    dyn Fn(&ExecutableDocument, Option<&str>) -> Result<(), Vec<ApiError>> + Send + Sync;

/// Prepares operations and keeps the prepared ones, shared by all callers.
pub struct Requests {
    schema: Arc<Schema>,
    names: Names,
    validate: Box<Validate>,
    assumed_list_size: u64,
    looked_up: fn(bool),
    cache: Cache<CacheKey, Arc<PreparedOperation>, CacheWeight>,
}

/// An operation that passed all checks that do not depend on variables' values.
#[derive(Debug)]
pub struct PreparedOperation {
    /// The operation, ready to be planned.
    pub operation: Operation,
    /// It is a query with `@live`.
    pub live: bool,
    /// The document, kept if the operation has fields with [`Selected::Introspection`]: the schema
    /// answers them from it.
    pub document: Option<ExecutableDocument>,
    /// What was measured of the document, for [`RequestLimits::check`].
    pub measures: Measures,
    /// Whether there are filters or data to be measured.
    pub(crate) has_input: bool,
    pub(crate) assumed_list_size: u64,
    weight: u64,
}

/// What [`Requests`] may use.
#[derive(Debug, Clone, Copy)]
pub struct RequestOptions {
    /// Bytes that prepared operations may take together.
    pub cache_bytes: u64,
    /// The assumed length of a list, for its complexity, where the document has neither `first` nor
    /// `last`.
    pub assumed_list_size: u64,
    /// Called for each look-up of a prepared operation, with whether it was cached.
    pub looked_up: fn(bool),
}

impl Default for RequestOptions {
    fn default() -> Self {
        RequestOptions {
            cache_bytes: 32 * 1024 * 1024,
            assumed_list_size: 100,
            looked_up: |_| {},
        }
    }
}

impl Requests {
    /// `validate` must validate documents against the same `schema`.
    pub fn new(schema: Arc<Schema>, validate: Box<Validate>, options: RequestOptions) -> Self {
        // A guess at how many there will be; the bound is the weight.
        let items = usize::try_from(options.cache_bytes / 4096)
            .unwrap_or(usize::MAX)
            .clamp(16, 100_000);
        Requests {
            names: Names::new(&schema),
            schema,
            validate,
            assumed_list_size: options.assumed_list_size,
            looked_up: options.looked_up,
            cache: Cache::with_weighter(items, options.cache_bytes, CacheWeight),
        }
    }

    /// The operation called `operation_name` of the document `text`, or its only one; an empty name
    /// is none.
    ///
    /// # Errors
    /// Everything that is wrong with the document, or the first of the caller's `limits` that it
    /// exceeds. A mistake in an argument is the only error returned.
    pub fn prepare(
        &self,
        text: &str,
        operation_name: Option<&str>,
        limits: &RequestLimits,
    ) -> Result<Arc<PreparedOperation>, Vec<ApiError>> {
        let operation_name = operation_name.filter(|name| !name.is_empty());
        let found = self.cache.get(&CacheLookup {
            text,
            operation_name,
        });
        (self.looked_up)(found.is_some());
        if let Some(prepared) = found {
            limits
                .check(&prepared.measures)
                .map_err(|error| vec![error])?;
            return Ok(prepared);
        }
        let preparation = Preparation {
            schema: &self.schema,
            names: &self.names,
            validate: &self.validate,
            assumed_list_size: self.assumed_list_size,
            limits,
        };
        let prepared = Arc::new(preparation.run(text, operation_name)?);
        let key = CacheKey {
            text: text.into(),
            operation_name: operation_name.map(Into::into),
        };
        // Concurrent calls with the same text get the same value: equal subscriptions share it.
        Ok(self
            .cache
            .get_or_insert_with(&key, || Ok::<_, Infallible>(prepared))
            .unwrap_or_else(|never| match never {}))
    }

    /// The values given for the variables of an operation that was prepared here.
    ///
    /// # Errors
    /// As [`Variables::coerce`].
    pub fn coerce(
        &self,
        operation: &Operation,
        given: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Variables, ApiError> {
        Variables::coerce(&self.schema, operation, given)
    }

    /// How many operations are kept.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// Bytes that the prepared operations take now, about.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.weight()
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Requests")
            .field("cached", &self.cache.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CacheKey {
    text: Box<str>,
    operation_name: Option<Box<str>>,
}

/// A [`CacheKey`] that borrows; its fields are hashed in the same order.
#[derive(Hash)]
struct CacheLookup<'a> {
    text: &'a str,
    operation_name: Option<&'a str>,
}

impl Equivalent<CacheKey> for CacheLookup<'_> {
    fn equivalent(&self, key: &CacheKey) -> bool {
        self.text == &*key.text && self.operation_name == key.operation_name.as_deref()
    }
}

#[derive(Debug, Clone)]
struct CacheWeight;

impl Weighter<CacheKey, Arc<PreparedOperation>> for CacheWeight {
    fn weight(&self, key: &CacheKey, prepared: &Arc<PreparedOperation>) -> u64 {
        const ENTRY: u64 = 256;
        let name = key.operation_name.as_ref().map_or(0, |name| name.len());
        ENTRY + (key.text.len() + name) as u64 + prepared.weight
    }
}
