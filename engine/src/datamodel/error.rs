//! What is wrong with a datamodel: every finding with its place and its remedy. Knows no rule of
//! the language; the checks collect [`Findings`] by byte offset, and this file turns offsets into
//! lines and columns.

use std::fmt;

/// One thing that is wrong in a datamodel text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatamodelError {
    /// As it was given to [`super::parse`].
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for DatamodelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}; {}",
            self.file, self.line, self.column, self.message, self.remedy
        )
    }
}

/// All that is wrong in a datamodel text, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatamodelErrors {
    /// The findings, in the order of the text.
    pub errors: Vec<DatamodelError>,
}

impl fmt::Display for DatamodelErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DatamodelErrors {}

/// What the checks have found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    warned: Vec<Finding>,
}

/// Byte offset, message and remedy.
type Finding = (usize, String, String);

impl Findings {
    /// `at` is a byte offset into the text.
    pub(super) fn add(&mut self, at: usize, message: impl Into<String>, remedy: impl Into<String>) {
        self.found.push((at, message.into(), remedy.into()));
    }

    /// What is taken nevertheless, and has no effect.
    pub(super) fn warn(
        &mut self,
        at: usize,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warned.push((at, message.into(), remedy.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The warnings; the errors, if anything is wrong.
    pub(super) fn into_warnings(
        self,
        file: &str,
        text: &str,
    ) -> Result<Vec<DatamodelError>, DatamodelErrors> {
        if self.found.is_empty() {
            Ok(placed(self.warned, file, text))
        } else {
            Err(DatamodelErrors {
                errors: placed(self.found, file, text),
            })
        }
    }
}

fn placed(mut found: Vec<Finding>, file: &str, text: &str) -> Vec<DatamodelError> {
    found.sort();
    found.dedup();
    let errors = found.into_iter().map(|(at, message, remedy)| {
        let (line, column) = line_and_column(text, at);
        DatamodelError {
            file: file.to_string(),
            line,
            column,
            message,
            remedy,
        }
    });
    errors.collect()
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text
        .char_indices()
        .take_while(|(index, _)| *index < at)
        .map(|(_, c)| c);
    before.fold((1, 1), |(line, column), c| {
        if c == '\n' {
            (line + 1, 1)
        } else {
            (line, column + 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        assert_eq!(line_and_column("ab\nñc", 0), (1, 1));
        assert_eq!(line_and_column("ab\nñc", 3), (2, 1));
        assert_eq!(line_and_column("ab\nñc", 5), (2, 2));
        assert_eq!(
            line_and_column("ab\nñc", 4),
            (2, 2),
            "inside a character: the one after it"
        );
        assert_eq!(line_and_column("ab", 99), (1, 3), "behind the end: the end");
    }
}
