//! Executes a program on a connection of its own: commits only when every expectation is known to hold, and reports what is
//! known of a commit that the deadline cut off. Knows nothing of GraphQL, models or retries.

use gom_engine::plan::{Expect, Program, Step};
use tokio::time::{Instant, timeout_at};

use super::error::Failure;
use super::execution::{Execution, ProgramError};
use super::lease::Lease;
use super::text::JsonText;

/// One attempt at a program. What is not committed when `cutoff` comes is given up; what was sent for commit
/// is waited for until `deadline`.
pub(super) async fn attempt(
    lease: Lease,
    program: &Program,
    cutoff: Instant,
    deadline: Instant,
) -> Result<Option<JsonText>, ProgramError> {
    match alone(program) {
        Some(step) => attempt_alone(lease, program, step, cutoff, deadline).await,
        None => attempt_transaction(lease, program, cutoff, deadline).await,
    }
}

/// A program of one statement that commits or fails by itself needs no transaction around it.
fn alone(program: &Program) -> Option<&Step> {
    match program.steps.as_slice() {
        [
            step @ Step::Run {
                expect: Expect::Anything | Expect::Found(_),
                ..
            },
        ] => Some(step),
        _ => None,
    }
}

async fn attempt_transaction(
    lease: Lease,
    program: &Program,
    cutoff: Instant,
    deadline: Instant,
) -> Result<Option<JsonText>, ProgramError> {
    let mut execution = Execution::new(&lease.link, program);
    match timeout_at(cutoff, execution.up_to_commit()).await {
        Ok(Ok(())) => {}
        Err(_) => {
            drop(execution);
            lease.abandon();
            return Err(ProgramError::Deadline);
        }
        Ok(Err(error)) => {
            drop(execution);
            // Queued behind whatever is still in flight, so its answer means that all of it has ended.
            match timeout_at(deadline, lease.link.command("rollback")).await {
                Ok(Ok(_)) => lease.give_back(),
                _ => lease.abandon(),
            }
            return Err(error);
        }
    }
    let ended = run_to_completion(&lease, execution.commit(), cutoff, deadline).await;
    let answer = execution.answer();
    drop(execution);
    conclude(lease, ended, true).map(|()| answer)
}

async fn attempt_alone(
    lease: Lease,
    program: &Program,
    step: &Step,
    cutoff: Instant,
    deadline: Instant,
) -> Result<Option<JsonText>, ProgramError> {
    let mut execution = Execution::new(&lease.link, program);
    match timeout_at(cutoff, execution.prepare(std::slice::from_ref(step))).await {
        Err(_) => {
            drop(execution);
            lease.abandon();
            return Err(ProgramError::Deadline);
        }
        Ok(Err(failure)) => {
            drop(execution);
            settle(lease, &failure);
            return Err(failure.into());
        }
        Ok(Ok(())) => {}
    }
    if lease.link.is_closed() {
        return Err(Failure::Lost("the connection was closed".to_owned()).into());
    }
    let mut sent = false;
    let run = async {
        execution.take(step).await?;
        sent = true;
        execution.settle_all().await
    };
    let ended = run_to_completion(&lease, run, cutoff, deadline).await;
    let answer = execution.answer();
    drop(execution);
    conclude(lease, ended, sent).map(|()| answer)
}

/// How something ended that may have committed.
struct Ended {
    /// Nothing if the deadline came first.
    result: Option<Result<(), ProgramError>>,
    cancelled: bool,
}

/// Waits for something that may commit; asks the server to stop it at `cutoff`. It may still win: then its
/// answer is the truth.
async fn run_to_completion(
    lease: &Lease,
    run: impl Future<Output = Result<(), ProgramError>>,
    cutoff: Instant,
    deadline: Instant,
) -> Ended {
    let mut run = std::pin::pin!(run);
    if let Ok(result) = timeout_at(cutoff, &mut run).await {
        return Ended {
            result: Some(result),
            cancelled: false,
        };
    }
    let canceller = lease.link.canceller();
    let cancel = timeout_at(deadline, canceller.cancel());
    let (_, result) = futures::join!(cancel, timeout_at(deadline, &mut run));
    Ended {
        result: result.ok(),
        cancelled: true,
    }
}

/// What is known of something that may have committed, and what becomes of the client.
fn conclude(lease: Lease, ended: Ended, sent: bool) -> Result<(), ProgramError> {
    let Some(result) = ended.result else {
        lease.abandon();
        return Err(ProgramError::OutcomeUnknown);
    };
    if let Err(ProgramError::Failed(failure @ (Failure::Lost(_) | Failure::Fault(_)))) = result {
        lease.abandon();
        if !sent {
            return Err(failure.into());
        }
        tracing::warn!(?failure, "the outcome of a write is unknown");
        return Err(ProgramError::OutcomeUnknown);
    }
    if ended.cancelled {
        lease.abandon();
    } else {
        lease.give_back();
    }
    result
}

/// Gives the client back unless the failure was the connection's.
fn settle(lease: Lease, failure: &Failure) {
    match failure {
        Failure::Lost(_) | Failure::Fault(_) => lease.abandon(),
        _ => lease.give_back(),
    }
}
