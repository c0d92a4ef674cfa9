//! Settings as people read them: what `gom config` prints, the page of all keys, and the files of secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::kind::Kind;
use super::masked::masked;
use super::table::{Key, KeyTable};

/// A key's value in use, with secrets masked, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key's path.
    pub key: &'static str,
    /// `None`: unset.
    pub value: Option<String>,
    /// For people: a file with its line, a variable, a flag, `default`, or `unset`.
    pub source: String,
}

pub(super) fn effective(table: &KeyTable, merged: &config::Config) -> Vec<Effective> {
    table
        .keys()
        .map(|key| {
            let found = value_of(merged, key.path);
            Effective {
                key: key.path,
                value: found.map(|value| masked(key.kind, &value.kind)),
                source: found
                    .and_then(config::Value::origin)
                    .unwrap_or("unset")
                    .to_owned(),
            }
        })
        .collect()
}

pub(super) fn value_of<'a>(merged: &'a config::Config, path: &str) -> Option<&'a config::Value> {
    path.split('.')
        .try_fold(&merged.cache, |value, part| match &value.kind {
            config::ValueKind::Table(table) => table.get(part),
            _ => None,
        })
}

/// The files that variables name for secrets, with the keys that they are for. `keys`: those that the application declares.
pub fn secret_files(
    keys: &'static [Key],
    variables: &BTreeMap<OsString, OsString>,
) -> Vec<(String, PathBuf)> {
    let table = KeyTable::with(keys);
    let secret = table
        .keys()
        .filter(|key| matches!(key.kind, Kind::Secret | Kind::DatabaseUrl));
    let named = secret.flat_map(|key| {
        let former = key.former_variables().map(|(_, name)| name);
        key.all_variables()
            .chain(former)
            .map(move |name| (key.path, format!("{name}_FILE")))
    });
    let found = |(key, name): (&str, String)| {
        variables
            .get(&OsString::from(name))
            .map(|path| (key.to_owned(), PathBuf::from(path)))
    };
    named.filter_map(found).collect()
}

/// `docs/CONFIGURATION.md`, from the table of keys, with those of an application.
pub fn documentation(application: &'static [Key]) -> String {
    let mut page = String::from(INTRODUCTION);
    let mut section = "";
    for key in KeyTable::with(application).keys() {
        let first = key.section();
        if first != section {
            section = first;
            let _ = write!(
                page,
                "\n### {section}\n\n| key | value | default | variables and flags |\n|---|---|---|---|\n"
            );
        }
        let default = key
            .default
            .map_or("unset".into(), |text| format!("`{text}`"));
        let places: Vec<String> = key
            .all_variables()
            .chain(key.flag.map(str::to_owned))
            .map(|name| format!("`{name}`"))
            .collect();
        let alias = key
            .alias
            .map_or(String::new(), |path| format!(" In files also `{path}`."));
        let former: String = key
            .former
            .iter()
            .map(|path| format!(" Formerly `{path}`."))
            .chain(
                key.former_words
                    .iter()
                    .map(|(former, present)| format!(" `{present}` was formerly `{former}`.")),
            )
            .collect();
        let _ = writeln!(
            page,
            "| `{}` | {} {}.{alias}{former} | {default} | {} |",
            key.path,
            key.description,
            capitalised(&key.kind.expectation()),
            places.join(", "),
        );
    }
    page
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

const INTRODUCTION: &str = r#"# Configuration

Settings are read once, at start. Later places win over earlier ones:

1. the defaults in the tables below;
2. `default.toml` and then `<GOM_ENV>.toml` in the folder that `--config` names, else in `./config`.
   `GOM_ENV` is `development` (the default), `staging` or `production`; without `--config`, a copy of the
   environment's file that is built into the program is used where `./config` has none;
3. environment variables `GOM__SECTION__KEY`;
4. the other variables named below (`DATABASE_URL`, …);
5. flags of the command line (`--database-url`, `--port`, …).

Every variable may also be given with `_FILE` added: the value is then the content of the file that it
names, without one trailing newline. Both forms at once are an error. An empty variable counts as unset.

Keys are snake_case; files may also use camelCase and kebab-case (`statementTimeout`, `statement-timeout`).
Durations are in milliseconds unless they say seconds. Lists are written as lists in files, and with commas in
variables. Unknown keys, values that a key does not take and missing secrets stop the start, with one message
that lists everything that is wrong, where it stands, and what to do about it.

A key that was renamed is accepted under its former name, in files, variables and flags, with a warning at start that names
the new one. Both names at once are an error.

What stores sessions, login attempts and devices is chosen by `sessions.store`, `login_limiter.store` and
`push.devices_store`: `redis` or `postgres`. By default Redis stores them if `redis.host` is set, else PostgreSQL.

`gom config` prints the settings in use, secrets masked, and where each came from.

This page is made from the declarations in `server/src/settings/` and of the keys that the application declares;
a test keeps them equal (`UPDATE_EXPECT=1 cargo test --workspace --lib configuration_page` rewrites it).

## Keys
"#;
