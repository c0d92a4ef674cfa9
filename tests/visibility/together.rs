//! Equal live queries are answered together, and only these: counted, and compared with what each viewer is answered.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gom_engine::plan::{Param, Statement};
use gom_server::graphql::Running;
use gom_test_support::dice::Dice;
use gom_test_support::{TestDatabase, eventually};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::live::Screen;
use crate::server::{Policies, Server};
use crate::sight::Person;
use crate::{database, shops};

const QUERY: &str =
    "query @live { orders(where: { OR: [{ name: \"a\" }, { name_not: \"a\" }] }) { uid name } }";

struct Lab {
    test: TestDatabase,
    server: Server,
    client: Client,
    sellers: Vec<Person>,
}

impl Lab {
    /// A shop with orders of several sellers.
    async fn open() -> Lab {
        let test = TestDatabase::create().await;
        let server = Server::start(&test, Policies::Own).await;
        let client = test.connect().await;
        let rows = shops::shops(&server.model, &mut Dice::new(7));
        database::fill(&client, &server.schema_name, &rows).await;
        let path = format!("set search_path = \"{}\"", server.schema_name);
        client.batch_execute(&path).await.unwrap();
        let sellers = "select u.\"extUid\" from \"User\" u order by 1";
        let sellers = client.query(sellers, &[]).await.unwrap();
        let seller = |row: &tokio_postgres::Row| Person {
            role: "seller".into(),
            sub: row.get(0),
            seller: row.get(0),
        };
        let sellers: Vec<Person> = sellers.iter().map(seller).collect();
        assert!(sellers.len() > 1);
        Lab {
            test,
            server,
            client,
            sellers,
        }
    }

    /// One who has orders.
    async fn busy_seller(&self) -> Person {
        for seller in &self.sellers {
            let answer = self.answer(seller).await;
            if answer["orders"]
                .as_array()
                .is_some_and(|orders| !orders.is_empty())
            {
                return seller.clone();
            }
        }
        panic!("nobody has an order");
    }

    async fn show(&self, person: &Person) -> (Rc<Screen>, Running) {
        let screen = Rc::new(Screen::default());
        let (text, variables) = (QUERY.to_owned(), Map::new());
        let running = self
            .server
            .start_live(person, text, variables, screen.clone());
        let running = running.await;
        (screen, running)
    }

    async fn answer(&self, person: &Person) -> Value {
        let text = QUERY.replace(" @live", "");
        self.server.ask(person, text, Map::new()).await.data
    }

    async fn shows(&self, screens: &[(Rc<Screen>, Running)], person: &Person) {
        let expected = self.answer(person).await;
        let all = || screens.iter().all(|(screen, _)| screen.data() == expected);
        eventually(&format!("all show {expected}"), async || all()).await;
    }

    /// All orders have another name.
    async fn rename(&self, name: &str) {
        let changed = self
            .client
            .execute("update \"Order\" set name = $1", &[&name])
            .await
            .unwrap();
        assert!(changed > 0);
        self.server.wake();
    }

    fn classes(&self) -> usize {
        self.server.api.engine.live_cost().classes
    }

    fn evaluations(&self) -> u64 {
        self.server.api.engine.live_cost().evaluations
    }
}

#[actix_web::test]
async fn a_hundred_equal_live_queries_are_evaluated_once_for_each_change_and_not_after_the_last() {
    let lab = Lab::open().await;
    let seller = lab.busy_seller().await;
    let mut screens = Vec::new();
    for _ in 0..100 {
        screens.push(lab.show(&seller).await);
    }
    lab.shows(&screens, &seller).await;
    assert_eq!(lab.classes(), 1);
    let before = lab.evaluations();
    lab.rename("another").await;
    lab.shows(&screens, &seller).await;
    assert_eq!(lab.evaluations() - before, 1);

    drop(screens);
    eventually("nobody is left", async || lab.classes() == 0).await;
    let before = lab.evaluations();
    lab.rename("a third").await;
    // Somebody who comes later is answered, and woken by the change at most.
    let late = [lab.show(&seller).await];
    lab.shows(&late, &seller).await;
    assert!(lab.evaluations() - before <= 2);
    drop(lab.test);
}

#[actix_web::test]
async fn viewers_of_different_rights_share_no_answer_of_the_same_document() {
    let lab = Lab::open().await;
    let mut screens = Vec::new();
    for seller in &lab.sellers {
        screens.push((seller, [lab.show(seller).await]));
    }
    for (seller, screen) in &screens {
        lab.shows(screen, seller).await;
    }
    assert_eq!(lab.classes(), lab.sellers.len());
    lab.rename("another").await;
    for (seller, screen) in &screens {
        lab.shows(screen, seller).await;
    }
    drop(lab.test);
}

#[actix_web::test]
async fn the_first_answer_of_who_joins_a_class_has_all_that_was_committed_before() {
    let lab = Lab::open().await;
    let seller = lab.busy_seller().await;
    let first = [lab.show(&seller).await];
    lab.shows(&first, &seller).await;
    for round in 0..20 {
        let name = format!("round {round}");
        // The server has not noticed it yet.
        lab.client
            .execute("update \"Order\" set name = $1", &[&name])
            .await
            .unwrap();
        let (screen, _running) = lab.show(&seller).await;
        eventually("an answer", async || !screen.data().is_null()).await;
        assert_eq!(screen.first()["data"]["orders"][0]["name"], name.as_str());
    }
    assert_eq!(lab.classes(), 1);
    drop(lab.test);
}

#[actix_web::test]
async fn statements_of_one_text_are_read_by_one_statement_and_others_in_the_same_snapshot() {
    let lab = Lab::open().await;
    let database = lab.server.api.database.database();
    let reads = database.live_reads().await.unwrap();
    // The time of a statement, and that of its transaction.
    let of = |text: &str, n: usize| Statement {
        sql: format!("select {text} || $1 || ' ' || statement_timestamp() || '|' || now()"),
        params: vec![Param::Text(n.to_string())],
    };
    let mut statements: Vec<Statement> = (0..100).map(|n| of("'$1'", n)).collect();
    statements.push(of("'other'", 100));
    let deadline = Instant::now() + Duration::from_secs(30);
    let read = reads
        .read_together(Arc::from(statements), deadline)
        .await
        .unwrap();
    let texts: Vec<String> = read
        .into_iter()
        .map(|one| one.unwrap().unwrap().as_str().to_owned())
        .collect();
    let parts: Vec<(&str, (&str, &str))> = texts
        .iter()
        .map(|text| {
            let (name, times) = text.split_once(' ').unwrap();
            (name, times.split_once('|').unwrap())
        })
        .collect();
    for (n, (name, times)) in parts.iter().take(100).enumerate() {
        assert_eq!(*name, format!("$1{n}"));
        assert_eq!(*times, parts[0].1, "one statement for all");
    }
    let (name, (_, now)) = parts[100];
    assert_eq!((name, now), ("other100", parts[0].1.1), "one snapshot");

    // One that fails leaves the others their answers.
    let of = |sql: &str| Statement {
        sql: sql.to_owned(),
        params: vec![Param::Text("0".into())],
    };
    let statements = [of("select (1 / $1::int4)::text"), of("select $1::text")];
    let read = reads
        .read_together(Arc::from(statements), deadline)
        .await
        .unwrap();
    assert!(read[0].is_err());
    assert_eq!(read[1].as_ref().unwrap().as_ref().unwrap().as_str(), "0");
    drop(lab.test);
}
