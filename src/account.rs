//! `gom account`: who may log in with a password that the server itself checks.

use std::io::IsTerminal;

use clap::{Args, Subcommand};
use gom_actors::secret::SecretText;
use serde_json::{Map, Value};
use tokio_postgres::Client;

use super::Failure;
use super::password::{self, Asked};
use super::place::{DatabaseArguments, Place, work_in};
use gom_server::application::Application;
use gom_server::identity::{AccountTable, Hasher, ListedAccount, NewAccount, owner};
use gom_server::policy;
use gom_server::settings::{Provider, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Let somebody in; the password is asked for, or read from standard input
    Add(Added),
    /// Shut somebody out: sessions of the account's subject are closed, its devices forgotten
    Disable(Named),
    /// Let somebody in again who was shut out
    Enable(Named),
    /// Change a password, asked for or read from standard input; sessions of the account's subject are closed, its devices
    /// forgotten
    Passwd(Named),
    /// Show all accounts
    List(DatabaseArguments),
}

#[derive(Debug, Args)]
struct Named {
    #[command(flatten)]
    database: DatabaseArguments,
    /// The name to log in with; upper and lower case are the same
    #[arg(value_name = "USERNAME")]
    username: String,
}

#[derive(Debug, Args)]
struct Added {
    #[command(flatten)]
    named: Named,
    /// Whom the account acts for: the claim `sub` of its tokens, which the policy's rules compare [default: a new one, which is
    /// printed]
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// A role of the policy; `gom policy check` lists them
    #[arg(long)]
    role: String,
    /// What the client may show
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    nickname: Option<String>,
    #[arg(long)]
    email: Option<String>,
    /// The address of a picture
    #[arg(long, value_name = "URL")]
    picture: Option<String>,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let (database, work) = match arguments.task {
        Task::Add(added) => {
            let Added {
                named,
                subject,
                role,
                name,
                nickname,
                email,
                picture,
            } = added;
            let mut profile = Map::new();
            for (key, value) in [
                ("nickname", nickname),
                ("name", name),
                ("picture", picture),
                ("email", email),
            ] {
                if let Some(value) = value {
                    profile.insert(key.into(), Value::String(value));
                }
            }
            let subject =
                subject.unwrap_or_else(|| format!("account|{}", uuid::Uuid::new_v4().simple()));
            if let Some(holder) = owner(application.token_kinds(), &subject) {
                let problem = format!(
                    "the subject '{subject}' is {holder}; choose one that begins otherwise"
                );
                return Err(Failure::Other(problem));
            }
            let username = named.username;
            let account = NewAccount {
                username,
                subject,
                role,
                profile,
                password_hash: String::new(),
            };
            (named.database, Work::Add(account))
        }
        Task::Disable(named) => (named.database, Work::Disable(named.username)),
        Task::Enable(named) => (named.database, Work::Enable(named.username)),
        Task::Passwd(named) => (named.database, Work::Passwd(named.username)),
        Task::List(database) => (database, Work::List),
    };
    let (settings, patience) = database.load(application, [])?;
    if let Work::Add(account) = &work {
        policy::check_role(&settings, application.built_in().as_ref(), &account.role)
            .map_err(|error| Failure::because("", &error))?;
    }
    // Before anything is started: who mistypes it twice has waited for nothing.
    let password = match &work {
        Work::Add(_) | Work::Passwd(_) => Some(password::ask(Asked::Twice)?),
        _ => None,
    };
    work_in(application, &settings, patience, async |place| {
        carry_out(place, &settings, work, password).await
    })?;
    if settings.auth.provider() == Provider::OAuth2 && std::io::stdout().is_terminal() {
        println!("Accounts are not in use: auth.provider is oauth2.");
    }
    Ok(())
}

enum Work {
    Add(NewAccount),
    Disable(String),
    Enable(String),
    Passwd(String),
    List,
}

async fn carry_out(
    place: &Place,
    settings: &Settings,
    work: Work,
    password: Option<SecretText>,
) -> Result<(), Failure> {
    match work {
        Work::List => place.prepare_to_read(settings).await?,
        _ => place.prepare_system(settings).await?,
    }
    let client = place
        .database
        .lend()
        .await
        .map_err(|error| Failure::because("", &error))?;
    let hash = match password {
        Some(password) => {
            let hash = Hasher::new(&settings.auth.accounts).hash(&password).await;
            Some(hash.map_err(|error| Failure::because("", &error))?)
        }
        None => None,
    };
    change(place, settings, &client, work, hash.unwrap_or_default()).await
}

async fn change(
    place: &Place,
    settings: &Settings,
    client: &Client,
    work: Work,
    hash: String,
) -> Result<(), Failure> {
    let accounts = AccountTable::new(client);
    let failed = |error| Failure::because("", &error);
    match work {
        Work::Add(account) => {
            let account = NewAccount {
                password_hash: hash,
                ..account
            };
            accounts.add(&account).await.map_err(failed)?;
            println!(
                "{} may log in, for the subject {}.",
                account.username, account.subject
            );
        }
        Work::Disable(username) => {
            let subject = accounts
                .set_disabled(&username, true)
                .await
                .map_err(failed)?;
            println!("{username} may not log in any more.");
            close_sessions(place, settings, &subject).await?;
        }
        Work::Enable(username) => {
            accounts
                .set_disabled(&username, false)
                .await
                .map_err(failed)?;
            println!("{username} may log in.");
        }
        Work::Passwd(username) => {
            let subject = accounts
                .set_password_hash(&username, &hash)
                .await
                .map_err(failed)?;
            println!("{username} has a new password.");
            close_sessions(place, settings, &subject).await?;
        }
        Work::List => print!("{}", table(&accounts.list().await.map_err(failed)?)),
    }
    Ok(())
}

/// Without it they would live until their access token ends.
async fn close_sessions(place: &Place, settings: &Settings, subject: &str) -> Result<(), Failure> {
    let closed = super::session::close_all(place, settings, subject).await.map_err(|failure| match failure {
        Failure::Other(text) => Failure::Other(format!(
            "the account is changed, but not all that was open could be closed ({text}); sessions end when their access \
             tokens do, within {} s; `gom session close` tries again",
            settings.auth.accounts.expiration.as_secs()
        )),
        failure => failure,
    })?;
    println!(
        "{} open sessions of {subject} were closed. Devices forgotten: {}.",
        closed.sessions, closed.devices
    );
    Ok(())
}

fn table(accounts: &[ListedAccount]) -> String {
    let head = ["USERNAME", "SUBJECT", "ROLE", "STATE", "SINCE (UTC)"].map(str::to_owned);
    let rows = accounts.iter().map(|account| {
        let state = if account.disabled {
            "disabled"
        } else {
            "enabled"
        };
        let account = account.clone();
        [
            account.username,
            account.subject,
            account.role,
            state.to_owned(),
            account.created_at,
        ]
    });
    super::columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}
