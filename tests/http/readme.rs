//! The README's five minutes, as they stand there: each request is sent, and answered as shown.

use gom_test_support::TestDatabase;
use serde_json::Value;

use crate::app::TestApp;

const README: &str = include_str!("../../README.md");

/// Requests to the API and the answers shown for them.
fn exchanges() -> Vec<(String, Value)> {
    let blocks = README.split("```console\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks
        .filter_map(|block| {
            let (request, shown) = if let Some(rest) = block.strip_prefix("$ ask <<'X'\n") {
                rest.split_once("\nX\n")?
            } else {
                block.strip_prefix("$ echo '")?.split_once("' | ask\n")?
            };
            Some((request.to_owned(), serde_json::from_str(shown).expect("what is shown is JSON")))
        })
        .collect()
}

/// Leaves out what differs from run to run.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != "createdAt" && key != "requestId");
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

#[actix_web::test]
async fn the_first_five_minutes_are_as_shown() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let url = database.url();
    let app = TestApp::on(&url, Some(database), &[]).await;
    gom::seed::demo(&mut client, "default$default").await.unwrap();
    let exchanges = exchanges();
    assert_eq!(exchanges.len(), 4, "the README's exchanges are written in another way");
    for (request, mut shown) in exchanges {
        let mut answer = app.post(request).await.body;
        timeless(&mut answer);
        timeless(&mut shown);
        assert_eq!(answer, shown);
    }
}
