use std::borrow::Cow;

pub(super) use super::options::{Concurrency, StoreKind};
pub(super) use super::*;
pub(super) use crate::message::{Content, Cursor, Delivery, First, Order};
pub(super) use crate::store::{Gap, memory};

pub(super) const NOW: Now = Now::at(0, 1_000_000);

/// A hub driven by hand, and everyone who asks it numbered.
pub(super) struct Bench {
    pub(super) hub: Hub,
    pub(super) now: Now,
    peers: u64,
}

pub(super) fn options() -> Options {
    Options {
        stores: vec![StoreOptions {
            memory: memory::Options {
                min_messages: 0,
                max_messages: 0,
                message_timeout_ms: 0,
                max_memory: 1 << 20,
                dropped_at_once: 512,
            },
            channel_timeout_ms: 5000,
            kind: StoreKind::Memory,
        }],
        channels_max: 3,
        first_id: MessageId { time: NOW.unix_s, tag: 0 },
        seed: 7,
    }
}

pub(super) const LONG: Subscribe = Subscribe {
    cursor: Cursor::OLDEST,
    first: First::Oldest,
    delivery: Delivery::LongPoll,
    create: true,
    concurrency: Concurrency::Broadcast,
    max_subscribers: 0,
    timeout_ms: 55_000,
    ends_ms: None,
};

pub(super) fn name(name: &str) -> ChannelName<'_> {
    ChannelName { store: StoreId(0), name: name.as_bytes() }
}

pub(super) fn content(body: &[u8]) -> Content<Cow<'_, [u8]>> {
    Content { body, ..Content::default() }.into()
}

impl Bench {
    pub(super) fn follow(
        &mut self,
        names: &[&str],
        order: Order,
        subscribe: Subscribe,
    ) -> Vec<String> {
        let peer = self.peer();
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        self.hub.follow(peer, (StoreId(0), order), &names, subscribe, self.now);
        self.outputs()
    }

    /// A stream that begins without messages; gives its name, of the only one that is held.
    pub(super) fn stream(&mut self, names: &[&str], order: Order) -> StreamKey {
        let peer = self.peer();
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        self.hub.follow(
            peer,
            (StoreId(0), order),
            &names,
            Subscribe { delivery: Delivery::Stream, ..LONG },
            self.now,
        );
        match self.hub.poll_answer() {
            Some(Output::Held { hold: Hold::Stream(stream), .. }) => stream,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn delete(&mut self, channel: &str) -> Vec<String> {
        let peer = self.peer();
        self.hub.delete(peer, name(channel), self.now);
        self.outputs()
    }

    /// Publishes without carrying out anything.
    pub(super) fn put(&mut self, channel: &str, body: &str, store: bool) {
        let peer = self.peer();
        let publish = Publish { content: content(body.as_bytes()), create: true, store };
        self.hub.publish(peer, name(channel), publish, self.now);
        while self.hub.poll_answer().is_some() {}
    }

    /// Carries out so many outputs of fan-outs.
    pub(super) fn some(&mut self, count: usize) -> Vec<String> {
        let outputs = (0..count).map_while(|_| self.hub.poll_output(self.now));
        outputs
            .map(|output| match output {
                Output::Feed { peer, due } => told(peer, &due),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub(super) fn new(options: Options) -> Self {
        let mut bench = Self { hub: Hub::new(options, NOW), now: NOW, peers: 0 };
        bench.advance(1000);
        bench
    }

    pub(super) fn advance(&mut self, ms: u64) {
        let mono_ms = self.now.mono_ms + ms;
        self.now = Now::at(mono_ms, NOW.unix_s + mono_ms / 1000);
        self.hub.expire(self.now);
        self.hub.handle_timeout(self.now);
        self.hub.check_invariants();
    }

    pub(super) fn peer(&mut self) -> Peer {
        self.peers += 1;
        Peer(self.peers - 1)
    }

    pub(super) fn publish(&mut self, channel: &str, body: &str) -> Vec<String> {
        self.publish_as(channel, body, true, true)
    }

    pub(super) fn publish_as(
        &mut self,
        channel: &str,
        body: &str,
        create: bool,
        store: bool,
    ) -> Vec<String> {
        let peer = self.peer();
        let publish = Publish { content: content(body.as_bytes()), create, store };
        self.hub.publish(peer, name(channel), publish, self.now);
        self.outputs()
    }

    pub(super) fn ask(&mut self, channel: &str, subscribe: Subscribe) -> Vec<String> {
        let peer = self.peer();
        self.hub.subscribe(peer, name(channel), subscribe, self.now);
        self.outputs()
    }

    pub(super) fn ask_after(&mut self, channel: &str, time: u64, tag: u32) -> Vec<String> {
        let cursor = Cursor { time: NOW.unix_s + time, tag, given: true };
        self.ask(channel, Subscribe { cursor, ..LONG })
    }

    pub(super) fn channels(&self) -> usize {
        self.hub.figures().channels as usize
    }

    pub(super) fn messages(&self) -> usize {
        self.hub.figures().messages as usize
    }

    pub(super) fn outputs(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.hub.poll_output(self.now) {
            said.push(match output {
                Output::Feed { peer, due } => told(peer, &due),
                Output::Readable { peer, stream } => {
                    while let Some(due) = self.hub.read(stream, self.now) {
                        said.push(told(peer, &due));
                    }
                    continue;
                }
                Output::Published { peer, waiting, information: i, .. } => format!(
                    "{}: published {} of {}, {} waited",
                    peer.0,
                    if waiting { 201 } else { 202 },
                    i.messages,
                    i.subscribers
                ),
                Output::Exists { peer, information: i } => {
                    format!("{}: {} {:?} {}", peer.0, i.messages, i.requested, i.subscribers)
                }
                Output::Deleted { peer, information: i } => {
                    format!("{}: deleted {}", peer.0, i.messages)
                }
                Output::Missing { peer, .. } => format!("{}: missing", peer.0),
                Output::Refused { peer, refusal } => format!("{}: {refusal:?}", peer.0),
                Output::Asked { peer, .. } => format!("{}: asked", peer.0),
                Output::Held { peer, .. } => format!("{}: held", peer.0),
                Output::Deliver { peer, message, gap, .. } => {
                    let body = String::from_utf8_lossy(&message.content.body).into_owned();
                    let id = format!("{}:{}", message.time - NOW.unix_s, message.tag);
                    match gap {
                        Gap::NONE => format!("{}: {body} {id}", peer.0),
                        gap => format!("{}: {body} {id} {gap:?}", peer.0),
                    }
                }
                Output::Ended { peer, end, .. } => format!("{}: {end:?}", peer.0),
            });
        }
        self.hub.check_invariants();
        said
    }
}

pub(super) fn told(peer: Peer, due: &Due) -> String {
    let Due { message, gap, name } = due;
    let body = String::from_utf8_lossy(&message.content.body);
    let gap = match *gap {
        Gap::NONE => String::new(),
        gap => format!(" {gap:?}"),
    };
    format!("{}: {body} {}{gap}", peer.0, String::from_utf8_lossy(name))
}

#[test]
fn a_held_request_gets_the_message_after_its_publisher_is_answered() {
    let mut b = Bench::new(options());
    assert_eq!(b.ask("a", LONG), ["0: held"]);
    assert_eq!(b.ask("a", LONG), ["1: held"]);
    assert_eq!(
        b.publish("a", "hello"),
        ["2: published 201 of 1, 2 waited", "0: hello 1:0", "1: hello 1:0"]
    );
    assert_eq!(b.publish("a", "again"), ["3: published 202 of 2, 0 waited"]);
    assert_eq!(b.ask_after("a", 1, 0), ["4: again 1:1"]);
}

#[test]
fn a_hold_ends_at_its_timeout_or_a_tenth_earlier() {
    let mut b = Bench::new(options());
    b.ask("a", LONG);
    b.advance(49_400);
    assert!(b.outputs().is_empty());
    b.advance(5_700);
    assert_eq!(b.outputs(), ["0: NothingNew"]);
    assert_eq!(b.hub.timers(), 0);
}

#[test]
fn a_deleted_channel_ends_every_hold_before_the_publisher_is_answered() {
    let mut b = Bench::new(options());
    b.ask("a", LONG);
    b.ask("a", LONG);
    let peer = b.peer();
    b.hub.delete(peer, name("a"), b.now);
    assert_eq!(b.outputs(), ["0: Deleted", "1: Deleted", "2: deleted 0"]);
    b.hub.delete(peer, name("a"), b.now);
    assert_eq!(b.outputs(), ["2: missing"]);
}

#[test]
fn ids_go_on_over_deletion_within_one_second() {
    let mut b = Bench::new(options());
    b.publish("a", "one");
    let peer = b.peer();
    b.hub.delete(peer, name("a"), b.now);
    b.outputs();
    b.publish("a", "two");
    assert_eq!(b.ask_after("a", 1, 0), ["3: two 1:1"]);
}

#[test]
fn a_cursor_ahead_of_the_message_stays_held() {
    let mut b = Bench::new(options());
    b.ask_after("a", 100, 0);
    b.ask("a", LONG);
    assert_eq!(b.publish("a", "x"), ["2: published 201 of 1, 2 waited", "1: x 1:0"]);
    b.advance(10_000);
    assert_eq!(b.publish("a", "y"), ["3: published 202 of 2, 1 waited"]);
    assert_eq!(b.hub.held(), 1);
}

#[test]
fn the_last_subscriber_displaces_and_the_first_stays() {
    let mut b = Bench::new(options());
    let last = Subscribe { concurrency: Concurrency::Last, ..LONG };
    assert_eq!(b.ask("a", last), ["0: held"]);
    assert_eq!(b.ask("a", last), ["0: Displaced", "1: held"]);
    let first = Subscribe { concurrency: Concurrency::First, ..LONG };
    assert_eq!(b.ask("a", first), ["2: Displaced"]);
    b.publish("a", "x");
    b.ask_after("a", 1, 0);
    assert_eq!(b.ask("a", first), ["5: x 1:0"], "a catch-up disturbs nobody");
    assert_eq!(b.hub.held(), 1);
}

#[test]
fn limits_refuse_a_channel_or_a_subscriber_too_many_and_a_message_too_large() {
    let mut b = Bench::new(options());
    let one = Subscribe { max_subscribers: 1, ..LONG };
    b.ask("a", one);
    assert_eq!(b.ask("a", one), ["1: Subscribers"]);
    b.ask("b", LONG);
    b.ask("c", LONG);
    assert_eq!(b.ask("d", LONG), ["4: Channels"]);
    assert_eq!(b.publish("d", "x"), ["5: Channels"]);
    assert_eq!(b.publish("a", &"x".repeat(1 << 20)), ["6: MessageSize"]);
}

#[test]
fn a_channel_lives_as_long_as_its_maker_says() {
    let mut b = Bench::new(options());
    b.ask("get", LONG);
    let interval = Subscribe { delivery: Delivery::IntervalPoll, ..LONG };
    assert_eq!(b.ask("other", interval), ["1: NothingNew"]);
    b.publish_as("post", "x", true, false);
    let peer = b.peer();
    b.hub.create(peer, name("put"), b.now);
    assert_eq!(b.outputs(), ["3: 0 None 0"]);
    assert_eq!(b.channels(), 3);
    b.advance(5_100);
    assert_eq!(b.channels(), 2, "made by POST, empty");
    b.advance(55_000);
    assert_eq!(b.outputs(), ["0: NothingNew"]);
    assert_eq!(b.channels(), 1, "made by GET, nobody waits");
    b.advance(3_600_000);
    assert_eq!(b.channels(), 0, "made by PUT, unused for an hour");
}

#[test]
fn a_shorter_channel_timeout_reaches_channels_that_are_idle_already() {
    const CHANNELS: usize = 3000;
    let mut long = Options { channels_max: CHANNELS, ..options() };
    long.stores[0].channel_timeout_ms = 3_000_000;
    long.stores[0].memory.message_timeout_ms = 1000;
    let mut b = Bench::new(long.clone());
    let channels_after = |b: &mut Bench, ms| {
        b.advance(ms);
        while b.hub.poll_timeout().is_some_and(|at_ms| at_ms <= b.now.mono_ms) {
            b.advance(0);
        }
        b.channels()
    };
    for channel in 0..CHANNELS {
        b.publish(&channel.to_string(), "x");
    }
    assert_eq!(channels_after(&mut b, 1000), CHANNELS);
    // One has a message when the settings change, and its timer of before.
    b.publish("0", "y");
    long.stores[0].channel_timeout_ms = 5000;
    b.hub.reload(long.stores, b.now);
    assert_eq!(channels_after(&mut b, 1000), CHANNELS);
    assert_eq!(channels_after(&mut b, 3990), CHANNELS);
    assert_eq!(channels_after(&mut b, 10), 1, "its message went a second later");
    assert_eq!(channels_after(&mut b, 990), 1);
    assert_eq!(channels_after(&mut b, 10), 0);
    assert_eq!(b.hub.timers(), 0);
}

#[test]
fn messages_expire_by_the_wheel_and_whoever_comes_back_hears_of_the_gap() {
    let mut options = options();
    options.stores[0].memory.message_timeout_ms = 10_000;
    let mut b = Bench::new(options);
    for body in ["one", "two", "three"] {
        b.publish("a", body);
    }
    b.ask_after("a", 1, 2);
    b.advance(10_100);
    assert_eq!(b.hub.used_bytes(StoreId(0)), 0);
    assert_eq!(b.ask_after("a", 1, 0), ["4: held"]);
    assert_eq!(
        b.publish("a", "four"),
        ["5: published 201 of 1, 2 waited", "3: four 11:0", "4: four 11:0 Messages(2)"]
    );
    // Also when the channel itself is gone meanwhile.
    b.advance(10_100);
    b.advance(5_100);
    assert_eq!(b.channels(), 0);
    assert_eq!(b.ask_after("a", 1, 0), ["6: held"]);
    assert_eq!(b.ask_after("a", 11, 0), ["7: held"]);
    assert_eq!(
        b.publish("a", "five"),
        ["8: published 201 of 1, 2 waited", "6: five 26:0 Unknown", "7: five 26:0"]
    );
}

#[test]
fn a_cursor_of_the_process_before_hears_of_a_gap_whatever_became_of_the_channel() {
    let mut b = Bench::new(options());
    let before = Cursor { time: NOW.unix_s - 9, tag: 0, given: true };
    b.ask("a", Subscribe { cursor: before, ..LONG });
    assert_eq!(b.publish_as("a", "flash", true, false)[1..], ["0: flash 1:0 Unknown"]);
    let peer = b.peer();
    b.hub.delete(peer, name("a"), b.now);
    b.outputs();
    b.publish("a", "kept");
    let said = b.ask("a", Subscribe { cursor: before, ..LONG });
    assert_eq!(said, ["4: kept 1:1 Unknown"]);
}

#[test]
fn what_other_channels_lost_since_it_was_made_is_no_gap_of_a_channel() {
    let mut options = options();
    options.stores[0].memory.message_timeout_ms = 1000;
    options.stores[0].channel_timeout_ms = 100;
    let mut bench = Bench::new(options);
    bench.ask("live", LONG);
    assert_eq!(bench.publish_as("live", "one", true, false).last().unwrap(), "0: one 1:0");
    let cursor = Cursor { time: NOW.unix_s + 1, tag: 0, given: true };
    assert_eq!(bench.ask("live", Subscribe { cursor, timeout_ms: 0, ..LONG }), ["2: held"]);
    // More than are remembered by name, so that what they lost holds for all that are not.
    for number in 0..4200 {
        bench.publish(&number.to_string(), "m");
        bench.advance(1000);
        bench.advance(100);
    }
    assert_eq!(bench.channels(), 1);
    assert!(bench.hub.holds.stores.tombstones().others().lost_through.time > NOW.unix_s + 1);
    let said = bench.publish_as("live", "two", true, false);
    assert!(said[1].starts_with("2: two ") && !said[1].contains("Unknown"), "{said:?}");
}

#[test]
fn a_small_channel_does_not_wait_for_a_large_fan_out() {
    let mut b = Bench::new(options());
    for _ in 0..1000 {
        b.ask("crowd", LONG);
    }
    b.ask("one", LONG);
    let publish = Publish { content: content(b"x"), create: true, store: true };
    let peer = b.peer();
    b.hub.publish(peer, name("crowd"), publish.clone(), b.now);
    b.hub.publish(peer, name("one"), publish, b.now);
    let said = b.outputs();
    let place = said.iter().position(|line| line.starts_with("1000: x")).unwrap();
    assert!(place < 100, "served as number {place}");
    assert_eq!(said.len(), 2 + 1001);
}

#[test]
fn only_more_than_fit_in_one_turn_are_a_crowd() {
    for (waiting, expected) in [(1, false), (64, false), (65, true)] {
        let mut b = Bench::new(options());
        for _ in 0..waiting {
            b.ask("a", LONG);
        }
        let publish = Publish { content: content(b"x"), create: true, store: true };
        let publisher = b.peer();
        b.hub.publish(publisher, name("a"), publish, b.now);
        let outputs = std::iter::from_fn(|| b.hub.poll_output(b.now));
        let crowds: Vec<_> = outputs
            .filter_map(|output| match output {
                Output::Deliver { many_waited, .. } => Some(many_waited),
                _ => None,
            })
            .collect();
        assert_eq!(crowds, vec![Some(expected); waiting], "{waiting} waited");
    }
}

#[test]
fn a_channel_with_one_subscriber_is_not_given_the_room_of_a_crowd() {
    let mut bench = Bench::new(options());
    for channel in ["one", "two"] {
        for _ in 0..1000 {
            bench.ask("crowd", LONG);
        }
        bench.ask(channel, LONG);
        bench.publish_as("crowd", "m", true, false);
        bench.publish_as(channel, "m", true, false);
        bench.ask(channel, LONG);
        let key = bench.hub.holds.stores.find(channel.as_bytes()).unwrap();
        let room = bench.hub.holds.stores.kept(key).unwrap().room();
        assert!(room <= 4, "for {room} on {channel}");
    }
}

#[test]
fn shutdown_ends_every_hold_once() {
    let mut b = Bench::new(options());
    b.ask("a", LONG);
    b.ask("b", LONG);
    b.hub.shutdown(b.now);
    assert_eq!(b.outputs(), ["0: Shutdown", "1: Shutdown"]);
    assert_eq!((b.hub.held(), b.hub.timers(), b.channels()), (0, 0, 0));
}

#[test]
fn nothing_is_held_after_shutdown() {
    let mut b = Bench::new(options());
    b.hub.shutdown(b.now);
    assert_eq!(b.ask("a", LONG), ["0: NothingNew"]);
    b.publish("a", "x");
    assert_eq!(b.ask("a", LONG), ["2: x 1:0"]);
    assert_eq!((b.hub.held(), b.channels()), (0, 1));
}

/// The turns until nothing more is due; in none may more than so many channels, messages or holds
/// end.
fn turns(b: &mut Bench, most: usize) -> usize {
    let count = |b: &Bench| [b.channels(), b.messages(), b.hub.held()];
    let mut turns = 0;
    while b.hub.poll_timeout().is_some_and(|at| at <= b.now.mono_ms) {
        let before = count(b);
        b.advance(0);
        for (before, after) in before.into_iter().zip(count(b)) {
            assert!(before - after <= most, "{before} then {after}");
        }
        turns += 1;
        b.outputs();
    }
    turns
}

fn crowded() -> Options {
    let mut options = options();
    options.channels_max = 10_000;
    options.stores[0].memory.max_memory = 1 << 30;
    options.stores[0].memory.message_timeout_ms = 10_000;
    options
}

#[test]
fn thousands_of_channels_that_expire_together_take_many_turns_and_no_message_lives_longer() {
    let mut b = Bench::new(crowded());
    for number in 0..3000 {
        b.publish(&number.to_string(), "old");
    }
    b.advance(10_000);
    assert!(b.messages() > 2000, "{}", b.messages());
    // The last one is still to be dropped.
    assert!(b.ask("2999", LONG)[0].ends_with("held"));
    let [published, delivered] = &b.publish("2999", "new")[..] else { panic!("one waits") };
    assert!(published.ends_with("published 201 of 1, 1 waited"), "{published}");
    assert!(delivered.ends_with("new 11:0"), "{delivered}");
    assert!(turns(&mut b, 512) >= 4);
    assert_eq!((b.messages(), b.channels()), (1, 3000));
    b.advance(5000);
    assert!(turns(&mut b, 512) >= 4);
    assert_eq!(b.channels(), 1);
}

#[test]
fn a_channel_of_thousands_of_messages_is_gone_at_once_and_dropped_in_many_turns() {
    let mut b = Bench::new(crowded());
    for number in 0..3000 {
        b.publish("a", &number.to_string());
    }
    let peer = b.peer();
    b.hub.delete(peer, name("a"), b.now);
    assert_eq!(b.outputs(), ["3000: deleted 3000"]);
    assert!(b.messages() > 2000, "{}", b.messages());
    let answers = b.publish("a", "new");
    assert!(answers[0].ends_with("published 202 of 1, 0 waited"), "{answers:?}");
    assert!(turns(&mut b, 512) >= 4);
    assert_eq!((b.messages(), b.channels()), (1, 1));
}

#[test]
fn a_crowd_whose_time_is_up_together_is_answered_over_many_turns() {
    let mut b = Bench::new(crowded());
    for _ in 0..1000 {
        b.ask("a", LONG);
    }
    // The jitter is over, as after a machine has slept.
    b.now.mono_ms += 60_000;
    assert!(turns(&mut b, 96) >= 10);
    assert_eq!((b.hub.held(), b.channels(), b.hub.timers()), (0, 0, 0));
}

#[test]
fn channels_that_end_while_others_still_expire_leave_none_behind() {
    let mut options = crowded();
    options.stores[0].channel_timeout_ms = 0;
    let mut b = Bench::new(options);
    for number in 0..3000 {
        b.publish(&number.to_string(), "old");
    }
    b.advance(10_000);
    turns(&mut b, 1024);
    assert_eq!((b.messages(), b.channels(), b.hub.timers()), (0, 0, 0));
}

#[test]
fn the_end_of_deliveries_is_known_with_their_number_and_begin() {
    let mut b = Bench::new(options());
    b.publish("a", "unwatched");
    b.hub.watch_sent(true);
    let streams = [b.stream(&["a"], Order::Channel), b.stream(&["a"], Order::Channel)];
    for _ in 0..2 {
        b.ask_after("a", 1, 0);
    }
    let peer = b.peer();
    let cursor = Cursor { time: NOW.unix_s + 1, tag: 0, given: true };
    b.hub.subscribe(peer, name("a"), Subscribe { cursor, ..LONG }, b.now);
    let Some(Output::Held { hold, .. }) = b.hub.poll_answer() else { panic!("it is held") };
    b.hub.pause(streams[0]);
    b.put("a", "one", true);
    let began = b.now;
    b.hub.unsubscribe(hold, b.now);
    b.advance(3);
    assert_eq!(b.outputs().len(), 3);
    let sent: Vec<_> = b.hub.take_sent().collect();
    let told = |sent: &Sent| (sent.name.as_deref().map(<[u8]>::to_vec), sent.id.tag, sent.to);
    let name = Some(b"a".to_vec());
    let expected = [(name.clone(), 1, 1), (name, 1, 2)];
    assert_eq!(sent.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(sent.iter().all(|sent| sent.began == began));
    assert_eq!(b.hub.take_sent().count(), 0);
    b.hub.watch_sent(false);
    b.publish("a", "two");
    assert_eq!(b.hub.take_sent().count(), 0);
}
