//! Every key there is, and how one is found: the one table that reading, checking, `gom config` and `docs/CONFIGURATION.md`
//! follow.

use std::sync::LazyLock;

use super::Settings;
pub use super::key::Key;

static OWN: LazyLock<Vec<&'static Key>> = LazyLock::new(Settings::keys);

/// Every key of a server: its own, and those that its application declares.
#[derive(Debug)]
pub struct KeyTable(Vec<&'static Key>);

impl KeyTable {
    /// An application's keys stand at the end of their section, or of all.
    pub fn with(application: &'static [Key]) -> Self {
        let mut all = OWN.clone();
        for key in application {
            let last = all
                .iter()
                .rposition(|other| other.section() == key.section());
            all.insert(last.map_or(all.len(), |last| last + 1), key);
        }
        KeyTable(all)
    }

    /// In the order in which they are shown.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.0.iter().copied()
    }

    /// The key at a path, at Prisma's path for it, or at one of its former paths. Parts may be written in snake_case, camelCase
    /// or kebab-case.
    pub fn find(&self, path: &str) -> Option<&'static Key> {
        let path = snake_case(path);
        let path = path.as_str();
        self.keys()
            .find(|key| key.path == path || key.alias == Some(path) || key.former.contains(&path))
    }

    /// The path that is most like the one written, if any is near.
    pub fn nearest(&self, path: &str) -> Option<&'static str> {
        let path = snake_case(path);
        self.keys()
            .map(|key| (strsim::levenshtein(&path, key.path), key.path))
            .min()
            .filter(|(distance, found)| *distance <= found.len() / 3)
            .map(|(_, found)| found)
    }
}

/// The keys of the server itself.
pub(super) fn own() -> impl Iterator<Item = &'static Key> {
    OWN.iter().copied()
}

/// The former path of the key that was written, if it was one.
pub fn former(key: &'static Key, path: &str) -> Option<&'static str> {
    let path = snake_case(path);
    key.former.iter().copied().find(|former| *former == path)
}

/// `session.options.maxAge` and `login-limiter` as `session.options.max_age` and `login_limiter`.
pub(super) fn snake_case(path: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> KeyTable {
        KeyTable::with(&[])
    }

    #[test]
    fn every_default_is_a_value_that_its_key_accepts() {
        for key in own() {
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
        let mut names: Vec<String> = own().flat_map(Key::names).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_originals_spellings_are_found() {
        assert_eq!(
            table().find("database.statementTimeout").unwrap().path,
            "database.statement_timeout"
        );
        assert_eq!(
            table().find("database.statement-timeout").unwrap().path,
            "database.statement_timeout"
        );
        assert_eq!(
            table().find("auth.oauth2.clientId").unwrap().path,
            "auth.oauth2.client_id"
        );
        assert_eq!(table().find("appKey").unwrap().path, "app_key");
        assert_eq!(
            table().find("auth.auth0.clientId").unwrap().path,
            "auth.oauth2.client_id"
        );
        assert_eq!(
            table().find("prisma.secret").unwrap().path,
            "service.secret"
        );
        assert!(table().find("server.hostess").is_none());
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        assert_eq!(table().nearest("server.prot"), Some("server.port"));
        assert_eq!(table().nearest("entirely.different.thing"), None);
    }
}
