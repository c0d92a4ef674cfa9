//! Tasks of a connection that go on while it is stuck in a write: its body, and the actor in it, are not polled then.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use tokio::task::{JoinError, JoinHandle};

/// A task that goes on whether or not this is polled, and ends when it is dropped. Nothing comes of it if it is cancelled with
/// its thread; a panic goes on where this is polled.
pub struct OwnTask<T>(JoinHandle<T>);

impl<T: 'static> OwnTask<T> {
    pub fn begin(task: impl Future<Output = T> + 'static) -> Self {
        OwnTask(actix_web::rt::spawn(task))
    }
}

impl<T> Future for OwnTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0
            .poll_unpin(cx)
            .map(|ended| match ended.map_err(JoinError::try_into_panic) {
                Ok(output) => Some(output),
                Err(Ok(panic)) => resume_unwind(panic),
                Err(Err(_)) => None,
            })
    }
}

impl<T> Drop for OwnTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[actix_web::test]
    async fn a_task_goes_on_while_nobody_polls_it_and_ends_with_who_has_begun_it() {
        let steps = Rc::new(Cell::new(0));
        let counted = Rc::clone(&steps);
        let task = OwnTask::begin(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        let task: OwnTask<()> = task;
        while steps.get() < 3 {
            tokio::task::yield_now().await;
        }
        drop(task);
        while Rc::strong_count(&steps) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(OwnTask::begin(async { 7 }).await, Some(7));
    }
}
