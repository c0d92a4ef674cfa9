//! A thread for actors whose work takes its time, so that nobody else waits for it.

use actix::Arbiter;
use tokio::sync::oneshot;

/// Ends when it is dropped, with all that runs there.
pub struct OwnThread(Arbiter);

impl OwnThread {
    /// Needs an actix system.
    pub fn start() -> Self {
        OwnThread(Arbiter::new())
    }

    /// What a function gives that is called there; nothing if the thread has ended, or it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.spawn_fn(move || {
            // Whoever asked may have gone away.
            let _ = reply.send(run());
        });
        answer.await.ok()
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[actix::test]
    async fn what_stands_still_in_a_thread_of_its_own_holds_up_nobody() {
        let thread = OwnThread::start();
        let (go_on, told) = mpsc::channel();
        let standing = actix::spawn(async move { thread.run(move || told.recv()).await });
        tokio::task::yield_now().await;
        go_on.send(7).unwrap();
        assert_eq!(standing.await.unwrap(), Some(Ok(7)));
    }
}
