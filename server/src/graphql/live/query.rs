//! Live queries: answered, and again whenever a change may have made the answer another.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use futures::FutureExt;
use gom_actors::live::{Delivered, Interest, LiveError, Sink};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use gom_engine::plan::Rights;
use gom_engine::request::Variables;
use gom_runtime::waiting::Reader;
use gom_telemetry::metrics::{EVENTS, Lasting, SUBSCRIPTIONS};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::change_log::check_logged;
use super::outlet::{Next, Outlet, Running, end, log_internal};
use super::patch::{Patches, wants_patches};
use super::{Asked, owner};
use crate::graphql::wire::write_answer;
use crate::graphql::{AFTER, AnswerCursor, Api, PATCH, Request, execute};

/// Changes within this time are answered together.
const TOGETHER: Duration = Duration::from_millis(10);
/// The pause before a live query that could not be answered is retried.
const AGAIN: Duration = Duration::from_millis(500);

/// Answers a query, and again whenever a change touches what it has read and the answer differs. One answer is
/// made at a time.
pub(super) fn run_live_query(
    api: &Api,
    Asked {
        request,
        prepared,
        viewer,
        ..
    }: Asked<'_>,
    (rights, variables): (Option<Arc<Rights>>, &Variables),
    outlet: Rc<dyn Outlet>,
) -> Result<Running, ApiError> {
    let engine = &api.engine;
    let whose = Reader::from(&owner(viewer));
    let mut patches = wants_patches(request)?.then(|| Patches::new(engine.kept.account(&whose)));
    let watched = engine
        .planner
        .watched(&prepared.operation, variables, rights.as_deref());
    check_logged(api, watched.iter().map(|watched| watched.model))?;
    let touched = Rc::new(Touched {
        outlet: Rc::clone(&outlet),
        again: Notify::new(),
        over: Cell::new(false),
    });
    let (touch, sink) = (
        Interest::Touch(watched.into()),
        Rc::clone(&touched) as Rc<dyn Sink>,
    );
    let ticket = api.live.subscribe(owner(viewer), touch, None, sink);
    // It stays for as long as the query: without what nobody asks for.
    let is_declared = |name: &str| {
        prepared
            .operation
            .variables
            .iter()
            .any(|declared| declared.name == name)
    };
    let mut lasting = Request::clone(request);
    lasting.variables.retain(|name, _| is_declared(name));
    lasting.extensions.remove(PATCH);
    let (api, mut request, viewer) = (api.clone(), Arc::new(lasting), viewer.clone());
    let patience = engine.limits_of(&viewer).deadline;
    let answering = actix_web::rt::spawn(async move {
        // What is committed after the first answer must not be missed: the query is registered with the hub before it is answered.
        touched.again.notified().await;
        let (mut last, first) = (None, Instant::now());
        while !touched.over.get() {
            // Others of this connection may have filled it while this one waited for its turn.
            let turn = loop {
                if let Some(room) = outlet.room() {
                    room.await;
                }
                let turn = api.live.answer_turn(&owner(&viewer)).await;
                if outlet.room().is_none() {
                    break turn;
                }
            };
            let began = Instant::now();
            let deadline = Instant::now() + patience;
            let executing = execute(&api, Arc::clone(&request), viewer.clone(), true, deadline);
            let Some(Some(mut answer)) = or_end(outlet.as_ref(), executing).await else {
                return;
            };
            drop(turn);
            if request.extensions.get(AFTER).is_some() {
                if answer.is_refused() {
                    if answer.may_be_repeated() && first.elapsed() < patience {
                        sleep(AGAIN).await;
                        continue;
                    }
                    // The state that was asked for is not there in time, or never will be.
                    end_with(outlet.as_ref(), answer.errors);
                    return;
                }
                // What is read later is no earlier state.
                Arc::make_mut(&mut request).extensions.remove(AFTER);
            }
            if answer.may_be_repeated() {
                // The database is away or too busy: what was shown stays until it is not.
                sleep(AGAIN).await;
                continue;
            }
            log_internal(outlet.as_ref(), &answer.errors);
            // What is the same at a later position is not shown again.
            let cursor = std::mem::take(&mut answer.cursor);
            let mut payload = Vec::new();
            write_answer(&mut payload, &answer, outlet.request_id());
            // Answers may be large, and are many: what was shown is kept as a digest.
            let shown = digest(&SHA256, &payload);
            let has_cursor = cursor != AnswerCursor::None;
            answer.cursor = cursor;
            if last
                .as_ref()
                .is_none_or(|last: &Digest| last.as_ref() != shown.as_ref())
            {
                last = Some(shown);
                if let Some(patches) = &mut patches {
                    payload = patches.message(&answer, outlet.request_id());
                } else if has_cursor {
                    payload.clear();
                    write_answer(&mut payload, &answer, outlet.request_id());
                }
                EVENTS.inc(Lasting::Live);
                outlet.next(Next {
                    payload: Bytes::from(payload),
                    cursor: None,
                });
            }
            let took = began.elapsed();
            touched.again.notified().await;
            // A query that takes long takes no more than half of the time.
            sleep(took.max(TOGETHER)).await;
        }
    });
    Ok(Running {
        ticket,
        _counted: SUBSCRIPTIONS.guard(Lasting::Live),
        answering: Some(answering),
    })
}

/// Ends this operation. What is unavailable would end its whole connection.
fn end_with(outlet: &dyn Outlet, errors: Vec<ApiError>) {
    if let Some(mut error) = errors.into_iter().next() {
        if error.kind == ErrorKind::Unavailable {
            error.kind = ErrorKind::DeadlineExceeded;
        }
        outlet.end(error);
    }
}

/// What a live query has read was touched.
struct Touched {
    outlet: Rc<dyn Outlet>,
    again: Notify,
    over: Cell<bool>,
}

impl Sink for Touched {
    fn noted(&self, _: Cursor) {
        self.again.notify_one();
    }

    fn event(&self, _: &Delivered) {
        self.again.notify_one();
    }

    fn ended(&self, reason: LiveError) {
        self.over.set(true);
        self.again.notify_one();
        end(self.outlet.as_ref(), &reason);
    }
}

/// What is awaited; nothing if it panics: then the operation ends with an error, instead of never answering.
async fn or_end<T>(outlet: &dyn Outlet, awaited: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(awaited).catch_unwind().await {
        Ok(done) => Some(done),
        // The panic's own message has been logged where it happened.
        Err(_) => {
            end(outlet, &LiveError::Failed("a panic".into()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use gom_actors::live::Room;

    #[derive(Default)]
    struct Ends(RefCell<Vec<ApiError>>);

    impl Outlet for Ends {
        fn request_id(&self) -> &'static str {
            "r"
        }
        fn next(&self, _: Next) {}
        fn room(&self) -> Option<Room> {
            None
        }
        fn end(&self, error: ApiError) {
            self.0.borrow_mut().push(error);
        }
    }

    #[actix_web::test]
    async fn a_live_query_whose_answer_panics_ends_with_an_error() {
        let ends = Ends::default();
        assert_eq!(or_end(&ends, async { 1 }).await, Some(1));
        assert!(ends.0.borrow().is_empty());
        assert_eq!(
            or_end::<()>(&ends, async { panic!("a test wants a panic") }).await,
            None
        );
        let kinds: Vec<ErrorKind> = ends.0.borrow().iter().map(|error| error.kind).collect();
        assert_eq!(kinds, [ErrorKind::Internal]);
    }
}
