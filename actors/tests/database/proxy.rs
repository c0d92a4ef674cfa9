//! Stands between a client and the server, and holds the server's answers back from one word of the client's
//! until another: a client that waits for an answer in between never sends the second message.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// A way to the same database through a proxy of this test's own.
pub async fn holding_back(config: &Config, from: &'static str, until: &'static str) -> Config {
    let Some(Host::Unix(folder)) = config.get_hosts().first() else {
        panic!("the tests' server has a socket")
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let socket = folder.join(format!(".s.PGSQL.{port}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut through = Config::new();
    through
        .host("127.0.0.1")
        .port(listener.local_addr().unwrap().port());
    through
        .user(config.get_user().unwrap())
        .dbname(config.get_dbname().unwrap());
    if let Some(password) = config.get_password() {
        through.password(password);
    }
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, socket.clone(), from, until));
        }
    });
    through
}

async fn serve(
    client: tokio::net::TcpStream,
    socket: PathBuf,
    from: &'static str,
    until: &'static str,
) {
    let server = UnixStream::connect(socket).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (hold, mut held) = watch::channel(false);
    let up = async move {
        let mut said = Vec::new();
        let mut buffer = vec![0; 65536];
        loop {
            let count = from_client.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            said.extend_from_slice(&buffer[..count]);
            let heard = |word: &str| said.windows(word.len()).any(|part| part == word.as_bytes());
            hold.send_replace(heard(from) && !heard(until));
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async move {
        let mut buffer = vec![0; 65536];
        loop {
            let count = from_server.read(&mut buffer).await.unwrap_or(0);
            // The received bytes may answer the message that was just sent.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if held.wait_for(|held| !held).await.is_err() || count == 0 {
                return;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(up, down);
}
