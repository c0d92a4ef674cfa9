//! Operations with more than one answer: subscriptions, and queries with `@live`.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use gom_actors::live::{
    Delivered, Interest, LiveError, Owner, Room, Sink, SubscriptionHandle, Watched,
};
use gom_engine::datamodel::{DataModel, ModelId, RelationStorage};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use gom_engine::plan::{PageLimits, Rights};
use gom_engine::request::{OperationKind, Prepared, Variables};
use gom_telemetry::metrics::{self, EVENTS, Lasting, Level, SUBSCRIPTIONS};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::context::{coerce, prepare};
use super::failure::not_deployed;
use super::wire::write_answer;
use super::{Answer, Api, Engine, Request, execute, serve};
use crate::identity::Viewer;
use crate::telemetry::{kind_of, observe_operation};

/// Changes within this time are answered together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Until a live query is tried again that could not be answered.
const AGAIN: Duration = Duration::from_millis(500);

/// Where the answers of one running operation go. Called on the worker's own thread; must not block.
pub trait Outlet {
    /// Under which errors are found in the log.
    fn request_id(&self) -> &str;
    /// A subscription that had no cursor has begun: of what comes after this one, nothing is missed.
    fn begins(&self, _after: Cursor) {}
    /// A subscription without a cursor is about to begin. Where its client has none: after which one it goes on, if it was here
    /// before. `None`: nothing is remembered.
    fn resume(&self) -> Option<LocalBoxFuture<'static, Result<Option<Cursor>, ApiError>>> {
        None
    }
    /// Everything up to the cursor has been handed over, whether or not any of it was for this operation.
    fn level(&self, _with: Cursor) {}
    fn next(&self, next: Next);
    /// Ready when the client can take the next answer; `None`: now.
    fn room(&self) -> Option<Room>;
    /// Nothing follows, for the server could not go on: changes that cannot be followed at the moment
    /// ([`ErrorKind::Unavailable`]), a cursor of which nothing is known ([`ErrorKind::ResyncRequired`]).
    fn end(&self, error: ApiError);
}

/// One answer. Many subscribers may share its bytes.
#[derive(Debug, Clone)]
pub struct Next {
    /// The whole execution result: `{"data":…,"errors":…,"extensions":{"cursor":"…"}}`.
    pub payload: Bytes,
    /// After which a client that reconnects goes on.
    pub cursor: Option<Cursor>,
}

/// An operation that has been started.
pub enum Started {
    /// The only answer: to a query, a mutation, or whatever was refused.
    Answered(Answer),
    /// Answers go to the outlet until this is dropped.
    Running(Running),
}

/// Ends its operation when dropped.
pub struct Running {
    ticket: SubscriptionHandle,
    _counted: Level,
    /// Of a live query: the task that answers anew.
    answering: Option<JoinHandle<()>>,
}

impl Running {
    /// After which cursor a subscription can go on without having missed anything ([`SubscriptionHandle::position`]); none of a live query,
    /// which is answered again.
    pub fn position(
        &self,
        last: Option<Cursor>,
    ) -> Option<impl Future<Output = Option<Cursor>> + 'static> {
        self.answering.is_none().then(|| self.ticket.position(last))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.abort();
        }
    }
}

/// Starts an operation. A subscription goes on after `from`, where it is given, else from now.
/// With `only_reads`, mutations are refused. The outlet may be called before this returns.
pub async fn start(
    api: &Api,
    request: impl Into<Arc<Request>>,
    viewer: Viewer,
    from: Option<Cursor>,
    only_reads: bool,
    deadline: Instant,
    outlet: Rc<dyn Outlet>,
) -> Started {
    let began = Instant::now();
    let request: Arc<Request> = request.into();
    let is_large = request.is_large();
    let prepared = match prepare(api, &request, &viewer, is_large, deadline).await {
        Ok(prepared) => prepared,
        Err(errors) => {
            observe_operation(metrics::Operation::Unknown, &errors, began.elapsed());
            return Started::Answered(Answer::refused(errors));
        }
    };
    if prepared.operation.kind != OperationKind::Subscription && !prepared.live {
        if from.is_some() {
            return Started::Answered(Answer::refused(vec![without_cursor()]));
        }
        let kind = Cell::new(metrics::Operation::Unknown);
        let answer = serve(api, request, viewer, only_reads, deadline, &kind).await;
        let refused = || {
            let message = "GET may only ask queries and subscriptions; POST mutations";
            Answer::refused(vec![ApiError::new(ErrorKind::BadUserInput, message)])
        };
        return Started::Answered(answer.unwrap_or_else(refused));
    }
    let asked = Asked {
        request: &request,
        prepared: &prepared,
        viewer: &viewer,
        is_large,
        deadline,
    };
    let running = begin(api, asked, from, outlet).await;
    let refused = running
        .as_ref()
        .err()
        .map(std::slice::from_ref)
        .unwrap_or_default();
    observe_operation(kind_of(&prepared), refused, began.elapsed());
    match running {
        Ok(running) => Started::Running(running),
        Err(error) => Started::Answered(Answer::refused(vec![error])),
    }
}

/// An operation that goes on, and who has asked for it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: &'a Arc<Request>,
    prepared: &'a Arc<Prepared>,
    viewer: &'a Viewer,
    is_large: bool,
    deadline: Instant,
}

/// Begins a subscription or a live query: like every operation, it takes its turn when all has been checked that needs no
/// database.
async fn begin(
    api: &Api,
    asked: Asked<'_>,
    from: Option<Cursor>,
    outlet: Rc<dyn Outlet>,
) -> Result<Running, ApiError> {
    let Asked {
        request,
        prepared,
        viewer,
        is_large,
        deadline,
    } = asked;
    let rights = api.engine.rights(viewer)?;
    let variables = coerce(
        api,
        prepared,
        request,
        viewer,
        rights.as_ref(),
        is_large,
        deadline,
    )
    .await?;
    if prepared.operation.kind != OperationKind::Subscription {
        if from.is_some() {
            return Err(without_cursor());
        }
        let _turn = api.engine.turn(viewer, deadline).await?;
        return answer_anew(api, asked, (rights, &variables), outlet);
    }
    let resuming = if from.is_none() {
        outlet.resume()
    } else {
        None
    };
    // One statement reads the nodes of many changes, for many subscribers: its size says nothing of any message.
    let page = PageLimits {
        answer_bytes: None,
        ..api.engine.limits_of(viewer).page
    };
    let plan = {
        let prepared = Arc::clone(prepared);
        move |engine: &Engine| {
            engine
                .planner
                .subscription(&prepared, variables, page, rights)
        }
    };
    let (subscription, head) = api
        .engine
        .work_ahead(is_large, viewer, deadline, plan)
        .await?;
    let subscription = subscription?;
    let _turn = api.engine.turn(viewer, deadline).await?;
    drop(head);
    check_deployed(api)?;
    check_logged(api, [subscription.model()])?;
    let from = match resuming {
        Some(resuming) => {
            let from = resuming.await?;
            from.into_iter().for_each(|from| outlet.begins(from));
            from
        }
        None => from,
    };
    let interest = Interest::Events(Arc::new(subscription));
    let ticket = api
        .live
        .subscribe(owner(viewer), interest, from, Rc::new(ToOutlet(outlet)));
    Ok(Running {
        ticket,
        _counted: SUBSCRIPTIONS.level(Lasting::Subscription),
        answering: None,
    })
}

/// To ignore a cursor would be to promise what it stands for.
fn without_cursor() -> ApiError {
    let message =
        "Only subscriptions go on after a cursor: queries, live ones too, and mutations take none";
    ApiError::new(ErrorKind::BadUserInput, message)
}

/// Whose time a subscription takes.
fn owner(viewer: &Viewer) -> Owner {
    viewer.user().map_or(Owner::Service, |user| {
        Owner::User(user.subject.as_str().into())
    })
}

fn check_deployed(api: &Api) -> Result<(), ApiError> {
    not_deployed(api).map_or(Ok(()), Err)
}

/// Who would never hear of a change is refused, and not kept waiting.
fn check_logged(api: &Api, models: impl IntoIterator<Item = ModelId>) -> Result<(), ApiError> {
    let unlogged = api.deployed.unlogged();
    let physical = api.engine.planner.physical();
    if unlogged.is_empty() {
        return Ok(());
    }
    let silent = models
        .into_iter()
        .find_map(|model| silent_table(&physical.model, model, &unlogged));
    silent.map_or(Ok(()), |table| {
        Err(failure(&LiveError::UnloggedTable(table)))
    })
}

/// Of the tables that a change of the model's nodes is logged from, one that logs none: the nodes' own, their lists' or their
/// relations'.
fn silent_table(datamodel: &DataModel, id: ModelId, unlogged: &[String]) -> Option<String> {
    let model = datamodel.model(id);
    let lists = model.fields.iter().filter(|field| field.is_scalar_list());
    let lists = lists.map(|field| format!("{}_{}", model.table, field.column));
    let relations = datamodel
        .relations
        .iter()
        .filter(|one| one.a.model == id || one.b.model == id);
    let relations = relations.filter_map(|relation| match &relation.storage {
        RelationStorage::Table { table, .. } => Some(table.clone()),
        RelationStorage::Inline { .. } => None,
    });
    let mut tables = std::iter::once(model.table.clone())
        .chain(lists)
        .chain(relations);
    tables.find(|table| unlogged.contains(table))
}

/// Passes events on.
struct ToOutlet(Rc<dyn Outlet>);

impl Sink for ToOutlet {
    fn noted(&self, after: Cursor) {
        self.0.begins(after);
    }

    fn level(&self, with: Cursor) {
        self.0.level(with);
    }

    fn event(&self, event: &Delivered) {
        EVENTS.one(Lasting::Subscription);
        self.0.next(Next {
            payload: event.payload.clone(),
            cursor: Some(event.cursor),
        });
    }

    fn room(&self) -> Option<Room> {
        self.0.room()
    }

    fn ended(&self, reason: LiveError) {
        end(self.0.as_ref(), &reason);
    }
}

fn end(outlet: &dyn Outlet, reason: &LiveError) {
    let error = failure(reason);
    log_internal(outlet, std::slice::from_ref(&error));
    outlet.end(error);
}

/// What is awaited; nothing if it panics: then the operation ends with an error, instead of saying nothing for ever.
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

fn log_internal(outlet: &dyn Outlet, errors: &[ApiError]) {
    for error in errors
        .iter()
        .filter(|error| error.kind == ErrorKind::Internal)
    {
        tracing::error!(
            request_id = outlet.request_id(),
            cause = error.message,
            "internal error"
        );
    }
}

fn failure(reason: &LiveError) -> ApiError {
    let kind = match reason {
        LiveError::Resync => ErrorKind::ResyncRequired,
        LiveError::Unlogged | LiveError::UnloggedTable(_) => ErrorKind::Execution,
        LiveError::Unavailable(_) => ErrorKind::Unavailable,
        LiveError::Costly(_) | LiveError::CostlyChange { .. } => ErrorKind::LimitExceeded,
        LiveError::Failed(_) => ErrorKind::Internal,
    };
    ApiError::new(kind, reason.to_string())
}

/// Answers a query, and again whenever a change touches what it has read and the answer differs. One answer is
/// made at a time.
fn answer_anew(
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
    let models = engine
        .planner
        .watched(&prepared.operation, variables, rights.as_deref());
    check_logged(api, models.iter().copied())?;
    let watched = models
        .into_iter()
        .map(|model| Watched { model, key: None })
        .collect();
    let touched = Rc::new(Touched {
        outlet: Rc::clone(&outlet),
        again: Notify::new(),
        over: Cell::new(false),
    });
    let (touch, sink) = (
        Interest::Touch(watched),
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
    let (api, request, viewer) = (api.clone(), Arc::new(lasting), viewer.clone());
    let patience = engine.limits_of(&viewer).deadline;
    let answering = actix_web::rt::spawn(async move {
        // What is committed after the first answer must be heard of: the hub knows of the query before it is answered.
        touched.again.notified().await;
        let mut last = None;
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
            let Some(Some(answer)) = or_end(outlet.as_ref(), executing).await else {
                return;
            };
            drop(turn);
            if answer.may_be_repeated() {
                // The database is away or too busy: what was shown stays until it is not.
                sleep(AGAIN).await;
                continue;
            }
            let mut payload = Vec::new();
            log_internal(outlet.as_ref(), &answer.errors);
            write_answer(&mut payload, &answer, outlet.request_id());
            let payload = Bytes::from(payload);
            // Answers may be large, and are many: what was shown is kept as a digest.
            let shown = digest(&SHA256, &payload);
            if last
                .as_ref()
                .is_none_or(|last: &Digest| last.as_ref() != shown.as_ref())
            {
                last = Some(shown);
                EVENTS.one(Lasting::Live);
                outlet.next(Next {
                    payload,
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
        _counted: SUBSCRIPTIONS.level(Lasting::Live),
        answering: Some(answering),
    })
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use gom_engine::datamodel::parse;

    use super::*;

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

    #[test]
    fn a_costly_subscription_is_ended_by_itself_and_not_with_its_connection() {
        let second = Duration::from_secs(1);
        for reason in [
            LiveError::Costly(second),
            LiveError::CostlyChange {
                statement: second,
                max_lag: second,
            },
        ] {
            let error = failure(&reason);
            // Whatever is unavailable is closed with 1013, and clients come back at once.
            assert_eq!(error.kind, ErrorKind::LimitExceeded);
            assert!(
                error
                    .message
                    .ends_with("Ask for less in its filter and its selection"),
                "{}",
                error.message
            );
        }
    }

    #[test]
    fn a_model_is_silent_if_any_of_its_tables_logs_nothing() {
        let text =
            "type Album { id: ID! @id tags: [String!]! @scalarList(strategy: RELATION) songs: [Song!]! }
                    type Song { id: ID! @id albums: [Album!]! }
                    type Other { id: ID! @id }";
        let model = parse("datamodel.prisma", text).unwrap();
        let silent = |unlogged: &str| -> Vec<&str> {
            let unlogged = [unlogged.to_owned()];
            let silent = |at: &usize| silent_table(&model, ModelId(*at), &unlogged).is_some();
            (0..model.models.len())
                .filter(silent)
                .map(|at| model.models[at].name.as_str())
                .collect()
        };
        let RelationStorage::Table { table, .. } = &model.relations[0].storage else {
            panic!("a table")
        };
        assert_eq!(silent("Album"), ["Album"]);
        assert_eq!(silent("Album_tags"), ["Album"]);
        assert_eq!(silent(table), ["Album", "Song"]);
        assert!(silent("another").is_empty());
    }
}
