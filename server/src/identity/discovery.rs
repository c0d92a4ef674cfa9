//! Where an issuer's keys are: at an address of the settings, or where its discovery document says (OpenID Connect Discovery 1.0).

use std::time::Duration;

use serde::Deserialize;

use super::issuer_keys::MAX_ANSWER_BYTES;
use super::upstream_client::UpstreamClient;
use crate::settings::{Issuer, url};

/// For each of the two answers.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys of an issuer are fetched.
pub enum KeySource {
    /// At the address of `jwks_url`.
    At(UpstreamClient),
    /// Where the issuer's discovery document says.
    Discovered {
        /// Whose document it must be.
        issuer: String,
        /// Fetches the document.
        document: UpstreamClient,
    },
}

/// What is read of a discovery document.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// The source that an entry of `auth.issuers` names.
    ///
    /// # Errors
    /// In words, if no client can be made.
    pub fn of(issuer: &Issuer) -> Result<Self, String> {
        let client = |url: &str| UpstreamClient::new(url, TIMEOUT, MAX_ANSWER_BYTES);
        if let Some(url) = &issuer.jwks_url {
            return client(url).map(KeySource::At);
        }
        let name = &issuer.issuer;
        let base = name.strip_suffix('/').unwrap_or(name);
        let document = client(&format!("{base}/.well-known/openid-configuration"))?;
        Ok(KeySource::Discovered {
            issuer: name.clone(),
            document,
        })
    }

    /// The text of the key set.
    ///
    /// # Errors
    /// In words.
    pub async fn fetch(&self) -> Result<Vec<u8>, String> {
        match self {
            KeySource::At(keys) => keys.get_ok().await,
            KeySource::Discovered { issuer, document } => {
                let text = document
                    .get_ok()
                    .await
                    .map_err(|reason| format!("the discovery document: {reason}"))?;
                let keys = keys_of(issuer, document, &text)?;
                keys.get_ok().await
            }
        }
    }
}

/// The document must be the issuer's own, and must not lead from https to http.
fn keys_of(issuer: &str, document: &UpstreamClient, text: &[u8]) -> Result<UpstreamClient, String> {
    let found: Document = serde_json::from_slice(text)
        .map_err(|error| format!("the answer is no discovery document: {error}"))?;
    if found.issuer != issuer {
        let other: String = found.issuer.chars().take(200).collect();
        return Err(format!(
            "the discovery document is of {other:?}: set `issuer` to that, to the letter, if it is the same issuer"
        ));
    }
    let address = url(&found.jwks_uri)
        .filter(|url| url.scheme() == "https" || document.url().scheme() == "http")
        .ok_or("the discovery document has no https URL as `jwks_uri`")?;
    document.at(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(document: &str, text: &str) -> Result<String, String> {
        let document = UpstreamClient::new(document, TIMEOUT, 1_024).unwrap();
        let issuer = "https://issuer.example/";
        keys_of(issuer, &document, text.as_bytes()).map(|keys| keys.url().to_string())
    }

    #[test]
    fn a_discovery_document_is_its_issuers_own_and_stays_with_https() {
        let of =
            |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        let (own, there) = ("https://issuer.example/", "https://keys.example/set");
        let remote = "https://issuer.example/.well-known/openid-configuration";
        let local = "http://127.0.0.1:1/.well-known/openid-configuration";
        assert_eq!(keys(remote, &of(own, there)).unwrap(), there);
        let error = keys(remote, &of("https://issuer.example", there)).unwrap_err();
        assert!(error.contains("to the letter"), "{error}");
        for plain in [
            "http://127.0.0.1/keys",
            "http://keys.example/set",
            "file:///keys",
            "",
        ] {
            assert!(keys(remote, &of(own, plain)).is_err(), "{plain}");
        }
        assert!(keys(local, &of(own, "http://127.0.0.1:1/keys")).is_ok());
        assert!(keys(remote, "<html>").is_err());
    }
}
