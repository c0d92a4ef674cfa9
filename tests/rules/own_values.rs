//! Values of which each owner has its own, on models whose ids are no text.

use serde_json::json;

use gom_test_support::demo_shop::{Shop, holder};

const DATAMODEL: &str = r#"
type Seller { id: UUID! @id subject: String! @unique }
type Thing { id: UUID! @id code: String seller: Seller @relation(name: "ThingSeller", link: INLINE) }
type Ticket { id: Int! @id code: String thing: Thing @relation(name: "TicketThing", link: INLINE) }
"#;

const POLICY: &str = r#"
[operations.query]
things = "do:it"
tickets = "do:it"
[operations.mutation]
updateTicket = "do:it"
[roles.seller]
permissions = ["role:seller", "do:it"]
[roles.seller.rows]
Seller = "{}"
Thing = "{}"
Ticket = "{}"
[roles.seller.shown]
"Ticket.code" = "{ thing: { seller: { subject: $sub } } }"
[roles.seller.own_values]
"Thing.code" = { table = "customer_login", value = "code", node = "customer", owner = "seller", of = "Seller", is = "{ subject: $sub }" }
"Ticket.code" = { table = "customer_login", value = "code", node = "customer", owner = "seller", of = "Seller", is = "{ subject: $sub }" }
"#;

#[actix::test]
async fn each_owner_reads_its_own_value_of_nodes_whatever_type_their_ids_have() {
    let shop = Shop::open_other(DATAMODEL, POLICY).await;
    let [me, you] = [
        "11111111-aaaa-4aaa-8aaa-111111111111",
        "22222222-bbbb-4bbb-8bbb-222222222222",
    ];
    let thing = "33333333-cccc-4ccc-8ccc-333333333333";
    let rows = format!(
        r#"insert into "Seller" ("id", "subject") values ('{me}', 'me'), ('{you}', 'you');
           insert into "Thing" ("id", "code", "seller") values ('{thing}', 'column', '{me}');
           insert into "Ticket" ("id", "code", "thing") values (7, 'column', '{thing}');
           insert into gom.customer_login (schema_name, customer, seller, code)
           select current_schema(), node, seller, code from (values
             ('{thing}', '{me}', 'mine'), ('{thing}', '{you}', 'yours'), ('7', '{me}', 'seven'), ('7', '{you}', '7')
           ) v (node, seller, code)"#
    );
    shop.tables.batch_execute(&rows).await.unwrap();
    for (subject, of_thing, of_ticket) in [("me", "mine", Some("seven")), ("you", "yours", None)] {
        let viewer = holder(subject, vec!["role:seller".into(), "do:it".into()]);
        let text = "{ things { id code } tickets { id code thing { code } } }";
        let expected = json!({
            "things": [{ "id": thing, "code": of_thing }],
            "tickets": [{ "id": 7, "code": of_ticket, "thing": { "code": of_thing } }],
        });
        assert_eq!(shop.read(&viewer, text).await, expected);
        // By filters, and in the answers to writes.
        let text = r#"{ things(where: {code_in: ["mine", "column"]}) { id } tickets(where: {thing: {code: "yours"}}) { id } }"#;
        let found = shop.read(&viewer, text).await;
        let count = |field: &str| found[field].as_array().unwrap().len();
        assert_eq!(
            (count("things"), count("tickets")),
            if subject == "me" { (1, 0) } else { (0, 1) }
        );
        let text = "mutation { updateTicket(where: {id: 7}, data: {}) { code } }";
        assert_eq!(
            shop.read(&viewer, text).await["updateTicket"]["code"],
            json!(of_ticket)
        );
    }
}

#[actix::test]
async fn there_are_no_own_values_in_a_database_without_the_table_of_the_policy() {
    let tables = r#"
        create table "Seller" ("id" uuid primary key, "subject" text not null unique);
        create table "Thing" ("id" uuid primary key, "code" text not null, "seller" uuid references "Seller");
        create table "Ticket" ("id" int primary key, "code" text not null, "thing" uuid references "Thing");
        insert into "Thing" ("id", "code") values ('33333333-cccc-4ccc-8ccc-333333333333', 'column')"#;
    let shop = Shop::open_as_it_is(DATAMODEL, POLICY, tables).await;
    let viewer = holder("me", vec!["role:seller".into(), "do:it".into()]);
    let expected = json!({ "things": [{ "code": null }] });
    assert_eq!(shop.read(&viewer, "{ things { code } }").await, expected);
}
