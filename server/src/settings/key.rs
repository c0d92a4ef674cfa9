//! What a key is, and how one is declared: each section of the settings is a struct whose fields name their kind, range, unit,
//! default and where they may come from (`section!`). Knows no section.

use super::kind::Kind;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its place in the tree, snake_case, parts joined by dots. In the environment: `GOM__` and the parts in
    /// upper case, joined by two underscores.
    pub path: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// As text; `None` where the key may stay unset.
    pub default: Option<&'static str>,
    /// Environment variables that mean this key, beside the one made from the path.
    pub variables: &'static [&'static str],
    /// The flag of commands that sets it.
    pub flag: Option<&'static str>,
    /// Prisma's path, where it differs by more than its spelling. In files only.
    pub alias: Option<&'static str>,
    /// Paths that earlier versions had for it: accepted, with a warning.
    pub former: &'static [&'static str],
    /// Words of a choice that earlier versions had, with those that replace them: accepted, with a warning.
    pub former_words: &'static [(&'static str, &'static str)],
    /// What the page of all keys says of it; CommonMark, in one line.
    pub description: &'static str,
}

impl Key {
    /// A key of an application, without other names.
    pub const fn new(
        path: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        description: &'static str,
    ) -> Key {
        let mut key = Key::of(kind);
        key.default = default;
        key.at(path, description)
    }

    pub(super) const fn of(kind: Kind) -> Key {
        Key {
            path: "",
            kind,
            default: None,
            variables: &[],
            flag: None,
            alias: None,
            former: &[],
            former_words: &[],
            description: "",
        }
    }

    pub(super) const fn default(mut self, text: &'static str) -> Key {
        self.default = Some(text);
        self
    }

    /// With these variables beside the one made from the path.
    #[must_use]
    pub const fn variables(mut self, names: &'static [&'static str]) -> Key {
        self.variables = names;
        self
    }

    pub(super) const fn flag(mut self, flag: &'static str) -> Key {
        self.flag = Some(flag);
        self
    }

    pub(super) const fn alias(mut self, path: &'static str) -> Key {
        self.alias = Some(path);
        self
    }

    pub(super) const fn formerly(mut self, paths: &'static [&'static str]) -> Key {
        self.former = paths;
        self
    }

    pub(super) const fn former_words(
        mut self,
        words: &'static [(&'static str, &'static str)],
    ) -> Key {
        self.former_words = words;
        self
    }

    /// The key at its place. `description`: also the text of the field's doc comment.
    pub(super) const fn at(mut self, path: &'static str, description: &'static str) -> Key {
        self.path = path;
        self.description = description.trim_ascii_start();
        self
    }

    /// The first part of the path.
    pub fn section(&self) -> &'static str {
        self.path.split('.').next().unwrap_or_default()
    }

    /// The variable made from the path: `GOM__SERVER__PORT`.
    pub fn variable(&self) -> String {
        variable(self.path)
    }

    /// Every variable that sets this key, the one that wins last.
    pub(crate) fn all_variables(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.variable()).chain(self.variables.iter().map(|name| (*name).to_owned()))
    }

    /// Every name by which something sets it: paths, and variables, also those that name a file.
    pub(super) fn names(&self) -> Vec<String> {
        let former = self.former_variables().map(|(_, variable)| variable);
        let variables = self.all_variables().chain(former);
        let paths = [Some(self.path), self.alias].into_iter().flatten();
        let paths = paths.chain(self.former.iter().copied()).map(str::to_owned);
        variables
            .flat_map(|name| [format!("{name}_FILE"), name])
            .chain(paths)
            .collect()
    }

    /// The variables of its former paths, each with the path.
    pub(crate) fn former_variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.former.iter().map(|path| (*path, variable(path)))
    }
}

fn variable(path: &str) -> String {
    format!("GOM__{}", path.replace('.', "__").to_uppercase())
}

pub(super) const TEXT: Key = Key::of(Kind::Text);
pub(super) const PATH: Key = Key::of(Kind::Path);
pub(super) const FLAG: Key = Key::of(Kind::Flag);
pub(super) const SECRET: Key = Key::of(Kind::Secret);
pub(super) const URL: Key = Key::of(Kind::Url);
pub(super) const NETWORKS: Key = Key::of(Kind::Networks);
pub(super) const ISSUERS: Key = Key::of(Kind::Issuers);

pub(super) const COUNT: Key = integer(1, 1_000_000_000);
pub(super) const SIZE: Key = Key::of(Kind::Bytes {
    min: 1_024,
    max: 1_073_741_824,
});
pub(super) const TIME: Key = milliseconds(1, 3_600_000);
pub(super) const SECONDS: Key = seconds(1, 31_536_000);
/// From a second to 400 days, which is the longest that browsers keep a cookie.
pub(super) const LIFETIME: Key = milliseconds(1_000, 34_560_000_000);
/// Where something is stored.
pub(super) const STORE: Key = choice(&["postgres", "redis"]);

/// A whole number within the bounds, both included.
pub(super) const fn integer(min: i64, max: i64) -> Key {
    Key::of(Kind::Integer { min, max })
}

pub(super) const fn milliseconds(min: i64, max: i64) -> Key {
    Key::of(Kind::Milliseconds { min, max })
}

pub(super) const fn seconds(min: i64, max: i64) -> Key {
    Key::of(Kind::Seconds { min, max })
}

pub(super) const fn choice(words: &'static [&'static str]) -> Key {
    Key::of(Kind::Choice(words))
}

/// Declares a section: the struct that holds its settings, and the key of each field. The fields' doc comments are the
/// descriptions on the page of all keys; `with` lists the sections within it, with their keys where several sections share
/// one struct.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident at $prefix:literal {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)*)])*
                $vis:vis $field:ident: $ty:ty = $key:expr,
            )*
        }
        $(with {
            $(
                $(#[$section_meta:meta])*
                pub $section:ident: $section_ty:ty $(= $section_keys:expr)?,
            )*
        })?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)*)])*
                $vis $field: $ty,
            )*
            $($(
                $(#[$section_meta])*
                pub $section: $section_ty,
            )*)?
        }

        impl $name {
            /// Every key of the section, those of the sections within it last.
            pub(super) fn keys() -> Vec<&'static $crate::settings::key::Key> {
                const OWN: &[$crate::settings::key::Key] = &[
                    $($key.at(concat!($prefix, stringify!($field)), concat!($($doc),+)),)*
                ];
                #[allow(unused_mut)]
                let mut keys: Vec<_> = OWN.iter().collect();
                $($(keys.extend(section!(@keys $section_ty $(, $section_keys)?));)*)?
                keys
            }
        }
    };
    (@keys $ty:ty, $keys:expr) => { $keys.iter() };
    (@keys $ty:ty) => { <$ty>::keys() };
}

pub(super) use section;
