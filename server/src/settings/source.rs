//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from, weakest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The table of keys in this program.
    Default,
    /// A settings file; `line` counts from 1.
    File {
        /// As it was opened.
        path: PathBuf,
        /// Unset where the whole file is meant.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// The file that an environment variable names.
    FileOfVariable {
        /// Its name, with `_FILE`.
        variable: String,
        /// The file.
        path: PathBuf,
    },
    /// A flag of the command line.
    Argument(&'static str),
}

/// Before the path of a file that is built into the program.
pub(super) const BUILT_IN: &str = "(built in) ";

impl Source {
    pub(super) fn is_built_in(&self) -> bool {
        matches!(self, Source::File { path, .. } if path.to_string_lossy().starts_with(BUILT_IN))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Source::File { path, line: None } => write!(f, "{}", path.display()),
            Source::Variable(name) => write!(f, "environment variable {name}"),
            Source::FileOfVariable { variable, path } => {
                write!(f, "{} (named by {variable})", path.display())
            }
            Source::Argument(flag) => write!(f, "command line {flag}"),
        }
    }
}
