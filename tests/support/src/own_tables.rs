//! A database with Gom's own tables, as the first deployment makes them. Knows no datamodel.

use gom_actors::migrations::migrate_system;
use tokio_postgres::{Config, NoTls};

use crate::TestDatabase;

impl TestDatabase {
    /// A database with Gom's own tables, and nothing in them. They are made once for each run of the tests.
    pub async fn with_own_tables() -> TestDatabase {
        TestDatabase::create_from("own_tables", migrate).await
    }
}

async fn migrate(config: Config) {
    let (mut client, connection) = config
        .connect(NoTls)
        .await
        .expect("the tests' PostgreSQL answers");
    let driving = tokio::spawn(connection);
    migrate_system(&mut client)
        .await
        .expect("Gom's own tables can be made");
    drop(client);
    driving
        .await
        .expect("the connection's task ends with its client")
        .expect("the connection is closed cleanly");
}
