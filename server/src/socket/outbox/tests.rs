//! What waits in a connection, and what becomes of it.

use futures::FutureExt;
use gom_runtime::waiting::{Full, Reader, Waiting, WaitingBounds};

use super::*;

fn outbox(max_messages: usize, max_bytes: usize, socket: Option<OwnSocket>) -> Rc<Outbox> {
    let account = Waiting::unbounded().account(&Reader::Service);
    Outbox::new(
        max_messages,
        max_bytes,
        words,
        socket,
        &account,
        &Arc::default(),
    )
}

fn words(code: CloseCode, _: &str) -> Option<Bytes> {
    Some(code.number()?.to_string().into())
}

fn all(outbox: &Outbox) -> Vec<Bytes> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    while let Poll::Ready(Some(bytes)) = outbox.poll(&mut cx) {
        found.push(bytes);
    }
    found
}

#[actix_web::test]
async fn a_client_that_asks_and_does_not_read_costs_no_more_than_the_bounds() {
    for (messages, bytes) in [(2, 1_000), (1_000, 2)] {
        let outbox = outbox(messages, bytes, None);
        outbox.reply(Bytes::from_static(b"1"));
        outbox.reply(Bytes::from_static(b"2"));
        assert!(!outbox.is_over());
        outbox.reply(Bytes::from_static(b"3"));
        outbox.reply(Bytes::from_static(b"4"));
        assert_eq!(
            all(&outbox),
            ["1", "2", "1013"],
            "what was there, and why it is closed"
        );
    }
}

#[actix_web::test]
async fn an_answer_and_its_end_are_sent_whatever_their_size() {
    let answer = vec![b'a'; 200_000];
    let whole = [&answer[..], b"complete", b"pong"].concat();
    for max_bytes in [1, 2, answer.len() - 1, answer.len(), answer.len() + 1] {
        for max_messages in [1, 2, 1_000] {
            let outbox = outbox(max_messages, max_bytes, None);
            for round in 0..2 {
                outbox.send([answer.clone().into(), Bytes::from_static(b"complete")]);
                outbox.reply(Bytes::from_static(b"pong"));
                assert!(!outbox.is_over(), "{max_bytes} {max_messages}");
                assert_eq!(
                    all(&outbox).concat(),
                    whole,
                    "{max_bytes} {max_messages} {round}"
                );
            }
        }
    }
}

#[actix_web::test]
async fn a_sender_of_much_waits_until_its_client_has_read() {
    let outbox = outbox(10, 100_000, None);
    assert!(outbox.room().is_none());
    outbox.send([vec![b'a'; 150_000].into()]);
    let mut room = outbox.room().expect("more waits than may wait");
    assert!(room.as_mut().now_or_never().is_none());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(outbox.poll(&mut cx), Poll::Ready(Some(bytes)) if bytes.len() == CHUNK));
    assert!(
        room.now_or_never().is_some() && outbox.room().is_none(),
        "a part of a message makes room, too"
    );
    outbox.send([vec![b'a'; 150_000].into()]);
    let room = outbox.room().expect("more waits than may wait");
    outbox.gone();
    assert!(
        room.now_or_never().is_some(),
        "nobody waits for one that is gone"
    );
}

#[actix_web::test]
async fn only_a_connection_that_takes_nothing_is_cut_off() {
    let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = OwnSocket(std::os::fd::AsRawFd::as_raw_fd(&near));
    let outbox = outbox(10, 100, Some(socket));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll(&mut cx).is_pending());
    std::thread::sleep(Duration::from_millis(20));
    outbox.cut_if_stalled(Duration::from_millis(10));
    assert!(!outbox.is_over(), "it has nothing to read");
    outbox.send([vec![b'a'; 3 * CHUNK].into()]);
    for _ in 0..3 {
        assert!(outbox.poll(&mut cx).is_ready());
        outbox.cut_if_stalled(Duration::from_secs(60));
        assert!(!outbox.is_over(), "it reads, however slowly");
    }
    std::thread::sleep(Duration::from_millis(20));
    outbox.cut_if_stalled(Duration::from_millis(10));
    assert!(
        outbox.is_over() && outbox.socket.get().is_none(),
        "it takes nothing any more"
    );
}

#[actix_web::test]
async fn all_that_waits_counts_for_its_user_until_the_connection_has_taken_it() {
    let waiting = Waiting::new(WaitingBounds {
        service: 1,
        user: 250_000,
        all: 1_000_000,
    });
    let [nobody, ana] = [Reader::Address("::1".into()), Reader::User("ana".into())];
    let connect = |reader| {
        Outbox::new(
            10,
            1_000_000,
            words,
            None,
            &waiting.account(reader),
            &Arc::default(),
        )
    };
    let outbox = connect(&nobody);
    outbox.reply(vec![b'a'; 100].into());
    assert_eq!(waiting.account(&nobody).bytes(), 100);
    outbox.belongs_to(&waiting.account(&ana));
    let account = waiting.account(&ana);
    assert_eq!(
        (waiting.account(&nobody).bytes(), account.bytes()),
        (0, 100)
    );
    let held = outbox.hold(100_000);
    outbox.send([vec![b'a'; 150_000].into()]);
    assert_eq!(
        (account.bytes(), waiting.admit(&ana)),
        (250_100, Err(Full::Reader))
    );
    assert!(outbox.room().is_some(), "more waits for the user than may");
    let other = connect(&ana);
    assert!(
        other.room().is_none(),
        "one that has read all gets the next message"
    );
    other.send([Bytes::from_static(b"event")]);
    assert!(other.room().is_some());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll(&mut cx).is_ready() && outbox.poll(&mut cx).is_ready());
    assert_eq!(
        account.bytes(),
        250_005,
        "a message is kept as long as a part of it"
    );
    drop(held);
    assert_eq!(all(&outbox).len(), 2);
    assert_eq!((account.bytes(), waiting.admit(&ana)), (5, Ok(())));
    other.gone();
    assert_eq!(
        account.bytes(),
        0,
        "what was not read is let go with its connection"
    );
}

#[actix_web::test]
async fn where_too_much_waits_in_all_the_connection_that_holds_most_is_cut_off() {
    let waiting = Waiting::new(WaitingBounds {
        service: 1,
        user: 1_000,
        all: 1_000,
    });
    let notice = Arc::new(Notify::new());
    let pairs = [(); 2].map(|()| std::os::unix::net::UnixStream::pair().unwrap());
    let connect = |n: usize, name: &str| {
        let socket = OwnSocket(std::os::fd::AsRawFd::as_raw_fd(&pairs[n].0));
        let account = waiting.account(&Reader::User(name.into()));
        Outbox::new(10, 1_000, words, Some(socket), &account, &notice)
    };
    let (slow, quick) = (connect(0, "slow"), connect(1, "quick"));
    slow.send([vec![b'a'; 900].into()]);
    quick.send([vec![b'a'; 99].into()]);
    assert!(notice.notified().now_or_never().is_none());
    quick.send([Bytes::from_static(b"a")]);
    assert!(notice.notified().now_or_never().is_some());
    quick.cut_if_notified();
    slow.cut_if_notified();
    assert!(slow.is_over() && !quick.is_over());
    assert_eq!(waiting.bytes(), 100, "its memory is free at once");
    assert!(
        all(&slow).is_empty(),
        "a part of a message ends in no other"
    );
}

#[actix_web::test]
async fn what_was_put_in_before_the_end_is_still_sent_and_nothing_after() {
    let outbox = outbox(10, 1_000, None);
    outbox.send([Bytes::from_static(b"1")]);
    outbox.close(CloseCode::Restarting, "");
    outbox.close(CloseCode::Forbidden, "");
    outbox.send([Bytes::from_static(b"2")]);
    assert_eq!(all(&outbox), ["1", "1012"]);
}
