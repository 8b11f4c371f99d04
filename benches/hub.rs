//! Hub: the cost of a delivery in the hub. Prints nanoseconds to deliver to one of 10,000
//! subscribers, to hold its next request, and to deliver to one of 10,000 streams, the allocations
//! for that, and the bytes of each of 100,000 streams. Run with `cargo bench --bench hub`.

mod support;

use std::time::Instant;

use pushserver::clock::Now;
use pushserver::hub::options::{Concurrency, Options, StoreKind, StoreOptions};
use pushserver::hub::{ChannelName, Hub, Output, Peer, Publish, Subscribe};
use pushserver::message::{Content, Cursor, Delivery, First, MessageId, Order};
use pushserver::store::{StoreId, memory};

const SUBSCRIBERS: usize = 10_000;
const IDLE: usize = 100_000;
const NOW: Now = Now::at(0, 1_000_000);
const NAME: ChannelName<'_> = ChannelName { store: StoreId(0), name: b"crowd" };
const SUBSCRIBE: Subscribe = Subscribe {
    cursor: Cursor::OLDEST,
    first: First::Oldest,
    delivery: Delivery::LongPoll,
    create: true,
    concurrency: Concurrency::Broadcast,
    max_subscribers: 0,
    timeout_ms: 55_000,
    ends_ms: None,
};

fn main() {
    polls();
    streams();
    idle();
}

fn hub() -> Hub {
    let memory = memory::Options {
        min_messages: 0,
        max_messages: 2,
        message_timeout_ms: 0,
        max_memory: 1 << 20,
        dropped_at_once: 512,
    };
    let options = Options {
        stores: vec![StoreOptions { memory, channel_timeout_ms: 5000, kind: StoreKind::Memory }],
        channels_max: 10,
        first_id: MessageId::default(),
        seed: 1,
    };
    Hub::new(options, NOW)
}

fn publish(hub: &mut Hub) {
    let content = Content { body: &[7; 200][..], ..Content::default() };
    hub.publish(Peer(0), NAME, Publish { content: content.into(), create: true, store: true }, NOW);
}

fn polls() {
    let mut hub = hub();
    let mut cursor = Cursor::OLDEST;
    let round = || {
        let start = Instant::now();
        for peer in 0..SUBSCRIBERS as u64 {
            hub.subscribe(Peer(peer), NAME, Subscribe { cursor, ..SUBSCRIBE }, NOW);
            assert!(matches!(hub.poll_output(NOW), Some(Output::Held { .. })));
        }
        let held = start.elapsed();
        publish(&mut hub);
        let mut delivered = 0;
        while let Some(output) = hub.poll_output(NOW) {
            if let Output::Deliver { message, .. } = output {
                cursor = Cursor::at(message.id());
                delivered += 1;
            }
        }
        assert_eq!(delivered, SUBSCRIBERS);
        (held, start.elapsed() - held)
    };
    support::report_rounds("hub", SUBSCRIBERS, [150.0, 100.0], round);
}

/// Opens streams of the one channel.
fn follow(hub: &mut Hub, count: usize) {
    let of = (StoreId(0), Order::Channel);
    for peer in 0..count as u64 {
        let subscribe = Subscribe { delivery: Delivery::Stream, timeout_ms: 0, ..SUBSCRIBE };
        hub.follow(Peer(peer), of, &[NAME.name], subscribe, NOW);
        assert!(matches!(hub.poll_output(NOW), Some(Output::Held { .. })));
    }
}

fn streams() {
    let mut hub = hub();
    follow(&mut hub, SUBSCRIBERS);
    let round = || {
        let start = Instant::now();
        publish(&mut hub);
        let mut delivered = 0;
        while let Some(output) = hub.poll_output(NOW) {
            delivered += usize::from(matches!(output, Output::Feed { .. }));
        }
        assert_eq!(delivered, SUBSCRIBERS);
        start.elapsed()
    };
    support::report_streams("hub, streams", SUBSCRIBERS, 100.0, round);
}

fn idle() {
    let region = support::allocations();
    let mut hub = hub();
    follow(&mut hub, IDLE);
    let bytes = support::bytes_held(&region) / IDLE as f64;
    support::report("hub: idle stream, all on one channel", bytes, "bytes", 250.0);
}
