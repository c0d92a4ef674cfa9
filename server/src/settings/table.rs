//! What a key is, and how it is found. `keys.rs` lists them.

use super::keys::keys;
use super::kind::Kind;

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its place in the tree, snake_case, parts joined by dots. In the environment: `GOM__` and the parts in
    /// upper case, joined by two underscores.
    pub path: &'static str,
    pub kind: Kind,
    /// As text; `None` where the key may stay unset.
    pub default: Option<&'static str>,
    /// Environment variables that mean this key, beside the one made from the path.
    pub variables: &'static [&'static str],
    /// The original's path, where it differs by more than its spelling.
    pub alias: Option<&'static str>,
    pub description: &'static str,
}

impl Key {
    /// A key without other names.
    pub const fn new(
        path: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        description: &'static str,
    ) -> Key {
        Key {
            path,
            kind,
            default,
            variables: &[],
            alias: None,
            description,
        }
    }

    /// With these variables beside the one made from the path.
    #[must_use]
    pub const fn variables(mut self, names: &'static [&'static str]) -> Key {
        self.variables = names;
        self
    }

    pub(super) const fn alias(mut self, path: &'static str) -> Key {
        self.alias = Some(path);
        self
    }

    /// The first part of the path.
    pub fn section(&self) -> &'static str {
        self.path.split('.').next().unwrap_or_default()
    }

    /// The variable made from the path: `GOM__SERVER__PORT`.
    pub fn variable(&self) -> String {
        format!("GOM__{}", self.path.replace('.', "__").to_uppercase())
    }

    /// Every variable that sets this key, the one that wins last.
    pub fn all_variables(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.variable()).chain(self.variables.iter().map(|name| (*name).to_owned()))
    }
}

/// Every key of a server: its own, and those that its application declares.
#[derive(Debug)]
pub struct Table(Vec<&'static Key>);

impl Table {
    /// An application's keys stand at the end of their section, or of all.
    pub fn with(application: &'static [Key]) -> Self {
        let mut all: Vec<&'static Key> = keys().collect();
        for key in application {
            let last = all
                .iter()
                .rposition(|other| other.section() == key.section());
            all.insert(last.map_or(all.len(), |last| last + 1), key);
        }
        Table(all)
    }

    /// In the order in which they are shown.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.0.iter().copied()
    }

    /// The key at a path, or at the original's path for it. Parts may be written in snake_case, camelCase or
    /// kebab-case.
    pub fn find(&self, path: &str) -> Option<&'static Key> {
        let path = snake_case(path);
        self.keys()
            .find(|key| key.path == path || key.alias == Some(&path))
    }

    /// The path that is most like the one written, if any is near.
    pub fn nearest(&self, path: &str) -> Option<&'static str> {
        let path = snake_case(path);
        self.keys()
            .map(|key| (distance(&path, key.path), key.path))
            .min()
            .filter(|(distance, found)| *distance <= found.len() / 3)
            .map(|(_, found)| found)
    }
}

/// `session.options.maxAge` and `login-limiter` as `session.options.max_age` and `login_limiter`.
fn snake_case(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 4);
    let mut previous = '.';
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            if previous.is_ascii_lowercase() || previous.is_ascii_digit() {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(if c == '-' { '_' } else { c });
        }
        previous = c;
    }
    out
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Table {
        Table::with(&[])
    }

    #[test]
    fn every_default_is_a_value_that_its_key_accepts() {
        for key in keys() {
            if let Some(default) = key.default {
                key.kind
                    .read_text(default)
                    .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", key.path));
            }
            assert!(
                !key.kind.is_secret() || key.default.is_none(),
                "{} has a default secret",
                key.path
            );
        }
    }

    #[test]
    fn no_name_means_two_keys() {
        let mut names: Vec<String> = keys()
            .flat_map(Key::all_variables)
            .flat_map(|name| [format!("{name}_FILE"), name])
            .collect();
        names.extend(
            keys()
                .flat_map(|key| [Some(key.path), key.alias])
                .flatten()
                .map(String::from),
        );
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_originals_spellings_are_found() {
        assert_eq!(
            own().find("database.statementTimeout").unwrap().path,
            "database.statement_timeout"
        );
        assert_eq!(
            own().find("database.statement-timeout").unwrap().path,
            "database.statement_timeout"
        );
        assert_eq!(
            own().find("auth.auth0.clientId").unwrap().path,
            "auth.auth0.client_id"
        );
        assert_eq!(own().find("appKey").unwrap().path, "app_key");
        assert_eq!(own().find("prisma.secret").unwrap().path, "service.secret");
        assert!(own().find("server.hostess").is_none());
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        assert_eq!(own().nearest("server.prot"), Some("server.port"));
        assert_eq!(own().nearest("entirely.different.thing"), None);
    }
}
