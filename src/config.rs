//! `gom config`: the settings in use.

use clap::Args;

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::settings::Purpose;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let loaded = arguments.settings.load(application, Purpose::Tool, [])?;
    let width = |of: fn(&gom_server::settings::Effective) -> usize| {
        loaded.effective.iter().map(of).max().unwrap_or(0)
    };
    let keys = width(|effective| effective.key.len());
    let values = width(|effective| effective.value.as_ref().map_or(1, String::len)).min(48);
    println!("# GOM_ENV = {}", loaded.environment);
    for effective in &loaded.effective {
        let value = effective.value.as_deref().unwrap_or("-");
        println!(
            "{:keys$}  {value:values$}  {}",
            effective.key, effective.source
        );
    }
    Ok(())
}
