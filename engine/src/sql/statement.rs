//! SQL text with its parameters.

/// A statement with its parameters. The text is the key of the prepared-statement cache and holds
/// no value; every parameter goes as text, in PostgreSQL's input format of the type it is compared
/// with.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text, with placeholders `$1`, `$2`, ….
    pub sql: String,
    /// The parameters, in the order of their numbers.
    pub params: Vec<Param>,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// Null.
    Null,
    /// A value, in PostgreSQL's input format of its type.
    Text(String),
    /// What an earlier statement of the same program put there.
    Register(Register),
}

/// A slot for one text value (an id, or an array literal of ids) that a statement hands to later
/// ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register(pub usize);
