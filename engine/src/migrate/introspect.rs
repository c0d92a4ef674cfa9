//! What a database holds: the catalog queries, and the way from their rows to a layout. The queries
//! are run elsewhere; each takes the schema's name as its only parameter.

use std::collections::{HashMap, HashSet};

use super::layout::{
    Column, ColumnDefault, DatabaseLayout, ForeignKey, Index, IndexColumn, OnDelete,
    SequenceLayout, Table, TablePurpose,
};
use crate::datamodel::{DataModel, Relation, RelationId, RelationStorage};

/// One row when the schema exists.
pub const SCHEMA_QUERY: &str =
    "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname = $1";

/// Columns: name. What belongs to an extension is not ours to judge.
pub const TABLES_QUERY: &str = "
SELECT c.relname::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname";

/// See [`ColumnRow`].
pub const COLUMNS_QUERY: &str = "
SELECT c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
  NOT a.attnotnull, coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN a.attidentity <> '' THEN 'identity' END),
  (SELECT s.relname::text FROM pg_catalog.pg_depend l
   JOIN pg_catalog.pg_class s ON s.oid = l.refobjid AND s.relkind = 'S'
   WHERE l.classid = 'pg_catalog.pg_attrdef'::regclass AND l.objid = d.oid
     AND l.refclassid = 'pg_catalog.pg_class'::regclass LIMIT 1)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum";

/// See [`ConstraintRow`].
pub const CONSTRAINTS_QUERY: &str = "
SELECT c.relname::text, k.conname::text, k.contype::text,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place),
  CASE WHEN t.relnamespace = c.relnamespace THEN t.relname::text
    ELSE coalesce(tn.nspname || '.' || t.relname, '') END,
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(num, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place),
  k.confdeltype::text,
  k.convalidated AND NOT k.condeferrable AND k.confupdtype IN ('a', ' ') AND k.confmatchtype IN ('s', ' ')
    AND to_jsonb(k) ->> 'confdelsetcols' IS NULL
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE n.nspname = $1 AND k.contype IN ('p', 'f')
ORDER BY c.relname, k.conname";

/// See [`IndexRow`].
pub const INDEXES_QUERY: &str = "
SELECT c.relname::text, i.relname::text, x.indisunique,
  x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL AND m.amname = 'btree',
  EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype <> 'f'),
  ARRAY(SELECT coalesce(a.attname::text, '') FROM generate_series(0, x.indnkeyatts - 1) AS g(place)
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[g.place]
    ORDER BY g.place),
  ARRAY(SELECT (x.indoption[g.place] & 1) = 1 FROM generate_series(0, x.indnkeyatts - 1) AS g(place)
    ORDER BY g.place)
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = i.relam
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1
ORDER BY c.relname, i.relname";

/// Columns: name, start, increment.
pub const SEQUENCES_QUERY: &str = "
SELECT c.relname::text, s.seqstart, s.seqincrement
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1
ORDER BY c.relname";

/// The rows of all queries; the fields of each stand in the order of the query's columns.
#[derive(Debug, Clone, Default)]
pub struct CatalogRows {
    /// Whether [`SCHEMA_QUERY`] returned a row.
    pub schema_exists: bool,
    /// The rows of [`TABLES_QUERY`].
    pub tables: Vec<String>,
    /// The rows of [`COLUMNS_QUERY`].
    pub columns: Vec<ColumnRow>,
    /// The rows of [`CONSTRAINTS_QUERY`].
    pub constraints: Vec<ConstraintRow>,
    /// The rows of [`INDEXES_QUERY`].
    pub indexes: Vec<IndexRow>,
    /// The rows of [`SEQUENCES_QUERY`]: name, start, increment.
    pub sequences: Vec<(String, i64, i64)>,
}

/// A column, as [`COLUMNS_QUERY`] returns it.
#[derive(Debug, Clone)]
pub struct ColumnRow {
    /// The table's name.
    pub table: String,
    /// The column's name.
    pub name: String,
    /// The type, as `format_type` writes it.
    pub sql_type: String,
    /// Whether it may hold null.
    pub nullable: bool,
    /// The default's expression.
    pub default: Option<String>,
    /// The sequence that the default draws from.
    pub sequence: Option<String>,
}

/// A primary or foreign key, as [`CONSTRAINTS_QUERY`] returns it.
#[derive(Debug, Clone)]
pub struct ConstraintRow {
    /// The table's name.
    pub table: String,
    /// The constraint's name.
    pub name: String,
    /// `p` primary key, `f` foreign key.
    pub kind: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Of a foreign key: the table that it refers to, with its schema if that is another one.
    pub target_table: String,
    /// Of a foreign key: the columns that it refers to.
    pub target_columns: Vec<String>,
    /// `pg_constraint.confdeltype`.
    pub on_delete: String,
    /// See [`ForeignKey::plain`].
    pub plain: bool,
}

/// An index, as [`INDEXES_QUERY`] returns it.
#[derive(Debug, Clone)]
pub struct IndexRow {
    /// The table's name.
    pub table: String,
    /// The index's name.
    pub name: String,
    /// Whether it is unique.
    pub unique: bool,
    /// See [`Index::plain`].
    pub plain: bool,
    /// See [`Index::constraint`].
    pub constraint: bool,
    /// Empty strings for expressions.
    pub columns: Vec<String>,
    /// Whether each of its columns descends.
    pub descending: Vec<bool>,
}

/// The layout that these rows describe.
pub fn found(schema: &str, rows: CatalogRows) -> DatabaseLayout {
    let mut layout = DatabaseLayout {
        exists: rows.schema_exists,
        ..DatabaseLayout::empty(schema)
    };
    let mut places: HashMap<String, usize> = HashMap::new();
    for name in rows.tables {
        places.insert(name.clone(), layout.tables.len());
        layout.tables.push(Table {
            name,
            purpose: TablePurpose::Unknown,
            columns: Vec::new(),
            primary_key: Vec::new(),
            primary_key_name: None,
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
            ends: None,
        });
    }
    // Rows of other relations (partitions, an extension's tables) find no table and are ignored.
    let tables = &mut layout.tables;
    let table_at = |name: &str| places.get(name).copied();
    for row in rows.columns {
        let Some(at) = table_at(&row.table) else {
            continue;
        };
        let default = row.sequence.map(ColumnDefault::NextValue);
        let default = default.or(row.default.map(ColumnDefault::Expression));
        tables[at].columns.push(Column {
            name: row.name,
            sql_type: row.sql_type,
            nullable: row.nullable,
            default,
            fill: None,
        });
    }
    for row in rows.constraints {
        let Some(at) = table_at(&row.table) else {
            continue;
        };
        if row.kind == "p" {
            tables[at].primary_key = row.columns;
            tables[at].primary_key_name = Some(row.name);
        } else {
            tables[at].foreign_keys.push(ForeignKey {
                name: row.name,
                columns: row.columns,
                target_table: row.target_table,
                target_columns: row.target_columns,
                on_delete: on_delete(&row.on_delete),
                plain: row.plain,
            });
        }
    }
    for row in rows.indexes {
        let Some(at) = table_at(&row.table) else {
            continue;
        };
        let columns = row.columns.into_iter().zip(row.descending);
        tables[at].indexes.push(Index {
            name: row.name,
            columns: columns
                .map(|(name, descending)| IndexColumn { name, descending })
                .collect(),
            unique: row.unique,
            plain: row.plain,
            constraint: row.constraint,
        });
    }
    let sequences = rows.sequences.into_iter();
    layout.sequences = sequences
        .map(|(name, start, increment)| SequenceLayout {
            name,
            start,
            increment,
            owner: None,
        })
        .collect();
    layout
}

fn on_delete(code: &str) -> OnDelete {
    match code {
        "r" => OnDelete::Restrict,
        "c" => OnDelete::Cascade,
        "n" => OnDelete::SetNull,
        "d" => OnDelete::SetDefault,
        _ => OnDelete::NoAction,
    }
}

/// The relations whose tables have an id that the database does not make itself: older versions of
/// Prisma gave them one, and so may `@relationTable`. An insertion of a link there must make the
/// id.
pub fn links_with_required_id(model: &DataModel, found: &DatabaseLayout) -> HashSet<RelationId> {
    let relations = model.relations.iter().enumerate();
    relations
        .filter(|(_, relation)| requires_id(relation, found))
        .map(|(id, _)| RelationId(id))
        .collect()
}

fn requires_id(relation: &Relation, found: &DatabaseLayout) -> bool {
    let RelationStorage::Table {
        table, id_column, ..
    } = &relation.storage
    else {
        return false;
    };
    let id = found
        .table(table)
        .and_then(|t| t.column(id_column.as_deref().unwrap_or("id")));
    id.is_some_and(|id| !id.nullable && id.default.is_none())
}
