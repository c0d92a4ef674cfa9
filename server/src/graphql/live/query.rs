//! Live queries: answered, and again whenever a change may have made the answer another.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use gom_actors::database::{Asker, Behalf};
use gom_actors::live::{AnswerTurn, Delivered, Interest, LiveError, Owner, Sink};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::{Cursor, Watched};
use gom_telemetry::metrics::{EVENTS, Lasting, SUBSCRIPTIONS};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::classes::{Class, Classes, Evaluated};
use super::lanes::{Cost, Source};
use super::outlet::{Next, Outlet, Running, end, log_internal};
use super::owner;
use super::patch::Patches;
use crate::graphql::execute::LiveQuery;
use crate::graphql::{Api, position};
use crate::identity::Viewer;

/// Changes within this time are answered together.
const TOGETHER: Duration = Duration::from_millis(10);
/// The pause before a live query that could not be answered is retried.
const AGAIN: Duration = Duration::from_millis(500);
/// What takes several times as long to read rests as many times as long as it took, up to [`MAX_REST`] times.
const HEAVY: Duration = Duration::from_millis(250);
const MAX_REST: u32 = 10;
/// Of so many users whose live queries are equal, the first that has no other one being read is charged.
const CHARGEABLE: usize = 8;

/// In which form a client is sent answers.
pub(super) struct Format {
    pub asked: position::Asked,
    /// Differences, if the client has asked for them.
    pub patches: Option<Patches>,
}

/// Joins the class of a live query, and hands its answers to the client, as fast as that takes them.
pub(super) fn run_live_query(
    api: &Api,
    query: LiveQuery,
    watched: Vec<Watched>,
    (viewer, format): (&Viewer, Format),
    outlet: Rc<dyn Outlet>,
) -> Running {
    let (api, viewer) = (api.clone(), viewer.clone());
    let answering = actix_web::rt::spawn(async move {
        let ended = Rc::clone(&outlet);
        let showing = show(&api, query, watched, (viewer, format), outlet);
        or_end(ended.as_ref(), showing).await;
    });
    Running {
        ticket: None,
        _counted: SUBSCRIPTIONS.guard(Lasting::Live),
        answering: Some(answering),
    }
}

async fn show(
    api: &Api,
    query: LiveQuery,
    watched: Vec<Watched>,
    (viewer, format): (Viewer, Format),
    outlet: Rc<dyn Outlet>,
) {
    let Format { asked, mut patches } = format;
    if asked.is_after()
        && let Err(error) = reach(api, &viewer, asked).await
    {
        end_with(outlet.as_ref(), error);
        return;
    }
    // What is read from now on is no earlier state.
    let owner = owner(&viewer);
    let (member, new) = api.engine.classes.join(query, owner.clone());
    if let Some(class) = new {
        evaluate(api.clone(), class, watched, owner);
    }
    let can_take = || outlet.room().is_none() && api.admission.check(&viewer).is_ok();
    loop {
        if let Some(room) = outlet.room() {
            room.await;
        } else if !can_take() {
            // Too much waits for the user's clients elsewhere.
            sleep(AGAIN).await;
        }
        if !can_take() {
            continue;
        }
        let evaluated = match member.next().await {
            Ok(evaluated) => evaluated,
            Err(reason) => {
                end(outlet.as_ref(), &reason);
                return;
            }
        };
        // Others of this connection may have filled it meanwhile.
        if !can_take() {
            member.has_not_shown();
            continue;
        }
        log_internal(outlet.as_ref(), evaluated.errors());
        EVENTS.inc(Lasting::Live);
        let request_id = outlet.request_id();
        let (engine, wants_cursor) = (&api.engine, asked.wants_cursor());
        let payload = match &mut patches {
            Some(patches) => evaluated.message(patches, engine, wants_cursor, request_id),
            None => evaluated.payload(engine, wants_cursor, request_id),
        };
        outlet.next(Next {
            payload,
            cursor: None,
        });
        member.has_shown(evaluated.shown);
    }
}

/// Waits until the state is there that the first answer must not be before.
async fn reach(api: &Api, viewer: &Viewer, asked: position::Asked) -> Result<(), ApiError> {
    let deadline = Instant::now() + api.engine.limits_of(viewer).deadline;
    loop {
        let reached = async {
            let turn = api.engine.turn(viewer, deadline).await?;
            let behalf = turn.zip(viewer.user());
            let behalf =
                behalf.map(|(turn, user)| Behalf::of(Asker::named(&user.subject), Arc::new(turn)));
            let database = api.database.on_behalf_of(behalf);
            asked.reached(api, &database, deadline).await
        };
        match reached.await {
            Err(error) if is_passing(&error) && Instant::now() + AGAIN < deadline => {
                sleep(AGAIN).await;
            }
            reached => return reached,
        }
    }
}

fn is_passing(error: &ApiError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::TooManyRequests
    )
}

/// Ends this operation. What is unavailable would end its whole connection.
fn end_with(outlet: &dyn Outlet, mut error: ApiError) {
    if error.kind == ErrorKind::Unavailable {
        error.kind = ErrorKind::DeadlineExceeded;
    }
    outlet.end(error);
}

/// Evaluates a class, on this thread, until its last member has left.
fn evaluate(api: Api, class: Arc<Class>, watched: Vec<Watched>, owner: Owner) {
    let ended = Ended {
        classes: Arc::clone(&api.engine.classes),
        class: Arc::clone(&class),
        reason: RefCell::new(LiveError::Unavailable("its thread has ended".into())),
    };
    actix_web::rt::spawn(async move {
        let evaluating = evaluate_all(&api, &class, watched, owner);
        let reason = tokio::select! {
            reason = AssertUnwindSafe(evaluating).catch_unwind() => reason,
            () = class.emptied.notified() => return,
        };
        // The panic's own message has been logged where it happened.
        *ended.reason.borrow_mut() = reason.unwrap_or_else(|_| LiveError::Failed("a panic".into()));
    });
}

/// Ends a class's members with its evaluation, however that ends.
struct Ended {
    classes: Arc<Classes>,
    class: Arc<Class>,
    reason: RefCell<LiveError>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let reason = self.reason.borrow().clone();
        self.classes.end(&self.class, reason);
    }
}

/// Evaluates a class whenever a member waits for an answer that a change may have made another. One evaluation is made at a time.
/// Why it ends.
async fn evaluate_all(
    api: &Api,
    class: &Arc<Class>,
    watched: Vec<Watched>,
    owner: Owner,
) -> LiveError {
    let touched = Rc::new(Touched {
        class: Arc::clone(class),
        noted: Cell::new(None),
        ended: RefCell::new(None),
        over: Notify::new(),
    });
    let (touch, sink) = (
        Interest::Touch(watched.into()),
        Rc::clone(&touched) as Rc<dyn Sink>,
    );
    let _ticket = api.live.subscribe(owner, touch, None, sink);
    let answering = async {
        let (mut rests_until, mut cost) = (None, Cost::Unknown);
        loop {
            class.wake.notified().await;
            if let Some(until) = rests_until {
                sleep_until(Instant::max(until, Instant::now() + TOGETHER)).await;
            }
            // What is committed after an answer must not be missed: the class is registered with the hub before it is evaluated.
            let Some(noted) = touched.noted.get() else {
                continue;
            };
            let turn = charge(api, &class.owners(CHARGEABLE)).await;
            let due = class.due();
            if due.is_empty() {
                continue;
            }
            let Ok(database) = api.database.database().live_reads().await else {
                drop(turn);
                class.put_back(&due);
                sleep(AGAIN).await;
                continue;
            };
            let (live, connections) = (
                api.live.live().clone(),
                database.database().live_connections(),
            );
            let source = Source { database, live };
            let (statements, patience) = (&class.query.statements, class.query.patience(api));
            let lanes = api.engine.classes.lanes(connections);
            let read = lanes.read(&source, statements, &mut cost, patience).await;
            drop(turn);
            rests_until = Some(Instant::now() + rest(read.took));
            let answer = class.query.answer(api, &source.database, read.found).await;
            if answer.may_be_repeated() {
                // The database is away or too busy: what was shown stays until it is not.
                class.put_back(&due);
                sleep(AGAIN).await;
                continue;
            }
            api.engine.classes.count_evaluation();
            let evaluated = Evaluated::new(answer, read.head.or(Some(noted)));
            class.publish(&due, &Arc::new(evaluated));
        }
    };
    tokio::select! {
        reason = answering => reason,
        () = touched.over.notified() => {
            let ended = touched.ended.borrow_mut().take();
            ended.unwrap_or_else(|| LiveError::Failed("a live query has ended".into()))
        }
    }
}

/// How long a class rests after an evaluation: no less than that took, and several times as long after one that holds up others.
fn rest(took: Duration) -> Duration {
    let times = took.as_millis() / HEAVY.as_millis();
    took * u32::try_from(times).unwrap_or(u32::MAX).clamp(1, MAX_REST)
}

/// The turn of the first of these who has one: one live query of each user is read at a time.
async fn charge(api: &Api, owners: &[Owner]) -> Option<AnswerTurn> {
    let turns = owners
        .iter()
        .map(|owner| Box::pin(api.live.answer_turn(owner)));
    let turns: Vec<_> = turns.collect();
    if turns.is_empty() {
        return None;
    }
    Some(select_all(turns).await.0)
}

/// What a class has read was touched.
struct Touched {
    class: Arc<Class>,
    noted: Cell<Option<Cursor>>,
    ended: RefCell<Option<LiveError>>,
    over: Notify,
}

impl Sink for Touched {
    fn noted(&self, after: Cursor) {
        self.noted.set(Some(after));
        self.class.wake.notify_one();
    }

    fn event(&self, _: &Delivered) {
        self.class.touched();
    }

    fn ended(&self, reason: LiveError) {
        *self.ended.borrow_mut() = Some(reason);
        self.over.notify_one();
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
