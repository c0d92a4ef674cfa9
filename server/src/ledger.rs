//! The ledger of push over GraphQL: who was notified of what, and with what result. A datamodel of its own over views, so that
//! the application's schema stays what it is; read, never written.

use std::sync::Arc;

use gom_engine::datamodel::parse;
use gom_engine::policy::{Policy, PolicySource};
use gom_engine::schema::SchemaError;
use gom_engine::sql::PhysicalOptions;
use thiserror::Error;

use crate::datamodel::ReadError;
use crate::graphql::{Engine, EngineOptions};
use crate::identity::{User, Viewer};
use crate::policy::PolicyError;
use crate::settings::Settings;

const DATAMODEL: &str = include_str!("../../config/ledger.prisma");
const POLICY: &str = include_str!("../../config/ledger.toml");
/// The PostgreSQL schema of Gom's own tables.
const SCHEMA: &str = "gom";
/// What every user may do here. The policy's rows decide what that shows.
const READER: [&str; 2] = ["role:reader", "read:ledger"];
/// Few ask, and mostly the same.
const CACHE_BYTES: u64 = 1024 * 1024;

/// Why the ledger cannot be served. No released program meets it: all that the ledger is made of is built in.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Its datamodel is no datamodel.
    #[error(transparent)]
    Datamodel(#[from] ReadError),
    /// Its policy does not fit its schema.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Names of its datamodel clash in the API.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// An engine over the ledger.
///
/// # Errors
/// See [`LedgerError`].
pub fn engine(settings: &Settings) -> Result<Engine, LedgerError> {
    let model = parse("ledger.prisma (built in)", DATAMODEL).map_err(ReadError::from)?;
    let options = EngineOptions {
        physical: PhysicalOptions::in_schema(SCHEMA),
        execute_raw: false,
        cache_bytes: CACHE_BYTES,
        ..EngineOptions::of(settings)
    };
    let engine = Engine::new(model.clone(), &options)?;
    let name = || "ledger.toml (built in)".to_owned();
    let source: PolicySource = toml::from_str(POLICY).map_err(|cause| PolicyError::Form {
        name: name(),
        cause,
    })?;
    let policy =
        Policy::new(&source, &model, &engine.schema).map_err(|problems| PolicyError::Wrong {
            name: name(),
            problems,
        })?;
    Ok(engine.with_policy(Some(policy), None))
}

/// The same viewer, as a reader of the ledger.
pub fn reader(viewer: &Viewer) -> Viewer {
    match viewer {
        Viewer::Service => Viewer::Service,
        Viewer::User(user) => {
            let permissions = READER.map(str::to_owned).to_vec();
            let reader = User::new(
                user.subject.clone(),
                permissions,
                user.claims.clone(),
                user.expires,
            );
            Viewer::User(Arc::new(reader))
        }
    }
}
