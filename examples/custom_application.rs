//! An application of the server: a club, with its own datamodel, a rule for its users' writes, and two endpoints: one for
//! everybody, and one for those who are logged in.
//!
//! `cargo run --example custom_application` serves it: every command of `gom` works as with any other application, on the
//! club's datamodel. `docs/adr/0040-an-application-is-registered.md` says why an application is registered in this way.

use std::process::ExitCode;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use gom_engine::datamodel::{DataModel, FieldId, ModelId};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Access, Planner, WriteHooks};
use gom_engine::request::{Selected, SelectedField, Value, Variables};
use gom_engine::schema::{InputMeaning, OutputMeaning, Schema};
use gom_server::application::Application;
use gom_server::datamodel::BuiltIn;
use gom_server::graphql::{self, Engine, Request, WriteRules};
use gom_server::http::openapi::{Caller, OperationObject, ResponseObject, Tag};
use gom_server::http::{
    Authenticated, Endpoint, Fields, JsonBody, MAX_JSON_BODY_BYTES, RestError, State,
};
use gom_server::identity::Viewer;
use gom_server::settings::Settings;
use serde_json::json;
use tokio::time::Instant;

/// The datamodel that is served where the settings name no other.
const DATAMODEL: &str = "
type Member {
  id: ID! @id
  name: String!
  joinedAt: DateTime! @createdAt
}
";

/// What its users may do: those with the role `host` read members and let new ones in.
const POLICY: &str = r#"
[operations.query]
members = "read:members"

[operations.mutation]
createMember = "create:member"

[roles.host]
permissions = ["role:host", "read:members", "create:member"]
rows = { Member = "{}" }
"#;

/// `extensions.code` of the error with which the rule refuses a write.
const ONE_LETTER_NAME: &str = "ONE_LETTER_NAME";

struct Club;

impl Application for Club {
    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn {
            datamodel: DATAMODEL,
            policy: POLICY,
        })
    }

    fn error_codes(&self) -> &'static [&'static str] {
        &[ONE_LETTER_NAME]
    }

    fn write_rules(
        &self,
        model: &DataModel,
        _: &Schema,
        _: &Settings,
    ) -> Option<Box<dyn WriteRules>> {
        // Another datamodel may be served: the rule is there only where it has something to judge.
        let member = model.model_named("Member")?;
        let name = model.model(member).field_named("name")?;
        Some(Box::new(LongNames { member, name }))
    }

    fn endpoints(&self, engine: &Engine) -> Vec<Endpoint> {
        let has_members = engine.planner.physical().model.model_named("Member");
        let handler = move |state: Data<State>| async move {
            match has_members {
                Some(_) => size(&state).await,
                None => Err(RestError::new(StatusCode::NOT_FOUND, "There is no club")),
            }
        };
        vec![
            Endpoint::at("/club/size").get(handler, describe()),
            Endpoint::at("/club/guests")
                .post(let_in, describe_let_in())
                .kept_from_caches(),
        ]
    }
}

/// Members have names of more than one letter.
#[derive(Debug)]
struct LongNames {
    member: ModelId,
    name: FieldId,
}

impl WriteRules for LongNames {
    fn needs_time(&self, _: &SelectedField) -> bool {
        false
    }

    fn amend(
        &self,
        planner: &Planner,
        field: &SelectedField,
        variables: &Variables,
        _: Access<'_>,
        _: Option<DateTime<Utc>>,
    ) -> Result<WriteHooks, ApiError> {
        if field.meaning != Selected::Field(OutputMeaning::Create(self.member)) {
            return Ok(WriteHooks::default());
        }
        let data = planner.argument(field, InputMeaning::Data, variables);
        match data
            .as_ref()
            .and_then(|data| data.entry(InputMeaning::Value(self.name)))
        {
            Some(Value::Text(name)) if name.chars().count() < 2 => Err(ApiError::new(
                ErrorKind::Application(ONE_LETTER_NAME),
                "A member's name has more than one letter",
            )),
            _ => Ok(WriteHooks::default()),
        }
    }
}

/// The endpoint, for `/openapi.json`.
fn describe() -> OperationObject {
    let body = json!({ "type": "object", "properties": { "members": { "type": "integer" } } });
    OperationObject::new(Tag::Server, "clubSize", "How many members the club has")
        .answer(ResponseObject::new(200, "The number.").json(body))
        .answer(ResponseObject::error(
            404,
            &["Not Found"],
            "There is no club.",
        ))
}

/// Answers by way of the API, on behalf of the service: no SQL, and the limits of any request.
async fn size(state: &State) -> Result<HttpResponse, RestError> {
    let request = Request {
        text: "{ membersConnection { aggregate { count } } }".to_owned(),
        ..Request::default()
    };
    let deadline = Instant::now() + state.limits.service.deadline;
    let answer = graphql::execute(&state.api, request, Viewer::Service, false, deadline).await;
    let fragment = match answer.map(|answer| answer.data) {
        Some(graphql::Data::Fields(fields)) => fields.into_iter().next(),
        _ => None,
    };
    let Some((_, fragment)) = fragment else {
        return Err(RestError::unavailable(
            "The members cannot be counted",
            None,
        ));
    };
    let connection: serde_json::Value =
        serde_json::from_slice(fragment.as_bytes()).map_err(|_| RestError::internal())?;
    Ok(HttpResponse::Ok().json(json!({ "members": connection["aggregate"]["count"] })))
}

/// For `/openapi.json`.
fn describe_let_in() -> OperationObject {
    let body = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    OperationObject::new(Tag::Server, "letIn", "Makes a guest a member")
        .by(&[Caller::SessionWithCsrf, Caller::Bearer])
        .body("The guest.", body)
        .answer(ResponseObject::new(201, "The guest is a member."))
        .small_body_errors(MAX_JSON_BODY_BYTES)
        .answer(ResponseObject::error(
            403,
            &["jwt_error", "Forbidden"],
            "Nobody is logged in, or not as a host.",
        ))
        .answer(ResponseObject::error(
            429,
            &["Too Many Requests"],
            "The user has too much in flight.",
        ))
        .answer(ResponseObject::error(
            503,
            &["Service Unavailable"],
            "Nothing was done; it may be repeated.",
        ))
}

/// The extractors refuse who is not logged in, pages of other sites, and bodies that are too large or no JSON; the API refuses
/// whom the policy does not permit to create members.
async fn let_in(
    Authenticated(viewer): Authenticated,
    JsonBody(body): JsonBody,
    state: Data<State>,
) -> Result<HttpResponse, RestError> {
    let mut fields = Fields::of(body);
    let name = fields.text("name", 100);
    fields.check()?;
    let request = Request {
        text: "mutation ($name: String!) { createMember(data: { name: $name }) { id } }".to_owned(),
        variables: [("name".to_owned(), name.into())].into_iter().collect(),
        ..Request::default()
    };
    let (_, limits) = state.limits_of(&viewer);
    let deadline = Instant::now() + limits.deadline;
    match graphql::execute(&state.api, request, viewer, false, deadline).await {
        Some(answer) if answer.errors.is_empty() => Ok(HttpResponse::Created().finish()),
        Some(answer) => Err(refused(answer.errors)),
        None => Err(RestError::internal()),
    }
}

/// What the API has refused, by the kind of the first error.
fn refused(errors: Vec<ApiError>) -> RestError {
    let Some(first) = errors.first() else {
        return RestError::internal();
    };
    let message = first.message.clone();
    match first.kind {
        ErrorKind::Forbidden => RestError::new(StatusCode::FORBIDDEN, message),
        ErrorKind::TooManyRequests => RestError::crowded(message),
        ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => {
            RestError::unavailable(message, None)
        }
        // It may have been written: nobody's fault but the server's, and not to be repeated blindly.
        ErrorKind::OutcomeUnknown => RestError::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        ErrorKind::Internal => RestError::internal(),
        _ => RestError::invalid(errors.into_iter().map(|error| error.message).collect()),
    }
}

fn main() -> ExitCode {
    gom::run(&Club)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use gom_server::server::Server;
    use gom_server::settings::{Inputs, Purpose, load};
    use gom_test_support::{TestDatabase, eventually};

    use super::*;

    #[test]
    fn what_the_api_refuses_is_answered_by_its_kind() {
        use actix_web::ResponseError;

        let status = |kind| {
            let error = refused(vec![ApiError::new(kind, "")]);
            error.status_code().as_u16()
        };
        for (kind, expected) in [
            (ErrorKind::Forbidden, 403),
            (ErrorKind::TooManyRequests, 429),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::DeadlineExceeded, 503),
            (ErrorKind::OutcomeUnknown, 500),
            (ErrorKind::Internal, 500),
            (ErrorKind::BadUserInput, 400),
            (ErrorKind::Application(ONE_LETTER_NAME), 400),
        ] {
            assert_eq!(status(kind), expected, "{kind:?}");
        }
    }

    #[actix_web::test]
    async fn the_club_is_served_with_its_endpoint() {
        let database = TestDatabase::create().await;
        let url = database.url();
        let arguments = [
            ("server.port", "0"),
            ("server.workers", "1"),
            ("database.url", &url),
            ("database.deploy", "true"),
            ("service.secret", "the test's service secret, long enough"),
        ];
        let inputs = Inputs {
            purpose: Purpose::Serve,
            keys: Club.settings(),
            variables: [].into(),
            directory: None,
            arguments: arguments
                .map(|(key, value)| (key, "the test", value.to_owned()))
                .to_vec(),
        };
        let settings = load(&inputs)
            .unwrap_or_else(|error| panic!("{error}"))
            .settings;
        let server = Server::build(settings, &Club).await.unwrap();
        let address = format!("http://{}", server.addresses()[0]);
        let token = server
            .tokens()
            .sign(SystemTime::now(), Duration::from_secs(600))
            .unwrap();
        actix_web::rt::spawn(server.run_until_stopped());
        let client = reqwest::Client::new();
        eventually("the club is counted", async || {
            let answer = client.get(format!("{address}/club/size")).send().await;
            let text = answer.unwrap().text().await.unwrap();
            text == r#"{"members":0}"#
        })
        .await;
        let let_in = async |token: Option<&str>, body: String| {
            let request = client
                .post(format!("{address}/club/guests"))
                .header("Content-Type", "application/json")
                .body(body);
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            request.send().await.unwrap().status().as_u16()
        };
        let ana = json!({ "name": "Ana" }).to_string();
        assert_eq!(let_in(None, ana.clone()).await, 403);
        assert_eq!(let_in(Some("none"), ana.clone()).await, 401);
        let long = json!({ "name": "x".repeat(MAX_JSON_BODY_BYTES) }).to_string();
        assert_eq!(let_in(Some(&token), long).await, 413);
        assert_eq!(let_in(Some(&token), "{}".to_owned()).await, 400);
        assert_eq!(let_in(Some(&token), ana).await, 201);
        let size = client.get(format!("{address}/club/size")).send().await;
        assert_eq!(size.unwrap().text().await.unwrap(), r#"{"members":1}"#);
        let described = client.get(format!("{address}/openapi.json")).send().await;
        assert!(
            described
                .unwrap()
                .text()
                .await
                .unwrap()
                .contains("/club/size")
        );
        let of_the_shop = client.get(format!("{address}/auth/bp?code=x")).send().await;
        assert_eq!(of_the_shop.unwrap().status(), 404);
    }
}
