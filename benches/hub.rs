//! Hub: the cost of a delivery in the hub. Prints nanoseconds to deliver to one of 10,000
//! subscribers and to hold its next request. Run with `cargo bench --bench hub`.

mod support;

use pushserver::clock::Now;
use pushserver::hub::options::{Concurrency, Options, StoreOptions};
use pushserver::hub::{ChannelName, Hub, Output, Peer, Publish, Subscribe};
use pushserver::message::{Content, Cursor, Delivery, First, MessageId};
use pushserver::store::{StoreId, memory};

const SUBSCRIBERS: usize = 10_000;

fn main() {
    let now = Now { mono_ms: 0, unix_s: 1_000_000 };
    let memory = memory::Options {
        min_messages: 0,
        max_messages: 2,
        message_timeout_ms: 0,
        max_memory: 1 << 20,
        dropped_at_once: 512,
    };
    let options = Options {
        stores: vec![StoreOptions { memory, channel_timeout_ms: 5000 }],
        channels_max: 10,
        first_id: MessageId::default(),
        seed: 1,
    };
    let mut hub = Hub::new(options, now);
    let peers: Vec<Peer> = (0..SUBSCRIBERS as u64).map(Peer).collect();
    let name = ChannelName { store: StoreId(0), name: b"crowd" };
    let publisher = peers[0];
    let mut cursor = Cursor::OLDEST;
    let round = || {
        let start = std::time::Instant::now();
        for &peer in &peers {
            let subscribe = Subscribe {
                cursor,
                first: First::Oldest,
                delivery: Delivery::LongPoll,
                create: true,
                concurrency: Concurrency::Broadcast,
                max_subscribers: 0,
                timeout_ms: 55_000,
            };
            hub.subscribe(peer, name, subscribe, now);
            assert!(matches!(hub.poll_output(now), Some(Output::Held { .. })));
        }
        let held = start.elapsed();
        let publish = Publish {
            content: Content { body: &[7; 200][..], ..Content::default() },
            create: true,
            store: true,
        };
        hub.publish(publisher, name, publish, now);
        let mut delivered = 0;
        while let Some(output) = hub.poll_output(now) {
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
