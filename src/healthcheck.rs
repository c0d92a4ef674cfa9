//! `gom healthcheck`: for containers and scripts that have no `curl`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use clap::builder::OsStringValueParser;

use super::Failure;
use gom_server::application::Application;
use gom_server::settings::{self, Inputs, Purpose};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to ask, such as http://127.0.0.1:3000/readyz; without a path, /healthz is asked
    /// [default: the server that the settings of this machine name]
    #[arg(value_name = "URL", conflicts_with_all = ["ready", "started"])]
    url: Option<reqwest::Url>,
    /// Ask /readyz: whether the server can do its work, not only whether it lives
    #[arg(long)]
    ready: bool,
    /// Ask whether the server has been able to serve since it was started; what goes away later does not count
    #[arg(long, conflicts_with = "ready")]
    started: bool,
    /// Folder with the settings files, which a URL does without [default: ./config]
    #[arg(long, value_name = "DIR", env = "GOM_CONFIG", value_parser = OsStringValueParser::new())]
    config: Option<OsString>,
    /// How long the answer may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    timeout: u64,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let url = match arguments.url {
        Some(mut url) => {
            if url.path() == "/" {
                url.set_path("/healthz");
            }
            url
        }
        None => {
            // Secrets may be for the server only to read.
            let server = settings::server(&Inputs {
                keys: application.settings(),
                purpose: Purpose::Tool,
                variables: std::env::vars_os().collect(),
                directory: arguments.config.and_then(super::folder),
                arguments: Vec::new(),
            })?;
            let path = match (arguments.ready, arguments.started) {
                (true, _) => "/readyz",
                (false, true) => "/healthz?started",
                (false, false) => "/healthz",
            };
            own(&server, path)?
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the runtime cannot start", &error))?;
    runtime.block_on(ask(url, Duration::from_millis(arguments.timeout)))
}

/// Where the server of these settings is asked on its own machine.
pub(super) fn own(server: &settings::Server, path: &str) -> Result<reqwest::Url, Failure> {
    if server.port == 0 {
        let text =
            "server.port is 0, so the server has taken any port: give the URL that it has printed";
        return Err(Failure::Other(text.to_owned()));
    }
    let host = match server.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => server.host.clone(),
    };
    format!("http://{host}:{}{path}", server.port)
        .parse()
        .map_err(|error| Failure::because("server.host makes no address", &error))
}

async fn ask(url: reqwest::Url, timeout: Duration) -> Result<(), Failure> {
    let client = reqwest::Client::builder()
        .timeout(timeout)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Failure::because("the client cannot be set up", &error))?;
    let answer = client
        .get(url.clone())
        .send()
        .await
        .map_err(|error| Failure::because("no answer", &error))?;
    let status = answer.status();
    let text = answer
        .text()
        .await
        .map_err(|error| Failure::because("half an answer", &error))?;
    println!("{text}");
    if status.is_success() {
        Ok(())
    } else {
        Err(Failure::Other(format!("{url} answered {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        let mut server = settings::load(&Inputs {
            keys: &[],
            purpose: Purpose::Tool,
            variables: std::collections::BTreeMap::new(),
            directory: None,
            arguments: Vec::new(),
        })
        .unwrap()
        .settings
        .server;
        let mut asked = |host: &str| {
            server.host = host.to_owned();
            own(&server, "/healthz").unwrap().to_string()
        };
        assert_eq!(asked("0.0.0.0"), "http://127.0.0.1:3000/healthz");
        assert_eq!(asked("::"), "http://[::1]:3000/healthz");
        assert_eq!(asked("fd00::7"), "http://[fd00::7]:3000/healthz");
        assert_eq!(asked("gom.example"), "http://gom.example:3000/healthz");
        server.port = 0;
        assert!(own(&server, "/healthz").is_err());
    }
}
