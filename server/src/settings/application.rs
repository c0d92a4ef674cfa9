//! The settings that an application declares, beside the server's own.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::table::Key;

/// The values of an application's keys. Their types are the application's business.
#[derive(Clone, Default, PartialEq)]
pub struct ApplicationSettings(BTreeMap<&'static str, Value>);

impl fmt::Debug for ApplicationSettings {
    /// Keys only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ApplicationSettings {
    pub(super) fn read(keys: &'static [Key], merged: &config::Config) -> Self {
        let set = keys
            .iter()
            .filter_map(|key| Some((key.path, merged.get(key.path).ok()?)));
        ApplicationSettings(set.collect())
    }

    /// The value of a key, or its default. Durations are numbers, in the key's unit. Nothing, if the key is unset, or its kind
    /// has values of another type.
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let value = match self.0.get(key.path) {
            Some(value) => value.clone(),
            None => {
                let default = key.kind.read_text(key.default?).ok()?;
                let value = config::Value::new(None, default);
                value.try_deserialize().ok()?
            }
        };
        serde_json::from_value(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, Kind, Purpose, Settings, load};
    use super::*;

    const COLOUR: Key = Key::new(
        "server.colour",
        Kind::Choice(&["red", "blue"]),
        Some("red"),
        "A key in a section of the server's.",
    );
    const LIMIT: Key = Key::new(
        "club.limit",
        Kind::Integer { min: 1, max: 9 },
        None,
        "A key in a section of its own.",
    );
    static KEYS: &[Key] = &[COLOUR, LIMIT];

    fn read(keys: &'static [Key], variables: &[(&str, &str)]) -> Result<Settings, String> {
        let inputs = Inputs {
            purpose: Purpose::Tool,
            keys,
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: None,
            arguments: Vec::new(),
        };
        load(&inputs)
            .map(|loaded| loaded.settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_applications_keys_are_read_and_checked_like_the_servers() {
        let settings = read(KEYS, &[]).unwrap().application;
        assert_eq!(settings.get(&COLOUR), Some("red".to_owned()));
        assert_eq!(settings.get::<u32>(&LIMIT), None);
        let set = [("GOM__SERVER__COLOUR", "blue"), ("GOM__CLUB__LIMIT", "3")];
        let settings = read(KEYS, &set).unwrap().application;
        assert_eq!(settings.get(&COLOUR), Some("blue".to_owned()));
        assert_eq!(settings.get(&LIMIT), Some(3));
        let problems = read(KEYS, &[("GOM__CLUB__LIMIT", "10")]).unwrap_err();
        assert!(problems.contains("club.limit"), "{problems}");
    }

    #[test]
    fn without_the_application_its_keys_are_unknown() {
        let problems = read(&[], &[("GOM__CLUB__LIMIT", "3")]).unwrap_err();
        assert!(problems.contains("unknown key"), "{problems}");
        let settings = read(&[], &[]).unwrap().application;
        assert_eq!(settings.get(&COLOUR), Some("red".to_owned()));
    }
}
