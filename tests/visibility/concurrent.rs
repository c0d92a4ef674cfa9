//! Two who write and one who gives rows away, at the same time: what comes of it is what comes of the three one after the
//! other, in some order. The order is found by trying all of them, on the same rows.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gom_test_support::TestDatabase;
use serde_json::{Map, Value};
use tokio_postgres::Client;

use crate::first_seed;
use crate::server::Server;
use crate::sight::Person;
use gom_test_support::dice::Dice;

const ROWS: &str = include_str!("../fixtures/lab/rows.sql");
const ROUNDS: usize = 120;
const TABLES: [&str; 8] = [
    "User", "Team", "Player", "Cat", "Task", "Note", "Passport", "Person",
];

/// What a writer was answered, `None` if it was refused.
type Outcome = Option<Value>;

#[derive(Debug, Clone, PartialEq)]
struct Became {
    outcomes: [Outcome; 2],
    rows: String,
}

struct Lab {
    server: Server,
    client: Client,
}

impl Lab {
    async fn reset(&self) {
        let tables: Vec<String> = TABLES.iter().map(|table| format!("\"{table}\"")).collect();
        let clear = format!(
            "truncate {}, \"_TeamPlayers\", \"Task_tags\" cascade; {ROWS}",
            tables.join(", ")
        );
        self.client.batch_execute(&clear).await.unwrap();
    }

    /// All rows, as text.
    async fn rows(&self) -> String {
        let mut rows = String::new();
        for table in TABLES.iter().copied().chain(["_TeamPlayers", "Task_tags"]) {
            let all = format!(
                "select coalesce(string_agg(t::text, ' ' order by t::text), '') from \"{table}\" t"
            );
            let found: String = self.client.query_one(&all, &[]).await.unwrap().get(0);
            writeln!(rows, "{table}: {found}").unwrap();
        }
        rows
    }

    async fn write(&self, writer: &(Person, String)) -> Outcome {
        let answered = self
            .server
            .ask(&writer.0, writer.1.clone(), Map::new())
            .await;
        match answered.errors.first() {
            None => Some(answered.data),
            Some((code, _)) if code == "FORBIDDEN" || code == "GRAPHQL_EXECUTION_ERROR" => None,
            Some((code, _)) => panic!("{code}: {}", writer.1),
        }
    }

    /// The giver's transaction is open while the writers begin; it ends when one of them waits, or soon.
    async fn at_once(&self, giver: &Client, gift: &str, writers: &[(Person, String); 2]) -> Became {
        self.reset().await;
        giver
            .batch_execute(&format!("begin; {gift}"))
            .await
            .unwrap();
        let ends = async {
            let begun = Instant::now();
            let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            while begun.elapsed() < Duration::from_millis(40) {
                let waits: i64 = self.client.query_one(waiting, &[]).await.unwrap().get(0);
                if waits > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            giver.batch_execute("commit").await.unwrap();
        };
        let (first, second, ()) =
            tokio::join!(self.write(&writers[0]), self.write(&writers[1]), ends);
        Became {
            outcomes: [first, second],
            rows: self.rows().await,
        }
    }

    /// One after the other: 0 and 1 are the writers, 2 is the giver.
    async fn in_order(
        &self,
        order: [usize; 3],
        gift: &str,
        writers: &[(Person, String); 2],
    ) -> Became {
        self.reset().await;
        let mut outcomes = [None, None];
        for who in order {
            match writers.get(who) {
                Some(writer) => outcomes[who] = self.write(writer).await,
                None => self
                    .client
                    .batch_execute(&format!("begin; {gift}; commit"))
                    .await
                    .unwrap(),
            }
        }
        Became {
            outcomes,
            rows: self.rows().await,
        }
    }
}

/// A write of any kind, of rows that are the writer's and others'.
fn write(dice: &mut Dice, value: &str) -> String {
    let task = *dice.pick(&["kme", "kme", "kme2", "kyou"]);
    let other = *dice.pick(&["kme", "kme2", "kme2", "kyou"]);
    let player = *dice.pick(&["pme", "pyou"]);
    let note = *dice.pick(&["nme", "nme", "nyou"]);
    let at = |id: &str| format!(r#"{{id: "{id}"}}"#);
    let title = format!(r#"{{title: "{value}"}}"#);
    let of_task =
        |data: String| format!(r#"updateTask(where: {{id: "{task}"}}, data: {data}) {{ id }}"#);
    let of_team = |data: String| {
        format!(r#"updateTeam(where: {{id: "tme"}}, data: {{tasks: {data}}}) {{ id }}"#)
    };
    // What is found and then written by its id is what locks are for.
    let kind = if dice.chance(45) {
        dice.between(10, 17)
    } else {
        dice.below(24)
    };
    let document = match kind {
        0 => of_task(title),
        1 => of_task(format!(
            r#"{{title: "{value}", cat: {{connect: {{id: "cme"}}}}}}"#
        )),
        2 => of_task(format!("{{parent: {{connect: {}}}}}", at(other))),
        3 => of_task("{parent: {disconnect: true}}".into()),
        4 => of_task(format!("{{parts: {{connect: [{}]}}}}", at(other))),
        5 => of_task(format!("{{parts: {{set: [{}]}}}}", at(other))),
        6 => format!("deleteTask(where: {}) {{ id }}", at(task)),
        7 => format!(
            "updateManyTasks(where: {}, data: {title}) {{ count }}",
            at(task)
        ),
        8 => format!(
            r#"updateManyTasks(where: {}, data: {{title: "{value}", tags: {{set: ["{value}"]}}}}) {{ count }}"#,
            at(task)
        ),
        9 => format!("deleteManyTasks(where: {}) {{ count }}", at(task)),
        10 => of_team(format!(
            "{{update: [{{where: {}, data: {title}}}]}}",
            at(task)
        )),
        11 => of_team(format!(
            r#"{{upsert: [{{where: {}, update: {title}, create: {{id: "new{value}", owner: {{connect: {{id: "me"}}}}}}}}]}}"#,
            at(task)
        )),
        12 => of_team(format!("{{delete: [{}]}}", at(task))),
        13 => of_team(format!("{{connect: [{}]}}", at(task))),
        14 => of_team(format!("{{disconnect: [{}]}}", at(task))),
        15 => of_team(format!("{{set: [{}, {}]}}", at(task), at(other))),
        16 => of_team(format!(
            "{{updateMany: [{{where: {}, data: {title}}}]}}",
            at(task)
        )),
        17 => of_team(format!("{{deleteMany: [{}]}}", at(task))),
        18 => {
            let verb = *dice.pick(&["connect", "set"]);
            format!(
                r#"updateTeam(where: {{id: "tme"}}, data: {{players: {{{verb}: [{}]}}}}) {{ id }}"#,
                at(player)
            )
        }
        19 => format!(
            r#"updatePlayer(where: {}, data: {{team: {{connect: {{id: "tme"}}}}}}) {{ id }}"#,
            at(player)
        ),
        20 => format!(
            r#"updateNote(where: {}, data: {{text: "{value}"}}) {{ id }}"#,
            at(note)
        ),
        21 => format!(
            r#"updateManyNotes(where: {}, data: {{text: "{value}"}}) {{ count }}"#,
            at(note)
        ),
        22 => of_task(format!(
            r#"{{notes: {{update: [{{where: {}, data: {{text: "{value}"}}}}]}}}}"#,
            at(note)
        )),
        _ => {
            let verb = *dice.pick(&["connect", "set", "disconnect"]);
            format!(
                r#"updateCat(where: {{id: "cme"}}, data: {{tasks: {{{verb}: [{}]}}}}) {{ id }}"#,
                at(task)
            )
        }
    };
    format!("mutation {{ {document} }}")
}

/// Statements that give rows to somebody else, with what the new owner writes into them.
fn gift(dice: &mut Dice) -> String {
    let to = *dice.pick(&["you", "you", "you", "me"]);
    let task = *dice.pick(&["kme", "kme", "kme", "kme2", "kyou"]);
    match dice.below(9).saturating_sub(2) {
        0..=2 => format!(
            r#"update "Task" set "owner" = '{to}', "title" = 'given' where "id" = '{task}'"#
        ),
        3 => format!(
            r#"update "Task" set "owner" = '{to}' where "id" = '{task}'; update "Note" set "text" = 'given' where "task" = '{task}'"#
        ),
        4 => format!(r#"update "Team" set "owner" = '{to}', "name" = 'given' where "id" = 'tme'"#),
        5 => format!(r#"update "Player" set "owner" = '{to}' where "id" = 'pme'"#),
        _ => format!(r#"update "Note" set "task" = '{task}', "text" = 'given' where "id" = 'nme'"#),
    }
}

#[actix_web::test]
async fn the_outcome_of_concurrent_writes_equals_a_serial_one() {
    const ORDERS: [[usize; 3]; 6] = [
        [2, 0, 1],
        [2, 1, 0],
        [0, 2, 1],
        [1, 2, 0],
        [0, 1, 2],
        [1, 0, 2],
    ];
    let test = TestDatabase::create().await;
    let server = Server::start_lab(&test).await;
    let (client, giver) = (test.connect().await, test.connect().await);
    for client in [&client, &giver] {
        client
            .batch_execute(&format!("set search_path = \"{}\"", server.schema_name))
            .await
            .unwrap();
    }
    let lab = Lab { server, client };
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse::<usize>().ok());
    let rounds = asked.map_or(ROUNDS, |cases| cases / 3) as u64;
    let (first, mut done, mut late) = (first_seed(), 0, 0);
    for seed in first..first + rounds {
        let dice = &mut Dice::new(seed);
        let gift = gift(dice);
        let member = |sub: &str| Person {
            role: "member".into(),
            sub: sub.into(),
            seller: String::new(),
        };
        let second = *dice.pick(&["me", "me", "you"]);
        let writers = [
            (member("me"), write(dice, "a")),
            (member(second), write(dice, "b")),
        ];
        let became = lab.at_once(&giver, &gift, &writers).await;
        done += became.outcomes.iter().flatten().count();
        let mut others = Vec::new();
        for (tried, order) in ORDERS.into_iter().enumerate() {
            let serial = lab.in_order(order, &gift, &writers).await;
            if serial == became {
                late += usize::from(tried > 1);
                others.clear();
                break;
            }
            others.push((order, serial));
        }
        let shown: String = others
            .iter()
            .map(|(order, serial)| format!("{order:?}: {serial:#?}\n"))
            .collect();
        assert!(
            others.is_empty(),
            "seed {seed}\n{gift}\n{writers:#?}\nat once: {became:#?}\n{shown}"
        );
    }
    println!(
        "  {rounds} rounds: {done} of {} writes done, {late} rounds in which a write came first",
        rounds * 2
    );
    assert!(done as u64 * 3 > rounds, "most of them were refused");
}
