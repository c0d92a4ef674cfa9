//! What may be wrong with the settings, reported together.

use std::fmt;

use super::source::Source;

/// One thing that is wrong, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key as it was written, or as it should have been.
    pub key: String,
    /// Where the value came from; `None` where it is missing everywhere.
    pub source: Option<Source>,
    /// What is wrong. Never holds a secret's value.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// The settings cannot be used. Shows every problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// All of them; never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => writeln!(f, "the settings have a problem:")?,
            n => writeln!(f, "the settings have {n} problems:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {}: {}", problem.key, problem.message)?;
            if let Some(source) = &problem.source {
                write!(f, "\n      from: {source}")?;
            }
            write!(f, "\n      remedy: {}", problem.remedy)?;
        }
        Ok(())
    }
}
