//! `gom schema`: the API's schema as text.

use std::io::{ErrorKind, Write as _};

use clap::Args;
use gom_engine::schema::{SchemaOptions, generate, sdl};

use super::{Failure, SettingsArguments};
use crate::datamodel;
use crate::settings::Purpose;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load(Purpose::Tool, [])?.settings;
    let datamodel = datamodel::read(&settings).map_err(|error| Failure::because("", &error))?;
    let options = SchemaOptions { execute_raw: settings.graphql.execute_raw };
    match std::io::stdout().write_all(sdl(&generate(&datamodel.model, options)).as_bytes()) {
        // Whoever reads has seen enough (`gom schema | head`).
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::because("the schema cannot be written", &error))
        }
        _ => Ok(()),
    }
}
