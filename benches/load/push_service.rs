//! The tests' push service as a program, for benchmarks and for browsers: prints its base URL and its CA file, and runs until
//! its input ends. `GET /received` lists the messages, `GET /count` their number.
//!
//!   push_service [--port N] [--http1] [--count-only]

use std::io::Read;
use std::process::ExitCode;

use gom_test_support::{PushService, PushServiceOptions};

fn main() -> ExitCode {
    let mut options = PushServiceOptions::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(port) => options.port = port,
                None => return usage(),
            },
            "--http1" => options.http2 = false,
            "--count-only" => options.keep = false,
            _ => return usage(),
        }
    }
    let service = PushService::start_with(options);
    println!("{}", service.base_url());
    println!("{}", service.ca_file().display());
    let mut input = [0; 256];
    while std::io::stdin().read(&mut input).is_ok_and(|read| read > 0) {}
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: push_service [--port N] [--http1] [--count-only]");
    ExitCode::from(2)
}
