//! Sinks that take what they can, and one worker that serves them.

use bytes::Bytes;
use gom_engine::events::Cursor;

use super::super::local::Room;
use super::*;
use gom_runtime::waiting::WaitingBounds;

/// Takes two events at a time.
#[derive(Default)]
struct Narrow {
    taken: RefCell<Vec<u64>>,
    ended: Cell<bool>,
    left: Cell<usize>,
    more: Rc<Notify>,
}

impl Narrow {
    fn read(&self) {
        self.left.set(2);
        self.more.notify_waiters();
    }
}

impl Sink for Narrow {
    fn event(&self, event: &Delivered) {
        self.left
            .set(self.left.get().checked_sub(1).expect("there was room"));
        self.taken.borrow_mut().push(event.cursor.position);
    }

    fn ended(&self, _: LiveError) {
        self.ended.set(true);
    }

    fn room(&self) -> Option<Room> {
        let more = Rc::clone(&self.more);
        (self.left.get() == 0).then(|| Box::pin(async move { more.notified().await }) as Room)
    }
}

fn events(positions: std::ops::Range<u64>, bytes: usize) -> Arc<[Delivered]> {
    let payload = Bytes::from(vec![b'x'; bytes]);
    positions
        .map(|position| Delivered {
            payload: payload.clone(),
            cursor: Cursor::after_change(1, position, 0),
        })
        .collect()
}

fn user(name: &str) -> Owner {
    Owner::User(name.into())
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_burst_is_handed_over_as_its_client_reads_in_order_and_the_end_comes_last() {
    let (sinks, sink) = (
        Rc::new(Sinks::new(Waiting::unbounded())),
        Rc::new(Narrow::default()),
    );
    let slot = sinks.enter(Rc::clone(&sink) as Rc<dyn Sink>, &user("a"));
    sink.read();
    sinks.deliver(&[slot], &events(0..5, 10), 0);
    sinks.deliver(&[slot], &events(5..7, 10), 0);
    sinks.end_after_waiting(slot, &LiveError::Resync);
    assert_eq!(*sink.taken.borrow(), [0, 1]);
    let mut seen = 2;
    while !sink.ended.get() {
        settle().await;
        sink.read();
        settle().await;
        seen = (seen + 2).min(7);
        assert_eq!(sink.taken.borrow().len(), seen);
    }
    assert_eq!(*sink.taken.borrow(), (0..7).collect::<Vec<_>>());
    assert_eq!(sinks.waiting_bytes.get(), 0, "nothing is kept");
}

#[actix::test]
async fn reading_the_log_for_a_subscriber_waits_for_its_client() {
    let (sinks, sink) = (
        Rc::new(Sinks::new(Waiting::unbounded())),
        Rc::new(Narrow::default()),
    );
    let slot = sinks.enter(Rc::clone(&sink) as Rc<dyn Sink>, &user("a"));
    sinks.deliver(&[slot], &events(0..3, 10), 0);
    let of_wait = Rc::clone(&sinks);
    let waiting = actix::spawn(async move { of_wait.drained(slot).await });
    for _ in 0..2 {
        settle().await;
        assert!(!waiting.is_finished());
        sink.read();
    }
    settle().await;
    assert!(waiting.is_finished());
    sink.left.set(0);
    let of_wait = Rc::clone(&sinks);
    sinks.deliver(&[slot], &events(3..9, 10), 0);
    let waiting = actix::spawn(async move { of_wait.drained(slot).await });
    settle().await;
    sinks.leave(slot);
    settle().await;
    assert!(waiting.is_finished(), "nobody waits for one that has left");
}

#[actix::test]
async fn reading_the_log_for_several_waits_for_the_quickest_of_their_clients() {
    let sinks = Rc::new(Sinks::new(Waiting::unbounded()));
    let all: Vec<_> = (0..3).map(|_| Rc::new(Narrow::default())).collect();
    let enter = |sink: &Rc<Narrow>| sinks.enter(Rc::clone(sink) as Rc<dyn Sink>, &user("a"));
    let slots: Vec<u64> = all.iter().map(enter).collect();
    sinks.deliver(&slots, &events(0..1, 10), 0);
    let of_wait = Rc::clone(&sinks);
    let waiting = actix::spawn(async move { of_wait.one_is_drained(&slots).await });
    settle().await;
    assert!(!waiting.is_finished());
    all[1].read();
    settle().await;
    assert!(waiting.is_finished());
    sinks.one_is_drained(&[]).await;
}

#[actix::test]
async fn what_waits_is_counted_once_for_all_its_subscribers_and_bounded() {
    let sinks = Rc::new(Sinks::new(Waiting::unbounded()));
    let all: Vec<_> = (0..100).map(|_| Rc::new(Narrow::default())).collect();
    let enter = |sink: &Rc<Narrow>| sinks.enter(Rc::clone(sink) as Rc<dyn Sink>, &user("a"));
    let slots: Vec<u64> = all.iter().map(enter).collect();
    let megabyte = 1024 * 1024;
    sinks.deliver(&slots, &events(0..10, megabyte), 0);
    assert!(sinks.waiting_bytes.get() < 11 * megabyte);
    for _ in 0..10 {
        sinks.deliver(&slots[..1], &events(10..20, megabyte), 0);
    }
    assert!(
        all[0].ended.get(),
        "a subscriber that takes nothing is ended"
    );
    assert!(sinks.waiting_bytes.get() <= MAX_WAITING_BYTES + 11 * megabyte);
    assert!(all[1..].iter().all(|sink| !sink.ended.get()));
    slots.iter().for_each(|slot| sinks.leave(*slot));
    assert!(
        sinks.waiting_bytes.get() == 0 && sinks.of_owner.borrow().is_empty(),
        "nothing is kept"
    );
}

#[actix::test]
async fn events_that_wait_count_for_their_user_whose_subscribers_are_ended_beyond_its_bound() {
    let waiting = Waiting::new(WaitingBounds {
        service: 0,
        user: 3_000,
        all: 1_000_000,
    });
    let sinks = Rc::new(Sinks::new(waiting.clone()));
    let all: Vec<_> = (0..4).map(|_| Rc::new(Narrow::default())).collect();
    let enter = |n: usize, name: &str| sinks.enter(Rc::clone(&all[n]) as Rc<dyn Sink>, &user(name));
    let [most, less, idle, other] = [enter(0, "a"), enter(1, "a"), enter(2, "a"), enter(3, "b")];
    sinks.deliver(&[most, less, other], &events(0..1, 1_000), 0);
    sinks.deliver(&[most], &events(1..2, 1_000), 0);
    let account = waiting.account(&Reader::User("a".into()));
    assert!((2_000..3_000).contains(&account.bytes()) && waiting.bytes() == account.bytes());
    // What waits elsewhere counts as well.
    let _answer = account.charge(1_000);
    sinks.deliver(&[less, other], &events(2..3, 1_000), 0);
    let ended = |n: usize| all[n].ended.get();
    assert_eq!(
        (ended(0), ended(1), ended(3)),
        (true, false, false),
        "where the most waits, of this user"
    );
    all[2].read();
    sinks.deliver(&[idle], &events(2..3, 1_000), 0);
    assert!(
        !ended(2) && *all[2].taken.borrow() == [2],
        "who reads goes on"
    );
    [less, idle, other]
        .iter()
        .for_each(|slot| sinks.leave(*slot));
    settle().await;
    assert_eq!((account.bytes(), waiting.bytes()), (1_000, 1_000));
}

#[actix::test]
async fn only_the_user_is_ended_who_does_not_read_when_too_much_waits() {
    let sinks = Rc::new(Sinks::new(Waiting::unbounded()));
    let enter =
        |sink: &Rc<Narrow>, name: &str| sinks.enter(Rc::clone(sink) as Rc<dyn Sink>, &user(name));
    let of_hostile: Vec<_> = (0..3).map(|_| Rc::new(Narrow::default())).collect();
    let hostile: Vec<u64> = of_hostile
        .iter()
        .map(|sink| enter(sink, "hostile"))
        .collect();
    let [of_fresh, of_slow] = [(); 2].map(|()| Rc::new(Narrow::default()));
    let (fresh, slow) = (enter(&of_fresh, "other"), enter(&of_slow, "other"));
    let megabyte = 1024 * 1024;
    sinks.deliver(&[slow], &events(0..4, megabyte), 0);
    sinks.deliver(&hostile[2..], &events(0..1, megabyte), 0);
    for n in 0..6 {
        sinks.deliver(&hostile[n % 2..=n % 2], &events(0..10, megabyte), 0);
    }
    // No more may wait now, and clients of another user are behind for a moment.
    assert!(sinks.waiting_bytes.get() >= MAX_WAITING_BYTES);
    sinks.deliver(&[fresh, slow], &events(4..6, megabyte), 0);
    settle().await;
    assert!(
        !of_fresh.ended.get() && !of_slow.ended.get(),
        "who reads is not ended for who does not"
    );
    assert_eq!(
        of_hostile.iter().filter(|sink| sink.ended.get()).count(),
        1,
        "no more than makes room"
    );
    assert!(sinks.waiting_bytes.get() < MAX_WAITING_BYTES + 3 * megabyte);
}
