//! The demo shop and the benchmark's rows, as the server's commands write them.

use futures::FutureExt;
use futures::future::BoxFuture;
use gom_engine::datamodel::DataModel;
use gom_server::seed::{SeedData, SeedError, SeedProgress};
use tokio_postgres::Client;

use super::{DEMO_PASSWORD, DemoShop, check_datamodel, demo, demo_logins, scale, scale_rows};

impl SeedData for DemoShop {
    fn name(&self) -> &'static str {
        "demo shop"
    }

    fn check(&self, model: &DataModel) -> Result<(), SeedError> {
        Ok(check_datamodel(model)?)
    }

    fn open<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
    ) -> BoxFuture<'a, Result<(), SeedError>> {
        async move { Ok(DemoShop::open(self, client, schema).await?) }.boxed()
    }

    fn write<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
    ) -> BoxFuture<'a, Result<i64, SeedError>> {
        async move { Ok(demo(client, schema).await?) }.boxed()
    }

    fn add_accounts<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
    ) -> BoxFuture<'a, Result<bool, SeedError>> {
        async move { Ok(DemoShop::add_accounts(self, client, schema).await?) }.boxed()
    }

    fn logins<'a>(
        &'a self,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<Option<String>, SeedError>> {
        async move {
            let names = demo_logins(client).await?;
            let line = || {
                format!(
                    "Demo sellers: {}; password: {DEMO_PASSWORD}",
                    names.join(", ")
                )
            };
            Ok((!names.is_empty()).then(line))
        }
        .boxed()
    }

    fn scale_rows(&self) -> u64 {
        scale_rows()
    }

    fn write_scale<'a>(
        &'a self,
        client: &'a mut Client,
        schema: &'a str,
        progress: SeedProgress<'a>,
    ) -> BoxFuture<'a, Result<(), SeedError>> {
        async move { Ok(scale(client, schema, progress).await?) }.boxed()
    }
}
