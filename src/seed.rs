//! `gom seed`: rows to look at or to measure with.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_postgres::Client;

use super::Failure;
use super::place::{DatabaseArguments, Place, work_in};
use gom_server::application::Application;
use gom_server::deployment::{Deployed, Deployer};
use gom_server::logging;
use gom_server::seed::{SeedData, SeedError};
use gom_server::settings::Settings;
use gom_server::stop::Stop;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Write the benchmark's data set, which is large, instead of the demo
    #[arg(long)]
    scale: bool,
    /// Also accounts for the demo's users, where there are none. Everybody has their password
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
        .load(application, [("database.deploy", deploy)])?;
    logging::start(&settings.log);
    let Some(data) = application.seed_data(&settings) else {
        return Err(Failure::Other(
            "this server's application has no demo".into(),
        ));
    };
    work_in(application, &settings, patience, async |place| {
        write(
            place,
            &settings,
            &*data,
            arguments.scale,
            arguments.accounts,
        )
        .await
    })
}

async fn write(
    place: &Place,
    settings: &Settings,
    data: &dyn SeedData,
    scale: bool,
    accounts: bool,
) -> Result<(), Failure> {
    let failed = |error: SeedError| Failure::because("", &*error);
    if settings.database.deploy() {
        let datamodel = place
            .application
            .read_datamodel(settings)
            .map_err(|error| Failure::because("", &error))?;
        // A database that the rows do not fit stays as it is.
        data.check(&datamodel.model).map_err(failed)?;
        let deployer = Deployer {
            database: place.database.clone(),
            datamodel,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: true,
            physical: None,
            demo: None,
            stop: Stop::never(),
        };
        let undeployed =
            |error| Failure::because("the database cannot be brought to the datamodel", &error);
        if !deployer.try_now().await.map_err(undeployed)? {
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
        return write_scale(data, &mut client, schema).await;
    }
    let rows = data.write(&mut client, schema).await.map_err(failed)?;
    println!("The {} is there: {rows} rows.", data.name());
    if accounts {
        let added = data.add_accounts(&mut client, schema).await;
        if !added.map_err(failed)? {
            println!("There are accounts already: none was added.");
        }
        if let Some(line) = data.logins(&client).await.map_err(failed)? {
            println!("{line}");
        }
    }
    Ok(())
}

async fn write_scale(
    data: &dyn SeedData,
    client: &mut Client,
    schema: &str,
) -> Result<(), Failure> {
    let bar = ProgressBar::with_draw_target(Some(data.scale_rows()), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{msg:22} {wide_bar} {human_pos}/{human_len} rows, {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut progress = |part: &'static str, done: u64| {
        bar.set_message(part);
        bar.set_position(done);
    };
    let result = data.write_scale(client, schema, &mut progress).await;
    bar.finish_and_clear();
    result.map_err(|error| Failure::because("", &*error))?;
    println!(
        "The benchmark's data set is there: {} rows, in {:.0?}.",
        data.scale_rows(),
        bar.elapsed()
    );
    Ok(())
}
