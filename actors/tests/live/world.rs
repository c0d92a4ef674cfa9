//! A small shop, its writers and its subscribers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::live::{
    Delivered, Interest, Live, LiveError, LiveOptions, LocalLive, Owner, Sink, SubscriptionHandle,
};
use gom_actors::migrations::{Deployment, apply};
use gom_engine::datamodel;
use gom_engine::events::{Cursor, EventMessage, Subscription};
use gom_engine::plan::{PageLimits, Planner};
use gom_engine::request::{RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use gom_test_support::{TestDatabase, eventually};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_postgres::Client;

const SCHEMA: &str = "default$default";
const MODEL: &str = "
type Shop { id: ID! @id name: String orders: [Order!] @relation(name: \"ShopOrders\") }
type Order { id: ID! @id n: Int shop: Shop @relation(name: \"ShopOrders\", link: INLINE) }";

/// What is in the slow lane, and what panics, is of the whole process: one test at a time.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct World {
    _turn: MutexGuard<'static, ()>,
    pub database: TestDatabase,
    pub client: Client,
    pub planner: Planner,
    requests: Requests,
}

pub fn options() -> LiveOptions {
    LiveOptions {
        schema: SCHEMA.to_owned(),
        poll: Duration::from_millis(5),
        keep_for: Duration::from_secs(3600),
        keep: 1_000_000,
        keep_bytes: 0,
        keep_keys_for: Duration::from_secs(3_600),
        user_budget: Duration::from_millis(50),
        max_lag: Duration::from_secs(60),
        redis: None,
    }
}

pub fn user(name: &str) -> Owner {
    Owner::User(name.into())
}

pub fn encode(_: &Subscription, message: &EventMessage, _: Cursor) -> Bytes {
    let mut text = message.payload.clone().unwrap_or_default();
    if !message.left.is_empty() {
        text.push_str(&format!("-{}", message.left.join("-")));
    }
    Bytes::from(text)
}

impl World {
    pub async fn create() -> World {
        let turn = TURN.lock().await;
        let database = TestDatabase::create().await;
        let model = datamodel::parse("datamodel.prisma", MODEL).unwrap();
        let deployment = Deployment::new(&model, MODEL, SCHEMA);
        apply(&mut database.connect().await, &deployment, &|_| {})
            .await
            .unwrap();
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let served = Served::new(&schema).unwrap();
        let physical = Physical::new(model, &PhysicalOptions::in_schema(SCHEMA));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        let client = connect(&database).await;
        client
            .batch_execute("insert into \"Shop\" values ('s', 'Tacos')")
            .await
            .unwrap();
        World {
            _turn: turn,
            database,
            client,
            planner,
            requests,
        }
    }

    pub fn database(&self) -> Database {
        Database::start(DatabaseOptions::new(self.database.config())).unwrap()
    }

    pub fn live(&self, options: LiveOptions) -> Live {
        Live::start(
            options,
            &self.database(),
            self.planner.clone(),
            Arc::new(encode),
        )
        .unwrap()
    }

    pub fn interest(&self, text: &str, filter: &Value) -> Interest {
        self.interest_of(text, filter, false)
    }

    /// Of a subscription that reports leaves.
    pub fn interest_with_leaves(&self, text: &str, filter: &Value) -> Interest {
        self.interest_of(text, filter, true)
    }

    fn interest_of(&self, text: &str, filter: &Value, leaves: bool) -> Interest {
        let prepared = self.requests.prepare(text, None, &RequestLimits::UNLIMITED);
        let prepared = prepared.unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let given = json!({ "where": filter });
        let variables = self
            .requests
            .coerce(&prepared.operation, given.as_object().unwrap())
            .unwrap();
        let limits = PageLimits {
            page_size: Some(100),
            ..PageLimits::default()
        };
        let subscription = if leaves {
            self.planner
                .subscription_with_leaves(&prepared, variables, limits, None)
        } else {
            self.planner
                .subscription(&prepared, variables, limits, None)
        };
        Interest::Events(Arc::new(subscription.unwrap()))
    }

    /// Orders with their number.
    pub fn orders(&self) -> Interest {
        self.interest(
            "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { n } } }",
            &json!({}),
        )
    }

    /// The same with their shop, which [`World::make_shops_slow`] makes costly; one group for each number.
    pub fn orders_with_shops(&self, number: i32) -> Interest {
        self.interest(
            "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { n shop { name } } } }",
            &json!({ "node": { "n_not": -1 - number } }),
        )
    }

    /// From now on reading a shop takes this long, without costing the machine anything.
    pub async fn make_shops_slow(&self, takes: Duration) {
        let seconds = takes.as_secs_f64();
        self.client
            .batch_execute(&format!(
                "drop view if exists slow_shops;
                 do $$ begin
                   if to_regclass('shop_rows') is null then alter table \"Shop\" rename to shop_rows;
                   else drop view \"Shop\"; end if;
                 end $$;
                 create view \"Shop\" as select * from shop_rows where {seconds} = 0 or pg_sleep({seconds})::text = ''"
            ))
            .await
            .unwrap();
    }

    /// Commits an order.
    pub async fn order(&self, n: i32, shop: Option<&str>) {
        let sql = "insert into \"Order\" (id, n, shop) values ($1, $2, $3)";
        self.client
            .execute(sql, &[&format!("o{n}"), &n, &shop])
            .await
            .unwrap();
    }
}

pub async fn connect(database: &TestDatabase) -> Client {
    let client = database.connect().await;
    client
        .batch_execute(&format!("set search_path = \"{SCHEMA}\""))
        .await
        .unwrap();
    client
}

/// What a subscriber has got.
#[derive(Default)]
pub struct Inbox {
    /// The numbers of orders, and when they came.
    pub numbers: RefCell<Vec<(i32, Instant)>>,
    pub cursors: RefCell<Vec<Cursor>>,
    pub begins: Cell<Option<Cursor>>,
    pub ended: RefCell<Option<LiveError>>,
}

impl Sink for Inbox {
    fn noted(&self, after: Cursor) {
        self.begins.set(Some(after));
    }

    fn event(&self, event: &Delivered) {
        assert!(
            self.cursors
                .borrow()
                .last()
                .is_none_or(|last| *last < event.cursor),
            "in order, and once"
        );
        self.cursors.borrow_mut().push(event.cursor);
        let digits: String = {
            let text = std::str::from_utf8(&event.payload).unwrap();
            let from = text.find("\"n\"").map_or(text.len(), |at| at + 3);
            text[from..]
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(char::is_ascii_digit)
                .collect()
        };
        let number = digits
            .parse()
            .unwrap_or_else(|_| panic!("{:?}", event.payload));
        self.numbers.borrow_mut().push((number, Instant::now()));
    }

    fn ended(&self, reason: LiveError) {
        *self.ended.borrow_mut() = Some(reason);
    }
}

impl Inbox {
    pub fn got(&self) -> Vec<i32> {
        self.numbers
            .borrow()
            .iter()
            .map(|(number, _)| *number)
            .collect()
    }

    pub fn is_over(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// Subscribes from now.
pub async fn subscribe(
    local: &LocalLive,
    owner: &Owner,
    interest: Interest,
) -> (Rc<Inbox>, SubscriptionHandle) {
    let mut begun = None;
    // As clients do, where the hub is just being rebuilt.
    eventually("a beginning", async || {
        let (inbox, _) = begun.get_or_insert_with(|| {
            let inbox = Rc::new(Inbox::default());
            let ticket = local.subscribe(
                owner.clone(),
                interest.clone(),
                None,
                Rc::clone(&inbox) as Rc<dyn Sink>,
            );
            (inbox, ticket)
        });
        let (begins, is_over) = (inbox.begins.get().is_some(), inbox.is_over());
        if is_over {
            begun = None;
        }
        begins && !is_over
    })
    .await;
    begun.unwrap()
}

/// Comes back with a cursor.
pub fn come_back(
    local: &LocalLive,
    owner: &Owner,
    interest: Interest,
    from: Cursor,
) -> (Rc<Inbox>, SubscriptionHandle) {
    let inbox = Rc::new(Inbox::default());
    let ticket = local.subscribe(
        owner.clone(),
        interest,
        Some(from),
        Rc::clone(&inbox) as Rc<dyn Sink>,
    );
    (inbox, ticket)
}
