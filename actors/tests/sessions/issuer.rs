//! The issuer of the tests' tokens: slow, failing or panicking as a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use gom_actors::secret::SecretText;
use gom_actors::sessions::{
    RefreshFailure, Refreshed, Refresher, Renewed, SessionError, SessionId, Sessions,
};
use gom_test_support::eventually;

/// An issuer that counts how often it is asked.
#[derive(Clone, Default)]
pub struct Issuer {
    pub asked: Arc<AtomicUsize>,
    pub delay: Duration,
    pub keeps: bool,
    pub fails: Option<RefreshFailure>,
    pub panics: bool,
}

impl Issuer {
    pub fn slow(milliseconds: u64) -> Self {
        Issuer {
            delay: Duration::from_millis(milliseconds),
            ..Issuer::default()
        }
    }

    pub fn failing(failure: RefreshFailure) -> Self {
        Issuer {
            fails: Some(failure),
            ..Issuer::default()
        }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it has been asked for the first time.
    pub async fn is_asked(&self) {
        eventually("the issuer is asked", async || self.asked() > 0).await;
    }

    pub async fn refresh(
        &self,
        sessions: &Sessions,
        id: &SessionId,
        stale: &str,
    ) -> Result<Refreshed, SessionError> {
        sessions.refresh(id, stale, Box::new(self.clone())).await
    }
}

impl Refresher for Issuer {
    fn refresh(
        self: Box<Self>,
        token: String,
    ) -> BoxFuture<'static, Result<Renewed, RefreshFailure>> {
        async move {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(self.delay).await;
            assert!(!self.panics, "on purpose");
            match self.fails {
                Some(failure) => Err(failure),
                None => Ok(Renewed {
                    head: format!("head-{number}"),
                    signature: format!("signature-{number}"),
                    refresh_token: (!self.keeps).then(|| SecretText::new(format!("{token}+"))),
                }),
            }
        }
        .boxed()
    }
}
