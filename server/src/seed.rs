//! Rows that an application brings, to look at and to measure with. They belong to its own datamodel, and are written straight
//! into its tables.

use std::error::Error;

use futures::future::BoxFuture;
use gom_engine::datamodel::DataModel;
use tokio_postgres::Client;

/// Why rows were not written.
pub type SeedError = Box<dyn Error + Send + Sync>;

/// Called after each portion, with its name and the number of rows that are done.
pub type SeedProgress<'a> = &'a mut (dyn FnMut(&'static str, u64) + Send);

/// An application's rows.
pub trait SeedData: Send + Sync {
    /// What the demo is called in messages.
    fn name(&self) -> &'static str;

    /// Whether the rows belong to this datamodel. Called before a database is migrated for them.
    ///
    /// # Errors
    /// If they do not; what is missing.
    fn check(&self, model: &DataModel) -> Result<(), SeedError>;

    /// Writes the demo into tables without any row, and accounts for its users where there are none.
    fn open<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
    ) -> BoxFuture<'a, Result<(), SeedError>>;

    /// Writes the demo, all of it or nothing. Rows that exist stay as they are. Returns the number of the demo's rows.
    fn write<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
    ) -> BoxFuture<'a, Result<i64, SeedError>>;

    /// Writes accounts for the demo's users, all of them, where there are none; whether it did.
    fn add_accounts<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
    ) -> BoxFuture<'a, Result<bool, SeedError>>;

    /// The demo's users who can log in with the password that everybody has, as a line for people; nothing if there are none.
    fn logins<'a>(&'a self, client: &'a Client)
    -> BoxFuture<'a, Result<Option<String>, SeedError>>;

    /// Rows of the benchmark's data set.
    fn scale_rows(&self) -> u64;

    /// Writes the benchmark's data set. After a failure the same call goes on where it ended.
    fn write_scale<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
        progress: SeedProgress<'a>,
    ) -> BoxFuture<'a, Result<(), SeedError>>;
}
