//! Who is notified of what: of an order to the other party, of a publication to the seller's customers. Everything is read
//! through the API itself, on behalf of the service.

mod customers;
mod internal_api;
mod plain_text;
mod texts;

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use gom_actors::push::{ComposeError, Composed, Composer, Job, Notice, Settled};
use serde::Deserialize;
use serde_json::json;

use crate::settings::NoticeOptions;
use crate::subject::customer_subject;
use crate::watched::{ORDER, PUBLICATION};
use customers::Customers;
use gom_server::graphql::Api;
use internal_api::InternalApi;
use plain_text::plain_text;
use texts::Texts;

/// A publication that could not be sent for so long since its time is not sent any more (there were no keys, or no server):
/// it has failed.
const MAX_LATENESS: Duration = Duration::from_secs(24 * 60 * 60);
/// Of a promotion's content, in characters: no device is sent more than about 3,000 bytes.
const BODY_CHARACTERS: usize = 4_000;
/// Bytes of a topic's digest: 32 characters of base64url, which is the most that a topic may have.
const TOPIC_BYTES: usize = 24;

/// The order with both parties. They are asked for by lists, which may be empty, so that an order whose customer or
/// seller is gone is no error.
const ORDER_QUERY: &str = "query NoticeOrder($uid: ID!) {
    order(where: { uid: $uid }) { name }
    customers: bps(where: { orders_some: { uid: $uid } }) { uid }
    sellers: users(where: { orders_some: { uid: $uid } }) { extUid }
}";
const PUBLICATION_QUERY: &str = "query NoticePublication($uid: ID!) {
    publication(where: { uid: $uid }) { status delay publishAt createdAt }
    promotions(where: { publications_some: { uid: $uid } }) { uid name content }
    sellers: users(where: { promotions_some: { publications_some: { uid: $uid } } }) { uid extUid }
}";
/// A publication that is settled already stays as it is.
const SETTLE: &str = "mutation SettlePublication($uid: ID!, $status: PublicationStatus!, $by: String!) {
    updateManyPublications(where: { uid: $uid, status: WAITING }, data: { status: $status, updatedBy: $by }) { count }
}";

/// Composes the shop's notices. Belongs to one thread, like its [`Api`].
pub struct Notices {
    api: InternalApi,
    customers: Customers,
    texts: &'static Texts,
    options: NoticeOptions,
}

impl Notices {
    /// Nothing, if the datamodel is not the shop's.
    pub fn new(api: Api, options: NoticeOptions) -> Option<Self> {
        let api = InternalApi::new(api);
        let all = [ORDER_QUERY, PUBLICATION_QUERY, customers::QUERY, SETTLE];
        all.iter().all(|text| api.fits(text)).then_some(Notices {
            api,
            customers: Customers::default(),
            texts: Texts::of(options.language),
            options,
        })
    }

    async fn of_order(&self, job: &Job) -> Result<Composed, ComposeError> {
        #[derive(Deserialize)]
        struct Answer {
            order: Option<Order>,
            customers: Vec<Customer>,
            sellers: Vec<Seller>,
        }
        #[derive(Deserialize)]
        struct Order {
            name: String,
        }
        let answer: Answer = self
            .api
            .ask(ORDER_QUERY, json!({ "uid": job.node }))
            .await?;
        let Some(order) = answer.order else {
            return Ok(Composed::Nothing);
        };
        // Without its seller's name there is no shop where its customer could be logged in.
        let seller = answer.sellers.into_iter().find_map(|seller| seller.ext_uid);
        let customers = answer.customers.into_iter();
        let parties = seller.into_iter().flat_map(|seller| {
            let subjects = customers
                .clone()
                .map(|customer| customer_subject(&customer.uid, &seller));
            subjects.chain([seller.clone()]).collect::<Vec<_>>()
        });
        // The writer is not notified; of what neither of them wrote, both are.
        let recipients: Vec<String> = parties
            .filter(|party| Some(party.as_str()) != job.writer.as_deref())
            .collect();
        if recipients.is_empty() {
            return Ok(Composed::Nothing);
        }
        let (operation, text) = if job.created {
            ("create", &self.texts.order_created)
        } else {
            ("update", &self.texts.order_updated)
        };
        Ok(Composed::Notify(Notice {
            kind: ORDER.to_owned(),
            operation: Some(operation.to_owned()),
            title: text.title.to_owned(),
            body: text.body.replace(texts::NAME, &order.name),
            recipients,
            next: None,
            ttl: self.options.orders.time_to_live,
            urgency: self.options.orders.urgency,
            topic: Some(topic(&job.node, operation)),
            node: job.node.clone(),
        }))
    }

    async fn of_publication(
        &self,
        job: &Job,
        after: Option<&str>,
    ) -> Result<Composed, ComposeError> {
        #[derive(Deserialize)]
        struct Answer {
            publication: Option<Publication>,
            promotions: Vec<Promotion>,
            sellers: Vec<Publisher>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Publisher {
            uid: String,
            ext_uid: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Publication {
            status: Option<String>,
            delay: Option<i64>,
            publish_at: Option<DateTime<Utc>>,
            created_at: DateTime<Utc>,
        }
        #[derive(Deserialize)]
        struct Promotion {
            uid: String,
            name: String,
            content: Option<String>,
        }
        let answer: Answer = self
            .api
            .ask(PUBLICATION_QUERY, json!({ "uid": job.node }))
            .await?;
        let (Some(publication), Some(promotion)) =
            (answer.publication, answer.promotions.into_iter().next())
        else {
            return Ok(Composed::Nothing);
        };
        if publication.status.as_deref() != Some("WAITING") {
            return Ok(Composed::Nothing);
        }
        // Users' publications have the time; what the service wrote may lack it.
        let publish_at = publication.publish_at.unwrap_or_else(|| {
            let delay =
                chrono::Duration::milliseconds(publication.delay.unwrap_or_default().max(0));
            publication.created_at + delay
        });
        let publish_at = SystemTime::from(publish_at);
        if publish_at > job.now {
            return Ok(Composed::Later(publish_at));
        }
        if after.is_none() && publish_at.max(job.queued_at) + MAX_LATENESS < job.now {
            return Ok(Composed::TooLate);
        }
        let named = |seller: Publisher| Some((seller.uid, seller.ext_uid?));
        let Some((seller, subject)) = answer.sellers.into_iter().find_map(named) else {
            return Ok(Composed::Nothing);
        };
        let (customers, next) = self.customers.after(&self.api, &seller, after).await?;
        let recipients = customers
            .iter()
            .map(|uid| customer_subject(uid, &subject))
            .collect();
        Ok(Composed::Notify(Notice {
            kind: "promotion".to_owned(),
            node: promotion.uid,
            operation: None,
            title: promotion.name,
            body: plain_text(
                promotion.content.as_deref().unwrap_or_default(),
                BODY_CHARACTERS,
            ),
            recipients,
            next,
            ttl: self.options.promotions.time_to_live,
            urgency: self.options.promotions.urgency,
            topic: None,
        }))
    }

    async fn settle_publication(
        &self,
        uid: &str,
        failed: bool,
        by: &str,
    ) -> Result<(), ComposeError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(rename = "updateManyPublications")]
            _settled: serde::de::IgnoredAny,
        }
        let variables = json!({
            "uid": uid,
            "status": if failed { "FAILED" } else { "DELIVERED" },
            "by": format!("job:{by}"),
        });
        let _: Answer = self.api.ask(SETTLE, variables).await?;
        Ok(())
    }
}

#[derive(Deserialize, Clone)]
struct Customer {
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seller {
    ext_uid: Option<String>,
}

impl Composer for Notices {
    fn compose<'a>(
        &'a self,
        job: &'a Job,
        after: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Composed, ComposeError>> {
        async move {
            match job.subject.as_str() {
                ORDER => self.of_order(job).await,
                PUBLICATION => self.of_publication(job, after).await,
                other => Err(ComposeError::Never(format!(
                    "nobody knows what a job of '{other}' is about"
                ))),
            }
        }
        .boxed_local()
    }

    fn settled<'a>(&'a self, settled: &'a Settled) -> LocalBoxFuture<'a, Result<(), ComposeError>> {
        async move {
            match settled.subject.as_str() {
                PUBLICATION => {
                    let failed = settled.delivered == 0 && settled.failed > 0;
                    self.settle_publication(&settled.source, failed, &settled.notification)
                        .await
                }
                _ => Ok(()),
            }
        }
        .boxed_local()
    }

    fn given_up<'a>(&'a self, job: &'a Job) -> LocalBoxFuture<'a, Result<(), ComposeError>> {
        async move {
            match job.subject.as_str() {
                PUBLICATION => {
                    self.settle_publication(&job.node, true, &job.id.to_string())
                        .await
                }
                _ => Ok(()),
            }
        }
        .boxed_local()
    }
}

/// A later update of an order replaces an earlier one that a device has not got yet; it does not replace the news of
/// the order itself.
fn topic(order: &str, operation: &str) -> String {
    let digest = digest(&SHA256, format!("order:{order}:{operation}").as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..TOPIC_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_an_order_and_what_was_done_to_it() {
        let update = topic("o1", "update");
        assert_eq!(update.len(), 32);
        assert!(
            update
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        assert_eq!(update, topic("o1", "update"));
        assert_ne!(update, topic("o1", "create"));
        assert_ne!(update, topic("o2", "update"));
    }
}
