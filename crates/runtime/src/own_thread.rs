//! A thread for actors whose work takes long, so that other actors do not wait for it.

use actix::Arbiter;
use tokio::sync::oneshot;

/// Ends when it is dropped, with all that runs there.
pub struct OwnThread(Arbiter);

impl OwnThread {
    /// Starts the thread. Needs an actix system.
    pub fn start() -> Self {
        OwnThread(Arbiter::new())
    }

    /// Calls a function there and returns what it returns; nothing if the thread has ended, or the function panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.spawn_fn(move || {
            // The caller may have gone away.
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
    async fn a_blocked_thread_of_its_own_does_not_block_others() {
        let thread = OwnThread::start();
        let (go_on, signal) = mpsc::channel();
        let standing = actix::spawn(async move { thread.run(move || signal.recv()).await });
        tokio::task::yield_now().await;
        go_on.send(7).unwrap();
        assert_eq!(standing.await.unwrap(), Some(Ok(7)));
    }
}
