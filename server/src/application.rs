//! What an application adds to the server beside what its files declare. The server calls it at the places below and knows
//! nothing else of it; [`NoApplication`] serves any datamodel.

use std::sync::Arc;

use gom_actors::push::Composer;
use gom_engine::datamodel::DataModel;
use gom_engine::policy::{Policy, PolicyProblem, PolicySource};
use gom_engine::schema::Schema;

use crate::datamodel::{self, BuiltIn, LoadedDatamodel, ReadError};
use crate::graphql::{Api, Engine, WriteRules};
use crate::http::{ANY_EXAMPLES, Additions, Endpoint, LoginProvider};
use crate::identity::TokenKind;
use crate::policy::{self, PolicyError};
use crate::seed::SeedData;
use crate::settings::{Key, Settings};

/// From a subject to the one that it replaces, if it replaces any.
pub type EarlierSubject = fn(&str) -> Option<&str>;

/// An application of the server. Each method adds nothing unless it is implemented; each looks at the datamodel first and
/// adds nothing to one that is not the application's own.
pub trait Application: Send + Sync {
    /// The settings that it has beside the server's own. A key that the server has already is an error at start.
    fn settings(&self) -> &'static [Key] {
        &[]
    }

    /// The datamodel and the policy that are served where the settings name none.
    fn built_in(&self) -> Option<BuiltIn> {
        None
    }

    /// Which of the console's examples fit the built-in datamodel.
    fn console_examples(&self) -> &'static str {
        ANY_EXAMPLES
    }

    /// Marks in the datamodel what the database has to do by itself: models whose changes become jobs, tables that
    /// follow those of the datamodel, and lists that an index serves.
    fn extend_datamodel(&self, _model: &mut DataModel) {}

    /// What a policy permits that the application's rules for writes do not cover.
    fn policy_problems(
        &self,
        _source: &PolicySource,
        _model: &DataModel,
        _schema: &Schema,
    ) -> Vec<PolicyProblem> {
        Vec::new()
    }

    /// Rules for users' writes, beside the policy.
    fn write_rules(
        &self,
        _model: &DataModel,
        _schema: &Schema,
        _settings: &Settings,
    ) -> Option<Box<dyn WriteRules>> {
        None
    }

    /// `extensions.code` of the errors with which its rules refuse writes.
    fn error_codes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Endpoints beside the server's own. Called once for each worker, and for the description of the API, which has them
    /// whatever the datamodel: one that does not fit the datamodel answers 404. A path that the server has already is an error
    /// at start. Handlers take [`crate::http::Authenticated`] and [`crate::http::JsonBody`] for who asks, and for what.
    fn endpoints(&self, _engine: &Engine) -> Vec<Endpoint> {
        Vec::new()
    }

    /// The tokens that it issues to users who log in its own way. Kinds that share a provider, a key or subjects with another
    /// are an error at start.
    fn token_kinds(&self) -> &'static [TokenKind] {
        &[]
    }

    /// Finds the subject under which an earlier version kept devices for the same user: they become the user's.
    fn earlier_subject(&self) -> EarlierSubject {
        |_| None
    }

    /// Ways to log in, beside passwords.
    fn logins(&self, _engine: &Engine) -> Vec<Box<dyn LoginProvider>> {
        Vec::new()
    }

    /// Rows for its own datamodel: a demo, and what benchmarks measure with.
    fn seed_data(&self, _settings: &Settings) -> Option<Box<dyn SeedData>> {
        None
    }

    /// Composes the notifications of jobs. Called in the dispatcher's thread, to which `api` belongs.
    fn composer(&self, _api: Api, _settings: &Settings) -> Option<Box<dyn Composer>> {
        None
    }
}

impl dyn Application {
    /// What it adds to HTTP.
    pub fn additions(&'static self, engine: &Arc<Engine>) -> Additions {
        let of_workers = Arc::clone(engine);
        Additions {
            endpoints: Box::new(move || self.endpoints(&of_workers)),
            logins: self.logins(engine),
            error_codes: self.error_codes().to_vec(),
        }
    }
}

impl dyn Application + '_ {
    /// Reads and checks the datamodel that the settings name, and extends it.
    ///
    /// # Errors
    /// If the file cannot be read, or is no datamodel.
    pub fn read_datamodel(&self, settings: &Settings) -> Result<LoadedDatamodel, ReadError> {
        let mut read = datamodel::read(settings, self.built_in().as_ref())?;
        self.extend_datamodel(&mut read.model);
        Ok(read)
    }

    /// Reads the policy, and checks it against the schema and the application's rules.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_policy(
        &self,
        settings: &Settings,
        model: &DataModel,
        schema: &Schema,
    ) -> Result<Option<Policy>, PolicyError> {
        policy::load(
            settings,
            self.built_in().as_ref(),
            model,
            schema,
            |source| self.policy_problems(source, model, schema),
        )
    }
}

/// A server without an application.
#[derive(Debug, Clone, Copy)]
pub struct NoApplication;

impl Application for NoApplication {}
