//! `gom healthcheck URL`: for containers and scripts that have no `curl`.

use std::time::Duration;

use clap::Args;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to ask, such as http://127.0.0.1:3000/readyz; without a path, /healthz is asked
    #[arg(value_name = "URL")]
    url: reqwest::Url,
    /// How long the answer may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    timeout: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut url = arguments.url.clone();
    if url.path() == "/" {
        url.set_path("/healthz");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the runtime cannot start", &error))?;
    runtime.block_on(ask(url, Duration::from_millis(arguments.timeout)))
}

async fn ask(url: reqwest::Url, timeout: Duration) -> Result<(), Failure> {
    let client = reqwest::Client::builder()
        .timeout(timeout)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Failure::because("the client cannot be set up", &error))?;
    let answer =
        client.get(url.clone()).send().await.map_err(|error| Failure::because("no answer", &error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| Failure::because("half an answer", &error))?;
    println!("{text}");
    if status.is_success() { Ok(()) } else { Err(Failure::Other(format!("{url} answered {status}"))) }
}
