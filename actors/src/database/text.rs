//! Values on their way to PostgreSQL and back, as text. Knows no types: the statement names them.

use std::error::Error;
use std::fmt;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::error::Failure;

/// A parameter in PostgreSQL's text format, whatever type the statement gives it.
#[derive(Debug, Clone)]
pub(super) enum Parameter<'a> {
    Null,
    Borrowed(&'a str),
    /// From a register.
    Cell(JsonText),
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Parameter::Null => return Ok(IsNull::Yes),
            Parameter::Borrowed(text) => out.extend_from_slice(text.as_bytes()),
            Parameter::Cell(cell) => out.extend_from_slice(cell.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// One text column of a row, kept in the buffer in which it arrived: an answer is copied only where it is
/// written out.
#[derive(Clone)]
pub struct JsonText {
    row: Row,
    column: usize,
}

impl JsonText {
    /// Nothing where the column is null. A column that is not text is a fault of the statement.
    pub(super) fn of(row: Row, column: usize) -> Result<Option<Self>, Failure> {
        let bytes = match row.try_get::<_, Option<Bytes<'_>>>(column) {
            Ok(Some(Bytes(bytes))) => bytes,
            Ok(None) => return Ok(None),
            Err(error) => return Err(Failure::Fault(error.to_string())),
        };
        // A database in SQL_ASCII passes on any bytes.
        if std::str::from_utf8(bytes).is_err() {
            return Err(Failure::Fault(
                "the database holds text that is not UTF-8; create it with encoding UTF8"
                    .to_owned(),
            ));
        }
        Ok(Some(JsonText { row, column }))
    }

    /// The text; always valid UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match self.row.try_get::<_, Bytes<'_>>(self.column) {
            Ok(Bytes(bytes)) => bytes,
            Err(_) => &[],
        }
    }

    /// As [`JsonText::as_bytes`], checked again: for the path that splices, use the bytes.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rows are people's data: no log line gets to see them.
        write!(out, "JsonText({} bytes)", self.as_bytes().len())
    }
}

/// The bytes of a column of one of the text types.
struct Bytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Bytes(raw))
    }

    /// Those whose binary format, in which results arrive, is the text itself.
    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON
        )
    }
}
