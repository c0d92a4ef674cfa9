//! Two nodes, and what is between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gom_actors::live::{LiveOptions, Owner};
use gom_actors::redis::RedisOptions;
use gom_test_support::{TestRedis, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::world::{World, options, subscribe};

/// A way to Redis whose connections can be made to lead nowhere, without a sign.
struct Way {
    port: u16,
    muted: Arc<std::sync::Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Way {
    async fn to(port: u16) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let muted: Arc<std::sync::Mutex<Vec<Arc<AtomicBool>>>> = Arc::default();
        let way = Way {
            port: listener.local_addr().unwrap().port(),
            muted: Arc::clone(&muted),
        };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let mute = Arc::new(AtomicBool::new(false));
                muted.lock().unwrap().push(Arc::clone(&mute));
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(forward(near_in, far_out, Arc::clone(&mute)));
                tokio::spawn(forward(far_in, near_out, mute));
            }
        });
        way
    }

    /// Connections stay open and receive nothing any more.
    fn mute(&self) {
        for mute in self.muted.lock().unwrap().iter() {
            mute.store(true, Ordering::SeqCst);
        }
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mute: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !mute.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    if mute.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}

#[actix::test]
async fn a_node_replaces_a_silent_wake_up_connection() {
    let world = World::create().await;
    let redis = TestRedis::start();
    let way = Way::to(redis.port()).await;
    let through = |port| LiveOptions {
        poll: Duration::from_secs(300),
        redis: Some(RedisOptions::new("127.0.0.1", port)),
        ..options()
    };
    let (writer, listener) = (
        world.live(through(redis.port())),
        world.live(through(way.port)),
    );
    let local = listener.local();
    let (inbox, _ticket) = subscribe(&local, &Owner::Service, world.orders()).await;
    let mut n = 0;
    eventually("a first event", async || {
        world.order(n, None).await;
        n += 1;
        writer.wake();
        !inbox.got().is_empty()
    })
    .await;
    way.mute();
    let muted = Instant::now();
    let before = n;
    eventually("an event", async || {
        world.order(n, None).await;
        n += 1;
        writer.wake();
        inbox.got().last().is_some_and(|last| *last > before)
    })
    .await;
    println!("heard again after {:?}", muted.elapsed());
}
