//! Names of tables and columns as they stand in SQL, made once from the datamodel, and where the
//! links of each relation are found.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::text::quoted;
use crate::datamodel::{
    DataModel, FieldId, FieldKind, ModelId, RelationId, RelationRef, RelationStorage, ScalarType,
    Side,
};

/// The datamodel with its names quoted for SQL.
#[derive(Debug)]
pub struct Physical {
    /// The datamodel itself.
    pub model: DataModel,
    tables: Vec<String>,
    /// For each model and field the quoted column (for scalar lists and links in other tables:
    /// unused).
    columns: Vec<Vec<String>>,
    /// Per model and field, the qualified table of a scalar list.
    list_tables: Vec<Vec<Option<String>>>,
    links: Vec<LinkStorage>,
    schema: String,
    schema_name: String,
    logged: HashMap<String, Logged>,
    /// Relation tables made by old servers whose `id` column needs a value in each insertion. Set
    /// from the catalog, which may be read later than the datamodel.
    links_with_required_id: OnceLock<HashSet<RelationId>>,
    /// Whether there is a change log. Set from the catalog.
    has_log: OnceLock<bool>,
    /// The names of Gom's own tables that exist, quoted. Set from the catalog.
    system_tables: OnceLock<HashSet<String>>,
}

/// What the datamodel does not state about the database.
#[derive(Debug, Clone)]
pub struct PhysicalOptions {
    /// The PostgreSQL schema of the model's tables.
    pub schema: String,
}

impl PhysicalOptions {
    /// The options for tables in the schema of that name, unquoted.
    pub fn in_schema(schema: &str) -> Self {
        PhysicalOptions {
            schema: schema.to_owned(),
        }
    }
}

/// What a table of the datamodel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// The rows of a model.
    Nodes(ModelId),
    /// The links of a relation.
    Links(RelationId),
    /// The items of a scalar list.
    List(ModelId, FieldId),
}

#[derive(Debug)]
enum LinkStorage {
    Inline {
        side: Side,
        column: String,
    },
    Table {
        table: String,
        a: String,
        b: String,
        id: String,
    },
}

/// Where the link between a node and its partner is, seen from one end.
#[derive(Debug, Clone, Copy)]
pub enum LinkAt<'a> {
    /// In this end's own row: the quoted column.
    Own(&'a str),
    /// In the partner's row: the quoted column.
    Partner(&'a str),
    /// In a relation table: its qualified name, the quoted column with this end's ids, the one with
    /// the partner's, and the `id` column that old tables want filled.
    Table {
        /// The qualified table.
        table: &'a str,
        /// The column with this end's ids.
        own: &'a str,
        /// The column with the partner's ids.
        partner: &'a str,
        /// The `id` column, where the database makes no value for it.
        id: Option<&'a str>,
    },
}

impl Physical {
    /// Quotes the names of a checked datamodel.
    pub fn new(model: DataModel, options: &PhysicalOptions) -> Self {
        let schema = quoted(&options.schema);
        let qualified = |table: &str| format!("{schema}.{}", quoted(table));
        let tables = model.models.iter().map(|m| qualified(&m.table)).collect();
        let columns = model
            .models
            .iter()
            .map(|m| m.fields.iter().map(|f| quoted(&f.column)).collect())
            .collect();
        let list_tables = model
            .models
            .iter()
            .map(|m| {
                let table = |column: &str| qualified(&format!("{}_{column}", m.table));
                m.fields
                    .iter()
                    .map(|f| f.is_scalar_list().then(|| table(&f.column)))
                    .collect()
            })
            .collect();
        let links = model
            .relations
            .iter()
            .map(|r| match &r.storage {
                RelationStorage::Inline { side, column } => LinkStorage::Inline {
                    side: *side,
                    column: quoted(column),
                },
                RelationStorage::Table {
                    table,
                    a_column,
                    b_column,
                    id_column,
                } => LinkStorage::Table {
                    table: qualified(table),
                    a: quoted(a_column),
                    b: quoted(b_column),
                    id: quoted(id_column.as_deref().unwrap_or("id")),
                },
            })
            .collect();
        let (links_with_required_id, has_log) = (OnceLock::new(), OnceLock::new());
        let logged = logged(&model);
        Physical {
            schema_name: options.schema.clone(),
            tables,
            columns,
            list_tables,
            links,
            schema,
            logged,
            links_with_required_id,
            has_log,
            system_tables: OnceLock::new(),
            model,
        }
    }

    /// Sets, from the catalog, which relation tables need an id. Later calls have no effect.
    pub fn set_links_with_required_id(&self, relations: HashSet<RelationId>) {
        // A second call has read the same catalog.
        let _ = self.links_with_required_id.set(relations);
    }

    /// Sets, from the catalog, whether there is a change log: a database that is served as it
    /// stands may have none. Later calls have no effect.
    pub fn set_log(&self, has_log: bool) {
        // A second call has read the same catalog.
        let _ = self.has_log.set(has_log);
    }

    /// Whether there is a change log; true until [`Physical::set_log`] is called.
    pub fn has_log(&self) -> bool {
        self.has_log.get().copied().unwrap_or(true)
    }

    /// Sets, from the catalog, the names of Gom's own tables that exist, among them those of
    /// per-owner values. Later calls have no effect.
    pub fn set_system_tables(&self, names: &HashSet<String>) {
        // A second call has read the same catalog.
        let names = names.iter().map(|name| quoted(name)).collect();
        let _ = self.system_tables.set(names);
    }

    /// Whether a table of Gom's own exists, by its quoted name; true until
    /// [`Physical::set_system_tables`] is called.
    pub fn has_system_table(&self, name: &str) -> bool {
        self.system_tables
            .get()
            .is_none_or(|names| names.contains(name))
    }

    /// `"schema"."table"`
    pub fn table(&self, model: ModelId) -> &str {
        &self.tables[model.0]
    }

    /// What the table of that name (without the schema) holds.
    pub fn logged(&self, table: &str) -> Option<Logged> {
        self.logged.get(table).copied()
    }

    /// The name, without the schema, of the table in which a relation's links are; nothing where
    /// they are in a column.
    pub fn link_table(&self, relation: RelationId) -> &str {
        match &self.model.relation(relation).storage {
            RelationStorage::Table { table, .. } => table,
            RelationStorage::Inline { .. } => "",
        }
    }

    /// The schema's name as it is.
    pub fn schema_name(&self) -> &str {
        &self.schema_name
    }

    /// The quoted schema name.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The quoted column of a scalar or enum field.
    pub fn column(&self, model: ModelId, field: FieldId) -> &str {
        &self.columns[model.0][field.0]
    }

    /// The quoted primary key column.
    pub fn id(&self, model: ModelId) -> &str {
        self.column(model, self.model.model(model).id)
    }

    /// The qualified table of a scalar list field.
    pub fn list_table(&self, model: ModelId, field: FieldId) -> &str {
        self.list_tables[model.0][field.0]
            .as_deref()
            .unwrap_or_default()
    }

    /// The SQL type of a model's ids, to cast parameters whose type PostgreSQL cannot infer.
    pub fn id_type(&self, model: ModelId) -> &'static str {
        match self.model.model(model).id_field().kind {
            FieldKind::Scalar(ScalarType::Uuid) => "uuid",
            FieldKind::Scalar(ScalarType::Int) => "int",
            _ => "varchar",
        }
    }

    /// Where the links of a relation are, seen from the end of `side`.
    pub fn link_at(&self, relation: RelationId, side: Side) -> LinkAt<'_> {
        match &self.links[relation.0] {
            LinkStorage::Inline { side: at, column } if *at == side => LinkAt::Own(column),
            LinkStorage::Inline { column, .. } => LinkAt::Partner(column),
            LinkStorage::Table { table, a, b, id } => {
                let (own, partner) = if side == Side::A { (a, b) } else { (b, a) };
                let wants_id = self
                    .links_with_required_id
                    .get()
                    .is_some_and(|r| r.contains(&relation));
                LinkAt::Table {
                    table,
                    own,
                    partner,
                    id: wants_id.then_some(id.as_str()),
                }
            }
        }
    }

    /// Where the links of a relation field are.
    pub fn link(&self, relation: RelationRef) -> LinkAt<'_> {
        self.link_at(relation.relation, relation.side)
    }
}

fn logged(model: &DataModel) -> HashMap<String, Logged> {
    let mut tables = HashMap::new();
    for id in model.model_ids() {
        let of = model.model(id);
        tables.insert(of.table.clone(), Logged::Nodes(id));
        for field in of
            .field_ids()
            .filter(|field| of.field(*field).is_scalar_list())
        {
            tables.insert(of.list_table(of.field(field)), Logged::List(id, field));
        }
    }
    for (position, relation) in model.relations.iter().enumerate() {
        if let RelationStorage::Table { table, .. } = &relation.storage {
            tables.insert(table.clone(), Logged::Links(RelationId(position)));
        }
    }
    tables
}
