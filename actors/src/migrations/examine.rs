//! What a deployment finds: the engine's plan, with the rows that it loses and those that do not fit the datamodel.

use std::collections::HashMap;

use gom_engine::datamodel::{DataModel, parse};
use gom_engine::migrate::{
    self, DataCheck, DatabaseLayout, FoundRows, LeftAlone, Loss, MigrationPlan, MigrationStep,
    MigrationTarget, Misfit, RowQuery, Severity,
};
use tokio_postgres::{Error, GenericClient};

use super::error::MigrateError;
use super::{
    Deployment, catalog, check_schema, ever_applied, has_gone_on, introspect, last_applied,
};

/// What was deployed to a schema before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Before {
    /// Nothing by Gom. A database made by Prisma 1 may have holes.
    #[default]
    Nothing,
    /// A datamodel. Rows that did not fit it either are no reason to refuse the next one: nothing gets worse.
    Datamodel,
}

impl Before {
    /// `known`: what was deployed last forbids the same rows.
    fn refuses(self, gravity: Severity, known: bool) -> bool {
        match gravity {
            Severity::Blocks => true,
            Severity::Harms => !known,
            Severity::Hole => !known && self == Before::Datamodel,
        }
    }
}

/// What a deployment would do, or has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentPlan {
    /// What is done, in this order.
    pub steps: Vec<MigrationStep>,
    /// Rows that the datamodel does not allow.
    pub misfits: Vec<Misfit>,
    /// Tables of links whose columns change places.
    pub swapped: Vec<String>,
    /// Tables and columns that were never Gom's and stay.
    pub left_alone: Vec<LeftAlone>,
    /// What was deployed last.
    pub before: Before,
}

impl DeploymentPlan {
    /// Whether applying it is refused, whatever is allowed.
    pub fn is_refused(&self) -> bool {
        self.misfits
            .iter()
            .any(|misfit| self.before.refuses(misfit.gravity, misfit.known))
    }

    /// The steps that need permission.
    pub fn losses(&self) -> Vec<MigrationStep> {
        self.steps
            .iter()
            .filter(|step| step.loses_data())
            .cloned()
            .collect()
    }
}

/// What the steps of a plan lose at some moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The steps, with what they lose.
    pub steps: Vec<MigrationStep>,
    /// The tables of which nothing is lost as long as no row is written.
    pub unharmed: Vec<String>,
    /// The rows that are lost, by the place of their step in the plan.
    lost: HashMap<usize, FoundRows>,
}

/// The engine's plan for a database, before its rows are read.
pub(super) struct Outline {
    pub planned: MigrationPlan,
    pub before: Before,
    /// Also what is empty is dropped only with permission: a server deploys by itself, or another datamodel was deployed
    /// after this one.
    keep_empty: bool,
}

impl Outline {
    pub(super) async fn make<C: GenericClient>(
        client: &C,
        deployment: &Deployment<'_>,
    ) -> Result<Self, MigrateError> {
        let (model, schema) = (deployment.model, deployment.schema);
        check_schema(schema)?;
        let wanted = migrate::layout(model, schema);
        let found = introspect(client, schema).await?;
        let last = last_applied(client, schema)
            .await?
            .map(|last| last.datamodel);
        let previous_model = last.as_deref().and_then(model_of);
        let previous = previous_model
            .as_ref()
            .map(|model| migrate::layout(model, schema));
        let target = MigrationTarget {
            wanted: &wanted,
            previous: previous.as_ref(),
            drop_unknown: deployment.drop_unknown,
        };
        let mut planned = migrate::plan(model, &target, &found, deployment.renames)?;
        if let (Some(model), Some(layout)) = (&previous_model, &previous) {
            let checks = migrate::plan(
                model,
                &MigrationTarget {
                    wanted: layout,
                    ..target
                },
                &found,
                &[],
            )?
            .checks;
            planned
                .checks
                .iter_mut()
                .for_each(|check| check.compare(&checks));
        }
        let triggers = catalog::triggers(client, schema).await?;
        let log = migrate::change_log_steps(model, schema, &triggers, Some(&planned));
        planned.steps.extend(log);
        let watches = catalog::watches(client, schema).await?;
        planned
            .steps
            .extend(migrate::watch_steps(model, schema, &watches));
        let deployed = ever_applied(client, schema).await?;
        let deployed: Vec<_> = deployed
            .iter()
            .map(|text| layout_of(text, schema))
            .collect();
        planned.steps.extend(migrate::epoch_step(
            model, schema, &triggers, &planned, &deployed,
        ));
        let before = if last.is_some() {
            Before::Datamodel
        } else {
            Before::Nothing
        };
        let keep_empty = deployment.keep_empty || has_gone_on(client, deployment).await?;
        Ok(Outline {
            planned,
            before,
            keep_empty,
        })
    }

    /// Counts what the steps lose now.
    pub(super) async fn look<C: GenericClient>(&self, client: &C) -> Result<Look, Error> {
        self.look_again(client, &Look::default()).await
    }

    /// Counts again where nothing was. What was there may go by now: that needs no second look.
    pub(super) async fn look_again<C: GenericClient>(
        &self,
        client: &C,
        before: &Look,
    ) -> Result<Look, Error> {
        let mut look = Look::default();
        for (at, step) in self.planned.steps.iter().enumerate() {
            let Some(loss) = &step.data_loss else {
                look.steps.push(step.clone());
                continue;
            };
            let rows = match before.lost.get(&at) {
                Some(rows) => rows.clone(),
                None => count(client, &loss.query).await?,
            };
            let lost = rows.count > 0 || loss.always;
            if lost {
                look.lost.insert(at, rows.clone());
            } else if !look.unharmed.contains(&loss.table) {
                look.unharmed.push(loss.table.clone());
            }
            if lost || !loss.only_for_rows {
                let counts = lost || (loss.drops && self.keep_empty);
                let data_loss = counts.then(|| Loss {
                    rows,
                    ..loss.clone()
                });
                look.steps.push(MigrationStep {
                    data_loss,
                    ..step.clone()
                });
            }
        }
        Ok(look)
    }

    pub(super) async fn misfits<C: GenericClient>(&self, client: &C) -> Result<Vec<Misfit>, Error> {
        misfits(client, &self.planned.checks).await
    }

    /// Those for which a deployment is refused.
    pub(super) async fn refused<C: GenericClient>(&self, client: &C) -> Result<Vec<Misfit>, Error> {
        let refuses = |check: &&DataCheck| self.before.refuses(check.gravity, check.known);
        let checks = self.planned.checks.iter().filter(refuses);
        misfits(client, checks).await
    }
}

/// What the datamodel of this text needs, if this program can read it.
pub(super) fn layout_of(text: &str, schema: &str) -> Option<DatabaseLayout> {
    model_of(text).map(|model| migrate::layout(&model, schema))
}

fn model_of(text: &str) -> Option<DataModel> {
    parse("the previous datamodel", text).ok()
}

pub(super) async fn misfits<'a, C: GenericClient>(
    client: &C,
    checks: impl IntoIterator<Item = &'a DataCheck>,
) -> Result<Vec<Misfit>, Error> {
    let mut misfits = Vec::new();
    for check in checks {
        misfits.extend(check.misfit(count(client, &check.query).await?));
    }
    Ok(misfits)
}

async fn count<C: GenericClient>(client: &C, query: &RowQuery) -> Result<FoundRows, Error> {
    let row = match &query.allowed {
        Some(allowed) => client.query_one(&query.sql, &[allowed]).await?,
        None => client.query_one(&query.sql, &[]).await?,
    };
    Ok(FoundRows {
        count: row.get(0),
        example: row.get(1),
        value: row.get(2),
    })
}
