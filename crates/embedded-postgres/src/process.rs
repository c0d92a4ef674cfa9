//! PostgreSQL as our child: one thread of its own starts it, notices its end, starts it again, and stops it. Knows nothing of
//! how a cluster is made (that is `cluster`), and speaks to no client.
//!
//! It has to be *one* thread for as long as the child should live: the signal that ends the child at our death follows the
//! thread that spawned it, not the process. A runtime's blocking thread ends when it is idle, and would take the database along.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};

use super::{EmbeddedOptions, EmbeddedState, Place};
use crate::cluster::Cluster;
use crate::error::EmbeddedError;

/// How often a start or a stop is looked at. PostgreSQL does not report when it is ready; it writes it into a file.
const LOOK: Duration = Duration::from_millis(5);
/// Waits before PostgreSQL is started again: doubled from the first to the last while it does not stay up.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Having been up for this long, a server's end is no part of a series.
const STEADY: Duration = Duration::from_secs(5);
/// How long PostgreSQL may take to end after the signal to leave everything as it is.
const IMMEDIATE: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 20;

/// What reaches the keeper's thread.
pub(super) enum Event {
    /// The child has ended (it is not reaped yet).
    Exited,
    /// Stop it and end. The answer, where one is wanted, is given when it is gone.
    Stop(Option<oneshot::Sender<()>>),
}

/// The keeper of one cluster.
pub(super) struct Keeper {
    pub(super) options: EmbeddedOptions,
    pub(super) events: Receiver<Event>,
    /// The other end of `events`, for those who watch the child.
    pub(super) notify: Sender<Event>,
    pub(super) state: watch::Sender<EmbeddedState>,
}

/// How the wait for a starting server ended.
enum Launch {
    Ready(Server),
    Failed(EmbeddedError),
    Stopped(Option<oneshot::Sender<()>>),
}

impl Keeper {
    /// The keeper's life, on a thread of its own: from the first start until it is stopped. `started` gets the result of
    /// the first start; where that fails, there is nothing to keep.
    pub(super) fn run(self, started: oneshot::Sender<Result<Place, EmbeddedError>>) {
        let begun = Instant::now();
        // The requester may have gone away: then the answer is dropped, and the keeper is stopped.
        let cluster = match Cluster::prepare(&self.options) {
            Ok(cluster) => cluster,
            Err(error) => return drop(started.send(Err(error))),
        };
        let server = match self.launch(&cluster) {
            Launch::Ready(server) => server,
            Launch::Failed(error) => {
                cluster.release();
                return drop(started.send(Err(error)));
            }
            Launch::Stopped(answer) => {
                cluster.release();
                return self.ended(answer);
            }
        };
        tracing::info!(
            folder = %cluster.folder.display(), pid = server.pid, version = cluster.programs.major,
            milliseconds = begun.elapsed().as_millis() as u64, "the private PostgreSQL is ready"
        );
        let place = Place {
            folder: cluster.folder.clone(),
            sockets: cluster.sockets.clone(),
            bin: cluster.programs.bin.clone(),
        };
        self.state
            .send_replace(EmbeddedState::Ready { pid: server.pid });
        let _ = started.send(Ok(place));
        let answer = self.watch_over(&cluster, server);
        // The lock goes before the answer: who waits for the end may start again at once.
        cluster.release();
        self.ended(answer);
    }

    fn ended(&self, answer: Option<oneshot::Sender<()>>) {
        self.state.send_replace(EmbeddedState::Stopped);
        let _ = answer.map(|answer| answer.send(()));
    }

    /// Keeps the server up until it is stopped, and stops it. Gives what waits for the end.
    fn watch_over(&self, cluster: &Cluster, mut server: Server) -> Option<oneshot::Sender<()>> {
        let mut wait = FIRST_WAIT;
        loop {
            let since = Instant::now();
            self.state
                .send_replace(EmbeddedState::Ready { pid: server.pid });
            match self.events.recv() {
                Ok(Event::Exited) => {}
                Ok(Event::Stop(answer)) => {
                    server.stop(self.options.stop_timeout);
                    return answer;
                }
                // Cannot be, for we hold a sender; but if nobody can reach us, it is time to go.
                Err(_) => {
                    server.stop(self.options.stop_timeout);
                    return None;
                }
            }
            let mut cause = server.reap();
            if since.elapsed() > STEADY {
                wait = FIRST_WAIT;
            }
            let mut attempt = 0;
            server = loop {
                attempt += 1;
                tracing::warn!(
                    attempt,
                    "the private PostgreSQL is down and will be started again: {cause}"
                );
                self.state
                    .send_replace(EmbeddedState::Restarting { attempt, cause });
                match self.events.recv_timeout(wait) {
                    Ok(Event::Stop(answer)) => return answer,
                    Ok(Event::Exited) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
                wait = (wait * 2).min(LAST_WAIT);
                match self.launch(cluster) {
                    Launch::Ready(server) => break server,
                    Launch::Failed(error) => cause = error.to_string(),
                    Launch::Stopped(answer) => return answer,
                }
            };
            tracing::info!(pid = server.pid, "the private PostgreSQL is ready again");
        }
    }

    fn launch(&self, cluster: &Cluster) -> Launch {
        let mut server = match Server::spawn(cluster) {
            Ok(server) => server,
            Err(error) => return Launch::Failed(error),
        };
        let deadline = Instant::now() + self.options.start_timeout;
        let failed = |server: &Server, reason: String| {
            let (path, log) = (cluster.folder.clone(), server.log.last_lines());
            Launch::Failed(EmbeddedError::NotStarted { path, reason, log })
        };
        loop {
            if cluster.is_ready(server.pid) {
                return match server.watch(self.notify.clone()) {
                    Ok(()) => Launch::Ready(server),
                    Err(error) => {
                        server.stop(self.options.stop_timeout);
                        Launch::Failed(EmbeddedError::system("starting a thread")(error))
                    }
                };
            }
            if let Ok(Some(status)) = server.child.try_wait() {
                server.log.finish();
                return failed(&server, format!("it ended with {status}"));
            }
            if Instant::now() > deadline {
                server.stop(self.options.stop_timeout);
                return failed(
                    &server,
                    format!("it was not ready within {:?}", self.options.start_timeout),
                );
            }
            if let Ok(Event::Stop(answer)) = self.events.recv_timeout(LOOK) {
                server.stop(self.options.stop_timeout);
                return Launch::Stopped(answer);
            }
        }
    }
}

/// A running child.
struct Server {
    child: Child,
    pid: u32,
    log: Log,
}

impl Server {
    fn spawn(cluster: &Cluster) -> Result<Server, EmbeddedError> {
        cluster.clear_leftovers()?;
        let mut command = cluster.command(&cluster.programs.postgres(), Some(Signal::INT))?;
        command
            .args(cluster.arguments())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(EmbeddedError::system("running postgres"))?;
        let log = Log::read(child.stderr.take());
        Ok(Server {
            pid: child.id(),
            child,
            log,
        })
    }

    /// Sends to `notify` when the child ends. It is not reaped by that: until we do so, its process id is nobody else's.
    fn watch(&self, notify: Sender<Event>) -> std::io::Result<()> {
        let Some(pid) = self.process() else {
            return Ok(());
        };
        let watch = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
            let _ = notify.send(Event::Exited);
        };
        std::thread::Builder::new()
            .name("gom-pg-watch".into())
            .spawn(watch)
            .map(drop)
    }

    fn process(&self) -> Option<Pid> {
        Some(Pid::from_child(&self.child))
    }

    /// Collects the ended child, and says how it ended.
    fn reap(&mut self) -> String {
        self.log.finish();
        let how = match self.child.wait() {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => format!("it ended ({error})"),
        };
        self.log
            .last_lines()
            .last()
            .map_or(how.clone(), |line| format!("{how}; its last words: {line}"))
    }

    /// Stops it cleanly, or less and less so: no new sessions and open ones ended; then as in a crash; then by force.
    fn stop(&mut self, patience: Duration) {
        for (signal, patience) in [(Signal::INT, patience), (Signal::QUIT, IMMEDIATE)] {
            let _ = self.process().map(|pid| kill_process(pid, signal));
            if self.ends_within(patience).is_some() {
                return;
            }
            tracing::warn!(
                pid = self.pid,
                "the private PostgreSQL did not end within {patience:?}"
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                _ if Instant::now() > deadline => return None,
                _ => std::thread::sleep(LOOK),
            }
        }
    }
}

/// What the server writes: passed on to our log, and the end of it kept for messages.
struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn read(from: Option<impl Read + Send + 'static>) -> Log {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        let read = move |from| {
            let mut from = BufReader::new(from);
            let mut bytes = Vec::new();
            while from
                .read_until(b'\n', &mut bytes)
                .is_ok_and(|count| count > 0)
            {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                if line.starts_with("FATAL:") || line.starts_with("PANIC:") {
                    tracing::warn!(target: "gom::postgres", "{line}");
                } else {
                    tracing::debug!(target: "gom::postgres", "{line}");
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LOG_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
                bytes.clear();
            }
        };
        // Without the thread the server would run all the same, only silently.
        let reader = from.and_then(|from| {
            let thread = std::thread::Builder::new().name("gom-pg-log".into());
            thread.spawn(move || read(from)).ok()
        });
        Log { lines, reader }
    }

    /// Waits until everything is read that an ended server wrote; not for long, for an orphan of its may keep the pipe open.
    fn finish(&self) {
        let deadline = Instant::now() + Duration::from_millis(200);
        while self
            .reader
            .as_ref()
            .is_some_and(|reader| !reader.is_finished())
            && Instant::now() < deadline
        {
            std::thread::sleep(LOOK);
        }
    }

    fn last_lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}
