//! The settings of push.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Secret, milliseconds, networks};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    #[serde(deserialize_with = "milliseconds")]
    pub lease: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub poll_interval: Duration,
    pub concurrency: usize,
    pub per_origin: usize,
    #[serde(deserialize_with = "milliseconds")]
    pub retry: Duration,
    pub attempts: u32,
    #[serde(deserialize_with = "milliseconds")]
    pub keep_for: Duration,
    pub devices_per_user: usize,
    pub renewals_per_minute: u32,
    #[serde(default)]
    pub vapid: Vapid,
    #[serde(deserialize_with = "milliseconds")]
    pub timeout: Duration,
    pub ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "networks")]
    pub inside: Vec<IpNet>,
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    pub any_port: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vapid {
    pub public_key: Option<String>,
    pub private_key: Option<Secret>,
    pub subject: Option<String>,
}
