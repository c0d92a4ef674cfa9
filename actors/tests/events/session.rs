//! A connection on which statements are prepared and planned once, as on those of the hub: planning them each time takes several
//! times as long as running them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use gom_engine::plan::{Param, Statement};
use gom_test_support::TestDatabase;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{Client, Row};

/// Statements that are kept. Their plans take the database's memory.
const KEPT: usize = 200;

pub struct Session {
    client: Client,
    prepared: RefCell<HashMap<String, tokio_postgres::Statement>>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// A parameter as the server sends it: as text.
#[derive(Debug)]
struct Text<'a>(&'a str);

impl ToSql for Text<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

impl Session {
    pub async fn open(database: &TestDatabase) -> Session {
        let client = database.connect().await;
        let as_the_hub =
            "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set jit = off";
        client.batch_execute(as_the_hub).await.unwrap();
        Session {
            client,
            prepared: RefCell::default(),
        }
    }

    pub async fn rows(&self, statement: &Statement) -> Vec<Row> {
        let params: Vec<Text<'_>> = statement
            .params
            .iter()
            .map(|param| match param {
                Param::Text(text) => Text(text),
                other => panic!("{other:?}"),
            })
            .collect();
        let params: Vec<&(dyn ToSql + Sync)> = params
            .iter()
            .map(|param| param as &(dyn ToSql + Sync))
            .collect();
        let known = self.prepared.borrow().get(&statement.sql).cloned();
        let prepared = match known {
            Some(known) => known,
            None => {
                let prepared = self.client.prepare(&statement.sql).await;
                let prepared = prepared.unwrap_or_else(|error| failed(statement, &error));
                let mut kept = self.prepared.borrow_mut();
                if kept.len() >= KEPT {
                    kept.clear();
                }
                kept.insert(statement.sql.clone(), prepared.clone());
                prepared
            }
        };
        let rows = self.client.query(&prepared, &params).await;
        rows.unwrap_or_else(|error| failed(statement, &error))
    }
}

fn failed(statement: &Statement, error: &tokio_postgres::Error) -> ! {
    panic!("{error:?}\n{}\n{:?}", statement.sql, statement.params)
}
