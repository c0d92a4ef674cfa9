//! What an application adds, and a server without one.

use actix_web::HttpResponse;
use gom_server::application::{Application, NoApplication};
use gom_server::graphql::Engine;
use gom_server::http::Endpoint;
use gom_server::http::openapi::{OperationObject, Tag};
use gom_server::identity::{ACCOUNTS, TokenKind};
use gom_server::server::Server;
use gom_server::settings::{Inputs, Purpose, load};
use gom_shop::Shop;
use serde_json::json;
use tempfile::NamedTempFile;

use gom_test_support::app::TestApp;

/// Jobs that are queued by a mutation which creates an order.
async fn jobs_of_an_order(application: &'static dyn Application) -> i64 {
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/config/datamodel.prisma");
    let app = TestApp::start_for(application, &[("datamodel.file", shop)]).await;
    let created = app
        .ask(
            r#"mutation { createOrder(data: {
                name: "One"
                issuedTo: { create: { uid: "c1", extUid: "c1", name1: "A", lastName1: "B", phone: "5512345678" } }
                assignedTo: { create: { extUid: "s1", business: "S" } }
                items: { create: [{ quantity: 1, description: "Flan" }] }
            }) { name } }"#,
        )
        .await;
    assert_eq!(
        created.body["data"]["createOrder"]["name"], "One",
        "{}",
        created.body
    );
    let client = app.database().connect().await;
    client
        .query_one("select count(*) from gom.job", &[])
        .await
        .unwrap()
        .get(0)
}

#[actix_web::test]
async fn a_server_without_an_application_serves_the_datamodel_and_queues_no_jobs() {
    assert_eq!(jobs_of_an_order(&NoApplication).await, 0);
    assert_eq!(
        jobs_of_an_order(&Shop).await,
        1,
        "the shop's orders are watched"
    );
}

#[actix_web::test]
async fn a_server_without_an_application_serves_any_datamodel_and_no_endpoint_of_the_shop() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "type Boat { id: ID! @id name: String! @unique crew: [Sailor] } type Sailor { id: ID! @id boat: Boat }",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let app = TestApp::start_for(&NoApplication, &[("datamodel.file", path)]).await;
    let created = app
        .ask(r#"mutation { createBoat(data: { name: "Ana", crew: { create: [{}, {}] } }) { name crew { id } } }"#)
        .await;
    assert_eq!(
        created.body["data"]["createBoat"]["name"], "Ana",
        "{}",
        created.body
    );
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let answer = client.get(format!("{}{path}", app.address)).send().await;
        answer.unwrap()
    };
    assert_eq!(get("/auth/bp?code=DemoCode01").await.status(), 404);
    let document = get("/openapi.json").await.text().await.unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["paths"]["/auth/bp"], json!(null));
    let grants = &document["components"]["schemas"]["Login"]["oneOf"];
    assert_eq!(grants.as_array().unwrap().len(), 1, "{grants}");
}

#[actix_web::test]
async fn without_an_application_a_datamodel_has_to_be_named() {
    let inputs = Inputs {
        purpose: Purpose::Tool,
        keys: &[],
        variables: [].into(),
        directory: None,
        arguments: Vec::new(),
    };
    let settings = load(&inputs).unwrap().settings;
    let error = match Server::build(settings, &NoApplication).await {
        Ok(_) => panic!("there is no datamodel"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("--datamodel (datamodel.file)"), "{error}");
}

/// An application whose endpoint is at a path of the server's.
struct Clashing;

impl Application for Clashing {
    fn endpoints(&self, _: &Engine) -> Vec<Endpoint> {
        let described = OperationObject::new(Tag::Server, "health", "Whether the club is open");
        vec![
            Endpoint::at("/club")
                .also_at("/healthz")
                .get(async || HttpResponse::Ok(), described),
        ]
    }
}

/// An application whose tokens are those of the server's accounts.
struct Impostor;

impl Application for Impostor {
    fn token_kinds(&self) -> &'static [TokenKind] {
        &[TokenKind {
            provider: ACCOUNTS,
            key_label: "club member v1",
            subject_prefix: "member:",
            subject_form: "member:ID",
            holder: "a member's",
            claims: &[],
            subject: |_| None,
        }]
    }
}

#[actix_web::test]
async fn a_server_whose_application_takes_what_is_the_servers_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let datamodel = folder.path().join("club.prisma");
    std::fs::write(&datamodel, "type Member { id: ID! @id }").unwrap();
    let arguments = [
        ("server.port", "0"),
        ("database.url", "postgres://nobody@127.0.0.1:1/none"),
        ("datamodel.file", datamodel.to_str().unwrap()),
        ("service.secret", "the test's service secret, long enough"),
    ];
    let inputs = Inputs {
        purpose: Purpose::Serve,
        keys: &[],
        variables: [].into(),
        directory: None,
        arguments: arguments
            .map(|(key, value)| (key, "the test", value.to_owned()))
            .to_vec(),
    };
    let settings = load(&inputs).unwrap().settings;
    let cases: [(&'static dyn Application, &str); 2] = [
        (&Clashing, "/healthz is served there"),
        (&Impostor, "another kind of tokens has that provider"),
    ];
    for (application, expected) in cases {
        let error = match Server::build(settings.clone(), application).await {
            Ok(_) => panic!("it starts, although {expected}"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "{error}");
    }
}
