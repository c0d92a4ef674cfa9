//! `gom seed`: rows to look at or to measure with.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_postgres::Client;

use super::Failure;
use super::place::{DatabaseArguments, Place};
use gom_server::application::Application;
use gom_server::deployment::{Deployed, Deployment};
use gom_server::logging;
use gom_server::seed::{self, DemoShop};
use gom_server::settings::Settings;
use gom_server::stop::Stop;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Write the benchmark's data set (100 sellers, 20,000 customers, 200,000 orders) instead of the demo shop
    #[arg(long)]
    scale: bool,
    /// Also accounts for the demo shop's sellers, where nobody has one. Everybody knows their password
    #[arg(long, conflicts_with = "scale")]
    accounts: bool,
    /// Bring the database to the datamodel first [default: only the private database]
    #[arg(long)]
    deploy: bool,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let deploy = arguments.deploy.then(|| "true".to_owned());
    let (settings, patience) = arguments
        .database
        .load(application, [("database.deploy", "--deploy", deploy)])?;
    logging::start(&settings.log);
    actix::System::new().block_on(async {
        let place = Place::open(application, &settings, patience).await?;
        let result = write(
            &place,
            &settings,
            application,
            arguments.scale,
            arguments.accounts,
        )
        .await;
        place.close().await;
        result
    })
}

async fn write(
    place: &Place,
    settings: &Settings,
    application: &'static dyn Application,
    scale: bool,
    accounts: bool,
) -> Result<(), Failure> {
    if settings.database.deploy() {
        let deployment = Deployment {
            database: place.database.clone(),
            datamodel: application
                .read_datamodel(settings)
                .map_err(|error| Failure::because("", &error))?,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: true,
            physical: None,
            demo: None,
            stop: Stop::never(),
        };
        let failed =
            |error| Failure::because("the database cannot be brought to the datamodel", &error);
        if !deployment.try_now().await.map_err(failed)? {
            return Err(Failure::Other("the database does not answer".into()));
        }
    }
    let mut client = place
        .database
        .lend()
        .await
        .map_err(|error| Failure::because("", &error))?;
    let schema = settings.database.schema.as_str();
    if scale {
        return write_scale(&mut client, schema).await;
    }
    let failed = |error| Failure::because("", &error);
    let rows = seed::demo(&mut client, schema).await.map_err(failed)?;
    println!("The demo shop is there: {rows} rows.");
    if accounts {
        let added = DemoShop::new(settings)
            .add_accounts(&mut client, schema)
            .await
            .map_err(failed)?;
        let names = seed::demo_logins(&client).await.map_err(failed)?;
        if !added {
            println!("There are accounts already: none was added.");
        }
        if !names.is_empty() {
            println!(
                "Demo sellers: {}; password: {}",
                names.join(", "),
                seed::DEMO_PASSWORD
            );
        }
    }
    Ok(())
}

async fn write_scale(client: &mut Client, schema: &str) -> Result<(), Failure> {
    let bar = ProgressBar::with_draw_target(Some(seed::scale_rows()), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{msg:22} {wide_bar} {human_pos}/{human_len} rows, {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let result = seed::scale(client, schema, |part, done| {
        bar.set_message(part);
        bar.set_position(done);
    })
    .await;
    bar.finish_and_clear();
    result.map_err(|error| Failure::because("", &error))?;
    println!(
        "The benchmark's data set is there: {} rows, in {:.0?}.",
        seed::scale_rows(),
        bar.elapsed()
    );
    Ok(())
}
