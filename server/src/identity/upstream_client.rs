//! Asks servers elsewhere, and trusts them with little: an answer in time, of bounded size, from the address that
//! was asked.

use std::time::Duration;

use gom_telemetry::causes::with_causes;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode, Url};

use crate::settings::is_local;

/// A client for one address.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    client: reqwest::Client,
    url: Url,
    timeout: Duration,
    max_bytes: usize,
}

/// An answer, read to its end.
pub struct UpstreamAnswer {
    /// Any status: a redirection is not followed.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// No larger than the client takes.
    pub body: Vec<u8>,
}

impl UpstreamClient {
    /// `timeout` is for the whole answer.
    ///
    /// # Errors
    /// If the address is no URL, or the system's certificates cannot be read; in words.
    pub fn new(url: &str, timeout: Duration, max_bytes: usize) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
        let mut builder = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            // A request meant for one address is not sent to another.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("gom/", env!("CARGO_PKG_VERSION")));
        if is_local(&url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| with_causes(&error))?;
        Ok(UpstreamClient {
            client,
            url,
            timeout,
            max_bytes,
        })
    }

    /// The same for another address, which decides for itself whether a proxy may be asked.
    ///
    /// # Errors
    /// As [`UpstreamClient::new`].
    pub(super) fn at(&self, url: Url) -> Result<Self, String> {
        if is_local(&url) != is_local(&self.url) {
            return Self::new(url.as_str(), self.timeout, self.max_bytes);
        }
        Ok(UpstreamClient {
            url,
            ..self.clone()
        })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The body of an answer with the status 200.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn get_ok(&self) -> Result<Vec<u8>, String> {
        let answer = self.get().await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(format!("the answer is {status}")),
        }
    }

    /// Sends a GET request and reads the answer to its end.
    ///
    /// # Errors
    /// If there is no answer in time, or it is too large; in words, without anything of the request.
    pub async fn get(&self) -> Result<UpstreamAnswer, String> {
        self.send(self.client.get(self.url.clone())).await
    }

    pub(crate) async fn post_form(&self, form: &[(&str, &str)]) -> Result<UpstreamAnswer, String> {
        self.send(self.client.post(self.url.clone()).form(form))
            .await
    }

    /// # Errors
    /// In words, without anything of the request.
    async fn send(&self, request: RequestBuilder) -> Result<UpstreamAnswer, String> {
        let request = request.header(reqwest::header::ACCEPT, "application/json");
        let mut response = request
            .send()
            .await
            .map_err(|error| with_causes(&error.without_url()))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| with_causes(&error.without_url()))?
        {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(format!(
                    "the answer is longer than {} bytes",
                    self.max_bytes
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(UpstreamAnswer {
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    }
}
