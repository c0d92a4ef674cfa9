//! Stands between sessions and their store, and lets the n-th command about something fail.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gom_test_support::{TestDatabase, TestRedis};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How a command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The store answers with an error and has not carried it out.
    Refused,
    /// The connection is lost before the store has it.
    Lost,
    /// The connection is lost when the store has carried it out.
    AnswerLost,
    /// The store carries it out, and neither that nor anything later on the connection is answered.
    Silent,
}

/// What shall fail.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Commands that name one of these count.
    pub about: Vec<String>,
    /// How many of those go well before.
    pub after: usize,
    pub failure: Failure,
    /// How many fail.
    pub times: usize,
}

#[derive(Clone)]
enum Store {
    Redis(u16),
    Postgres(PathBuf),
}

pub struct Proxy {
    pub port: u16,
    plan: Arc<Mutex<Option<Plan>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    pub async fn of_redis(redis: &TestRedis) -> Proxy {
        Proxy::start(Store::Redis(redis.port())).await
    }

    /// With a way to the same database through it.
    pub async fn of_postgres(database: &TestDatabase) -> (Proxy, Config) {
        let config = database.config();
        let Some(Host::Unix(folder)) = config.get_hosts().first() else {
            panic!("the tests' server has a socket")
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let proxy = Proxy::start(Store::Postgres(folder.join(format!(".s.PGSQL.{port}")))).await;
        let mut through = Config::new();
        through
            .host("127.0.0.1")
            .port(proxy.port)
            .ssl_mode(SslMode::Disable);
        through
            .user(config.get_user().unwrap())
            .dbname(config.get_dbname().unwrap());
        if let Some(password) = config.get_password() {
            through.password(password);
        }
        (proxy, through)
    }

    async fn start(store: Store) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, plan) = (
            listener.local_addr().unwrap().port(),
            Arc::new(Mutex::new(None)),
        );
        let of_all = Arc::clone(&plan);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (store, plan) = (store.clone(), Arc::clone(&of_all));
                tokio::spawn(async move {
                    // A connection that ends is what the tests are about.
                    let _ = match store {
                        Store::Redis(port) => {
                            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                            relay(client, server, redis_command, redis_refusal(), plan).await
                        }
                        Store::Postgres(socket) => {
                            let server = UnixStream::connect(socket).await.unwrap();
                            relay(
                                client,
                                server,
                                Postgres::default().commands(),
                                postgres_refusal(),
                                plan,
                            )
                            .await
                        }
                    };
                });
            }
        });
        Proxy {
            port,
            plan,
            serving,
        }
    }

    pub fn fail(&self, plan: Plan) {
        *self.plan.lock().unwrap() = Some(plan);
    }

    /// Lets nothing fail any more; how many of the failures have not come.
    pub fn mend(&self) -> usize {
        self.plan
            .lock()
            .unwrap()
            .take()
            .map_or(0, |plan| plan.times)
    }
}

fn decide(plan: &Mutex<Option<Plan>>, command: &[u8]) -> Option<Failure> {
    let mut plan = plan.lock().unwrap();
    let plan = plan.as_mut()?;
    let names = |name: &String| {
        command
            .windows(name.len())
            .any(|part| part == name.as_bytes())
    };
    if plan.times == 0 || !plan.about.iter().any(names) {
        return None;
    }
    if plan.after > 0 {
        plan.after -= 1;
        return None;
    }
    plan.times -= 1;
    Some(plan.failure)
}

/// `first`: the length of the first whole command, if there is one.
async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: TcpStream,
    mut server: S,
    mut first: impl FnMut(&[u8]) -> Option<usize>,
    refusal: Vec<u8>,
    plan: Arc<Mutex<Option<Plan>>>,
) -> io::Result<()> {
    let (mut asked, mut from_client, mut from_server) =
        (Vec::new(), vec![0; 65_536], vec![0; 65_536]);
    let mut ends_with_answer = false;
    loop {
        tokio::select! {
            count = client.read(&mut from_client) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                asked.extend_from_slice(&from_client[..count]);
                while let Some(length) = first(&asked) {
                    let command: Vec<u8> = asked.drain(..length).collect();
                    match decide(&plan, &command) {
                        None => server.write_all(&command).await?,
                        Some(Failure::Refused) => client.write_all(&refusal).await?,
                        Some(Failure::Lost) => return Ok(()),
                        Some(Failure::AnswerLost) => {
                            server.write_all(&command).await?;
                            ends_with_answer = true;
                        }
                        Some(Failure::Silent) => {
                            server.write_all(&command).await?;
                            // Until the client gives up.
                            while client.read(&mut from_client).await? > 0 {}
                            return Ok(());
                        }
                    }
                }
            }
            count = server.read(&mut from_server) => {
                let count = count?;
                if count == 0 || ends_with_answer {
                    return Ok(());
                }
                client.write_all(&from_server[..count]).await?;
            }
        }
    }
}

/// An array of texts, each with its length before it.
fn redis_command(bytes: &[u8]) -> Option<usize> {
    let line = |from: usize| -> Option<(usize, usize)> {
        let end = from + bytes[from..].windows(2).position(|pair| pair == b"\r\n")?;
        Some((
            std::str::from_utf8(&bytes[from + 1..end])
                .unwrap()
                .parse()
                .unwrap(),
            end + 2,
        ))
    };
    let (parts, mut at) = line(0).filter(|_| bytes[0] == b'*')?;
    for _ in 0..parts {
        let (length, begin) = line(at)?;
        at = begin + length + 2;
    }
    (at <= bytes.len()).then_some(at)
}

fn redis_refusal() -> Vec<u8> {
    b"-ERR refused by the test\r\n".to_vec()
}

/// Whether the greeting is over, whose message has no type.
#[derive(Default)]
struct Postgres {
    greeted: bool,
}

impl Postgres {
    /// All messages up to one that the server answers at once.
    fn commands(mut self) -> impl FnMut(&[u8]) -> Option<usize> {
        move |bytes| {
            let mut at = 0;
            loop {
                let begin = at + usize::from(self.greeted);
                let length = bytes.get(begin..begin + 4)?;
                at = begin + u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if at > bytes.len() {
                    return None;
                }
                if !std::mem::replace(&mut self.greeted, true)
                    || matches!(bytes[begin - 1], b'S' | b'Q' | b'p' | b'X')
                {
                    return Some(at);
                }
            }
        }
    }
}

/// An error, and that the server is ready for the next command.
fn postgres_refusal() -> Vec<u8> {
    let fields = b"SERROR\0VERROR\0C58000\0Mrefused by the test\0\0";
    let mut message = vec![b'E'];
    message.extend_from_slice(&(fields.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(fields);
    message.extend_from_slice(b"Z\0\0\0\x05I");
    message
}
