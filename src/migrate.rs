//! `gom migrate`: what lies between a database and its datamodel, and the way from one to the other.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gom_actors::migrations::{self, Deployment, DeploymentPlan, Status};
use gom_engine::migrate::{LeftAlone, MigrationStep, Rename, in_comment, sql_text};
use tokio_postgres::Client;

use super::Failure;
use super::place::{DatabaseArguments, work_in};
use gom_server::application::Application;
use gom_server::datamodel::LoadedDatamodel;
use gom_server::settings::Settings;

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
    Status(DatabaseArguments),
    /// List every difference between database and datamodel; exit status 1 if there is any
    Verify(DatabaseArguments),
    /// Write the steps as SQL, for review
    Diff(Planned),
}

#[derive(Debug, Args)]
struct Planned {
    #[command(flatten)]
    database: DatabaseArguments,
    /// A table or column that has got another name: Table=NewTable or Table.column=newColumn; repeatable
    #[arg(long = "rename", value_name = "OLD=NEW")]
    renames: Vec<Rename>,
    /// Also drop tables and columns in the schema that are not in the datamodel and that Gom has not made
    #[arg(long)]
    drop_unknown: bool,
}

#[derive(Debug, Args)]
struct Applied {
    #[command(flatten)]
    planned: Planned,
    /// Also do steps that lose data
    #[arg(long)]
    allow_data_loss: bool,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let unplanned = |database| Planned {
        database,
        renames: Vec::new(),
        drop_unknown: false,
    };
    let (planned, task) = match arguments.task {
        Task::Plan(planned) => (planned, Work::Plan),
        Task::Apply(Applied {
            planned,
            allow_data_loss,
        }) => (planned, Work::Apply { allow_data_loss }),
        Task::Status(database) => (unplanned(database), Work::Status),
        Task::Verify(database) => (unplanned(database), Work::Verify),
        Task::Diff(planned) => (planned, Work::Diff),
    };
    let Planned {
        database,
        renames,
        drop_unknown,
    } = planned;
    let (settings, patience) = database.load(application, [])?;
    let datamodel = application
        .read_datamodel(&settings)
        .map_err(|error| Failure::because("", &error))?;
    datamodel.say_warnings();
    let renames: Vec<Rename> = datamodel.renames.iter().cloned().chain(renames).collect();
    work_in(application, &settings, patience, async |place| {
        let mut client = place
            .database
            .lend()
            .await
            .map_err(|error| Failure::because("", &error))?;
        work(
            &mut client,
            &settings,
            &datamodel,
            (&renames, drop_unknown),
            task,
        )
        .await
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
    datamodel: &LoadedDatamodel,
    (renames, drop_unknown): (&[Rename], bool),
    task: Work,
) -> Result<(), Failure> {
    let schema = settings.database.schema.as_str();
    let failed = |error| Failure::because("", &error);
    let deployment = Deployment {
        model: &datamodel.model,
        text: &datamodel.text,
        schema,
        renames,
        allow_data_loss: matches!(
            task,
            Work::Apply {
                allow_data_loss: true
            }
        ),
        drop_unknown,
        keep_empty: false,
    };
    match task {
        Work::Plan => {
            let plan = migrations::plan(client, &deployment)
                .await
                .map_err(failed)?;
            print!("{}", describe_plan(&plan, &datamodel.name, drop_unknown));
            if plan.is_refused() {
                let problem = "`gom migrate apply` will refuse: there are rows that the datamodel does not allow";
                return Err(Failure::Other(problem.to_owned()));
            }
        }
        Work::Diff => {
            if !migrations::has_change_log(client).await.map_err(failed)? {
                println!("-- This needs Gom's own tables, which `gom migrate apply` makes.");
            }
            let plan = migrations::plan(client, &deployment)
                .await
                .map_err(failed)?;
            if !plan.swapped.is_empty() {
                let tables = plan.swapped.join("`, `");
                return Err(Failure::Other(format!(
                    "the columns of `{tables}` change places, and only the record of deployments says that this is done: use \
                     `gom migrate apply`"
                )));
            }
            plan.misfits.iter().for_each(|misfit| {
                println!("-- DOES NOT FIT: {}", in_comment(&misfit.to_string()))
            });
            print!("{}", sql_text(&plan.steps));
        }
        Work::Apply { .. } => {
            let plan = migrations::apply(client, &deployment, &|_| ())
                .await
                .map_err(failed)?;
            plan.steps
                .iter()
                .for_each(|step| println!("{}", step.description));
            match plan.steps.len() {
                0 => println!("{}", nothing_to_do(&datamodel.name)),
                count => println!("{count} {} done.", plural(count, "step")),
            }
            print!("{}", describe_left_alone(&plan.left_alone));
            match migrations::misfits(client, &deployment_done(&deployment)).await {
                Ok(misfits) => misfits
                    .iter()
                    .for_each(|misfit| eprintln!("gom: rows do not fit the datamodel: {misfit}")),
                // All is done by now, and a script must not take it for a failure.
                Err(error) => eprintln!(
                    "gom: the rows were not compared with the datamodel, `gom migrate verify` does it: {error}"
                ),
            }
        }
        Work::Status => {
            let status = migrations::status(client, &datamodel.model, schema)
                .await
                .map_err(failed)?;
            print!("{}", describe_status(&status, datamodel, schema));
        }
        Work::Verify => {
            let differences = migrations::verify(client, &datamodel.model, schema)
                .await
                .map_err(failed)?;
            differences
                .iter()
                .for_each(|difference| println!("{difference}"));
            match differences.len() {
                0 => println!("{}", nothing_to_do(&datamodel.name)),
                count => {
                    let (found, name) = (plural(count, "difference"), &datamodel.name);
                    return Err(Failure::Other(format!(
                        "{count} {found} between the database and {name}"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The same without renames: they are done.
fn deployment_done<'a>(deployment: &Deployment<'a>) -> Deployment<'a> {
    Deployment {
        renames: &[],
        ..*deployment
    }
}

fn describe_plan(plan: &DeploymentPlan, datamodel: &str, drops_unknown: bool) -> String {
    let steps = &plan.steps;
    let mut text = String::new();
    if steps.is_empty() && plan.misfits.is_empty() {
        text.push_str(&format!("{}\n", nothing_to_do(datamodel)));
    }
    let count = steps.len();
    if count > 0 {
        text.push_str(&format!(
            "{count} {} from the database to {datamodel}:\n",
            plural(count, "step")
        ));
    }
    for (index, step) in steps.iter().enumerate() {
        text.push_str(&format!("{:4}. {}\n", index + 1, step.description));
        if let Some(loss) = &step.data_loss {
            text.push_str(&format!("      LOSES DATA: {loss}\n"));
        }
    }
    if !plan.misfits.is_empty() {
        text.push_str("Rows that the datamodel does not allow:\n");
        plan.misfits
            .iter()
            .for_each(|misfit| text.push_str(&format!("   -  {misfit}\n")));
    }
    if count > 0 && !plan.is_refused() {
        let mut flags = String::new();
        if steps.iter().any(MigrationStep::loses_data) {
            flags.push_str(" --allow-data-loss");
        }
        if drops_unknown {
            flags.push_str(" --drop-unknown");
        }
        text.push_str(&format!(
            "`gom migrate apply{flags}` does them, `gom migrate diff` shows the SQL.\n"
        ));
    }
    text.push_str(&describe_left_alone(&plan.left_alone));
    text
}

fn describe_left_alone(left_alone: &[LeftAlone]) -> String {
    if left_alone.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "Not in the datamodel and not made by Gom, left alone (`--drop-unknown` drops):\n",
    );
    left_alone
        .iter()
        .for_each(|one| text.push_str(&format!("   -  {one}\n")));
    text
}

fn describe_status(status: &Status, datamodel: &LoadedDatamodel, schema: &str) -> String {
    let system = match status.system_version {
        Some(version) if version == status.known_system_version => {
            format!("version {version}, up to date")
        }
        Some(version) => format!(
            "version {version}; this program brings {}",
            status.known_system_version
        ),
        None => format!(
            "none yet; this program brings version {}",
            status.known_system_version
        ),
    };
    let last = match &status.last {
        None => "never".to_string(),
        Some(last) => {
            let same = if last.datamodel == datamodel.text {
                "this datamodel"
            } else {
                "another datamodel"
            };
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
    if count == 1 {
        word.to_string()
    } else {
        format!("{word}s")
    }
}
