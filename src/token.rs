//! `gom token`: signs a service token.

use std::time::{Duration, SystemTime};

use clap::Args;

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::identity::{ServiceTokens, obtain_service_secret};
use gom_server::settings::Purpose;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// How long the token is valid: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = lifetime)]
    expires_in: Duration,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let loaded = arguments.settings.load(application, Purpose::Tool, [])?;
    let kept = loaded.settings.embedded.data_dir.join("service.secret");
    let is_made = loaded.settings.service.secret.is_none() && !kept.exists();
    let secret =
        obtain_service_secret(&loaded.settings).map_err(|error| Failure::because("", &error))?;
    let token = ServiceTokens::new(&secret)
        .sign(SystemTime::now(), arguments.expires_in)
        .map_err(|error| Failure::because("the token cannot be signed", &error))?;
    if is_made {
        eprintln!(
            "gom: there was no secret, so that one was made: {}. The token is good at a server that uses this folder, and at no \
             other; for another, give its PRISMA_SECRET.",
            kept.display()
        );
    }
    println!("{token}");
    Ok(())
}

/// `90s`, `15m`, `12h`, `7d`.
fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number and a unit, such as 90s, 15m, 12h or 7d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match count.checked_mul(seconds) {
        // A century is no useful bound on a token, but keeps the arithmetic on times safe.
        Some(seconds @ 1..=3_153_600_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("give a time of at least one second and at most 36500d".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_units_and_bounds() {
        assert_eq!(lifetime("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(lifetime("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in [
            "",
            "7",
            "d",
            "-1d",
            "0s",
            "7y",
            "1é",
            "36501d",
            "99999999999999999999d",
        ] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
