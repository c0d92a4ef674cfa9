//! PostgreSQL: whether it can be used, has the tables, and lets us work.

mod load;
mod permissions;
mod schema;
mod server;

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::report::{Report, Subject};
use super::{Patient, push};
use crate::place::Place;
use gom_server::settings::Settings;

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    let settings = &patient.settings;
    if settings.database.url.is_none() && !settings.embedded.data_dir.join("cluster").is_dir() {
        let why = "the private database has not been made yet: `gom serve` makes it";
        return report.of("postgres").skipped("reachable", why);
    }
    match Place::open(patient.application, settings, Duration::ZERO).await {
        Ok(place) => {
            of_place(patient, &place, report).await;
            place.close().await;
        }
        Err(failure) => unreachable(&mut report.of("postgres"), failure.text()),
    }
}

async fn of_place(patient: &Patient, place: &Place, report: &mut Report) {
    let begun = Instant::now();
    let client = match place.database.lend().await {
        Ok(client) => client,
        Err(error) => return unreachable(&mut report.of("postgres"), error.to_string()),
    };
    let milliseconds = begun.elapsed().as_millis();
    let mut found = report.of("postgres");
    found.ok("reachable", format!("connected within {milliseconds} ms"));
    let parts = async {
        server::examine(&client, &mut found).await?;
        schema::examine(&client, patient, &mut found).await?;
        permissions::examine(&client, &patient.settings, &mut found).await?;
        load::examine(&client, patient, &mut found).await
    };
    if let Err(error) = parts.await {
        found.problem(
            "reachable",
            format!("a question was not answered: {}", words(&error)),
            "see PostgreSQL's log",
        );
    }
    let settings = &patient.settings;
    push::examine(&client, &settings.database.schema, sends(settings), report).await;
}

fn sends(settings: &Settings) -> bool {
    settings.database.url.is_none() || settings.push.vapid.private_key.is_some()
}

fn unreachable(found: &mut Subject<'_>, reason: String) {
    found.problem(
        "reachable",
        reason,
        "see that PostgreSQL runs and lets this user in, and correct DATABASE_URL (database.url)",
    );
}

fn words(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// The connecting user, for statements that are to be copied.
async fn user(client: &Client) -> Result<String, tokio_postgres::Error> {
    Ok(client
        .query_one("select quote_ident(current_user)", &[])
        .await?
        .get(0))
}
