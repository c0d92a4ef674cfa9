//! docs/MIGRATING.md, followed to the letter on what Prisma 1 and the shop's earlier server leave, to its end and back.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_actors::push::VapidKeys;
use gom_test_support::{
    PushService, PushServiceOptions, Received, TestDatabase, TestRedis, eventually, free_port,
};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::document::{Command, commands};
use crate::left_behind::{
    AUTH, CODE, CUSTOMER, DEVICES, DUE, LATER, LONG_AGO, ORDER, P256DH, PHONE, PRIVATE, PROMOTION,
    SELLERS_ROW, WITHOUT_PARTNERS, datamodel, devices_of, everything, kept, leave_database,
    leave_redis, leave_session, names, order_by_prisma, service_token,
};
use crate::terminal::Terminal;
use crate::visitor::Visitor;

const SECRET: &str = "3d1c5a7e9b2f4d6880a1c3e5f7092b4d";
/// 16 characters, as the earlier server's description has it; and one that could stay.
const OLD_KEY: &str = "c2l4dGVlbiBjaGFy";
const KEY: &str = "7a0d2c4e6f8b1a3d5c7e9f0b2d4a6c8e";

/// A document, a command at a time.
struct Page {
    text: String,
    left: std::vec::IntoIter<Command>,
    terminal: Terminal,
}

impl Page {
    /// Runs the next command, which begins so, and gives it with its output.
    fn step(&mut self, begins: &str) -> (Command, String) {
        let command = self
            .left
            .next()
            .unwrap_or_else(|| panic!("the page ends before {begins}"));
        assert!(
            command.text.starts_with(begins),
            "line {}: {} is not {begins}",
            command.line,
            command.text
        );
        let said = self.terminal.run(&command);
        (command, said)
    }

    /// Types what the page leaves to its reader, and gives the output.
    fn type_in(&mut self, text: String) -> String {
        self.terminal.run(&Command {
            text,
            shown: None,
            line: 0,
        })
    }

    /// The statement of the page that begins so.
    fn statement(&self, begins: &str) -> &str {
        let statement = self
            .text
            .split("```sql\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        statement
            .into_iter()
            .find(|text| text.starts_with(begins))
            .expect("the page has the statement")
    }
}

/// Requests like those of Prisma's client libraries.
struct PrismaClient(String);

impl PrismaClient {
    async fn answer(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = Client::new()
            .post(format!("{}/my-shop/dev", self.0))
            .header(CONTENT_TYPE, "application/json");
        let answer = request
            .bearer_auth(service_token(SECRET))
            .body(body)
            .send()
            .await
            .unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        let answer = self.answer(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        answer["data"].clone()
    }

    async fn status(&self, publication: &str) -> Value {
        let query = "query($uid: ID) { publication(where: { uid: $uid }) { status } }";
        self.ask(query, json!({ "uid": publication })).await["publication"]["status"].clone()
    }
}

/// What a device shows of a message.
fn shown(request: &Received) -> Value {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let keys = ece::EcKeyComponents::new(bytes(PRIVATE), bytes(P256DH));
    serde_json::from_slice(&ece::decrypt(&keys, &bytes(AUTH), &request.body).unwrap()).unwrap()
}

/// The device's only message.
async fn received(service: &PushService, path: &str) -> Value {
    eventually(&format!("a message {path}"), async || {
        !service.received_at(path).is_empty()
    })
    .await;
    let all = service.received_at(path);
    assert_eq!(all.len(), 1, "{path}");
    shown(&all[0])
}

/// What Gom has made of Prisma's tables, which is what the page names.
fn is_what_the_page_names(before: &BTreeSet<String>, after: &BTreeSet<String>) {
    let publication = |line: &str| {
        let mut row: Value = serde_json::from_str(line.strip_prefix("row Publication ")?).ok()?;
        for changed in ["status", "updatedAt", "updatedBy"] {
            row[changed].take();
        }
        Some(row)
    };
    let list = |line: &str| line.contains("Promotion_tags") && line.contains("FOREIGN KEY");
    let gone: Vec<&String> = before.difference(after).collect();
    let new: Vec<&String> = after.difference(before).collect();
    for line in &gone {
        let settled = publication(line)
            .is_some_and(|row| [DUE, LONG_AGO].contains(&row["uid"].as_str().unwrap()));
        assert!(settled || list(line), "gone: {line}");
    }
    for line in &new {
        let kept = publication(line).is_some_and(|row| {
            gone.iter()
                .any(|line| publication(line).as_ref() == Some(&row))
        });
        let cascades = list(line) && line.ends_with("ON DELETE CASCADE");
        assert!(
            kept || cascades || line.starts_with("index ") || line.starts_with("trigger "),
            "new: {line}"
        );
    }
    assert!(
        gone.len() == 3 && new.iter().any(|line| line.starts_with("trigger ")),
        "{gone:?}\n{new:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_moving_from_prisma_leads_to_its_end_and_back() {
    there_and_back("default$default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_works_for_named_services_and_stages() {
    there_and_back("shop$dev").await;
}

async fn there_and_back(schema: &str) {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/MIGRATING.md")).unwrap();
    let database = TestDatabase::create().await;
    let (redis, service) = (
        TestRedis::start(),
        PushService::start_with(PushServiceOptions::default()),
    );
    let tables = database.connect().await;
    leave_database(&tables, schema).await;
    leave_redis(&redis, DEVICES.map(|(_, path)| service.endpoint(path)));
    let mut open_pages = [
        leave_session(&redis, OLD_KEY, "one"),
        leave_session(&redis, KEY, "two"),
    ];
    let left = names(&redis);
    let stands = kept(&redis, &left);

    let port = free_port();
    let address = format!("http://127.0.0.1:{port}");
    let terminal = Terminal::new(&[
        (crate::PLACEHOLDER_DATABASE, &database.url()),
        ("localhost:3000", &format!("127.0.0.1:{port}")),
        ("the secret that Prisma had", SECRET),
    ]);
    terminal.place("datamodel.prisma", &datamodel());
    terminal.place("policy.toml", include_str!("../../config/policy.toml"));
    let mut page = Page {
        left: commands(&text).into_iter(),
        text,
        terminal,
    };

    page.step("export GOM_ENV=production");
    if schema != "default$default" {
        page.type_in(format!("export GOM__DATABASE__SCHEMA='{schema}'"));
    }
    let vapid = VapidKeys::generate().unwrap();
    page.type_in(format!(
        "export APP_KEY={KEY} REDIS_HOST=127.0.0.1 REDIS_PORT={} GOM__AUTH__PROVIDER=accounts GOM__SERVER__PORT={port} \
         VAPID_SUBJECT=mailto:ops@gom.example VAPID_PUBLIC_KEY={} VAPID_PRIVATE_KEY={}",
        redis.port(),
        vapid.public_base64url(),
        vapid.private_base64url().unwrap(),
    ));
    // The push service of the test is on this machine.
    page.type_in(format!(
        "export GOM__PUSH__CA_FILE={} GOM__PUSH__INSIDE=127.0.0.0/8,::1/128 GOM__PUSH__ANY_PORT=true",
        service.ca_file().display()
    ));
    let before = everything(&tables).await;
    let (_, plan) = page.step("gom migrate plan");
    assert!(
        plan.contains(&format!("e.g. `{WITHOUT_PARTNERS}`")),
        "{plan}"
    );
    assert_eq!(everything(&tables).await, before, "a plan changes nothing");
    order_by_prisma(&tables, "ck000000000000meanwhile01").await;
    let before = everything(&tables).await;

    let (start, _) = page.step("gom serve --deploy");
    let (ready, _) = page.step("curl --fail");
    let client = PrismaClient(address.clone());
    eventually("what was due is settled", async || {
        client.status(DUE).await == "DELIVERED"
    })
    .await;
    eventually("what is too late is marked", async || {
        client.status(LONG_AGO).await == "FAILED"
    })
    .await;
    let job = "SELECT 1 FROM gom.job WHERE node = $1 AND due_at > now() + interval '1 hour'";
    eventually("the later one has a job for its time", async || {
        client.status(LATER).await == "WAITING"
            && tables.query(job, &[&LATER]).await.unwrap().len() == 1
    })
    .await;
    let [of_the_seller, of_the_customer] = DEVICES.map(|(_, path)| path);
    assert_eq!(
        received(&service, of_the_customer).await["data"],
        json!({ "type": "promotion", "uid": PROMOTION })
    );
    assert!(
        service.received_at(of_the_seller).is_empty(),
        "what was written before is no news"
    );
    is_what_the_page_names(&before, &everything(&tables).await);

    reads_and_writes(&client).await;
    let news = received(&service, of_the_seller).await;
    assert_eq!(
        news["data"],
        json!({ "type": "order", "uid": "ck0000000000000neworder01", "operation": "create" })
    );
    for visitor in &mut open_pages {
        logs_in_once_more(visitor, &address).await;
    }
    assert_eq!(
        kept(&redis, &left),
        stands,
        "nobody touches what the earlier server has left"
    );

    // What Prisma has left without its partners is served, and reported until it is gone.
    for (field, errors) in [("name", 0), ("issuedTo { uid }", 1)] {
        let query = format!("query($uid: ID) {{ order(where: {{ uid: $uid }}) {{ {field} }} }}");
        let answer = client
            .answer(&query, json!({ "uid": WITHOUT_PARTNERS }))
            .await;
        assert_eq!(
            answer["errors"].as_array().map_or(0, Vec::len),
            errors,
            "{answer}"
        );
    }
    for command in ["gom doctor", "gom migrate verify"] {
        let report = page.type_in(format!("if {command}; then false; fi"));
        assert!(
            report.contains(&format!("e.g. `{WITHOUT_PARTNERS}`")),
            "{command}: {report}"
        );
    }
    let delete = "mutation($uid: ID) { deleteOrder(where: { uid: $uid }) { name } }";
    let deleted = client.ask(delete, json!({ "uid": WITHOUT_PARTNERS })).await;
    assert_eq!(deleted, json!({ "deleteOrder": { "name": "Perdido" } }));
    page.step("gom doctor");
    page.step("gom migrate verify");
    assert!(
        page.left.next().is_none(),
        "every command of the page has been run"
    );

    // The way back.
    page.terminal.stop();
    assert_eq!(
        DEVICES.map(|(user, _)| devices_of(&redis, user)),
        [1, 0],
        "the seller's, not the customer's"
    );
    let after = everything(&tables).await;
    let shape = |all: &BTreeSet<String>| -> BTreeSet<String> {
        let named = |line: &&String| line.starts_with("column ") || line.starts_with("constraint ");
        all.iter()
            .filter(named)
            .filter(|line| !line.contains("Promotion_tags"))
            .cloned()
            .collect()
    };
    assert_eq!(
        shape(&before),
        shape(&after),
        "columns and keys are those that Prisma has made"
    );
    order_by_prisma(&tables, "ck0000000000000afterwards").await;
    let delete = r#"DELETE FROM "Order" WHERE "uid" = 'ck0000000000000neworder01'"#;
    assert_eq!(
        tables.execute(delete, &[]).await.unwrap(),
        1,
        "Prisma deletes what Gom has written"
    );
    let drop = page.statement("DROP SCHEMA gom").to_owned();
    tables.batch_execute(&drop).await.unwrap();
    assert!(
        !everything(&tables)
            .await
            .iter()
            .any(|line| line.starts_with("trigger "))
    );
    order_by_prisma(&tables, "ck000000000000untriggered").await;

    // And once more.
    page.terminal.run(&start);
    page.terminal.run(&ready);
    let waits = client.status(LATER).await;
    assert_eq!(waits, "WAITING");
    eventually("it has a job again", async || {
        tables.query(job, &[&LATER]).await.unwrap().len() == 1
    })
    .await;
    page.terminal.finish();
}

/// Rows of Prisma's are read through every kind of relation, and written.
async fn reads_and_writes(client: &PrismaClient) {
    let query = "query($order: ID, $promotion: ID, $code: ID) {
        order(where: { uid: $order }) { createdAt issuedTo { extUid customerOf { uid } } assignedTo { uid } items { quantity pricing { amount } } }
        promotion(where: { uid: $promotion }) { tags orders(orderBy: uid_ASC) { uid } }
        bp(where: { extUid: $code }) { uid } }";
    let read = client
        .ask(
            query,
            json!({ "order": ORDER, "promotion": PROMOTION, "code": CODE }),
        )
        .await;
    let expected = json!({
        "order": {
            "createdAt": "2019-10-03T10:00:00.000Z",
            "issuedTo": { "extUid": CODE, "customerOf": [{ "uid": SELLERS_ROW }] },
            "assignedTo": { "uid": SELLERS_ROW },
            "items": [{ "quantity": 2.5, "pricing": [{ "amount": 15.1 }] }],
        },
        "promotion": { "tags": ["dulce", "frío"], "orders": [{ "uid": ORDER }, { "uid": "ck000000000000meanwhile01" }] },
        "bp": { "uid": CUSTOMER },
    });
    assert_eq!(read, expected);

    let write = "mutation($order: OrderCreateInput!, $bp: BpCreateInput!, $promotion: ID) {
        createBp(data: $bp) { customerOf { uid } }
        updatePromotion(where: { uid: $promotion }, data: { tags: { set: [\"nuevo\"] } }) { tags }
        createOrder(data: $order) { promotions { uid } } }";
    let seller = json!({ "connect": { "uid": SELLERS_ROW } });
    let variables = json!({
        "promotion": PROMOTION,
        "bp": { "name1": "Eva", "customerOf": seller },
        "order": {
            "uid": "ck0000000000000neworder01", "name": "Después", "assignedTo": seller,
            "issuedTo": { "connect": { "uid": CUSTOMER } }, "promotions": { "connect": { "uid": PROMOTION } },
        },
    });
    let expected = json!({
        "createBp": { "customerOf": [{ "uid": SELLERS_ROW }] },
        "updatePromotion": { "tags": ["nuevo"] },
        "createOrder": { "promotions": [{ "uid": PROMOTION }] },
    });
    assert_eq!(client.ask(write, variables).await, expected);
}

/// A page with the earlier server's cookies is shown its login, whatever key signed them, and has no attempt counted against it.
async fn logs_in_once_more(visitor: &mut Visitor, address: &str) {
    let (status, body) = visitor.ask(address, "{ orders { uid } }").await;
    assert_eq!(
        (status, &body["error"]),
        (403, &json!("jwt_error")),
        "{body}"
    );
    let (status, _) = visitor
        .send(Method::GET, &format!("{address}/auth/logout"), None)
        .await;
    assert_eq!(
        (status, visitor.jar.len()),
        (204, 0),
        "no cookie is left: {visitor:?}"
    );
    let (status, body) = visitor.log_in(address, CODE, PHONE).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = visitor
        .ask(
            address,
            "{ orders(orderBy: createdAt_ASC, first: 1) { uid } }",
        )
        .await;
    assert_eq!(
        (status, &body["data"]),
        (200, &json!({ "orders": [{ "uid": ORDER }] })),
        "{body}"
    );
}
