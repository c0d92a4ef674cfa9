//! Datamodel changes on existing rows: what `gom migrate` reports for each, and whether a server with the previous datamodel keeps
//! working. Generates docs/MIGRATIONS.md.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod cases;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use cases::{BASE, CASES, Case};
use gom_test_support::app::TestApp;
use gom_test_support::eventually;
use serde_json::Value;

const PAGE: &str = "docs/MIGRATIONS.md";
/// The rows, written by the server.
const ROWS: &[&str] = &[
    r#"mutation { createUser(data: { id: "u1", name: "Ana" }) { id } }"#,
    r#"mutation { createUser(data: { id: "u2", name: "Bea" }) { id } }"#,
    r#"mutation { createOrder(data: { id: "o1", code: "1", title: "Tacos", stage: OPEN, amount: 1, price: 1.5, tags: { set: ["a"] }, user: { connect: { id: "u1" } } }) { id } }"#,
    r#"mutation { createOrder(data: { id: "o2", code: "2", title: "Tacos", stage: WON, amount: 2, price: 2, user: { connect: { id: "u1" } } }) { id } }"#,
    r#"mutation { createOrder(data: { id: "o3", code: "3", stage: OPEN, amount: 3 }) { id } }"#,
    r#"mutation { createNote(data: { id: "n1", text: "five" }) { id } }"#,
];
const READ: &str = "{ orders(orderBy: id_ASC) { id code title memo stage amount price tags user { name } } notes { text } }";
const CREATE: &str = r#"mutation { createOrder(data: { code: "9", title: "Flan", stage: WON, amount: 9, user: { connect: { id: "u2" } } }) { id } }"#;

/// A command's exit status, standard output and standard error.
struct Said(i32, String, String);

/// `gom migrate` on the server's database.
fn migrate(app: &TestApp, datamodel: &str, arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("datamodel.prisma"), datamodel).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gom"))
        .arg("migrate")
        .args(arguments)
        .args([
            "--datamodel",
            "datamodel.prisma",
            "--database-url",
            &app.database().url(),
        ])
        .current_dir(&folder)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said(
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

impl Said {
    /// Of a plan: how many steps, what they lose, and which rows do not fit.
    fn plan(&self) -> String {
        let Said(status, out, error) = self;
        let steps = out.lines().filter(|line| {
            line.trim_start().starts_with(|c: char| c.is_ascii_digit()) && line.contains(". ")
        });
        let mut parts = vec![match steps.count() {
            0 if out.contains("wants it") => "nothing to do".to_owned(),
            1 => "1 step".to_owned(),
            count => format!("{count} steps"),
        }];
        for line in out.lines().map(str::trim) {
            if let Some(loss) = line.strip_prefix("LOSES DATA: ") {
                parts.push(format!("loses data: {loss}"));
            } else if let Some(misfit) = line.strip_prefix("-  ") {
                parts.push(misfit.to_owned());
            }
        }
        if *status != 0 {
            parts.push(format!("exit status {status}"));
        }
        if !error.is_empty() && out.is_empty() {
            parts.push(error.trim().to_owned());
        }
        parts.join("; ")
    }

    fn applied(&self) -> &'static str {
        if self.0 == 0 {
            "applied"
        } else {
            "refused, nothing changed"
        }
    }
}

/// The answer, of one root field. On a busy machine the server may have no connection at first; then nothing was done, and this
/// tries again.
async fn ask(app: &TestApp, document: &str) -> Value {
    let mut body = Value::Null;
    eventually("the server has a connection", async || {
        body = app.ask(document).await.body;
        body["errors"][0]["extensions"]["code"] != "SERVICE_UNAVAILABLE"
    })
    .await;
    body
}

/// Whether the server with the previous datamodel keeps working.
async fn goes_on(app: &TestApp) -> String {
    let mut troubles = Vec::new();
    for (what, document) in [("reads", READ), ("creates", CREATE)] {
        let body = ask(app, document).await;
        if let Some(errors) = body.get("errors").and_then(Value::as_array) {
            let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
            let number = errors[0]["code"]
                .as_u64()
                .map(|number| format!(" {number}"))
                .unwrap_or_default();
            troubles.push(format!("{what} fail (`{code}`{number})"));
        }
    }
    if troubles.is_empty() {
        "keeps working".to_owned()
    } else {
        troubles.join(", ")
    }
}

async fn row(
    Case {
        change,
        edits,
        arguments,
    }: &Case,
) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(BASE.as_bytes()).unwrap();
    let app = TestApp::start_with(&[("datamodel.file", file.path().to_str().unwrap())]).await;
    for document in ROWS {
        let written = ask(&app, document).await;
        assert!(written.get("errors").is_none(), "{written}");
    }
    let mut after = BASE.to_owned();
    for (from, to) in *edits {
        assert!(after.contains(from), "{change}: {from}");
        after = after.replacen(from, to, 1);
    }
    let with = |first: &[&'static str]| [first, arguments].concat();
    let plan = migrate(&app, &after, &with(&["plan"]));
    let applied = migrate(&app, &after, &with(&["apply"]));
    assert_eq!(
        applied.2.contains("nothing was changed"),
        applied.0 != 0,
        "{change}: {}",
        applied.2
    );
    let forced = match applied.0 {
        0 => "",
        _ => migrate(&app, &after, &with(&["apply", "--allow-data-loss"])).applied(),
    };
    if applied.0 == 0 || forced == "applied" {
        let verified = migrate(&app, &after, &["verify"]);
        assert_eq!(verified.0, 0, "{change}: {} {}", verified.1, verified.2);
    }
    let text = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    format!(
        "| {change} | {} | {} | {forced} | {} |\n",
        text(&plan.plan()),
        applied.applied(),
        goes_on(&app).await
    )
}

#[actix_web::test]
async fn the_migrations_page_agrees_with_the_commands_and_a_running_server() {
    let mut page = format!(
        "# Datamodel changes on existing rows\n\n\
         For each change of a datamodel: what `gom migrate` reports and does, and whether a server with the previous datamodel keeps working afterwards. \
         Look up your change here before you deploy it. [OPERATIONS.md](OPERATIONS.md#change-a-datamodel-over-data) has the rules, \
         [ADR 34](adr/0034-deployments-over-data.md) the reasons.\n\n\
         A test generates this page from a real database (`UPDATE_EXPECT=1 cargo test --test changes` updates it). \
         The rows: two users, three orders (two with the same title, one without a title and a user) and one note. The previous datamodel:\n\n```graphql\n{}\n```\n\n\
         An empty cell under `--allow-data-loss` means that the change needs no permission.\n\n\
         | change | `plan` | `apply` | `apply --allow-data-loss` | server with the previous datamodel |\n|---|---|---|---|---|\n",
        BASE.trim()
    );
    for case in CASES {
        write!(page, "{}", row(case).await).unwrap();
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    expect_test::expect_file![path].assert_eq(&page);
}
