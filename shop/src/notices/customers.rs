//! The customers of a seller, some at a time. The database reads from the first customer for each page, wherever it begins, so
//! larger pages are read than are asked for, and what is left of them is kept for a moment.

use std::cell::RefCell;
use std::time::Duration;

use gom_actors::push::{ComposeError, MAX_RECIPIENTS};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::internal_api::InternalApi;

/// The customers of one seller, and of no other: a page of them, in the order of their ids.
pub(super) const QUERY: &str = "query NoticeCustomers($seller: ID!, $after: ID!, $first: Int!) {
    bps(where: { customerOf_some: { uid: $seller }, uid_gt: $after }, orderBy: uid_ASC, first: $first) {
        uid
    }
}";
/// Rows of a page.
const PAGE: usize = 10_000;
/// Who has left the seller meanwhile is named for so long at most.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Publications that are expanded in turn.
const KEPT: usize = 8;

#[derive(Default)]
pub(super) struct Customers {
    kept: RefCell<Vec<Rest>>,
}

/// What follows a customer.
struct Rest {
    seller: String,
    after: String,
    uids: std::vec::IntoIter<String>,
    /// There may be others behind them.
    more: bool,
    read_at: Instant,
}

impl Customers {
    /// The ids of those that follow one, [`MAX_RECIPIENTS`] at most, and the last of them if there may be more.
    pub async fn after(
        &self,
        api: &InternalApi,
        seller: &str,
        after: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), ComposeError> {
        let after = after.unwrap_or_default();
        let mut rest = match self.take(seller, after) {
            Some(rest) => rest,
            None => read(api, seller, after).await?,
        };
        let uids: Vec<String> = rest.uids.by_ref().take(MAX_RECIPIENTS).collect();
        let left = rest.uids.len() > 0;
        let next = uids.last().cloned().filter(|_| left || rest.more);
        if let Some(last) = next.clone().filter(|_| left) {
            let mut kept = self.kept.borrow_mut();
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push(Rest {
                after: last,
                ..rest
            });
        }
        Ok((uids, next))
    }

    fn take(&self, seller: &str, after: &str) -> Option<Rest> {
        let mut kept = self.kept.borrow_mut();
        kept.retain(|rest| rest.read_at.elapsed() < KEPT_FOR);
        let found = kept
            .iter()
            .position(|rest| rest.seller == seller && rest.after == after)?;
        Some(kept.remove(found))
    }
}

async fn read(api: &InternalApi, seller: &str, after: &str) -> Result<Rest, ComposeError> {
    #[derive(Deserialize)]
    struct Answer {
        bps: Vec<Customer>,
    }
    #[derive(Deserialize)]
    struct Customer {
        uid: String,
    }
    let first = api.page(PAGE);
    let read_at = Instant::now();
    let page: Answer = api
        .ask(
            QUERY,
            json!({ "seller": seller, "after": after, "first": first }),
        )
        .await?;
    let more = page.bps.len() >= first;
    let uids: Vec<String> = page.bps.into_iter().map(|customer| customer.uid).collect();
    Ok(Rest {
        seller: seller.to_owned(),
        after: after.to_owned(),
        uids: uids.into_iter(),
        more,
        read_at,
    })
}
