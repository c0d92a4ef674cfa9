//! The end of the process, as it is requested: SIGTERM, SIGINT or SIGHUP, once for an orderly end, twice for an end at once. Listened
//! for from the start on, so that a start can be stopped too, and process 1 of a container does not miss it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the process is to end. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Stop {
    /// How often it was requested.
    requests: watch::Receiver<u32>,
}

impl Stop {
    /// Listens for signals from now on, on this thread's runtime. They do nothing else any more.
    ///
    /// # Errors
    /// If the system does not deliver signals.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        // Of a terminal that is closed, and of supervisors that mean an orderly end by it.
        let mut hangup = signal(SignalKind::hangup())?;
        let (report, requests) = watch::channel(0);
        actix_web::rt::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {}
                    () = report.closed() => return,
                }
                report.send_modify(|count| *count += 1);
            }
        });
        Ok(Stop { requests })
    }

    /// Signals do what they usually do, and nothing requests an orderly end.
    pub fn never() -> Self {
        Stop {
            requests: watch::channel(0).1,
        }
    }

    /// Whether an end has been requested.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requests.borrow() > 0
    }

    /// Waits until an end is requested.
    pub(crate) async fn requested(&self) {
        self.times(1).await;
    }

    /// Waits until an end is requested a second time.
    pub(crate) async fn forced(&self) {
        self.times(2).await;
    }

    async fn times(&self, least: u32) {
        let mut requests = self.requests.clone();
        if requests.wait_for(|count| *count >= least).await.is_err() {
            // Nobody listens.
            std::future::pending::<()>().await;
        }
    }
}
