//! The places that values come from: files, the environment, the command line. Each becomes a [`Layer`] of
//! checked values, and a list of what is wrong with the rest. Knows nothing of what the keys are for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::Source;
use super::table::{self, Key, KeyTable};

/// A value that a layer gives to a key.
#[derive(Clone)]
struct Entry {
    key: &'static Key,
    /// The key's path, or the former one that was written.
    written: &'static str,
    value: ValueKind,
    source: Source,
}

/// The checked values of one place.
#[derive(Clone, Default)]
pub struct Layer {
    entries: Vec<Entry>,
    pub problems: Vec<Problem>,
    /// Former names that were accepted, with their new ones.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Layer {
    /// Keys and sources only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.entries
                    .iter()
                    .map(|entry| (entry.key.path, &entry.source)),
            )
            .finish()
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self
            .entries
            .iter()
            .map(|entry| {
                let origin = entry.source.to_string();
                (
                    entry.key.path.to_owned(),
                    Value::new(Some(&origin), entry.value.clone()),
                )
            })
            .collect())
    }
}

impl Layer {
    /// What the table of keys says.
    pub fn defaults(keys: &KeyTable) -> Layer {
        let mut layer = Layer::default();
        for key in keys.keys() {
            if let Some(text) = key.default {
                layer.add_text(key, key.path, text, Source::Default);
            }
        }
        layer
    }

    /// A TOML file's text. `path` is for messages.
    pub fn toml(keys: &KeyTable, path: &Path, text: &str) -> Layer {
        let mut layer = Layer::default();
        let line = |offset: usize| Some(text[..offset].matches('\n').count() + 1);
        match DeTable::parse(text) {
            Ok(table) => layer.add_table(keys, path, "", table.get_ref(), &line),
            Err(error) => layer.problems.push(Problem {
                key: "(file)".into(),
                source: Some(Source::File {
                    path: path.into(),
                    line: error.span().and_then(|span| line(span.start)),
                }),
                message: format!("this is not TOML: {}", error.message()),
                remedy: "correct the line".into(),
            }),
        }
        layer
    }

    /// Variables: `GOM__SECTION__KEY`, the names in the table, and each of them with `_FILE`. An empty
    /// variable counts as unset.
    pub fn environment(keys: &KeyTable, variables: &BTreeMap<OsString, OsString>) -> Layer {
        let mut layer = Layer::default();
        let get = |name: &str| {
            variables
                .get(&OsString::from(name))
                .filter(|value| !value.is_empty())
        };
        let mut known = Vec::new();
        for key in keys.keys() {
            // The last wins.
            let names = key.all_variables().map(|name| (key.path, name));
            for (path, name) in key.former_variables().chain(names) {
                let file_name = format!("{name}_FILE");
                match (get(&name), get(&file_name)) {
                    (Some(_), Some(_)) => layer.problems.push(Problem {
                        key: key.path.into(),
                        source: Some(Source::Variable(name.clone())),
                        message: format!("both {name} and {file_name} are set"),
                        remedy: "unset one of them".into(),
                    }),
                    (Some(value), None) => {
                        let source = Source::Variable(name.clone());
                        match value.to_str() {
                            Some(text) => layer.add_text(key, path, text, source),
                            None => layer.refuse(key.path, source, "not UTF-8", "give UTF-8 text"),
                        }
                    }
                    (None, Some(file)) => {
                        layer.add_secret_file(key, path, &file_name, Path::new(file));
                    }
                    (None, None) => {}
                }
                known.extend([name, file_name]);
            }
        }
        for name in variables
            .keys()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with("GOM__"))
        {
            if !known.iter().any(|known| known == name) {
                let path = name["GOM__".len()..].replace("__", ".").to_lowercase();
                match keys.find(&path).filter(|key| key.alias == Some(&path)) {
                    Some(key) => {
                        let remedy = format!("use {}", key.variable());
                        layer.refuse(&path, Source::Variable(name.into()), "unknown key", &remedy);
                    }
                    None => layer.unknown(keys, &path, Source::Variable(name.into()), |near| {
                        keys.keys()
                            .find(|key| key.path == near)
                            .map(Key::variable)
                            .unwrap_or_default()
                    }),
                }
            }
        }
        layer
    }

    /// Flags of the command line: path of the key, name of the flag, text.
    pub fn arguments(keys: &KeyTable, arguments: &[(&'static str, &'static str, String)]) -> Layer {
        let mut layer = Layer::default();
        for (path, flag, text) in arguments {
            match keys.find(path) {
                Some(key) => layer.add_text(key, path, text, Source::Argument(flag)),
                None => layer.unknown(keys, path, Source::Argument(flag), String::from),
            }
        }
        layer
    }

    fn add_table(
        &mut self,
        keys: &KeyTable,
        file: &Path,
        prefix: &str,
        table: &DeTable<'_>,
        line: &dyn Fn(usize) -> Option<usize>,
    ) {
        // In the order in which they stand, for messages; the table is sorted by name.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let path = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let source = Source::File {
                path: file.into(),
                line: line(name.span().start),
            };
            match (value.get_ref(), keys.find(&path)) {
                (DeValue::Table(table), None) => self.add_table(keys, file, &path, table, line),
                (_, None) => self.unknown(keys, &path, source, String::from),
                (value, Some(key)) => match typed(value) {
                    Ok(ValueKind::String(word)) => {
                        let word = self.present_word(key, &word, &source).to_owned();
                        let value = key.kind.check(ValueKind::String(word));
                        self.add(key, &path, value, source);
                    }
                    Ok(value) => self.add(key, &path, key.kind.check(value), source),
                    Err(what) => {
                        let remedy = format!("give {}", key.kind.expectation());
                        self.refuse(&path, source, &format!("{what} is not usable"), &remedy);
                    }
                },
            }
        }
    }

    fn add_secret_file(
        &mut self,
        key: &'static Key,
        path: &'static str,
        variable: &str,
        file: &Path,
    ) {
        let source = Source::FileOfVariable {
            variable: variable.into(),
            path: file.into(),
        };
        match std::fs::read_to_string(file) {
            Ok(mut text) => {
                // What `echo secret > file` and most editors append is not part of the secret.
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                if text.is_empty() {
                    self.refuse(
                        key.path,
                        source,
                        "the file is empty",
                        "write the value into the file",
                    );
                } else {
                    self.add_text(key, path, &text, source);
                }
            }
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                self.refuse(
                    key.path,
                    source,
                    &message,
                    "correct the path, or who may read the file",
                );
            }
        }
    }

    fn add_text(&mut self, key: &'static Key, path: &str, text: &str, source: Source) {
        let value = key.kind.read_text(self.present_word(key, text, &source));
        self.add(key, path, value, source);
    }

    fn add(
        &mut self,
        key: &'static Key,
        path: &str,
        value: Result<ValueKind, super::kind::Refusal>,
        source: Source,
    ) {
        match value {
            Ok(value) => {
                let former = table::former(key, path);
                let written = former.unwrap_or(key.path);
                if let Some(former) = former {
                    self.warnings.push(format!(
                        "{former} ({source}) is called {} now: rename it",
                        key.path
                    ));
                }
                // Two spellings of one key are a contradiction within a file, and an order in the environment.
                let earlier = self
                    .entries
                    .iter()
                    .find(|entry| entry.key == key && entry.written == written);
                match (earlier, &source) {
                    (Some(earlier), Source::File { .. }) => {
                        let message =
                            format!("the same setting stands at {} already", earlier.source);
                        self.refuse(path, source, &message, "keep one of them");
                    }
                    _ => self.entries.push(Entry {
                        key,
                        written,
                        value,
                        source,
                    }),
                }
            }
            Err(refusal) => self.refuse(path, source, &refusal.message, &refusal.remedy),
        }
    }

    /// The word that replaces the one written, if that is a former one.
    fn present_word<'a>(&mut self, key: &'static Key, word: &'a str, source: &Source) -> &'a str {
        let replaced = key.former_words.iter().find(|(former, _)| *former == word);
        let Some((former, present)) = replaced else {
            return word;
        };
        self.warnings.push(format!(
            "{} = \"{former}\" ({source}) is called \"{present}\" now: rename it",
            key.path
        ));
        present
    }

    fn refuse(&mut self, path: &str, source: Source, message: &str, remedy: &str) {
        self.problems.push(Problem {
            key: path.into(),
            source: Some(source),
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    fn unknown(
        &mut self,
        keys: &KeyTable,
        path: &str,
        source: Source,
        spelt: impl Fn(&'static str) -> String,
    ) {
        let remedy = match keys.nearest(path) {
            Some(near) => format!("remove it, or did you mean {}?", spelt(near)),
            None => "remove it (`gom config` lists every key)".into(),
        };
        self.refuse(path, source, "unknown key", &remedy);
    }
}

/// Settings that the operator gives under a former name and under another: which of them is meant, nobody can say.
pub fn contradictions(layers: &[Layer]) -> Vec<Problem> {
    let given: Vec<&Entry> = layers
        .iter()
        .flat_map(|layer| &layer.entries)
        .filter(|entry| entry.source != Source::Default && !entry.source.is_built_in())
        .collect();
    let former = given.iter().filter(|entry| entry.written != entry.key.path);
    former
        .filter_map(|entry| {
            let other = given
                .iter()
                .find(|other| other.key == entry.key && other.written != entry.written)
                .filter(|other| !has_a_name_of_its_own(other))?;
            Some(Problem {
                key: entry.written.into(),
                source: Some(entry.source.clone()),
                message: format!(
                    "both {} and {} are set, and are the same setting; {} is set by {}",
                    entry.written, other.written, other.written, other.source
                ),
                remedy: format!("keep {}", entry.key.path),
            })
        })
        .collect()
}

/// Whether it is set by a variable that has no path in its name, which overrides files under whatever path they use.
fn has_a_name_of_its_own(entry: &Entry) -> bool {
    let (Source::Variable(name) | Source::FileOfVariable { variable: name, .. }) = &entry.source
    else {
        return false;
    };
    let name = name.strip_suffix("_FILE").unwrap_or(name);
    entry.key.variables.contains(&name)
}

/// A TOML value as the `config` crate's; the name of its type where no setting has such values.
fn typed(value: &DeValue<'_>) -> Result<ValueKind, String> {
    match value {
        DeValue::String(text) => Ok(ValueKind::String(text.to_string())),
        DeValue::Boolean(flag) => Ok(ValueKind::Boolean(*flag)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(ValueKind::I64)
            .map_err(|_| format!("the number {number}")),
        DeValue::Array(elements) => {
            let elements = elements.iter().map(|element| match element.get_ref() {
                DeValue::Array(_) => Err("a list of lists".to_owned()),
                element => typed(element).map(|kind| Value::new(None, kind)),
            });
            Ok(ValueKind::Array(elements.collect::<Result<_, _>>()?))
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(name, value)| {
                let value = typed(value.get_ref())?;
                Ok((name.get_ref().to_string(), Value::new(None, value)))
            });
            Ok(ValueKind::Table(entries.collect::<Result<_, String>>()?))
        }
        other => Err(format!("a value of type {}", other.type_str())),
    }
}

/// The settings files of an environment that are there, weakest first, with their texts.
///
/// # Errors
/// A problem for a folder that was asked for and is not there, and for each file that cannot be read.
pub fn files(
    directory: Option<&Path>,
    environment: &str,
) -> (Vec<(PathBuf, String)>, Vec<Problem>) {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let folder = directory.unwrap_or(Path::new("config"));
    if directory.is_some() && !folder.is_dir() {
        problems.push(Problem {
            key: "--config".into(),
            source: Some(Source::Argument("--config")),
            message: format!("there is no folder {}", folder.display()),
            remedy: "name the folder that holds the settings files".into(),
        });
        return (found, problems);
    }
    for name in ["default", environment] {
        let path = folder.join(format!("{name}.toml"));
        match std::fs::read_to_string(&path) {
            Ok(text) => found.push((path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => problems.push(Problem {
                key: "(file)".into(),
                source: Some(Source::File { path, line: None }),
                message: format!("the file cannot be read: {error}"),
                remedy: "correct who may read the file".into(),
            }),
        }
    }
    (found, problems)
}
