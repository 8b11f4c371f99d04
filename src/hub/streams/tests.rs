//! Streams and polls of several channels, in the hub.

use crate::hub::tests::*;
use crate::store::{Fate, Loss};

const STREAM: Subscribe = Subscribe { delivery: Delivery::Stream, ..LONG };

/// The end of a stream.
const GONE: &str = "Deleted";

#[test]
fn a_stream_gets_what_is_stored_and_then_everything_that_is_published() {
    let mut b = Bench::new(options());
    b.publish("a", "one");
    b.publish("a", "two");
    assert_eq!(b.follow(&["a"], Order::Channel, STREAM), ["2: held", "2: one a", "2: two a"]);
    assert_eq!(b.publish("a", "three"), ["3: published 201 of 3, 1 waited", "2: three a"]);
    b.advance(1000);
    assert_eq!(b.publish("a", "four"), ["4: published 201 of 4, 1 waited", "2: four a"]);
}

#[test]
fn who_leaves_or_comes_in_a_fan_out_moves_nobody_past_their_turn() {
    for (leaver, turns) in [(0, 2), (1, 2), (2, 2), (4, 2), (2, 0), (0, 4), (4, 5)] {
        let mut b = Bench::new(options());
        let streams: Vec<_> = (0..5).map(|_| b.stream(&["a"], Order::Channel)).collect();
        b.put("a", "one", false);
        b.put("a", "two", false);
        let mut said = b.some(turns);
        b.hub.unsubscribe(Hold::Stream(streams[leaver]), b.now);
        b.stream(&["a"], Order::Channel);
        said.extend(b.outputs());
        for peer in (0..5).filter(|peer| *peer != leaver) {
            let own: Vec<_> =
                said.iter().filter(|one| one.starts_with(&format!("{peer}:"))).collect();
            assert_eq!(own, [&format!("{peer}: one a"), &format!("{peer}: two a")], "{said:?}");
        }
    }
}

#[test]
fn a_stream_that_is_behind_reads_on_and_is_told_what_no_store_keeps() {
    let mut b = Bench::new(options());
    let stream = b.stream(&["a"], Order::Channel);
    b.publish("a", "one");
    b.hub.pause(stream);
    assert_eq!(b.publish("a", "two"), ["2: published 201 of 2, 1 waited"]);
    b.put("a", "lost", false);
    assert_eq!(b.publish("a", "three"), ["4: published 201 of 3, 1 waited"]);
    b.hub.resume(stream);
    assert_eq!(b.outputs(), ["0: two a", "0: three a Messages(1)"]);
    assert_eq!(b.publish("a", "four"), ["5: published 201 of 4, 1 waited", "0: four a"]);
}

#[test]
fn a_stream_that_is_behind_is_told_what_no_store_keeps_where_it_was() {
    for (names, order) in [(&["a"][..], Order::Channel), (&["a", "b"], Order::Store)] {
        let mut b = Bench::new(options());
        let stream = b.stream(names, order);
        b.hub.pause(stream);
        for round in 0..3 {
            for n in 0..=round {
                b.put("a", &format!("lost {n}"), false);
            }
            b.put("a", &format!("kept{round}"), true);
        }
        b.put("a", "lost", false);
        assert_eq!(b.outputs(), [""; 0], "all that was under way has passed it");
        b.hub.resume(stream);
        let told = (0..3).map(|n| format!("0: kept{n} a Messages({})", n + 1));
        assert_eq!(b.outputs(), told.collect::<Vec<_>>());
        let next = b.publish("a", "next");
        assert_eq!(next.last().map(String::as_str), Some("0: next a Messages(1)"));
    }
}

#[test]
fn a_stream_that_is_behind_gets_nothing_of_a_deleted_channel_without_what_came_before() {
    for (kept, messages) in [(true, 2), (false, 1)] {
        let mut b = Bench::new(options());
        let stream = b.stream(&["a"], Order::Channel);
        b.hub.pause(stream);
        b.publish("a", "one");
        b.hub.resume(stream);
        b.put("a", "two", kept);
        let told = [format!("0: {GONE}"), format!("3: deleted {messages}")];
        assert_eq!(b.delete("a"), told);
    }
}

#[test]
fn more_gaps_than_are_kept_apart_are_told_later_and_are_as_many() {
    let mut b = Bench::new(options());
    let stream = b.stream(&["a"], Order::Channel);
    b.hub.pause(stream);
    for n in 0..60 {
        b.put("a", "lost", false);
        b.put("a", &n.to_string(), true);
        assert_eq!(b.outputs(), [""; 0]);
    }
    b.hub.resume(stream);
    let mut sum = 0;
    for (n, said) in b.outputs().iter().enumerate() {
        let gap = said.strip_prefix(&format!("0: {n} a"));
        let gap = gap.unwrap_or_else(|| panic!("{said}")).trim_matches([' ', ')']);
        sum += gap.strip_prefix("Messages(").map_or(0, |count| count.parse().unwrap());
        assert!(sum == n + 1 || n >= 31 && sum <= n + 1, "{sum} before {said}");
    }
    assert_eq!(sum, 60);
}

#[test]
fn what_is_gone_when_a_slow_stream_comes_to_it_is_a_gap() {
    let mut options = options();
    options.stores[0].memory.max_messages = 2;
    let mut b = Bench::new(options);
    let stream = b.stream(&["a"], Order::Channel);
    b.publish("a", "0");
    b.hub.pause(stream);
    for n in 1..=5 {
        b.publish("a", &n.to_string());
    }
    b.hub.resume(stream);
    assert_eq!(b.outputs(), ["0: 4 a Messages(3)", "0: 5 a"]);
}

#[test]
fn a_publisher_that_is_faster_than_the_fan_out_fills_no_memory() {
    let mut b = Bench::new(options());
    let first = b.stream(&["a"], Order::Channel);
    b.stream(&["a"], Order::Channel);
    b.hub.pause(first);
    for n in 0..200 {
        b.put("a", &n.to_string(), n % 2 == 0);
    }
    b.hub.resume(first);
    let mut said = b.outputs();
    said.extend(b.publish("a", "200"));
    for peer in [0, 1] {
        let mut counted = 0;
        let mut last = None;
        for one in said.iter().filter(|one| one.starts_with(&format!("{peer}:"))) {
            let words: Vec<_> = one.split(' ').collect();
            let missed = words.get(3).map(|gap| gap.trim_matches(|c: char| !c.is_ascii_digit()));
            counted += 1 + missed.map_or(0, |missed| missed.parse::<u32>().unwrap());
            let number: u32 = words[1].parse().unwrap();
            assert!(last < Some(number) && counted <= number + 1, "{said:?}");
            last = Some(number);
        }
        assert_eq!((counted, last), (201, Some(200)), "{said:?}");
    }
}

#[test]
fn what_no_store_keeps_has_more_room_under_way() {
    let mut b = Bench::new(options());
    b.stream(&["a"], Order::Channel);
    for n in 0..500 {
        b.put("a", &n.to_string(), false);
    }
    let said: Vec<_> = (0..500).map(|n| format!("0: {n} a")).collect();
    assert_eq!(b.outputs(), said);
    for n in 0..20 {
        b.put("a", &n.to_string().repeat(1 << 20), false);
    }
    let said = b.outputs();
    assert!((8..16).contains(&said.len()), "{}", said.len());
    let next = b.publish("a", "next");
    assert_eq!(next.last(), Some(&format!("0: next a Messages({})", 20 - said.len())));
}

#[test]
fn several_channels_come_in_the_order_of_their_store() {
    let mut b = Bench::new(options());
    b.publish("a", "a1");
    b.publish("b", "b1");
    b.publish("a", "a2");
    let both = b.follow(&["b", "a"], Order::Store, STREAM);
    assert_eq!(both, ["3: held", "3: a1 a", "3: b1 b", "3: a2 a"]);
    // Two fan-outs under way at once: whichever comes first, the order is that of the store.
    b.put("b", "b2", false);
    b.put("a", "a3", false);
    b.put("b", "b3", true);
    b.put("a", "a4", true);
    assert_eq!(b.outputs(), ["3: b2 b", "3: a3 a", "3: b3 b", "3: a4 a"]);
}

#[test]
fn a_poll_of_several_channels_ends_with_its_first_message() {
    let mut b = Bench::new(options());
    assert_eq!(b.follow(&["a", "b"], Order::Store, LONG), ["0: held"]);
    assert_eq!(b.publish("b", "one"), ["1: published 201 of 1, 1 waited", "0: one b"]);
    assert_eq!(b.publish("a", "two"), ["2: published 202 of 1, 0 waited"]);
    assert_eq!(b.follow(&["a", "b"], Order::Store, LONG), ["3: one b"]);
    let cursor = Cursor { time: NOW.unix_s + 1, tag: 1, given: true };
    let late = Subscribe { cursor, ..LONG };
    assert_eq!(b.follow(&["a", "b"], Order::Store, late), ["4: held"]);
    b.advance(60_000);
    assert_eq!(b.outputs(), ["4: NothingNew"]);
    let interval = Subscribe { delivery: Delivery::IntervalPoll, ..late };
    assert_eq!(b.follow(&["a", "b"], Order::Store, interval), ["5: NothingNew"]);
}

#[test]
fn a_poll_of_several_channels_whose_time_is_up_is_given_what_is_under_way_to_it() {
    let mut b = Bench::new(options());
    assert_eq!(b.follow(&["a", "b"], Order::Store, LONG), ["0: held"]);
    b.put("b", "one", false);
    b.put("a", "two", false);
    b.advance(60_000);
    assert_eq!(b.outputs(), ["0: one b"]);
    assert_eq!(b.hub.held(), 0);
}

#[test]
fn one_of_several_that_is_deleted_is_followed_again_and_the_last_ends_the_stream() {
    let mut b = Bench::new(options());
    b.follow(&["a", "b"], Order::Store, STREAM);
    b.follow(&["a"], Order::Channel, STREAM);
    b.put("a", "before", false);
    assert_eq!(b.delete("a"), ["0: before a", "1: before a", "1: Deleted", "3: deleted 0"]);
    assert_eq!(b.publish("a", "again"), ["4: published 201 of 1, 1 waited", "0: again a"]);
    assert_eq!(b.delete("b"), ["5: deleted 0"]);
    assert_eq!(b.delete("a"), [format!("0: {GONE}"), "6: deleted 1".to_owned()]);
    assert_eq!(b.publish("a", "late"), ["7: published 202 of 1, 0 waited"]);
    assert_eq!(b.hub.held(), 0);
}

#[test]
fn what_is_under_way_arrives_before_the_daemon_stops() {
    let mut b = Bench::new(options());
    b.follow(&["a", "b"], Order::Store, STREAM);
    b.follow(&["a"], Order::Channel, STREAM);
    b.put("b", "b1", false);
    b.put("a", "a1", false);
    b.hub.shutdown(b.now);
    let said = b.outputs();
    let of =
        |peer: &str| said.iter().filter(|one| one.starts_with(peer)).cloned().collect::<Vec<_>>();
    assert_eq!(of("0:"), ["0: b1 b", "0: a1 a", "0: Shutdown"]);
    assert_eq!(of("1:"), ["1: a1 a", "1: Shutdown"]);
}

#[test]
fn a_gap_counts_what_is_missing_in_all_channels() {
    let mut options = options();
    options.stores[0].memory.max_messages = 1;
    let mut b = Bench::new(options);
    // Places are noted from the first subscriber that counts in them.
    b.follow(&["a", "b"], Order::Store, Subscribe { delivery: Delivery::IntervalPoll, ..LONG });
    for n in 0..3 {
        b.publish("a", &format!("a{n}"));
        b.publish("b", &format!("b{n}"));
    }
    let after = |tag| Subscribe {
        cursor: Cursor { time: NOW.unix_s + 1, tag, given: true },
        delivery: Delivery::IntervalPoll,
        ..LONG
    };
    assert_eq!(b.follow(&["a", "b"], Order::Store, after(0)), ["7: a2 a Messages(3)"]);
    assert_eq!(b.follow(&["a", "b"], Order::Store, after(2)), ["8: a2 a Messages(1)"]);
    assert_eq!(b.follow(&["a", "b"], Order::Store, after(4)), ["9: b2 b"]);
    assert_eq!(b.follow(&["b"], Order::Store, after(0)), ["10: b2 b Messages(2)"]);
}

#[test]
fn what_went_before_somebody_followed_several_channels_is_no_gap_behind_it() {
    let mut options = options();
    options.stores[0].memory.max_messages = 1;
    let mut b = Bench::new(options);
    for (channel, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")] {
        b.publish(channel, body);
    }
    let after = |tag| {
        let cursor = Cursor { time: NOW.unix_s + 1, tag, given: true };
        Subscribe { cursor, ..LONG }
    };
    assert_eq!(b.follow(&["a", "b"], Order::Store, after(0)), ["4: 3 a Unknown"]);
    assert_eq!(b.follow(&["a", "b"], Order::Store, after(1)), ["5: 3 a"]);
    assert_eq!(b.follow(&["a", "b"], Order::Store, after(2)), ["6: 4 b"]);
}

#[test]
fn a_subscriber_without_a_cursor_begins_where_the_settings_say() {
    let mut b = Bench::new(options());
    for body in ["one", "two", "three"] {
        b.publish("a", body);
    }
    b.publish("b", "four");
    let from = |first| Subscribe { first, ..STREAM };
    let last = b.follow(&["a"], Order::Channel, from(First::Last(2)));
    assert_eq!(last, ["4: held", "4: two a", "4: three a"]);
    let last = b.follow(&["a", "b"], Order::Store, from(First::Last(2)));
    assert_eq!(last, ["5: held", "5: three a", "5: four b"]);
    let last = b.follow(&["a", "b"], Order::Store, from(First::Last(9)));
    assert_eq!(last.len(), 5);
    assert_eq!(b.follow(&["a"], Order::Channel, from(First::Newest)), ["7: held"]);
    assert_eq!(b.follow(&["b", "a"], Order::Store, from(First::Newest)), ["8: held"]);
    let said = b.publish("a", "five");
    assert_eq!(said.len(), 6, "{said:?}");
    let poll = Subscribe { first: First::Newest, delivery: Delivery::IntervalPoll, ..LONG };
    assert_eq!(b.ask("a", poll), ["10: NothingNew"]);
    assert_eq!(b.ask("a", Subscribe { first: First::Last(1), ..poll }), ["11: five 1:3"]);
}

#[test]
fn the_newest_stream_displaces_the_one_before_it_and_everybody_counts() {
    let mut b = Bench::new(options());
    let last = Subscribe { concurrency: Concurrency::Last, ..STREAM };
    b.follow(&["a", "b"], Order::Store, last);
    b.put("a", "one", false);
    let said = b.follow(&["a"], Order::Channel, last);
    assert_eq!(said, ["0: one a", "0: Displaced", "2: held"]);
    let first = Subscribe { concurrency: Concurrency::First, ..STREAM };
    assert_eq!(b.follow(&["b", "a"], Order::Store, first), ["3: Displaced"]);
    let two = Subscribe { max_subscribers: 2, ..STREAM };
    assert_eq!(b.follow(&["a"], Order::Channel, two), ["4: held"]);
    assert_eq!(b.follow(&["a"], Order::Channel, two), ["5: Subscribers"]);
    assert_eq!(b.ask("a", Subscribe { max_subscribers: 2, ..LONG }), ["6: Subscribers"]);
}

#[test]
fn a_channel_that_lives_by_its_streams_alone_outlives_the_one_that_is_displaced() {
    let mut b = Bench::new(options());
    let last = Subscribe { concurrency: Concurrency::Last, ..STREAM };
    assert_eq!(b.follow(&["a"], Order::Channel, last), ["0: held"]);
    assert_eq!(b.follow(&["a", "b"], Order::Store, last), ["0: Displaced", "1: held"]);
    assert_eq!(b.follow(&["b", "a"], Order::Store, last), ["1: Displaced", "2: held"]);
    assert_eq!(b.ask("a", Subscribe { delivery: Delivery::LongPoll, ..last }).len(), 2);
    assert_eq!(b.publish("a", "one"), ["4: published 201 of 1, 1 waited", "3: one 1:0"]);
    assert_eq!(b.publish("b", "one"), ["5: published 202 of 1, 0 waited"]);
    b.hub.check_invariants();
}

#[test]
fn a_missing_channel_of_several_is_named_and_none_is_made() {
    let mut b = Bench::new(options());
    b.publish("a", "one");
    let strict = Subscribe { create: false, ..STREAM };
    let peer = b.peer();
    b.hub.follow(peer, (StoreId(0), Order::Store), &[b"a", b"x", b"y"], strict, b.now);
    match b.hub.poll_answer() {
        Some(Output::Missing { name: Some(name), .. }) => assert_eq!(&*name, b"x"),
        other => panic!("{other:?}"),
    }
    assert_eq!(b.follow(&["a", "b", "c", "d"], Order::Store, STREAM), ["2: Channels"]);
    assert_eq!(b.hub.figures().channels, 1);
}

#[test]
fn what_the_store_was_asked_for_a_stream_that_ends_or_is_paused_is_given_up() {
    const LOST: Fate = Fate { turns: 1, loss: Loss::Answer };
    const DONE: Fate = Fate { turns: 1, loss: Loss::Nothing };
    let last = Subscribe { concurrency: Concurrency::Last, ..STREAM };
    let ends: [fn(&mut Bench, StreamKey, Subscribe); 4] = [
        |b, stream, _| b.hub.pause(stream),
        |b, stream, _| b.hub.unsubscribe(Hold::Stream(stream), b.now),
        |b, _, _| drop(b.delete("a")),
        |b, _, last| drop(b.follow(&["a"], Order::Channel, last)),
    ];
    for end in ends {
        let mut b = Bench::new(options());
        let stream = b.stream(&["a"], Order::Channel);
        b.hub.pause(stream);
        b.publish("a", "one");
        b.hub.slow_down(&[LOST, DONE]);
        // What becomes of the first question is the same for both kinds.
        assert_eq!(b.ask("a", LONG), ["2: asked"]);
        b.hub.resume(stream);
        assert_eq!(b.outputs(), ["0: asked"]);
        assert_eq!(b.hub.asks(), 2);
        end(&mut b, stream, last);
        while let Some(output) = b.hub.poll_output(b.now) {
            drop(output);
        }
        b.advance(0);
        while b.hub.handle_reply(b.now) {
            while b.hub.poll_output(b.now).is_some() {}
        }
        b.advance(0);
        b.hub.handle_reply(b.now);
        assert_eq!(b.hub.asks(), 1, "the poll alone waits");
    }
}

#[test]
fn a_channel_that_is_made_while_a_store_is_asked_is_not_left_out() {
    let late = |turns| Fate { turns, loss: Loss::Nothing };
    let mut b = Bench::new(options());
    let stream = b.stream(&["a", "b"], Order::Store);
    b.delete("a");
    b.hub.pause(stream);
    b.hub.slow_down(&[late(1)]);
    b.put("a", "one", true);
    b.hub.resume(stream);
    let mut said = b.outputs();
    for _ in 0..4 {
        b.advance(0);
        while b.hub.handle_reply(b.now) {
            said.extend(b.outputs());
        }
        said.extend(b.outputs());
    }
    said.retain(|one| one.starts_with("0:"));
    assert_eq!(said, ["0: asked", "0: asked", "0: one a", "0: asked"]);
}
