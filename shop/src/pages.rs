//! The pages of the documentation are those of the server with the shop.

use std::collections::HashSet;
use std::sync::Arc;

use gom_server::application::Application;
use gom_server::graphql::{Engine, EngineOptions};
use gom_server::http::openapi::document_text;
use gom_server::settings::{Inputs, Purpose, Settings, documentation, load};
use serde_json::Value;

use super::{KEYS, Shop};

const SHOP: &dyn Application = &Shop;

/// The defaults.
fn settings() -> Settings {
    let inputs = Inputs {
        keys: KEYS,
        purpose: Purpose::Tool,
        variables: [].into(),
        directory: None,
        arguments: Vec::new(),
    };
    load(&inputs).expect("the defaults are settings").settings
}

/// The OpenAPI document of a server with the shop.
fn openapi() -> String {
    let settings = settings();
    let datamodel = SHOP
        .read_datamodel(&settings)
        .expect("the datamodel can be read");
    let engine = Engine::new(datamodel.model, &EngineOptions::of(&settings))
        .expect("the datamodel can be served");
    document_text(&SHOP.additions(&Arc::new(engine)))
}

fn check(page: &str, current: &str) {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    expect_test::expect_file![path].assert_eq(current);
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    check("openapi.json", &openapi());
}

#[test]
fn the_configuration_page_shows_every_key() {
    check("CONFIGURATION.md", &documentation(KEYS));
}

#[test]
fn references_of_the_document_lead_somewhere_and_operations_have_names_of_their_own() {
    fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get(key).and_then(Value::as_str));
                object.values().for_each(|value| texts(value, key, found));
            }
            Value::Array(items) => items.iter().for_each(|value| texts(value, key, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let (mut references, mut names) = (Vec::new(), Vec::new());
    texts(&document, "$ref", &mut references);
    texts(&document, "operationId", &mut names);
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    let mut seen = HashSet::new();
    assert!(names.len() > 10);
    for name in names {
        assert!(seen.insert(name), "{name}");
    }
}
