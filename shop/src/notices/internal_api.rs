//! Our own documents, asked of the API on behalf of the service.

use gom_actors::push::ComposeError;
use gom_engine::error::{ApiError, ErrorKind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::Instant;

use gom_server::graphql::{self, Answer, Api, Data, Request};
use gom_server::identity::Viewer;

pub(super) struct InternalApi {
    api: Api,
}

impl InternalApi {
    pub fn new(api: Api) -> Self {
        InternalApi { api }
    }

    /// Whether a document can be asked at all: the datamodel may be another.
    pub fn fits(&self, text: &str) -> bool {
        let engine = &self.api.engine;
        engine
            .requests
            .prepare(text, None, &engine.limits_of(&Viewer::Service).request)
            .is_ok()
    }

    /// How many rows are asked for at once: as many as are wanted and may be had.
    pub fn page(&self, wanted: usize) -> usize {
        let most = self.api.engine.limits_of(&Viewer::Service).page.page_size;
        most.and_then(|most| usize::try_from(most).ok())
            .map_or(wanted, |most| wanted.min(most))
            .max(1)
    }

    /// The answer to a document with all its variables. One that is absent or null is refused, by the document's own
    /// `!`: it never widens a filter.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        text: &str,
        variables: Value,
    ) -> Result<T, ComposeError> {
        let Value::Object(variables) = variables else {
            return Err(ComposeError::Never("variables are an object".into()));
        };
        let request = Request {
            text: text.to_owned(),
            variables,
            ..Request::default()
        };
        let deadline = Instant::now() + self.api.engine.limits_of(&Viewer::Service).deadline;
        let answer = graphql::execute(&self.api, request, Viewer::Service, false, deadline).await;
        let Some(Answer { data, errors, .. }) = answer else {
            return Err(ComposeError::Never(
                "our own document is no operation".into(),
            ));
        };
        if let Some(error) = errors.first() {
            return Err(failure(error));
        }
        let Data::Fields(fields) = data else {
            return Err(ComposeError::Never("our own document has no answer".into()));
        };
        let fault = |error: serde_json::Error| ComposeError::Never(error.to_string());
        let mut object = Map::new();
        for (key, fragment) in fields {
            object.insert(
                key,
                serde_json::from_slice(fragment.as_bytes()).map_err(fault)?,
            );
        }
        serde_json::from_value(Value::Object(object)).map_err(fault)
    }
}

fn failure(error: &ApiError) -> ComposeError {
    match error.kind {
        // What the document itself is at fault for stays so; a conflict or a full disk does not.
        ErrorKind::BadUserInput
        | ErrorKind::ValidationFailed
        | ErrorKind::ParseFailed
        | ErrorKind::Forbidden => ComposeError::Never(error.message.clone()),
        _ => ComposeError::Later(error.message.clone()),
    }
}
