//! A PostgreSQL that can be followed by another one, which takes its place when it is gone. Nobody starts it again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gom_embedded_postgres::cluster::Cluster;
use gom_embedded_postgres::{ADMIN, DATABASE, EmbeddedOptions, USER};
use gom_test_support::{eventually, free_port};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls};

use crate::proxy::Proxy;

/// Who may come: everybody on this machine, with a name and without a password.
const EVERYBODY: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n\
     local replication all trust\nhost replication all 127.0.0.1/32 trust\n";

pub struct Postgres {
    cluster: Cluster,
    child: Child,
    pub port: u16,
    /// Through which its standby follows it.
    replication: Proxy,
}

impl Postgres {
    /// A new one. The folder is to live as long.
    pub async fn new(folder: &Path) -> Postgres {
        let data = folder.join("primary");
        std::fs::create_dir(&data).unwrap();
        open_the_way(folder);
        gom_test_support::place_cluster(&data.join("cluster")).await;
        Postgres::start(&data).await
    }

    /// One on a data folder that is there.
    pub async fn start(folder: &Path) -> Postgres {
        let settings = [("fsync", "off"), ("full_page_writes", "off")];
        let options = EmbeddedOptions {
            settings: settings.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec(),
            fallback: None,
            ..EmbeddedOptions::new(folder)
        };
        let cluster = Cluster::prepare(&options).unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(cluster.data.join("pg_hba.conf"), EVERYBODY).unwrap();
        let port = free_port();
        let mut command = cluster
            .command(&cluster.programs.postgres(), Some(Signal::QUIT))
            .unwrap();
        command.args(cluster.arguments());
        for setting in ["listen_addresses=127.0.0.1", &format!("port={port}")] {
            command.args(["-c", setting]);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = Postgres {
            cluster,
            child,
            port,
            replication: Proxy::to(port).await,
        };
        eventually("PostgreSQL", async || {
            postgres.try_connect().await.is_some()
        })
        .await;
        postgres
    }

    async fn try_connect(&self) -> Option<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port);
        config.user(ADMIN).dbname(DATABASE);
        let (client, connection) = config.connect(NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// As its superuser.
    pub async fn connect(&self) -> Client {
        self.try_connect().await.expect("PostgreSQL answers")
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let client = self.connect().await;
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// A standby that streams.
    pub async fn standby(&self, folder: &Path) -> Postgres {
        std::fs::create_dir(folder).unwrap();
        open_the_way(folder);
        self.cluster.identity.give(folder).unwrap();
        let program = self.cluster.programs.bin.join("pg_basebackup");
        let mut command = self.cluster.command(&program, None).unwrap();
        let source = format!("host=127.0.0.1 port={} user={ADMIN}", self.replication.port);
        command.arg("-D").arg(folder.join("cluster"));
        command.args([
            "-d",
            &source,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
        ]);
        finish(command).await;
        let standby = Postgres::start(folder).await;
        let streaming = "select count(*) from pg_stat_replication where state = 'streaming'";
        eventually("a standby that streams", async || {
            self.number(streaming).await > 0
        })
        .await;
        standby
    }

    /// From now on each commit waits for the standby.
    pub async fn wait_for_standby(&self) {
        let client = self.connect().await;
        for sql in [
            "alter system set synchronous_standby_names = '*'",
            "select pg_reload_conf()",
        ] {
            client.batch_execute(sql).await.unwrap();
        }
        let waiting =
            "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')";
        eventually("a synchronous standby", async || {
            self.number(waiting).await > 0
        })
        .await;
    }

    /// Its standby gets nothing any more.
    pub fn cut_off_standby(&self) {
        self.replication.lead_to(0);
    }

    /// A standby takes over.
    pub async fn promote(&self) {
        let client = self.connect().await;
        let promoted = client.query_one("select pg_promote(true, 60)", &[]).await;
        assert!(promoted.unwrap().get::<_, bool>(0), "it is promoted");
    }

    /// A dump of the database, read back into another one of this name.
    pub async fn restore_dump_into(&self, name: &str) {
        let file = self.cluster.data.join("gom.dump");
        let port = self.port.to_string();
        let program = |name: &str| {
            let path = self.cluster.programs.bin.join(name);
            let mut command = self.cluster.command(&path, None).unwrap();
            command.args(["-h", "127.0.0.1", "-p", &port, "-U", USER]);
            command
        };
        let mut dump = program("pg_dump");
        dump.args(["-Fc", "-f"]).arg(&file).arg(DATABASE);
        finish(dump).await;
        let create = format!("create database {name} owner {USER}");
        self.connect().await.batch_execute(&create).await.unwrap();
        let mut restore = program("pg_restore");
        restore.args(["--no-owner", "--exit-on-error", "-d", name]);
        restore.arg(&file);
        finish(restore).await;
    }

    /// Ends it as a crash would; its data folder.
    pub fn kill(mut self) -> PathBuf {
        self.signal(Signal::QUIT);
        self.child.wait().unwrap();
        self.cluster.folder.clone()
    }

    /// Ends it cleanly; its data folder.
    pub fn stop(mut self) -> PathBuf {
        self.signal(Signal::INT);
        self.child.wait().unwrap();
        self.cluster.folder.clone()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended already.
        let _ = kill_process(pid.unwrap(), signal);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal(Signal::QUIT);
        let _ = self.child.wait();
    }
}

/// As Gom connects.
pub fn url(port: u16, database: &str) -> String {
    format!("postgresql://{USER}@127.0.0.1:{port}/{database}")
}

/// A copy of a folder with all its owners and rights, in place of what is there.
pub async fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    finish(command).await;
}

async fn finish(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The user that PostgreSQL runs as may be another than ours.
fn open_the_way(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711)).unwrap();
}
