//! Bounds the bytes of an answer while PostgreSQL makes it: a row is measured before it is taken
//! into its list, and one too many ends the statement with an error.
//!
//! What is measured are texts (`octet_length` reads the length of a stored text, not the text) and
//! the JSON that was made for the row; the rest of a row has a fixed length. Small rows cost that
//! and a comparison. Rows that are not small are added up for the whole statement, in a setting
//! that ends with the transaction: one for each level of lists, so that nothing counts twice. See
//! `docs/adr/0020-bounds-in-bytes.md`.

use super::object::key_column;
use super::physical::Physical;
use super::read::{Shape, ShapeEntry};
use super::text::Sql;
use crate::datamodel::{FieldKind, ScalarType};

/// The SQLSTATE of an answer beyond its limit: `width_bucket` fails with it, which nothing else
/// here uses.
pub const ANSWER_TOO_LARGE: &str = "2201G";

/// A row of fewer bytes is never added up, whatever the limit.
const MIN_SMALL_ROW: i64 = 256;
/// The rows of one list that are not added up come to at most this part of the limit.
const SMALL_PART: i64 = 8;
/// Rows of a list without a limit on its length, for the same.
const ASSUMED_PAGE: i64 = 1_000;
/// Bytes of a value that is neither a text nor JSON; of a name's quotes, colon and comma.
const PLAIN: i64 = 32;
const PUNCTUATION: i64 = 4;

/// How large an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimit {
    bytes: i64,
    small_row: i64,
}

impl AnswerLimit {
    /// A limit of so many bytes for answers whose lists have at most `page_size` rows (`None`: no
    /// such limit).
    pub fn new(bytes: i64, page_size: Option<i64>) -> Self {
        let page = page_size.unwrap_or(ASSUMED_PAGE).max(1);
        AnswerLimit {
            bytes,
            small_row: (bytes / SMALL_PART / page).max(MIN_SMALL_ROW),
        }
    }
}

/// What is measured of one column of a row.
#[derive(Clone, Copy)]
enum ColumnMeasure {
    Text,
    Json,
    /// Its length is fixed.
    Known(i64),
}

/// A column of a row (quoted), and the length of its name.
struct MeasuredColumn {
    column: String,
    name: usize,
    measured: ColumnMeasure,
}

impl Sql {
    /// Writes ` filter (…)` behind the aggregate that makes a list of the shape's rows, which are
    /// `alias`: takes in a row if the answer stays within its limit with it, fails if not.
    pub(super) fn filter_rows(
        &mut self,
        physical: &Physical,
        shape: &Shape<'_>,
        alias: &str,
    ) -> &mut Self {
        let parts = parts_of(physical, shape, ColumnMeasure::Json);
        self.filter(&parts, alias)
    }

    /// The same for the edges of a connection.
    pub(super) fn filter_edges(&mut self, keys: &[&str], alias: &str) -> &mut Self {
        let part = |(i, key): (usize, &&str)| MeasuredColumn {
            column: key_column(keys, i),
            name: key.len(),
            measured: ColumnMeasure::Json,
        };
        let parts: Vec<MeasuredColumn> = keys.iter().enumerate().map(part).collect();
        self.filter(&parts, alias)
    }

    fn filter(&mut self, parts: &[MeasuredColumn], alias: &str) -> &mut Self {
        let Some(AnswerLimit { bytes, small_row }) = self.answer else {
            return self;
        };
        if known(parts).is_some_and(|bytes| bytes < small_row) {
            return self;
        }
        let (above, counted) = (
            bytes.saturating_add(1),
            format!("'gom.answer_{}'", self.lists),
        );
        self.push(" filter (where case when ")
            .bytes_of(parts, alias)
            .push(" < ")
            .page_size(small_row);
        // Equal bounds are what `width_bucket` refuses.
        self.push(" then true else width_bucket(0, least(set_config(")
            .push(&counted);
        self.push(", (coalesce(nullif(current_setting(")
            .push(&counted)
            .push(", true), ''), '0')::bigint + ");
        self.bytes_of(parts, alias)
            .push(")::text, true)::bigint, ")
            .page_size(above);
        self.push(")::float8, ")
            .page_size(above)
            .push(", 1) >= 0 end)")
    }

    /// Begins the JSON of a single row: it fails if the row's own texts are too large. What is made
    /// of other rows is counted where it is made. [`Sql::end_row`] ends it.
    pub(super) fn begin_row(
        &mut self,
        physical: &Physical,
        shape: &Shape<'_>,
        alias: &str,
    ) -> bool {
        let Some(AnswerLimit { bytes, .. }) = self.answer else {
            return false;
        };
        let parts = parts_of(physical, shape, ColumnMeasure::Known(0));
        if known(&parts).is_some() {
            return false;
        }
        let above = bytes.saturating_add(1);
        self.push("case when width_bucket(0, least(")
            .bytes_of(&parts, alias)
            .push(", ")
            .page_size(above);
        self.push(")::float8, ")
            .page_size(above)
            .push(", 1) >= 0 then ");
        true
    }

    pub(super) fn end_row(&mut self, begun: bool) -> &mut Self {
        self.push(if begun { " end" } else { "" })
    }

    /// The bytes of a row, about: a stored text is counted as it is, not as JSON escapes it.
    fn bytes_of(&mut self, parts: &[MeasuredColumn], alias: &str) -> &mut Self {
        let known: i64 = parts.iter().map(|part| part.known()).sum();
        self.push("(").page_size(known).push("::bigint");
        for part in parts {
            let function = match part.measured {
                ColumnMeasure::Text => "octet_length",
                ColumnMeasure::Json => "pg_column_size",
                ColumnMeasure::Known(_) => continue,
            };
            self.push(" + coalesce(")
                .push(function)
                .push("(")
                .column(alias, &part.column)
                .push("), 0)");
        }
        self.push(")")
    }
}

impl MeasuredColumn {
    fn known(&self) -> i64 {
        let value = if let ColumnMeasure::Known(bytes) = self.measured {
            bytes
        } else {
            0
        };
        value + PUNCTUATION + i64::try_from(self.name).unwrap_or(i64::from(u16::MAX))
    }
}

/// The bytes of a row, if all its columns have a fixed length.
fn known(parts: &[MeasuredColumn]) -> Option<i64> {
    let measured = parts
        .iter()
        .any(|part| !matches!(part.measured, ColumnMeasure::Known(_)));
    (!measured).then(|| parts.iter().map(MeasuredColumn::known).sum())
}

/// The columns of a shape's row; `made`: those that other rows are looked at for.
fn parts_of(physical: &Physical, shape: &Shape<'_>, made: ColumnMeasure) -> Vec<MeasuredColumn> {
    let keys = shape.keys();
    let part = |(i, (key, entry)): (usize, &(&str, ShapeEntry<'_>))| {
        let measured = match entry {
            ShapeEntry::Viewed(..) if matches!(made, ColumnMeasure::Known(_)) => made,
            ShapeEntry::Column(field) | ShapeEntry::Viewed(field, _) => {
                match physical.model.field(shape.model, *field).kind {
                    FieldKind::Scalar(ScalarType::String) => ColumnMeasure::Text,
                    FieldKind::Scalar(ScalarType::Json) => ColumnMeasure::Json,
                    _ => ColumnMeasure::Known(PLAIN),
                }
            }
            ShapeEntry::Typename(_) | ShapeEntry::Hidden => ColumnMeasure::Known(PLAIN),
            ShapeEntry::ScalarList(_) | ShapeEntry::ToOne(..) | ShapeEntry::ToMany(..) => made,
        };
        MeasuredColumn {
            column: key_column(&keys, i),
            name: key.len(),
            measured,
        }
    };
    shape.entries.iter().enumerate().map(part).collect()
}
