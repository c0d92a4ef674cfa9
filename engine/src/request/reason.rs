//! Why a given value does not have its type, and where inside of it; worded as Prisma does.

use std::fmt;

use crate::error::Position;
use crate::error::{ApiError, ErrorKind};

/// Characters of a value that a message quotes at most.
const MAX_QUOTED_CHARS: usize = 1_000;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ValueError {
    /// From the innermost to the outermost.
    path: Vec<PathStep>,
    text: String,
    /// The value is a variable that may not stand there, so that the literals beside it are not at
    /// fault.
    pub about_variable: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum PathStep {
    Field(String),
    Item(usize),
}

impl ValueError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        ValueError {
            path: Vec::new(),
            text: text.into(),
            about_variable: false,
        }
    }

    pub(super) fn about_variable(text: impl Into<String>) -> Self {
        ValueError {
            about_variable: true,
            ..Self::new(text)
        }
    }

    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.path.push(PathStep::Field(
            name.chars().take(MAX_QUOTED_CHARS).collect(),
        ));
        self
    }

    pub(super) fn in_item(mut self, index: usize) -> Self {
        self.path.push(PathStep::Item(index));
        self
    }

    /// The error for an argument of a document.
    pub(super) fn of_argument(
        &self,
        name: &str,
        ty: &str,
        value: &async_graphql_value::Value,
        at: Position,
    ) -> ApiError {
        let value = quote(value);
        let message = format!(
            "Argument '{name}' expected type '{ty}' but got: {value}. Reason: {self} (line {}, column {})",
            at.line, at.column
        );
        ApiError::new(ErrorKind::ValidationFailed, message).at(at)
    }

    /// The error for a variable's default value.
    pub(super) fn of_default(
        &self,
        name: &str,
        ty: &str,
        value: &async_graphql_value::Value,
        at: Position,
    ) -> ApiError {
        let value = quote(value);
        let message = format!(
            "Variable '${name}' expected a default value of type '{ty}' but got: {value}. Reason: {self} \
             (line {}, column {})",
            at.line, at.column
        );
        ApiError::new(ErrorKind::ValidationFailed, message).at(at)
    }

    /// The error for the value of a variable.
    pub(super) fn of_variable(&self, name: &str, ty: &str, value: &serde_json::Value) -> ApiError {
        let value = quote(value);
        let message = format!(
            "Variable '${name}' expected value of type '{ty}' but got: {value}. Reason: {self}"
        );
        ApiError::new(ErrorKind::BadUserInput, message)
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if !self.path.is_empty() {
            f.write_str("'")?;
            for (index, step) in self.path.iter().rev().enumerate() {
                match step {
                    PathStep::Field(name) if index == 0 => f.write_str(name)?,
                    PathStep::Field(name) => write!(f, ".{name}")?,
                    PathStep::Item(index) => write!(f, "[{index}]")?,
                }
            }
            f.write_str("' ")?;
        }
        f.write_str(&self.text)?;
        if self.text.ends_with('.') {
            Ok(())
        } else {
            f.write_str(".")
        }
    }
}

/// The start of a value; values may be as large as a request.
fn quote(value: &impl fmt::Display) -> String {
    let mut quoted = Quoted {
        text: String::new(),
        left: MAX_QUOTED_CHARS,
    };
    // Stops early, by an error, once there is enough.
    if fmt::Write::write_fmt(&mut quoted, format_args!("{value}")).is_err() {
        quoted.text.push('…');
    }
    quoted.text
}

struct Quoted {
    text: String,
    left: usize,
}

impl fmt::Write for Quoted {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_and_why() {
        let reason = ValueError::new("String value expected");
        assert_eq!(reason.to_string(), "String value expected.");
        let reason = reason
            .in_field("c")
            .in_item(2)
            .in_field("create")
            .in_field("children");
        assert_eq!(
            reason.to_string(),
            "'children.create[2].c' String value expected."
        );
    }

    #[test]
    fn quotes_no_more_than_the_start_of_a_value() {
        let value = serde_json::Value::from("ä".repeat(100_000));
        let message = ValueError::new("No")
            .of_variable("x", "Int", &value)
            .message;
        assert!(
            message.chars().count() < 1_100 && message.contains("ä…. Reason: No."),
            "{message}"
        );
    }
}
