//! What stands between a client and its server, and can be led elsewhere or cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Which side of the connections ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    Both,
    /// The server does not notice it.
    ClientOnly,
}

pub struct Proxy {
    pub address: String,
    target: Arc<AtomicU16>,
    cut: watch::Sender<Cut>,
}

impl Proxy {
    /// To a port of this machine; 0: nobody is there.
    pub async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(AtomicU16::new(port));
        let cut = watch::Sender::new(Cut::Nothing);
        let (to, cuts) = (Arc::clone(&target), cut.clone());
        actix::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let port = to.load(Ordering::Relaxed);
                actix::spawn(carry(client, port, cuts.subscribe()));
            }
        });
        Proxy {
            address,
            target,
            cut,
        }
    }

    /// Where connections are led that come from now on.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Ends the connections that there are.
    pub fn cut(&self, which: Cut) {
        self.cut.send_replace(which);
    }
}

async fn carry(client: TcpStream, port: u16, mut cut: watch::Receiver<Cut>) {
    cut.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => return,
        _ = copy(&mut from_server, &mut to_client) => return,
        _ = cut.changed() => {}
    }
    if *cut.borrow() == Cut::ClientOnly {
        drop((from_client, to_client));
        // Until the server ends it, or the test is over.
        let _ = copy(&mut from_server, &mut tokio::io::sink()).await;
        drop(to_server);
    }
}
