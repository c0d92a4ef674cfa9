//! The physical layout of a database schema, as wanted by a datamodel or as found in a catalog.
//! Values only: knows neither the datamodel language nor SQL.

/// What one PostgreSQL schema holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLayout {
    /// The schema's name, e.g. `default$default`.
    pub schema: String,
    /// Whether the schema is there at all; always true for a wanted layout.
    pub exists: bool,
    /// The tables.
    pub tables: Vec<Table>,
    /// The sequences that number ids.
    pub sequences: Vec<SequenceLayout>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The name, unquoted and without its schema.
    pub name: String,
    /// What the table is for.
    pub purpose: TablePurpose,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// Empty when the table has none.
    pub primary_key: Vec<String>,
    /// The primary key's constraint, in a found table that has one.
    pub primary_key_name: Option<String>,
    /// The foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Without the primary key's own index in a wanted layout, with it in a found one.
    pub indexes: Vec<Index>,
    /// Of the links of a model with itself: the fields that lead from the node of each column to
    /// the other. Only in a wanted layout.
    pub ends: Option<[Option<String>; 2]>,
}

/// What a wanted table is for; a catalog does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablePurpose {
    /// The rows of a model.
    Model,
    /// The links of a relation.
    Relation,
    /// The values of a scalar list.
    ScalarList,
    /// As found in the database.
    Unknown,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name, unquoted.
    pub name: String,
    /// As PostgreSQL's `format_type` writes it: `character varying(25)`.
    pub sql_type: String,
    /// Whether it may hold null.
    pub nullable: bool,
    /// The sequence that numbers the rows. In a found layout the default's text, whatever it is.
    pub default: Option<ColumnDefault>,
    /// What rows that are there already get when the column is added or becomes required: an SQL
    /// expression. Only in a wanted layout.
    pub fill: Option<String>,
}

/// The value of a column that an insertion leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnDefault {
    /// `nextval` of this sequence.
    NextValue(String),
    /// Any other expression, or an identity column.
    Expression(String),
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The columns that refer.
    pub columns: Vec<String>,
    /// With its schema in front when that is another one.
    pub target_table: String,
    /// The columns that they refer to.
    pub target_columns: Vec<String>,
    /// What a deletion of the row that they refer to does.
    pub on_delete: OnDelete,
    /// Nothing else is special about it: it is checked at once and for all rows, and follows no
    /// change of the target's key.
    pub plain: bool,
}

/// `ON DELETE` of a foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion fails at the statement's end.
    NoAction,
    /// The deletion fails at once.
    Restrict,
    /// The referring row is deleted as well.
    Cascade,
    /// The referring columns become null.
    SetNull,
    /// The referring columns get their defaults.
    SetDefault,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The name, unquoted.
    pub name: String,
    /// The columns, in order.
    pub columns: Vec<IndexColumn>,
    /// Whether it is unique.
    pub unique: bool,
    /// A valid B-tree over whole columns and all rows; anything else serves no query of ours and is
    /// left alone.
    pub plain: bool,
    /// Whether a constraint owns it, so that it cannot be dropped by itself.
    pub constraint: bool,
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    /// The column's name.
    pub name: String,
    /// Whether it descends.
    pub descending: bool,
}

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceLayout {
    /// The name, unquoted.
    pub name: String,
    /// The first number.
    pub start: i64,
    /// The difference between numbers.
    pub increment: i64,
    /// Table and column that it numbers.
    pub owner: Option<(String, String)>,
}

impl DatabaseLayout {
    /// A schema without anything in it.
    pub fn empty(schema: &str) -> Self {
        DatabaseLayout {
            schema: schema.into(),
            exists: true,
            tables: Vec::new(),
            sequences: Vec::new(),
        }
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name == name)
    }
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

impl Index {
    /// The columns' names, for messages and comparisons.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }
}

impl OnDelete {
    /// As SQL writes it.
    pub fn sql(self) -> &'static str {
        match self {
            OnDelete::NoAction => "NO ACTION",
            OnDelete::Restrict => "RESTRICT",
            OnDelete::Cascade => "CASCADE",
            OnDelete::SetNull => "SET NULL",
            OnDelete::SetDefault => "SET DEFAULT",
        }
    }
}
