//! The settings of push.

use std::path::PathBuf;
use std::time::Duration;

use gom_actors::push::Urgency;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::{Secret, milliseconds, networks, seconds};

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
    pub language: Language,
    pub orders: NoticeSettings,
    pub promotions: NoticeSettings,
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

/// A language that notices can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "es")]
    Spanish,
    #[serde(rename = "en")]
    English,
}

/// How notices of one kind travel.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeSettings {
    #[serde(deserialize_with = "urgency")]
    pub urgency: Urgency,
    /// How long push services keep them for a device that is away, and how long they are tried.
    #[serde(deserialize_with = "seconds")]
    pub time_to_live: Duration,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vapid {
    pub public_key: Option<String>,
    pub private_key: Option<Secret>,
    pub subject: Option<String>,
}

fn urgency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Urgency, D::Error> {
    let name = String::deserialize(deserializer)?;
    Urgency::of(&name).ok_or_else(|| serde::de::Error::custom("no such urgency"))
}
