//! From text to a parsed document and the requested operation; words the parser's errors as the API
//! does.

use async_graphql::Pos;
use async_graphql::Positioned;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};
use async_graphql::parser::{Error, parse_query};

use super::escapes;
use super::limits::{Measures, RequestLimits};
use super::scan::{self, MAX_NESTING, ScanError, scan};
use crate::error::Position;
use crate::error::{ApiError, ErrorKind};

/// Characters of a parser's message that are passed on.
const MAX_MESSAGE_CHARS: usize = 300;

/// Parses `text` unless it is beyond `limits`.
pub(super) fn parse(
    text: &str,
    limits: &RequestLimits,
) -> Result<(ExecutableDocument, Measures), ApiError> {
    let mut measures = Measures {
        query_bytes: text.len() as u64,
        ..Measures::default()
    };
    limits.check_text(&measures)?;
    let most = limits.tokens.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    });
    let scan::Scan { tokens } = scan(text, most).map_err(|refusal| match refusal {
        ScanError::Tokens => limits.too_many_tokens(most as u64),
        ScanError::Nesting(at) => {
            let message = format!("The query nests brackets deeper than {MAX_NESTING} levels");
            ApiError::new(ErrorKind::LimitExceeded, message).at(at)
        }
        ScanError::DuplicateKey(key, at) => {
            let key: String = key.chars().take(MAX_MESSAGE_CHARS).collect();
            let message = format!("There can be only one input field named '{key}'");
            ApiError::new(ErrorKind::ValidationFailed, message).at(at)
        }
    })?;
    measures.tokens = tokens as u64;
    if tokens == 0 {
        return Err(ApiError::new(
            ErrorKind::ParseFailed,
            "The query text is empty",
        ));
    }
    let document =
        parse_query(escapes::expand_escapes(text)).map_err(|error| parse_error(&error))?;
    Ok((document, measures))
}

/// The operation called `name`, or the only one; an empty name is none.
pub(super) fn select<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a Positioned<OperationDefinition>, ApiError> {
    let name = name.filter(|name| !name.is_empty());
    let unknown = |name: &str| {
        let name: String = name.chars().take(MAX_MESSAGE_CHARS).collect();
        ApiError::new(
            ErrorKind::ValidationFailed,
            format!("Unknown operation named \"{name}\""),
        )
    };
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(operation),
        (DocumentOperations::Single(_), Some(name)) => Err(unknown(name)),
        (DocumentOperations::Multiple(operations), Some(name)) => {
            operations.get(name).ok_or_else(|| unknown(name))
        }
        (DocumentOperations::Multiple(operations), None) => {
            let mut all = operations.values();
            match (all.next(), all.next()) {
                (Some(operation), None) => Ok(operation),
                _ => Err(ApiError::new(
                    ErrorKind::ValidationFailed,
                    "The document has several operations: say by operationName which one to run",
                )),
            }
        }
    }
}

/// The directive that makes a query live.
const LIVE: &str = "live";

/// Removes `@live` from the document, because the schema that validates does not declare it.
/// Returns whether the operation had it.
pub(super) fn remove_live(
    document: &mut ExecutableDocument,
    name: Option<&str>,
) -> Result<bool, ApiError> {
    let operation = &select(document, name)?.node;
    let mut found = operation
        .directives
        .iter()
        .filter(|directive| directive.node.name.node == LIVE);
    let live = found.next();
    if let Some(directive) = live {
        let problem = if operation.ty != OperationType::Query {
            Some("The directive @live stands at queries only")
        } else if !directive.node.arguments.is_empty() {
            Some("The directive @live takes no arguments")
        } else if found.next().is_some() {
            Some("The directive @live stands once")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(
                ApiError::new(ErrorKind::ValidationFailed, problem).at(position(directive.pos))
            );
        }
    }
    let live = live.is_some();
    let operations: Box<dyn Iterator<Item = _>> = match &mut document.operations {
        DocumentOperations::Single(operation) => Box::new(std::iter::once(operation)),
        DocumentOperations::Multiple(operations) => Box::new(operations.values_mut()),
    };
    for operation in operations {
        operation
            .node
            .directives
            .retain(|directive| directive.node.name.node != LIVE);
    }
    Ok(live)
}

fn parse_error(error: &Error) -> ApiError {
    let message = match error {
        // What the parser writes after the line it quotes; a line may be as long as the text.
        Error::Syntax { message, .. } => {
            let reason = message
                .rsplit_once("= ")
                .map_or(message.as_str(), |(_, reason)| reason);
            reason.chars().take(MAX_MESSAGE_CHARS).collect()
        }
        Error::RecursionLimitExceeded => {
            return ApiError::new(
                ErrorKind::LimitExceeded,
                "The query nests selections too deeply",
            );
        }
        error => error
            .to_string()
            .chars()
            .take(MAX_MESSAGE_CHARS)
            .collect::<String>(),
    };
    let mut api = ApiError::new(ErrorKind::ParseFailed, "");
    api.locations = error.positions().map(position).collect();
    api.message = match api.locations.first() {
        Some(at) => format!(
            "Syntax error (line {}, column {}): {message}",
            at.line, at.column
        ),
        None => format!("Syntax error: {message}"),
    };
    api
}

pub(super) fn position(pos: Pos) -> Position {
    Position {
        line: pos.line,
        column: pos.column,
    }
}
