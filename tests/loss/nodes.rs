//! Three servers on one PostgreSQL and one Redis, as processes that can be killed. Their clocks are apart.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use gom_test_support::{TestCluster, TestRedis, free_port};

use crate::clocks::{self, Shifted};

pub const SECRET: &str = "a secret of the loss test, long enough";

pub const NODES: usize = 3;

pub struct Nodes {
    /// Each with when it was started.
    nodes: [Mutex<(Child, Instant)>; NODES],
    ports: [u16; NODES],
    environment: Vec<(&'static str, String)>,
    clocks: Shifted,
    pub token: String,
}

impl Nodes {
    /// `settings`: environment beside what all have.
    pub async fn start(
        cluster: &TestCluster,
        redis: &TestRedis,
        settings: &[(&'static str, &str)],
    ) -> Nodes {
        let mut environment = vec![
            ("DATABASE_URL", cluster.url().to_owned()),
            ("PRISMA_SECRET", SECRET.to_owned()),
            ("APP_KEY", SECRET.to_owned()),
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", redis.port().to_string()),
            ("GOM__LOG__LEVEL", "warn".to_owned()),
        ];
        environment.extend(
            settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let applied = gom(&environment, &["migrate", "apply"]).output().unwrap();
        assert!(
            applied.status.success(),
            "{}",
            String::from_utf8_lossy(&applied.stderr)
        );
        let token = gom(&environment, &["token"]).output().unwrap();
        let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
        let ports: [u16; NODES] = std::array::from_fn(|_| free_port());
        let clocks = Shifted::compile();
        let serve = |node: usize| {
            Mutex::new((
                serve(&environment, &clocks, node, ports[node], None),
                Instant::now(),
            ))
        };
        let nodes = std::array::from_fn(serve);
        let nodes = Nodes {
            nodes,
            ports,
            environment,
            clocks,
            token,
        };
        for node in 0..NODES {
            nodes.ready(node).await;
            nodes.check_clock(node).await;
        }
        nodes
    }

    /// The address of a node's endpoint.
    pub fn url(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}/graphql", self.ports[node])
    }

    /// `panic_at`: a place at which the new one panics once (`GOM_PANIC_AT`).
    pub async fn kill_and_restart(&self, node: usize, panic_at: Option<&str>) {
        self.kill(node);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let server = serve(
            &self.environment,
            &self.clocks,
            node,
            self.ports[node],
            panic_at,
        );
        *self.nodes[node].lock().unwrap() = (server, Instant::now());
    }

    fn kill(&self, node: usize) {
        let (child, _) = &mut *self.nodes[node].lock().unwrap();
        // SIGKILL: nothing is put in order.
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until a node has been up for so long.
    pub async fn up_for(&self, node: usize, time: Duration) {
        let since = self.nodes[node].lock().unwrap().1;
        tokio::time::sleep(time.saturating_sub(since.elapsed())).await;
    }

    /// Waits until every server accepts requests.
    pub async fn all_ready(&self) {
        for node in 0..NODES {
            self.ready(node).await;
        }
    }

    async fn check_clock(&self, node: usize) {
        let began = SystemTime::now();
        let answer = reqwest::get(self.url(node).replace("/graphql", "/readyz"))
            .await
            .unwrap();
        clocks::check(node, began, answer.headers()["date"].to_str().unwrap());
    }

    async fn ready(&self, node: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let url = self.url(node).replace("/graphql", "/readyz");
        while !reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            assert!(Instant::now() < deadline, "node {node} is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Ok((child, _)) = node.lock().as_deref_mut() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn gom(environment: &[(&'static str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gom"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

fn serve(
    environment: &[(&'static str, String)],
    clocks: &Shifted,
    node: usize,
    port: u16,
    panic_at: Option<&str>,
) -> Child {
    let port = port.to_string();
    let mut command = gom(environment, &["serve", "--port", &port]);
    clocks.apply(&mut command, node);
    command.envs(panic_at.map(|place| ("GOM_PANIC_AT", place)));
    command.stdout(Stdio::null()).spawn().unwrap()
}
