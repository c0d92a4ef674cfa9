//! Nested writes against a real database: every kind of relation, wherever its link is stored, from every
//! state that it allows, and the combinations of writes that such a table does not reach.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod combinations;
mod deletions;
mod matrix;
mod meeting;
mod owner_checks;
mod relations;

use std::io::Write as _;

use gom_test_support::app::TestApp;
use serde_json::Value;

/// A server for this datamodel, with a database of its own.
async fn serve(datamodel: &str) -> TestApp {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(datamodel.as_bytes()).unwrap();
    TestApp::start_with(&[("datamodel.file", file.path().to_str().unwrap())]).await
}

/// The code and the message of the only error, without a code 0; the data if there is no error.
fn outcome(body: &Value) -> Result<Value, (i64, String)> {
    match body.get("errors").and_then(Value::as_array) {
        None => Ok(body["data"].clone()),
        Some(errors) => {
            assert_eq!(errors.len(), 1, "{body}");
            let message = errors[0]["message"].as_str().unwrap().to_owned();
            Err((errors[0]["code"].as_i64().unwrap_or_default(), message))
        }
    }
}
