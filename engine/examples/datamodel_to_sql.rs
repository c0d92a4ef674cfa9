//! A datamodel and a query become SQL: prints the API that the datamodel gets, and the statement
//! that answers the query.
//!
//! `cargo run -p gom-engine --example datamodel_to_sql`

use std::error::Error;
use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::plan::{Access, PageLimits, Planner};
use gom_engine::request::{RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate, sdl};
use gom_engine::sql::{Param, Physical, PhysicalOptions, Statement};
use serde_json::{Map, Value, json};

const DATAMODEL: &str = "
type Author { id: ID! @id  name: String! @unique  books: [Book!] }
type Book { id: ID! @id  title: String!  author: Author! @relation(link: INLINE) }
";

const QUERY: &str = "
query Books($author: String!) {
  books(where: { author: { name: $author } }, orderBy: title_ASC, first: 10) {
    title
    author { name }
  }
}
";

fn main() -> Result<(), Box<dyn Error>> {
    let model = datamodel::parse("datamodel.prisma", DATAMODEL)?;
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    println!("# The API\n\n{}", sdl(&schema));

    let served = Served::new(&schema)?;
    let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
    let requests = Requests::new(
        Arc::clone(&schema),
        Box::new(validate),
        RequestOptions::default(),
    );
    let physical = Physical::new(model, &PhysicalOptions::in_schema("library"));
    let planner = Planner::new(Arc::new(physical), schema);

    let variables = json!({ "author": "Ursula K. Le Guin" });
    let variables = variables.as_object().cloned().unwrap_or_default();
    for statement in compile(&requests, &planner, QUERY, &variables)? {
        println!("# The statement\n\n{}\n", statement.sql);
        for (position, param) in statement.params.iter().enumerate() {
            match param {
                Param::Text(text) => println!("${} = {text:?}", position + 1),
                Param::Null => println!("${} = null", position + 1),
                // Only the programs of mutations use registers.
                Param::Register(register) => println!("${} = {register:?}", position + 1),
            }
        }
    }
    Ok(())
}

/// The statements that answer a query, one for each root field.
fn compile(
    requests: &Requests,
    planner: &Planner,
    query: &str,
    variables: &Map<String, Value>,
) -> Result<Vec<Statement>, Box<dyn Error>> {
    let prepared = requests
        .prepare(query, None, &RequestLimits::default())
        .map_err(|errors| {
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        })?;
    let variables = requests.coerce(&prepared.operation, variables)?;
    let statements = prepared
        .operation
        .fields
        .iter()
        .map(|field| planner.query(field, &variables, PageLimits::default(), Access::Full));
    Ok(statements.collect::<Result<_, _>>()?)
}
