//! Sends messages to a push service by the sender alone, for benches/push: what of a notification's cost is encryption and
//! HTTP, and what the ledger.
//!
//!   send_many BASE CA_FILE COUNT AT_ONCE; prints seconds and the µs of processor time of each

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use gom_actors::push::{
    Contact, Device, DeviceKeys, Message, Outcome, PushEndpoint, Sender, SenderOptions, Urgency,
    VapidKeys,
};
use rustix::time::{ClockId, clock_gettime};

const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, ca_file, count, at_once] = &arguments[..] else {
        panic!("usage: send_many BASE CA_FILE COUNT AT_ONCE")
    };
    let (count, at_once): (usize, usize) = (count.parse().unwrap(), at_once.parse().unwrap());
    let options = SenderOptions {
        ca_file: Some(ca_file.into()),
        inside: vec!["127.0.0.0/8".parse().unwrap()],
        any_port: true,
        ..SenderOptions::new(Contact::parse("mailto:bench@gom.example").unwrap())
    };
    let sender = Sender::new(options, VapidKeys::generate().unwrap()).unwrap();
    let keys = DeviceKeys::parse(P256DH, AUTH).unwrap();
    let message = Message {
        payload: format!(
            "{{\"title\":\"Two for one\",\"body\":\"{}\"}}",
            "x".repeat(150)
        )
        .into_bytes(),
        ttl: Duration::from_secs(86_400),
        urgency: Urgency::Normal,
        topic: None,
    };
    let send = async |number: usize| {
        let endpoint = PushEndpoint::parse(&format!("{base}/push/alone-{number}")).unwrap();
        let device = Device {
            endpoint,
            keys: keys.clone(),
            expires: None,
        };
        let outcome = sender.send(&device, &message).await;
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    };
    // Connections are there before the clock starts.
    stream::iter(0..500)
        .for_each_concurrent(at_once, &send)
        .await;
    let (began, before) = (Instant::now(), processor_time());
    stream::iter(0..count)
        .for_each_concurrent(at_once, &send)
        .await;
    let (seconds, spent) = (began.elapsed().as_secs_f64(), processor_time() - before);
    println!("{seconds} {}", spent.as_secs_f64() * 1e6 / count as f64);
}

/// Of this process, all threads.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}
