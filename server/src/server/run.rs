//! A server that runs: until a signal, through draining, to an orderly end.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{GIVE_UP, Server, StartError};

/// What the private PostgreSQL gets of `server.shutdown_timeout` to stop cleanly, at most.
const FOR_EMBEDDED: Duration = Duration::from_secs(3);
/// The last spans have this long to be sent, also where all else has taken its time.
const LAST_SPANS: Duration = Duration::from_millis(300);

impl Server {
    /// Answers requests until SIGTERM or SIGINT, and for `server.drain_delay` after; then finishes those in flight, and the
    /// messages on their way, and stops the private PostgreSQL. It has ended within `server.shutdown_timeout` of that,
    /// whatever does not answer; what hangs is left to the end of the process.
    ///
    /// # Errors
    /// If the server itself fails, or a database that came later cannot be brought to the datamodel;
    /// [`StartError::ForcedShutdown`] after a second signal.
    pub async fn run_until_stopped(self) -> Result<(), StartError> {
        let Server {
            mut server,
            database,
            embedded,
            deployment,
            stop_sockets,
            push,
            stop,
            metrics,
            traces,
            ..
        } = self;
        let handle = server.handle();
        let mut deploying = pin!(async {
            match deployment {
                Some(deployment) => deployment.await,
                None => Ok(()),
            }
        });
        let (mut ended, mut deployed) = (false, false);
        let failed = loop {
            tokio::select! {
                result = &mut server => {
                    ended = true;
                    break result.err().map(StartError::from);
                }
                done = &mut deploying, if !deployed => {
                    deployed = true;
                    if let Err(error) = done {
                        break Some(error.into());
                    }
                }
                () = stop.requested() => break None,
            }
        };
        if stop.is_requested() && !deployed {
            // It gives up by itself, and tells the database so.
            let _ = timeout(GIVE_UP, deploying).await;
        }
        if stop.is_requested() && !self.drain_delay.is_zero() {
            let milliseconds = self.drain_delay.as_millis();
            tracing::info!(milliseconds, "draining: still accepting requests");
            tokio::select! {
                () = sleep(self.drain_delay) => {}
                _ = &mut server, if !ended => ended = true,
                () = stop.forced() => return Err(StartError::ForcedShutdown),
            }
        }
        tracing::info!("stopping");
        let end = Instant::now() + self.shutdown_timeout;
        let for_embedded = self.shutdown_timeout / 4;
        let of_spans = traces.as_ref().map_or(Duration::ZERO, |_| {
            LAST_SPANS.min(self.shutdown_timeout / 4)
        });
        let of_work = embedded
            .as_ref()
            .map_or(end, |_| end - for_embedded.min(FOR_EMBEDDED))
            - of_spans;
        let finishing = async {
            stop_sockets.send_replace(true);
            let left = of_work.saturating_duration_since(Instant::now());
            // What is on its way to devices arrives; what is not taken up waits for another server, or the next start.
            let answering = async {
                if !ended {
                    let _ = tokio::join!(handle.stop(true), server);
                }
            };
            let work = async { tokio::join!(answering, push.drain(left)) };
            if timeout_at(of_work, work).await.is_err() {
                tracing::warn!("stopped with requests in flight: server.shutdown_timeout is over");
            }
            if let Some(metrics) = metrics {
                // The order is given at once.
                let _ = timeout_at(of_work, metrics.handle.stop(false)).await;
            }
            if let Some(traces) = traces {
                traces
                    .shut_down((of_work + of_spans).saturating_duration_since(Instant::now()))
                    .await;
            }
            drop(push);
            // Its connections go before their server does.
            drop(database);
            if let Some(embedded) = embedded
                && timeout_at(end, embedded.stop()).await.is_err()
            {
                tracing::warn!(
                    "the private PostgreSQL has not stopped in time; it ends with this process"
                );
            }
        };
        tokio::select! {
            () = finishing => failed.map_or(Ok(()), Err),
            () = stop.forced() => Err(StartError::ForcedShutdown),
        }
    }
}
