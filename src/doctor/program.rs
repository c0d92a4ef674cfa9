//! What the server is put together from before it listens: each of these ends its start if it is wrong.

use gom_actors::push::{Sender, VapidKeys};

use super::Patient;
use super::report::Report;
use gom_server::datamodel::LoadedDatamodel;
use gom_server::graphql::{Engine, EngineOptions};
use gom_server::identity::sender_options;
use gom_server::policy::{self, PolicyError};
use gom_server::settings::Settings;
use gom_server::telemetry::Traces;

pub(super) fn examine(patient: &Patient, report: &mut Report) {
    let settings = &patient.settings;
    let mut found = report.of("program");
    match patient.application.read_datamodel(settings) {
        Err(error) => found.problem("datamodel", error.to_string(), "correct the datamodel"),
        Ok(read) => match Engine::new(read.model.clone(), &EngineOptions::of(settings)) {
            Err(error) => found.problem("datamodel", error.to_string(), "rename one of the two"),
            Ok(engine) => {
                found.ok("datamodel", read.name.clone());
                match of_policy(patient, &read, &engine) {
                    Ok(true) => found.ok("policy", "fits the datamodel"),
                    Ok(false) => found.ok("policy", "none: only the service role has access"),
                    Err(error) => found.problem(
                        "policy",
                        error.to_string(),
                        "`gom policy check` shows the same",
                    ),
                }
            }
        },
    }
    if let Some(path) = &settings.push.ca_file {
        match of_sender(settings) {
            Ok(()) => found.ok("push.ca_file", path.display().to_string()),
            Err(reason) => found.problem(
                "push.ca_file",
                reason,
                "name a file with certificates in PEM",
            ),
        }
    }
    match Traces::are_wanted(|name| std::env::var(name).ok()) {
        Ok(true) => found.ok("traces", "they are sent, as OTEL_* says"),
        Ok(false) => found.ok("traces", "none are sent"),
        Err(error) => found.problem("traces", error.to_string(), "correct the variables OTEL_*"),
    }
}

fn of_policy(
    patient: &Patient,
    read: &LoadedDatamodel,
    engine: &Engine,
) -> Result<bool, PolicyError> {
    let settings = &patient.settings;
    let loaded = patient
        .application
        .load_policy(settings, &read.model, &engine.schema)?;
    let Some(policy) = loaded else {
        return Ok(false);
    };
    policy::check_cost(&policy, &engine.planner, &settings.limits.everyone)?;
    Ok(true)
}

/// Keys have a check of their own: these are nobody's.
fn of_sender(settings: &Settings) -> Result<(), String> {
    let options = sender_options(settings).map_err(|error| error.to_string())?;
    let keys = VapidKeys::generate().map_err(|error| error.to_string())?;
    Sender::new(options, keys)
        .map(|_| ())
        .map_err(|error| error.to_string())
}
