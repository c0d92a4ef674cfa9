//! A push service of our own: real TLS on loopback, by a certificate authority made for the run. It takes whatever it is
//! sent, records it, and answers as the path selects or as a test has scripted:
//!
//! | path | answer |
//! |---|---|
//! | `/status/CODE/…` | that status |
//! | `/retry-after/SECONDS/…`, `/retry-date/SECONDS/…` | 429 with `Retry-After` as seconds, as date |
//! | `/limit/BYTES/…` | 413 above so many bytes |
//! | `/slow/MS/…` | 201, late |
//! | `/hang/…` | none |
//! | `/reset/…` | none: the connection is reset |
//! | `/garbage/…` | bytes that are no HTTP |
//! | `/redirect/…` | 307 to `https://127.0.0.1/` |
//! | anything else | 201 |

mod behaviour;
mod certificates;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};

pub use behaviour::Behaviour;

/// A request that was received whole.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: SystemTime,
    /// What it was answered; none if it was not.
    pub status: Option<u16>,
    /// Which connection it came by.
    pub connection: u64,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, Copy)]
pub struct PushServiceOptions {
    pub port: u16,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Whether requests are kept; otherwise only counted.
    pub keep: bool,
}

impl Default for PushServiceOptions {
    fn default() -> Self {
        PushServiceOptions {
            port: 0,
            http2: true,
            keep: true,
        }
    }
}

/// Runs on a thread of its own until it is dropped.
pub struct PushService {
    state: Arc<State>,
    address: SocketAddr,
    ca: PathBuf,
    _folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct State {
    keep: bool,
    scripts: Mutex<HashMap<String, VecDeque<Behaviour>>>,
    received: Mutex<Vec<Received>>,
    count: AtomicU64,
    connections: AtomicU64,
    arrived: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PushService {
    /// On any free port.
    pub fn start() -> Self {
        PushService::start_with(PushServiceOptions::default())
    }

    pub fn start_with(options: PushServiceOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the certificates");
        let ca = folder.path().join("ca.pem");
        let (authority, tls) = certificates::make(options.http2);
        std::fs::write(&ca, authority).expect("the authority's certificate is written");
        let listener = std::net::TcpListener::bind(("127.0.0.1", options.port)).expect("a port");
        listener
            .set_nonblocking(true)
            .expect("a listener for tokio");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            keep: options.keep,
            scripts: Mutex::default(),
            received: Mutex::default(),
            count: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            arrived: Notify::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let of_thread = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve::run(listener, tls, of_thread, stopped));
        PushService {
            state,
            address,
            ca,
            _folder: folder,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `https://localhost:PORT`.
    pub fn base_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate of the authority that the service's was signed by. Good for `localhost`, `127.0.0.1`, `::1`,
    /// `push.test` and `*.push.test`.
    pub fn ca_file(&self) -> &Path {
        &self.ca
    }

    /// The URL of a path, which begins with `/`.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.base_url())
    }

    /// What requests for a path are answered, one after the other; the last for all that follow.
    pub fn script(&self, path: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        lock(&self.state.scripts).insert(path.to_owned(), behaviours.into_iter().collect());
    }

    /// Everything that was received, in order.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// What was received for a path.
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        lock(&self.state.received)
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }

    pub fn forget(&self) {
        lock(&self.state.received).clear();
    }

    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.state.count.load(Ordering::Relaxed)
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Waits until there were so many requests.
    pub async fn wait_for(&self, count: u64) {
        loop {
            let arrived = self.state.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.count() >= count {
                return;
            }
            arrived.await;
        }
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ended badly only if it panicked, which has been printed.
            let _ = thread.join();
        }
    }
}
