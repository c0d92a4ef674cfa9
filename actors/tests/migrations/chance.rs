//! Pairs of datamodels of chance, over rows: what is planned is what is done, rows are kept, what is refused changes nothing, and
//! no event reports any of it.
//!
//! `PROPTEST_CASES` asks for more chains of deployments than the usual number. A failure names its seed, and `MIGRATIONS_SEED` begins
//! with it.

mod edits;
mod rows;

use std::collections::BTreeMap;

use gom_actors::migrations::{MigrateError, plan};
use gom_engine::datamodel::parse;
use gom_engine::migrate::Rename;
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use self::edits::{EDITS, Wanted};
use self::rows::Rows;
use super::{Deployment, SCHEMA, attempt, deploy, fill, logged, rows as all_rows};
use gom_test_support::dice::Dice;
use gom_test_support::random::drafts::Draft;

const CHAINS: u64 = 4;
/// Deployments on one database.
const LENGTH: usize = 6;

/// How deployments with a kind of change ended.
#[derive(Debug, Default)]
struct Share {
    kept: usize,
    lost: usize,
    misfit: usize,
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test]
async fn rows_survive_random_deployments_and_cause_no_events() {
    let chains = asked("PROPTEST_CASES").map_or(CHAINS, |cases| cases.div_ceil(10).max(1));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let first = asked("MIGRATIONS_SEED").unwrap_or(now.as_secs() * 1_000);
    let (begun, mut shares) = (std::time::Instant::now(), BTreeMap::<&str, Share>::new());
    for seed in first..first + chains {
        println!("MIGRATIONS_SEED={seed}");
        chain(seed, &mut shares).await;
    }
    println!("{shares:#?} in {:?}", begun.elapsed());
    // Otherwise their guarantees were not tested.
    let all = shares.values().fold(Share::default(), |sum, share| Share {
        kept: sum.kept + share.kept,
        lost: sum.lost + share.lost,
        misfit: sum.misfit + share.misfit,
    });
    let count = all.kept + all.lost + all.misfit;
    assert!(all.kept > 0, "{all:?}");
    // A few chains may lack a kind by chance.
    if chains < 20 {
        return;
    }
    assert!(
        all.kept * 4 > count && all.lost * 20 > count && all.misfit * 20 > count,
        "{all:?}"
    );
    assert!(
        shares.len() * 3 > EDITS.len(),
        "some changes were hardly ever made: {:?}",
        shares.keys()
    );
}

async fn chain(seed: u64, shares: &mut BTreeMap<&str, Share>) {
    let dice = &mut Dice::new(seed);
    let database = TestDatabase::with_own_tables().await;
    let mut client = database.connect().await;
    let mut draft = sound(dice);
    deploy(&mut client, &draft.text(), &[], false)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", draft.text()));
    let mut number = 0;
    for _ in 0..LENGTH {
        rows::write(&client, &draft, &mut number, dice).await;
        let before = Rows::read(&client, &draft).await;
        let wanted = loop {
            let wanted = Wanted::any(&draft, &before, dice);
            // Some names of chance cannot stand beside each other.
            if parse("datamodel.prisma", &wanted.draft.text()).is_ok() {
                break wanted;
            }
        };
        let shown = format!(
            "MIGRATIONS_SEED={seed}, {:?}\n{}\n{}",
            wanted.done,
            draft.text(),
            wanted.draft.text()
        );
        println!("{shown}");
        let done = deployed(&mut client, &wanted).await;
        for of in &wanted.done {
            let share = shares.entry(of).or_default();
            share.kept += usize::from(!wanted.loses && done);
            share.lost += usize::from(wanted.loses);
            share.misfit += usize::from(wanted.misfits);
        }
        let after = Rows::read(&client, if done { &wanted.draft } else { &draft }).await;
        let should = if done { &wanted.rows } else { &before };
        assert_eq!(after, *should, "{shown}");
        if done {
            draft = wanted.draft;
        }
    }
    // What is written afterwards causes events.
    let (before, rows) = (logged(&client).await, Rows::read(&client, &draft).await);
    if let Some(model) = draft
        .models
        .iter()
        .find(|model| !rows.ids[&model.key].is_empty())
    {
        fill(
            &client,
            &format!("DELETE FROM \"{}\"", model.stored().replace('"', "\"\"")),
        )
        .await;
        assert_ne!(
            logged(&client).await,
            before,
            "MIGRATIONS_SEED={seed}, {}",
            model.name
        );
    }
}

/// Brings a database to a datamodel, first without permission to lose anything, and compares the plan with the expected one.
/// Whether it is there afterwards.
async fn deployed(client: &mut Client, wanted: &Wanted) -> bool {
    let text = wanted.draft.text();
    let model = super::model(&text);
    let renames: Vec<&str> = wanted.renames.iter().map(String::as_str).collect();
    let parsed: Vec<Rename> = renames
        .iter()
        .map(|rename| rename.parse().unwrap())
        .collect();
    let deployment = Deployment {
        renames: &parsed,
        ..Deployment::new(&model, &text, SCHEMA)
    };
    let planned = plan(client, &deployment).await.unwrap();
    assert_eq!(
        !planned.losses().is_empty(),
        wanted.loses,
        "what is lost: {planned:#?}"
    );
    assert_eq!(
        planned.is_refused(),
        wanted.misfits,
        "what does not fit: {planned:#?}"
    );
    let before = (all_rows(client).await, logged(client).await);
    for allow_data_loss in [false, true] {
        let refused = match (wanted.loses && !allow_data_loss, wanted.misfits) {
            (false, false) => {
                deploy(client, &text, &renames, allow_data_loss)
                    .await
                    .unwrap();
                return true;
            }
            (loses, _) => {
                let error = attempt(client, &text, &renames, allow_data_loss)
                    .await
                    .unwrap_err();
                let is_loss = matches!(error, MigrateError::DataLoss(_));
                assert!(
                    is_loss == loses && (is_loss || matches!(error, MigrateError::Misfits(_))),
                    "{error}"
                );
                (all_rows(client).await, logged(client).await)
            }
        };
        assert_eq!(refused, before, "what is refused changes nothing");
    }
    false
}

/// With names that can stand beside each other.
fn sound(dice: &mut Dice) -> Draft {
    loop {
        let draft = Draft::any(dice);
        if parse("datamodel.prisma", &draft.text()).is_ok() {
            return draft;
        }
    }
}
