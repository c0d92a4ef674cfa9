//! Messages are decrypted and tokens verified by implementations that are not ours: npm's `http_ece` and `jsonwebtoken`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gom_actors::push::{Device, DeviceKeys, Outcome, PushEndpoint};
use gom_test_support::Received;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::world::{CONTACT, Receiver, World, message};

/// RFC 8291, appendix A: the receiver's keys, the message, and what it says.
const RFC_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const RFC_PUBLIC: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const RFC_AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const RFC_MESSAGE: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
const RFC_PLAINTEXT: &str = "When I grow up, I want to be a watermelon";

/// What the receiver's program makes of messages.
async fn receive(messages: &[Value]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sender/npm");
    assert!(
        folder.join("node_modules").exists(),
        "the receivers are missing: run `npm ci --prefix actors/tests/sender/npm --ignore-scripts`"
    );
    let mut command = Command::new("node");
    command.arg(folder.join("receive.js")).kill_on_drop(true);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(Value::from(messages).to_string().as_bytes())
        .await
        .unwrap();
    drop(input);
    let output = timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn encrypted(private: &str, auth: &str, body: &[u8]) -> Value {
    json!({ "private": private, "auth": auth, "body": STANDARD.encode(body) })
}

fn plaintext(answer: &Value) -> Vec<u8> {
    STANDARD
        .decode(answer["plaintext"].as_str().expect("it was decrypted"))
        .unwrap()
}

fn authorization(received: &Received) -> &str {
    received.header("authorization").unwrap()
}

#[tokio::test]
async fn the_message_of_the_rfc_and_one_of_gom_are_decrypted() {
    let world = World::new();
    let device = Device {
        endpoint: PushEndpoint::parse(&world.service.endpoint("/push/rfc")).unwrap(),
        keys: DeviceKeys::parse(RFC_PUBLIC, RFC_AUTH).unwrap(),
        expires: None,
    };
    let outcome = world.sender.send(&device, &message(RFC_PLAINTEXT)).await;
    assert_eq!(outcome, Outcome::Delivered { status: 201 });
    let ours = world.service.received_at("/push/rfc").remove(0).body;
    let theirs = URL_SAFE_NO_PAD.decode(RFC_MESSAGE).unwrap();
    assert_ne!(ours, theirs, "the salt is random");
    let answers = receive(&[
        encrypted(RFC_PRIVATE, RFC_AUTH, &theirs),
        encrypted(RFC_PRIVATE, RFC_AUTH, &ours),
    ])
    .await;
    for answer in &answers {
        assert_eq!(plaintext(answer), RFC_PLAINTEXT.as_bytes());
    }
}

#[tokio::test]
async fn messages_of_every_size_and_their_tokens_are_valid() {
    let world = World::new();
    let limit = world.sender.limit();
    // (`ece` encrypts no empty message, and none is sent.) The ends, and sizes between them that differ in every run.
    let mut sizes = vec![1, 2, 15, 16, 17, limit - 1, limit];
    let mut seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    sizes.extend((0..56).map(|_| 1 + random() as usize % limit));
    let mut sent = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let receiver = Receiver::new();
        let payload: Vec<u8> = (0..*size).map(|_| random() as u8).collect();
        let path = format!("/push/{number}");
        let device = receiver.device(&world.service.endpoint(&path));
        let outcome = world.sender.send(&device, &message(payload.clone())).await;
        assert_eq!(outcome, Outcome::Delivered { status: 201 });
        sent.push((receiver, payload, path));
    }
    let mut asked = Vec::new();
    let mut tokens = std::collections::HashSet::new();
    for (receiver, _, path) in &sent {
        let received = world.service.received_at(path).remove(0);
        tokens.insert(authorization(&received).to_owned());
        let mut it = encrypted(
            &receiver.pair.private_base64url().unwrap(),
            receiver.auth,
            &received.body,
        );
        it["authorization"] = authorization(&received).into();
        it["audience"] = world.service.base_url().into();
        it["subject"] = CONTACT.into();
        asked.push(it);
    }
    assert_eq!(tokens.len(), 1, "one token serves an origin for hours");
    let answers = receive(&asked).await;
    assert_eq!(answers.len(), sent.len());
    for (answer, (_, payload, _)) in answers.iter().zip(&sent) {
        assert!(
            plaintext(answer) == *payload,
            "{} bytes came back otherwise",
            payload.len()
        );
        assert_eq!(answer["key"], world.keys.public_base64url());
        let lifetime = answer["lifetime"].as_i64().unwrap();
        assert!((11 * 3_600..=24 * 3_600).contains(&lifetime), "{lifetime}");
    }
}

#[tokio::test]
async fn the_receiver_detects_faults() {
    let world = World::new();
    let receiver = Receiver::new();
    let device = receiver.device(&world.service.endpoint("/push/one"));
    world.sender.send(&device, &message("hello")).await;
    let received = world.service.received_at("/push/one").remove(0);
    let private = receiver.pair.private_base64url().unwrap();
    let mut altered = received.body.clone();
    *altered.last_mut().unwrap() ^= 1;
    let mut elsewhere = encrypted(&private, receiver.auth, &received.body);
    elsewhere["authorization"] = authorization(&received).into();
    elsewhere["audience"] = "https://elsewhere.example".into();
    elsewhere["subject"] = CONTACT.into();
    let answers = receive(&[encrypted(&private, receiver.auth, &altered), elsewhere]).await;
    for answer in &answers {
        assert!(answer["error"].is_string(), "{answer}");
    }
}
