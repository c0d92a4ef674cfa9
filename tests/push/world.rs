//! A server as a process that can be killed, the push service that it sends to, and the shop's people.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_shop::customer_subject;
use gom_test_support::{PushService, PushServiceOptions, Received, TestDatabase, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_postgres::Client;

const SECRET: &str = "a secret of the push test, long enough";
/// The receiver's public key and secret of RFC 8291's example.
pub const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
pub const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";

pub struct World {
    server: Option<Child>,
    /// Processes beside it.
    others: Vec<Child>,
    port: u16,
    environment: Vec<(&'static str, String)>,
    token: String,
    pub service: PushService,
    pub tables: Client,
    http: reqwest::Client,
    database: TestDatabase,
}

impl World {
    /// A server with keys; retries and leases are short, and its push service is inside.
    pub async fn open() -> World {
        World::open_with(PushServiceOptions::default()).await
    }

    pub async fn open_with(service: PushServiceOptions) -> World {
        World::begin(service, "all", &[]).await
    }

    /// A server with other settings.
    pub async fn open_where(settings: &[(&'static str, &str)]) -> World {
        World::begin(PushServiceOptions::default(), "all", settings).await
    }

    /// A server with another role.
    pub async fn open_as(role: &str) -> World {
        World::begin(PushServiceOptions::default(), role, &[]).await
    }

    async fn begin(
        service: PushServiceOptions,
        role: &str,
        settings: &[(&'static str, &str)],
    ) -> World {
        let database = TestDatabase::create().await;
        let service = PushService::start_with(service);
        let keys = Command::new(env!("CARGO_BIN_EXE_gom"))
            .args(["vapid", "generate"])
            .output()
            .unwrap();
        let keys = String::from_utf8(keys.stdout).unwrap();
        let key = |name: &str| {
            let line = keys
                .lines()
                .find(|line| line.contains(name))
                .unwrap_or_else(|| panic!("{name}: {keys}"));
            line.split(['=', ':', ' '])
                .rfind(|word| !word.is_empty())
                .unwrap()
                .to_owned()
        };
        let environment = vec![
            ("DATABASE_URL", database.url().to_owned()),
            ("PRISMA_SECRET", SECRET.to_owned()),
            ("APP_KEY", SECRET.to_owned()),
            ("VAPID_PUBLIC_KEY", key("VAPID_PUBLIC_KEY")),
            ("VAPID_PRIVATE_KEY", key("VAPID_PRIVATE_KEY")),
            (
                "GOM__PUSH__VAPID__SUBJECT",
                "mailto:ops@gom.example".to_owned(),
            ),
            (
                "GOM__PUSH__CA_FILE",
                service.ca_file().display().to_string(),
            ),
            ("GOM__PUSH__INSIDE", "127.0.0.0/8,::1/128".to_owned()),
            ("GOM__PUSH__ANY_PORT", "true".to_owned()),
            ("GOM__PUSH__RETRY", "100".to_owned()),
            ("GOM__PUSH__LEASE", "4500".to_owned()),
            ("GOM__PUSH__TIMEOUT", "1500".to_owned()),
            ("GOM__PUSH__POLL_INTERVAL", "50".to_owned()),
            ("GOM__LOG__LEVEL", "error".to_owned()),
            ("GOM__SERVER__ROLE", role.to_owned()),
        ];
        let applied = gom(&environment, &["migrate", "apply"]).output().unwrap();
        assert!(
            applied.status.success(),
            "{}",
            String::from_utf8_lossy(&applied.stderr)
        );
        let token = gom(&environment, &["token"]).output().unwrap();
        let tables = database.connect().await;
        let mut world = World {
            server: None,
            others: Vec::new(),
            port: free_port(),
            environment,
            token: String::from_utf8(token.stdout).unwrap().trim().to_owned(),
            service,
            tables,
            http: reqwest::Client::new(),
            database,
        };
        for (variable, value) in settings {
            world.set(variable, value);
        }
        world.serve("").await;
        world
    }

    /// Starts the server, to die at a place (`GOM_CRASH_AT`) if one is given.
    pub async fn serve(&mut self, crash_at: &str) {
        let port = self.port.to_string();
        let mut command = gom(&self.environment, &["serve", "--port", &port]);
        if !crash_at.is_empty() {
            command.env("GOM_CRASH_AT", crash_at);
        }
        self.server = Some(command.stdout(Stdio::null()).spawn().unwrap());
        let url = format!("http://127.0.0.1:{port}/readyz");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self
            .http
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            // It may have died already, which is what it was started for.
            if !crash_at.is_empty() && self.server.as_mut().unwrap().try_wait().unwrap().is_some() {
                return;
            }
            assert!(Instant::now() < deadline, "the server is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a command on the same database, and gives what it prints.
    pub fn command(&self, arguments: &[&str], input: &str) -> String {
        let mut command = gom(&self.environment, arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts another process on the same database.
    pub async fn also(&mut self, role: &str) {
        let arguments = ["serve", "--port", "0", "--role", role];
        self.others.push(
            gom(&self.environment, &arguments)
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
    }

    /// Whether the server has died by itself within some seconds.
    pub async fn dies(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.server.as_mut().unwrap().try_wait().unwrap().is_some() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// `kill -9`: nothing is put in order.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            server.wait().unwrap();
        }
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(server.wait().unwrap().success());
    }

    /// For servers that are started from now on.
    pub fn set(&mut self, variable: &'static str, value: &str) {
        self.environment.retain(|(name, _)| *name != variable);
        self.environment.push((variable, value.to_owned()));
    }

    /// Kills the server and starts it again, to die at a place.
    pub async fn restart_at(&mut self, crash_at: &str) {
        self.kill();
        self.serve(crash_at).await;
    }

    /// The most memory that the server has had, in KiB.
    pub fn peak(&self) -> u64 {
        let process = self.server.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Another connection to the database.
    pub async fn connect(&self) -> Client {
        self.database.connect().await
    }

    /// For servers that are started from now on.
    pub fn unset(&mut self, variable: &str) {
        self.environment.retain(|(name, _)| *name != variable);
    }

    pub async fn restart(&mut self) {
        self.kill();
        self.serve("").await;
    }

    /// The answer to a request of the service role; nothing if there is none.
    pub async fn try_ask(&self, query: &str, variables: Value) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/graphql", self.port);
        let body = json!({ "query": query, "variables": variables });
        let request = self
            .http
            .post(url)
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(5));
        let answer = request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .ok()?
            .bytes()
            .await
            .ok()?;
        serde_json::from_slice(&answer).ok()
    }

    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let answer = self.try_ask(query, variables).await.unwrap();
        assert!(answer["errors"].is_null(), "{query}: {answer}");
        answer["data"].clone()
    }

    /// A seller with customers, each named by their ids.
    pub async fn seller(&self, name: &str, customers: &[&str]) {
        let customers: Vec<Value> = customers
            .iter()
            .map(|uid| json!({ "uid": uid, "name1": uid, "lastName1": "" }))
            .collect();
        let data =
            json!({ "extUid": name, "business": name, "customers": { "create": customers } });
        self.ask(
            "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }",
            json!({ "data": data }),
        )
        .await;
    }

    /// A device at a path of the push service, of a seller by name or of a customer by id, as logged in to its shop.
    pub async fn device(&self, user: &str, path: &str) {
        self.device_at(user, &self.service.endpoint(path)).await;
    }

    /// The same service under another name, which is another service for the server.
    pub fn elsewhere(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.service.port())
    }

    /// A device at an endpoint.
    pub async fn device_at(&self, user: &str, endpoint: &str) {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let of = "select u.\"extUid\" from \"default$default\".\"_CustomerOf\" k
            join \"default$default\".\"User\" u on u.uid = k.\"B\" where k.\"A\" = $1";
        let shop = self.tables.query_opt(of, &[&user]).await.unwrap();
        let subject = shop.map_or(user.to_owned(), |shop| customer_subject(user, shop.get(0)));
        let sql = "insert into gom.push_device values ($1, $2, $3, $4, null, now())";
        self.tables
            .execute(sql, &[&endpoint, &subject, &bytes(P256DH), &bytes(AUTH)])
            .await
            .unwrap();
    }

    /// Whether the device at a path is still known.
    pub async fn knows(&self, path: &str) -> bool {
        let sql = "select 1 from gom.push_device where endpoint = $1";
        !self
            .tables
            .query(sql, &[&self.service.endpoint(path)])
            .await
            .unwrap()
            .is_empty()
    }

    /// An order of a customer with a seller; nothing if the server gives no answer.
    pub async fn order(&self, uid: &str, seller: &str, customer: &str) -> Option<Value> {
        let data = json!({
            "uid": uid, "name": uid, "assignedTo": { "connect": { "extUid": seller } },
            "issuedTo": { "connect": { "uid": customer } },
        });
        let query = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
        self.try_ask(query, json!({ "data": data })).await
    }

    /// So many deliveries of one notification that is not urgent, and their devices: at the service's `/KIND/NUMBER`, under
    /// either of its names.
    pub async fn backlog(&self, notification: &str, base: &str, kind: &str, count: i32) {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let sql = "with n as (insert into gom.notification
              (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at)
            values ($1::text, 'publication', $1::text, 'promotion', 'p', 'Oferta', 'b', 86400000, 'normal', now() + interval '1 day')
            returning id),
          d as (insert into gom.push_device select $2::text || $3::text || i, 'reader', $5, $6, null, now()
            from generate_series(1, $4::int) i)
          insert into gom.delivery (id, notification, recipient, endpoint, origin, device)
          select $1::text || '-' || i, n.id, 'reader', $2::text || $3::text || i, $2::text, $3::text || i from n, generate_series(1, $4::int) i";
        let (p256dh, auth) = (bytes(P256DH), bytes(AUTH));
        self.tables
            .execute(sql, &[&notification, &base, &kind, &count, &p256dh, &auth])
            .await
            .unwrap();
    }

    /// What a command prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = gom(&self.environment, arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The answer of `/readyz`.
    pub async fn readiness(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        serde_json::from_slice(
            &self
                .http
                .get(url)
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap(),
        )
        .unwrap()
    }

    /// Waits until nothing is left to be done.
    pub async fn quiet(&self) {
        let sql =
            "select (select count(*) from gom.job where due_at <= now() + interval '5 seconds')
            + (select count(*) from gom.delivery where state in ('WAITING', 'SENDING'))
            + (select count(*) from gom.notification where reported_at is null)";
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let left: i64 = self.tables.query_one(sql, &[]).await.unwrap().get(0);
            if left == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{left} are left: {:?}",
                self.ledger().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Path, state, attempts and last status of every delivery, by path.
    pub async fn ledger(&self) -> Vec<String> {
        let sql =
            "select concat_ws(' ', substring(endpoint from 'https://[^/]*(.*)'), state, attempts, status)
            from gom.delivery order by 1";
        self.tables
            .query(sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }

    /// How often a device was sent the news of an order.
    pub fn notifications_of(&self, path: &str, order: &str, operation: &str) -> usize {
        let topic = topic(order, operation);
        let received = self.service.received_at(path);
        received
            .iter()
            .filter(|request| request.header("topic") == Some(&topic))
            .count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        for other in &mut self.others {
            let _ = other.kill();
            let _ = other.wait();
        }
    }
}

/// The topic, which identifies the messages of an order without decryption.
pub fn topic(order: &str, operation: &str) -> String {
    let digest = digest(&SHA256, format!("order:{order}:{operation}").as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..24])
}

/// What a device shows of a message.
pub fn shown(request: &Received) -> Value {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let keys = ece::EcKeyComponents::new(bytes(PRIVATE), bytes(P256DH));
    serde_json::from_slice(&ece::decrypt(&keys, &bytes(AUTH), &request.body).unwrap()).unwrap()
}

fn gom(environment: &[(&'static str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gom"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}
