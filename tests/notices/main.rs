//! Notifications in a real database: their recipients and texts as the shop's composer derives them from jobs, and how they are
//! settled.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod ledger;
mod orders;
mod publications;

use std::time::Duration;

use gom_actors::push::{Composed, Composer, Job, Notice, Urgency};
use gom_shop::Language;
use gom_shop::NoticeSettings;
use gom_shop::{NoticeOptions, Notices};

use gom_test_support::demo_shop::Shop;

fn notices(shop: &Shop, language: Language) -> Notices {
    let of = |urgency, hours: u64| NoticeSettings {
        urgency,
        time_to_live: Duration::from_secs(hours * 3_600),
    };
    let options = NoticeOptions {
        language,
        orders: of(Urgency::High, 24),
        promotions: of(Urgency::Normal, 24),
    };
    composer(shop, options)
}

fn composer(shop: &Shop, options: NoticeOptions) -> Notices {
    Notices::new(shop.api.clone(), options).expect("the datamodel is the shop's")
}

/// The jobs that the database has queued of a subject since the last call, oldest first.
async fn jobs(shop: &Shop, subject: &str) -> Vec<Job> {
    let sql = "delete from gom.job where subject = $1 returning id, subject, node, created, writer, created_at, now()";
    let rows = shop.tables.query(sql, &[&subject]).await.unwrap();
    let mut jobs: Vec<Job> = rows
        .iter()
        .map(|row| Job {
            id: row.get(0),
            subject: row.get(1),
            node: row.get(2),
            created: row.get(3),
            writer: row.get(4),
            queued_at: row.get(5),
            now: row.get(6),
        })
        .collect();
    jobs.sort_by_key(|job| job.id);
    jobs
}

async fn composed(shop: &Shop, job: &Job) -> Composed {
    notices(shop, Language::Spanish)
        .compose(job, None)
        .await
        .unwrap()
}

async fn notice(shop: &Shop, job: &Job) -> Notice {
    match composed(shop, job).await {
        Composed::Notify(notice) => notice,
        other => panic!("{other:?}"),
    }
}
