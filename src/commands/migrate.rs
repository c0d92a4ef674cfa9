//! `gom migrate`: what lies between a database and its datamodel, and the way from one to the other.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gom_actors::migrations::{self, Deployment, Status};
use gom_engine::migrate::{MigrationStep, Rename, sql_text};
use tokio_postgres::Client;

use super::place::Place;
use super::{Failure, SettingsArguments};
use crate::datamodel::{self, ReadDatamodel};
use crate::settings::{Purpose, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the steps that lead from the database to the datamodel; changes nothing
    Plan(Planned),
    /// Do these steps, all or none
    Apply(Applied),
    /// Show what was applied, and whether the database still agrees with the datamodel
    Status(SettingsArguments),
    /// List every difference between database and datamodel; exit status 1 if there is any
    Verify(SettingsArguments),
    /// Write the steps as SQL, for review
    Diff(Planned),
}

#[derive(Debug, Args)]
struct Planned {
    #[command(flatten)]
    settings: SettingsArguments,
    /// A table or column that has got another name: Table=NewTable or Table.column=newColumn; repeatable
    #[arg(long = "rename", value_name = "OLD=NEW")]
    renames: Vec<Rename>,
}

#[derive(Debug, Args)]
struct Applied {
    #[command(flatten)]
    planned: Planned,
    /// Also do steps that lose data
    #[arg(long)]
    allow_data_loss: bool,
    /// How long to wait for PostgreSQL, if it is not there yet [default: not at all]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let patience = match &arguments.task {
        Task::Apply(applied) => applied.wait.map(Duration::from_secs),
        _ => None,
    };
    let (settings, renames, task) = match arguments.task {
        Task::Plan(planned) => (planned.settings, planned.renames, Work::Plan),
        Task::Apply(Applied { planned, allow_data_loss, .. }) => {
            (planned.settings, planned.renames, Work::Apply { allow_data_loss })
        }
        Task::Status(settings) => (settings, Vec::new(), Work::Status),
        Task::Verify(settings) => (settings, Vec::new(), Work::Verify),
        Task::Diff(planned) => (planned.settings, planned.renames, Work::Diff),
    };
    let settings = settings.load(Purpose::Tool, [])?.settings;
    let datamodel = datamodel::read(&settings).map_err(|error| Failure::because("", &error))?;
    actix_web::rt::System::new().block_on(async {
        let place = Place::open(&settings).await?;
        let result = match place.lend_within(patience.unwrap_or_default()).await {
            Ok(mut client) => work(&mut client, &settings, &datamodel, &renames, task).await,
            Err(failure) => Err(failure),
        };
        place.close().await;
        result
    })
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Plan,
    Apply { allow_data_loss: bool },
    Status,
    Verify,
    Diff,
}

async fn work(
    client: &mut Client,
    settings: &Settings,
    datamodel: &ReadDatamodel,
    renames: &[Rename],
    task: Work,
) -> Result<(), Failure> {
    let schema = settings.database.schema.as_str();
    let failed = |error| Failure::because("", &error);
    let deployment = Deployment {
        model: &datamodel.model,
        text: &datamodel.text,
        schema,
        renames,
        allow_data_loss: matches!(task, Work::Apply { allow_data_loss: true }),
    };
    match task {
        Work::Plan => {
            let steps = migrations::plan(client, &deployment).await.map_err(failed)?;
            print!("{}", describe_plan(&steps, &datamodel.name));
        }
        Work::Diff => {
            if !migrations::has_change_log(client).await.map_err(failed)? {
                println!("-- This needs Gom's own tables, which `gom migrate apply` makes.");
            }
            print!("{}", sql_text(&migrations::plan(client, &deployment).await.map_err(failed)?));
        }
        Work::Apply { .. } => {
            let begin = |step: &MigrationStep| println!("{}", step.description);
            let steps = migrations::apply(client, &deployment, &begin).await.map_err(failed)?;
            match steps.len() {
                0 => println!("{}", nothing_to_do(&datamodel.name)),
                count => println!("{count} {} done.", plural(count, "step")),
            }
        }
        Work::Status => {
            let status = migrations::status(client, &datamodel.model, schema).await.map_err(failed)?;
            print!("{}", describe_status(&status, datamodel, schema));
        }
        Work::Verify => {
            let differences = migrations::verify(client, &datamodel.model, schema).await.map_err(failed)?;
            differences.iter().for_each(|difference| println!("{difference}"));
            match differences.len() {
                0 => println!("{}", nothing_to_do(&datamodel.name)),
                count => {
                    let (found, name) = (plural(count, "difference"), &datamodel.name);
                    return Err(Failure::Other(format!("{count} {found} between the database and {name}")));
                }
            }
        }
    }
    Ok(())
}

fn describe_plan(steps: &[MigrationStep], datamodel: &str) -> String {
    if steps.is_empty() {
        return format!("{}\n", nothing_to_do(datamodel));
    }
    let count = steps.len();
    let mut text = format!("{count} {} from the database to {datamodel}:\n", plural(count, "step"));
    for (index, step) in steps.iter().enumerate() {
        text.push_str(&format!("{:4}. {}\n", index + 1, step.description));
        if let Some(reason) = &step.data_loss {
            text.push_str(&format!("      LOSES DATA: {reason}\n"));
        }
    }
    let flag = if steps.iter().any(MigrationStep::loses_data) { " --allow-data-loss" } else { "" };
    text.push_str(&format!("`gom migrate apply{flag}` does them, `gom migrate diff` shows the SQL.\n"));
    text
}

fn describe_status(status: &Status, datamodel: &ReadDatamodel, schema: &str) -> String {
    let system = match status.system_version {
        Some(version) if version == status.known_system_version => format!("version {version}, up to date"),
        Some(version) => format!("version {version}; this program brings {}", status.known_system_version),
        None => format!("none yet; this program brings version {}", status.known_system_version),
    };
    let last = match &status.last {
        None => "never".to_string(),
        Some(last) => {
            let same = if last.datamodel == datamodel.text { "this datamodel" } else { "another datamodel" };
            let at = DateTime::<Utc>::from(last.at).format("%Y-%m-%d %H:%M:%S UTC");
            format!("{at}, by gom {}: {same}", last.gom_version)
        }
    };
    let differences = match status.differences.len() {
        0 => "none".to_string(),
        count => format!("{count}; `gom migrate verify` lists them"),
    };
    format!(
        "Datamodel      {}\nSchema         {schema}\nSystem tables  {system}\nLast applied   {last}\n\
         Differences    {differences}\n",
        datamodel.name
    )
}

fn nothing_to_do(datamodel: &str) -> String {
    format!("The database is as {datamodel} wants it.")
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_string() } else { format!("{word}s") }
}
