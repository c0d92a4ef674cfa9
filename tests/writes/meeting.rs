//! A row that a mutation makes is there for what comes after it in the same mutation.

use serde_json::json;

use crate::{outcome, serve};

/// 6 of the engine: insertions that follow each other are one statement, which does not see its own rows.
#[actix_web::test]
async fn a_node_that_the_same_mutation_has_created_can_be_connected() {
    let app = serve(
        "type Order { id: ID! @id items: [Item] }
         type Item { id: ID! @id order: Order @relation(link: INLINE) category: Category @relation(link: INLINE) }
         type Category { id: ID! @id name: String! @unique items: [Item] }",
    )
    .await;
    for (first, second) in [
        (r#"name: "x""#, r#"name: "x""#),
        (r#"id: "own", name: "y""#, r#"id: "own""#),
    ] {
        let document = format!(
            "mutation {{ createOrder(data: {{ items: {{ create: [
                {{ category: {{ create: {{ {first} }} }} }}, {{ category: {{ connect: {{ {second} }} }} }}
             ] }} }}) {{ items {{ category {{ name }} }} }} }}"
        );
        let data = outcome(&app.ask(&document).await.body)
            .unwrap_or_else(|error| panic!("{document}: {error:?}"));
        let items = data["createOrder"]["items"].as_array().unwrap();
        assert_eq!(items.len(), 2);
        assert!(
            items[0]["category"] != json!(null) && items[0] == items[1],
            "{data}"
        );
    }
}
