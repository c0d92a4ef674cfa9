//! `gom schema`: the API's schema as text.

use std::io::{ErrorKind, Write as _};

use clap::Args;
use gom_engine::schema::{EXTENSIONS, SchemaOptions, generate, sdl};

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::settings::Purpose;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Also declare what Prisma does not have: the directive @live
    #[arg(long)]
    with_extensions: bool,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let settings = arguments
        .settings
        .load(application, Purpose::Tool, [])?
        .settings;
    let datamodel = application
        .read_datamodel(&settings)
        .map_err(|error| Failure::because("", &error))?;
    datamodel.say_warnings();
    let options = SchemaOptions {
        execute_raw: settings.graphql.execute_raw,
    };
    let mut text = sdl(&generate(&datamodel.model, options));
    if arguments.with_extensions {
        text.push('\n');
        text.push_str(EXTENSIONS);
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough (`gom schema | head`).
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::because("the schema cannot be written", &error))
        }
        _ => Ok(()),
    }
}
