//! CPU-bound work that would block a worker's thread, and with it everybody whom the worker serves: reading, coercing and
//! planning of large requests. It is done on tokio's threads for blocking work: so many at once as leave a core to the workers,
//! and of each user one after the other. How much of a user's waits is bounded by `limits.request_bytes`; of the plans, which
//! take many times their requests' memory, one of a user's waits for its turn.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gom_engine::error::{ApiError, ErrorKind};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::Request;

/// What is smaller, in bytes, takes a worker no more than a millisecond or two.
const LARGE: usize = 8 * 1024;
/// What a value is worth in bytes, beside its text: it is allocated, looked at, and becomes a part of a statement.
const VALUE: usize = 16;

/// The process's cores are shared by whatever it serves.
static THREADS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)))
});

/// The queue of large work, shared by all workers. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Offload(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    threads: Arc<Semaphore>,
    /// By the user's name, of those whose work is done or waits.
    open: Mutex<HashMap<Arc<str>, Line>>,
}

#[derive(Debug)]
struct Line {
    turn: Arc<Semaphore>,
    pieces: usize,
}

/// A place in a user's line, until it is dropped.
#[derive(Debug)]
struct Place {
    lines: Arc<Lines>,
    user: Arc<str>,
}

/// The head of a user's line: until it is dropped, no other piece of theirs is begun. Nothing for the service.
#[derive(Debug, Default)]
pub struct Head {
    _turn: Option<(OwnedSemaphorePermit, Place)>,
}

impl Default for Offload {
    fn default() -> Self {
        Offload::on(&THREADS)
    }
}

impl Offload {
    fn on(threads: &Arc<Semaphore>) -> Self {
        Offload(Arc::new(Lines {
            threads: Arc::clone(threads),
            open: Mutex::default(),
        }))
    }

    /// Does the work on another thread, when it is the user's turn; of the service (`None`), as soon as a thread is free. Once
    /// begun, it is done to its end even if nobody waits for it any more, and keeps its turn until then. A panic goes on here.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyRequests`], if the user's turn does not come by the deadline; [`ErrorKind::Unavailable`], if no
    /// thread is free by then. Nothing has been done then.
    pub async fn run<T: Send + 'static>(
        &self,
        user: Option<&str>,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run_at_head(user, deadline, work)
            .await
            .map(|(done, _)| done)
    }

    /// Like [`run`](Self::run), and stays at the head of the line: for what is made before it can be used, so that no more
    /// than one such thing of a user waits, however many requests do.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub async fn run_at_head<T: Send + 'static>(
        &self,
        user: Option<&str>,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Head), ApiError> {
        let turn = match user {
            Some(user) => Some(self.0.turn(user, deadline).await?),
            None => None,
        };
        let thread = before(deadline, &self.0.threads).await.ok_or_else(|| {
            let message =
                "Too many large requests are read at the moment; nothing was done. Try again.";
            ApiError::new(ErrorKind::Unavailable, message)
        })?;
        let head = Head { _turn: turn };
        let done = spawn_blocking(move || {
            let _thread = thread;
            (work(), head)
        });
        match done.await {
            Ok(done) => Ok(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => Err(ApiError::new(ErrorKind::Internal, error.to_string())),
            },
        }
    }
}

async fn before(deadline: Instant, turns: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // The semaphores are never closed.
    timeout_at(deadline, Arc::clone(turns).acquire_owned())
        .await
        .ok()?
        .ok()
}

impl Lines {
    async fn turn(
        self: &Arc<Self>,
        user: &str,
        deadline: Instant,
    ) -> Result<(OwnedSemaphorePermit, Place), ApiError> {
        let (turn, place) = self.enter(user);
        match before(deadline, &turn).await {
            Some(permit) => Ok((permit, place)),
            None => Err(ApiError::new(
                ErrorKind::TooManyRequests,
                "A user's large requests are read one after the other, and this one's turn did not come before the deadline; \
                 nothing was done. Try again.",
            )),
        }
    }

    fn enter(self: &Arc<Self>, user: &str) -> (Arc<Semaphore>, Place) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.get_key_value(user).map(|(known, _)| Arc::clone(known));
        let user = known.unwrap_or_else(|| Arc::from(user));
        let line = open.entry(Arc::clone(&user)).or_insert_with(|| Line {
            turn: Arc::new(Semaphore::new(1)),
            pieces: 0,
        });
        line.pieces += 1;
        (
            Arc::clone(&line.turn),
            Place {
                lines: Arc::clone(self),
                user,
            },
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .lines
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = open.get_mut(&self.user) {
            line.pieces -= 1;
            if line.pieces == 0 {
                open.remove(&self.user);
            }
        }
    }
}

/// Whether to read so many bytes takes long.
pub fn is_large(bytes: usize) -> bool {
    bytes > LARGE
}

impl Request {
    /// Bytes that it takes in memory: of many small values many times those of their text.
    pub fn memory(&self) -> usize {
        self.text.len() + memory_of(&self.variables) + memory_of(self.extensions.entries())
    }

    /// Whether to read, coerce and plan it may take long. Looks no further than it has to.
    pub(super) fn is_large(&self) -> bool {
        is_large(self.text.len())
            || !fits(&self.variables, &mut LARGE.saturating_sub(self.text.len()))
    }
}

/// What a value takes in memory, beside its texts.
const VALUE_IN_MEMORY: usize = size_of::<Value>();

/// What an object takes in memory.
fn memory_of(object: &Map<String, Value>) -> usize {
    object
        .iter()
        .map(|(name, value)| size_of::<String>() + name.len() + memory_of_value(value))
        .sum()
}

fn memory_of_value(value: &Value) -> usize {
    VALUE_IN_MEMORY
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(memory_of_value).sum(),
            Value::Object(object) => memory_of(object),
        }
}

/// Takes what an object is worth from what is left; whether it was enough.
fn fits(object: &Map<String, Value>, left: &mut usize) -> bool {
    object
        .iter()
        .all(|(name, value)| take(name.len(), left) && value_fits(value, left))
}

fn value_fits(value: &Value, left: &mut usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => take(0, left),
        Value::String(text) => take(text.len(), left),
        Value::Array(values) => take(0, left) && values.iter().all(|value| value_fits(value, left)),
        Value::Object(object) => take(0, left) && fits(object, left),
    }
}

fn take(bytes: usize, left: &mut usize) -> bool {
    let rest = left.checked_sub(bytes.saturating_add(VALUE));
    *left = rest.unwrap_or(0);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::future::join_all;
    use futures::{FutureExt, poll};
    use serde_json::json;

    use super::*;

    const ANA: Option<&str> = Some("ana");
    const EVA: Option<&str> = Some("eva");
    /// With one thread.
    fn offload() -> Offload {
        Offload::on(&Arc::new(Semaphore::new(1)))
    }

    fn within(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[actix_web::test]
    async fn the_work_of_a_user_is_done_one_after_the_other_and_on_another_thread() {
        let offload = offload();
        let (here, now) = (std::thread::current().id(), Arc::new(Mutex::new(0)));
        let piece = |n: usize| {
            let now = Arc::clone(&now);
            offload.run(ANA, within(60_000), move || {
                assert_ne!(std::thread::current().id(), here);
                let alone = now
                    .try_lock()
                    .expect("nothing else of hers is done meanwhile");
                std::thread::sleep(Duration::from_millis(1));
                drop(alone);
                n
            })
        };
        let done = join_all((0..20).map(piece)).await;
        assert_eq!(done.into_iter().map(Result::unwrap).sum::<usize>(), 190);
        assert!(
            offload.0.open.lock().unwrap().is_empty(),
            "nothing is kept of who has nothing to be done"
        );
    }

    #[actix_web::test]
    async fn another_user_waits_for_one_piece_of_a_users_work_and_not_for_all_of_it() {
        let offload = offload();
        let (begin, begun) = mpsc::channel::<()>();
        let begun = Mutex::new(begun);
        let mut first =
            Box::pin(offload.run(ANA, within(60_000), move || begun.lock().unwrap().recv()));
        assert!(poll!(&mut first).is_pending());
        let others = join_all((0..50).map(|_| {
            offload.run(ANA, within(60_000), || {
                std::thread::sleep(Duration::from_millis(20))
            })
        }));
        let mut others = Box::pin(others);
        assert!(poll!(&mut others).is_pending());
        let hers = offload.run(EVA, within(60_000), || ());
        let mut hers = Box::pin(hers.map(|done| done.unwrap()));
        let _ = poll!(&mut hers);
        begin.send(()).unwrap();
        tokio::select! {
            () = &mut hers => {}
            _ = &mut others => panic!("all of another's work comes first"),
        }
    }

    #[actix_web::test]
    async fn whose_turn_does_not_come_is_refused_and_who_gives_up_leaves_nothing() {
        let offload = offload();
        let (end, ended) = mpsc::channel::<()>();
        let mut first = Box::pin(offload.run(ANA, within(60_000), move || ended.recv()));
        assert!(poll!(&mut first).is_pending());
        let late = offload.run(ANA, within(1), || ()).await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::TooManyRequests);
        assert!(late.message.contains("before the deadline"), "{late}");
        let mut second = Box::pin(offload.run(ANA, within(60_000), || ()));
        assert!(poll!(&mut second).is_pending());
        drop(second);
        end.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert!(offload.0.open.lock().unwrap().is_empty());
    }

    #[actix_web::test]
    async fn who_stays_at_the_head_of_the_line_is_the_only_one() {
        let offload = offload();
        let (made, head) = offload
            .run_at_head(ANA, within(60_000), || 1)
            .await
            .unwrap();
        let mut second = Box::pin(offload.run_at_head(ANA, within(60_000), move || made + 1));
        assert!(poll!(&mut second).is_pending());
        let hers = offload.run(EVA, within(60_000), || "done").await;
        assert_eq!(hers.unwrap(), "done", "the thread is free meanwhile");
        let late = offload.run(ANA, within(1), || ()).await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::TooManyRequests);
        drop(head);
        assert_eq!(second.await.unwrap().0, 2);
        assert!(offload.0.open.lock().unwrap().is_empty());
    }

    #[actix_web::test]
    async fn a_panic_goes_on_where_the_work_was_asked_for() {
        let offload = offload();
        let panics = offload.run(ANA, within(60_000), || panic!("a test wants a panic"));
        let caught = std::panic::AssertUnwindSafe(panics).catch_unwind().await;
        assert_eq!(
            caught.unwrap_err().downcast_ref(),
            Some(&"a test wants a panic")
        );
        offload
            .run(ANA, within(60_000), || ())
            .await
            .expect("and the next is done");
    }

    #[test]
    fn what_takes_long_is_large() {
        let request = |text: &str, variables: Value| {
            let Value::Object(variables) = variables else {
                unreachable!()
            };
            Request {
                text: text.to_owned(),
                variables,
                ..Request::default()
            }
        };
        assert!(!request("{ orders { uid } }", json!({})).is_large());
        assert!(!request(&"x".repeat(4_000), json!({ "a": "x".repeat(4_000) })).is_large());
        assert!(request(&"x".repeat(LARGE + 1), json!({})).is_large());
        assert!(request("", json!({ "a": [{ "b": "x".repeat(LARGE) }] })).is_large());
        assert!(request("", json!({ "a": vec![json!({ "uid": "c" }); 300] })).is_large());
        assert!(request("", json!({ "a": vec![json!([[]]); 300] })).is_large());
    }

    #[test]
    fn a_request_is_worth_what_it_takes_in_memory() {
        let variables = |value: Value| Map::from_iter([("x".to_owned(), value)]);
        let request = |value| Request {
            variables: variables(value),
            ..Request::default()
        };
        assert!(
            request(json!(vec![0; 20_000])).memory() > 1_000_000,
            "of 40 KB of text"
        );
        let text = request(json!("x".repeat(20_000))).memory();
        assert!((20_000..21_000).contains(&text), "{text}");
    }
}
