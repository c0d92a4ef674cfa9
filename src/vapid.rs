//! `gom vapid generate`: makes the keys of Web Push.

use clap::{Args, Subcommand};
use gom_actors::push::VapidKeys;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a pair and print it; nothing is kept
    Generate,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Generate => {
            generate().map_err(|error| Failure::because("the keys cannot be made", &error))
        }
    }
}

fn generate() -> Result<(), gom_actors::push::VapidError> {
    let keys = VapidKeys::generate()?;
    println!("# For the server, and for the pages that subscribe:");
    println!("VAPID_PUBLIC_KEY={}", keys.public_base64url());
    println!("# For the server alone. Anyone who has it can send in its name:");
    println!("VAPID_PRIVATE_KEY={}", keys.private_base64url()?);
    println!("# The same private key as PEM, which is accepted as well:");
    print!("{}", keys.private_pem()?);
    Ok(())
}
