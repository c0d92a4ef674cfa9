//! `gom policy`: is the policy right, and what does it make of an operation?

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use gom_engine::policy::{Policy, Role};
use gom_engine::request::RequestLimits;
use serde_json::{Map, Value};

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::graphql;
use gom_server::graphql::{Engine, EngineOptions};
use gom_server::policy::{self, Explained};
use gom_server::settings::{Provider, Purpose, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Hold the policy against the datamodel; exit status 1 if something in it is wrong
    Check(SettingsArguments),
    /// Show the rule that applies to each table of an operation, and the SQL
    Explain(Box<Explain>),
}

#[derive(Debug, Args)]
struct Explain {
    #[command(flatten)]
    settings: SettingsArguments,
    /// The role on whose behalf the operation is asked for
    #[arg(long)]
    role: String,
    /// File with the GraphQL document; `-` is standard input
    #[arg(long, value_name = "FILE")]
    query: PathBuf,
    /// Which operation of the document
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// The operation's variables, as a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    variables: Map<String, Value>,
    /// The token's claims, as a JSON object; what is missing stands as $name
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    claims: Map<String, Value>,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    match arguments.task {
        Task::Check(settings) => check(
            &settings.load(application, Purpose::Tool, [])?.settings,
            application,
        ),
        Task::Explain(task) => explain(*task, application),
    }
}

fn check(settings: &Settings, application: &'static dyn Application) -> Result<(), Failure> {
    let (engine, policy) = load(settings, application)?;
    print!("{}", report(&engine, &policy));
    let problems = policy::unreachable(&policy, settings, application.token_kinds());
    if settings.auth.provider() == Provider::Accounts && !problems.is_empty() {
        return Err(Failure::Other(problems.join("\n")));
    }
    for problem in problems {
        println!("note: {problem}");
    }
    Ok(())
}

/// For each role, what it may ask for and what it cannot see.
fn report(engine: &Engine, policy: &Policy) -> String {
    let model = &engine.planner.physical().model;
    let mut out = String::from("The policy fits the datamodel.\n");
    for Role { name, .. } in policy.roles() {
        let Some(role) = policy.role(name) else {
            continue;
        };
        let hidden: Vec<&str> = model
            .model_ids()
            .filter(|id| role.row_rule(*id).is_none())
            .map(|id| model.model(id).name.as_str())
            .collect();
        // Writing to a string cannot fail.
        _ = match hidden.as_slice() {
            [] => writeln!(out, "{name}: every type has a rule"),
            hidden => writeln!(
                out,
                "{name}: no rule, hence no row, for {}",
                hidden.join(", ")
            ),
        };
    }
    out
}

fn explain(task: Explain, application: &'static dyn Application) -> Result<(), Failure> {
    let settings = task.settings.load(application, Purpose::Tool, [])?.settings;
    let text = read(&task.query)?;
    let (engine, policy) = load(&settings, application)?;
    let role = policy.role(&task.role).ok_or_else(|| {
        let known: Vec<&str> = policy
            .roles()
            .iter()
            .map(|role| role.name.as_str())
            .collect();
        Failure::Other(format!(
            "the policy has no role '{}'; its roles are {}",
            task.role,
            known.join(", ")
        ))
    })?;
    let prepared = engine
        .requests
        .prepare(&text, task.operation.as_deref(), &RequestLimits::UNLIMITED)
        .map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::Other(format!("the document is not sound: {}", errors.join("; ")))
        })?;
    let failed = |error| Failure::because("", &error);
    let variables = engine
        .requests
        .coerce(&prepared.operation, &task.variables)
        .map_err(failed)?;
    let explained = Explained {
        planner: &engine.planner,
        policy: &policy,
        role,
        operation: &prepared.operation,
        variables: &variables,
        claims: &task.claims,
    };
    print!(
        "{}",
        policy::explain(explained).map_err(|error| Failure::because("", &error))?
    );
    Ok(())
}

fn load(
    settings: &Settings,
    application: &'static dyn Application,
) -> Result<(Engine, Arc<Policy>), Failure> {
    let read = application
        .read_datamodel(settings)
        .map_err(|error| Failure::because("", &error))?;
    read.say_warnings();
    let engine = graphql::Engine::new(read.model.clone(), &EngineOptions::of(settings))
        .map_err(|error| Failure::because("", &error))?;
    let policy = application.load_policy(settings, &read.model, &engine.schema);
    match policy.map_err(|error| Failure::because("", &error))? {
        Some(policy) => {
            policy::check_cost(&policy, &engine.planner, &settings.limits.everyone)
                .map_err(|error| Failure::because("", &error))?;
            Ok((engine, Arc::new(policy)))
        }
        None => Err(Failure::Other(
            "there is no policy for this datamodel, so only the service role has access; name one with --policy \
             (policy.file)"
                .into(),
        )),
    }
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| Failure::because(&format!("{} cannot be read", path.display()), &error))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("give a JSON object, such as '{\"uid\": \"x\"}'".into()),
        Err(error) => Err(format!("this is not JSON: {error}")),
    }
}
