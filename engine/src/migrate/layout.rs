//! The physical layout of a database schema, as wanted by a datamodel or as found in a catalog. Values only:
//! knows neither the datamodel language nor SQL.

/// What one PostgreSQL schema holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLayout {
    /// The schema's name, e.g. `default$default`.
    pub schema: String,
    /// Whether the schema is there at all; always true for a wanted layout.
    pub exists: bool,
    pub tables: Vec<Table>,
    pub sequences: Vec<SequenceLayout>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub purpose: TablePurpose,
    pub columns: Vec<Column>,
    /// Empty when the table has none.
    pub primary_key: Vec<String>,
    /// The primary key's constraint, in a found table that has one.
    pub primary_key_name: Option<String>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Without the primary key's own index in a wanted layout, with it in a found one.
    pub indexes: Vec<Index>,
    /// Of the links of a model with itself: the fields that lead from the node of each column to the other. Only in a wanted layout.
    pub ends: Option<[Option<String>; 2]>,
}

/// What a wanted table is for; a catalog does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablePurpose {
    Model,
    /// The links of a relation.
    Relation,
    /// The values of a scalar list.
    ScalarList,
    /// As found in the database.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// As PostgreSQL's `format_type` writes it: `character varying(25)`.
    pub sql_type: String,
    pub nullable: bool,
    /// The sequence that numbers the rows. In a found layout the default's text, whatever it is.
    pub default: Option<ColumnDefault>,
    /// What rows that are there already get when the column is added or becomes required: an SQL
    /// expression. Only in a wanted layout.
    pub fill: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnDefault {
    /// `nextval` of this sequence.
    NextValue(String),
    /// Any other expression, or an identity column.
    Expression(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub name: String,
    pub columns: Vec<String>,
    /// With its schema in front when that is another one.
    pub target_table: String,
    pub target_columns: Vec<String>,
    pub on_delete: OnDelete,
    /// Nothing else is special about it: it is checked at once and for all rows, and follows no change of the target's key.
    pub plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    pub columns: Vec<IndexColumn>,
    pub unique: bool,
    /// A valid B-tree over whole columns and all rows; anything else serves nobody here and is left alone.
    pub plain: bool,
    /// Whether a constraint owns it, so that it cannot be dropped by itself.
    pub constraint: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    pub name: String,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceLayout {
    pub name: String,
    pub start: i64,
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

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name == name)
    }
}

impl Table {
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
