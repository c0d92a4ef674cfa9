//! The settings that an application declares, beside the server's own.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use super::table::{self, Key, snake_case};

/// For every problem with a declaration: no operator can mend it.
const REMEDY: &str = "the application declares this key: correct it there";

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

/// What is wrong with the keys that an application declares, beside their defaults, which are read like any value. The server's
/// own are held to the same by tests.
pub(super) fn problems(keys: &'static [Key]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut of_names: HashMap<String, &str> = table::own()
        .flat_map(|key| key.names().into_iter().map(|name| (name, key.path)))
        .collect();
    for key in keys {
        let mut wrong = |message: String| {
            problems.push(Problem {
                key: key.path.to_owned(),
                source: None,
                message,
                remedy: REMEDY.to_owned(),
            });
        };
        if !is_path(key.path) {
            wrong("a key's path is a section and a name in snake_case, joined by a dot".to_owned());
        }
        let clash = key.names().into_iter().find_map(|name| {
            let of = of_names.get(&name)?;
            Some(format!("`{name}` sets another key already: {of}"))
        });
        let nested = || {
            let mut paths = of_names.values().copied();
            let other =
                paths.find(|path| is_within(path, key.path) || is_within(key.path, path))?;
            Some(format!(
                "one of this key and {other} is a section and a value"
            ))
        };
        if let Some(message) = clash.or_else(nested) {
            wrong(message);
        }
        if key.default.is_some() && key.kind.is_secret() {
            wrong("a secret has no default".to_owned());
        }
        of_names.extend(key.names().into_iter().map(|name| (name, key.path)));
    }
    problems
}

fn is_path(path: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    path.contains('.') && path.split('.').all(is_part) && snake_case(path) == path
}

fn is_within(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|rest| rest.starts_with('.'))
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

    const fn text(path: &'static str) -> Key {
        Key::new(path, Kind::Text, None, "A key.")
    }

    #[test]
    fn a_declaration_that_clashes_is_an_error_that_names_the_key() {
        static DECLARED: &[(&[Key], &str)] = &[
            (
                &[text("server.port")],
                "sets another key already: server.port",
            ),
            (
                &[text("club.secret").variables(&["PRISMA_SECRET"])],
                "`PRISMA_SECRET_FILE` sets another key already: service.secret",
            ),
            (
                &[text("club.a"), text("club.a")],
                "sets another key already: club.a",
            ),
            (
                &[text("server.port.number")],
                "this key and server.port is a section",
            ),
            (&[text("database")], "a section and a name"),
            (&[text("club.maxSize")], "snake_case"),
            (
                &[Key::new("club.key", Kind::Secret, Some("x"), "A key.")],
                "a secret has no default",
            ),
        ];
        for (keys, expected) in DECLARED {
            let error = read(keys, &[]).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(error.contains(REMEDY), "{error}");
        }
    }
}
