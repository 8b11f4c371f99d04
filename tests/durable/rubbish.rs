//! Rubbish: whatever a disk says, a start goes on, and what is published then is found.

use pushserver::message::{Content, MessageId};
use pushserver::store::{ChannelRecord, Made, MessageRecord, Restored};
use pushserver_testkit::Random;

use super::{BEGIN_UNIX_S, STORE, ask, polled, post, request, start, with_store};
use serde_json::json;

const SEEDS: u64 = 300;

fn id(random: &mut Random) -> MessageId {
    let time = match random.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::from(u32::MAX),
        3 => random.number(),
        _ => BEGIN_UNIX_S + random.below(4),
    };
    let tag = match random.below(8) {
        0 => u32::MAX,
        1 => random.number() as u32,
        _ => random.below(4) as u32,
    };
    MessageId { time, tag }
}

fn name(random: &mut Random) -> Box<[u8]> {
    random.pick(&[&b"\0a"[..], b"\0b", b"g\0a", b"", b"\xff"]).into()
}

fn restored(random: &mut Random) -> Restored {
    if random.percent(40) {
        let made = [None, Some(Made::ToWait), Some(Made::ToPublish), Some(Made::OnRequest)];
        return Restored::Channel(ChannelRecord {
            name: name(random),
            last: id(random),
            lost_through: id(random),
            gone_through: if random.percent(70) { MessageId::default() } else { id(random) },
            made: random.pick(&made),
        });
    }
    let length = random.pick(&[0, 1, 300, 3_000]);
    Restored::Message(MessageRecord {
        place: id(random),
        tag: id(random).tag,
        before: if random.percent(50) { MessageId::default() } else { id(random) },
        channel: name(random),
        content: Content { content_type: None, event: None, body: vec![b'x'; length].into() },
    })
}

#[test]
fn whatever_a_disk_says_a_start_goes_on_and_serves() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let max_messages = random.pick(&[0, 1, 3]);
        let store = json!({
            "max_memory": 2_000, "max_messages": max_messages, "message_timeout": 60,
        });
        let mut network = start(&with_store(store), 2, None);
        let now = network.now;
        for _ in 0..random.below(60) {
            network.relay.restore(STORE, restored(&mut random), now);
        }
        network.relay.restored(now);
        for channel in ["a", "b"] {
            network.settle();
            assert!(network.relay.state().hub.used_bytes(STORE) <= 2_000, "seed {seed}");
            for method in ["GET", "PUT"] {
                ask(&mut network, &request(method, channel));
            }
            for body in ["one", "two", "three", "four"] {
                assert!(ask(&mut network, &post(channel, body)).status / 100 == 2, "seed {seed}");
                for cursor in [None, Some((random.below(4), random.below(4) as u32))] {
                    polled(&mut network, channel, cursor);
                }
            }
            network.advance_ms(random.below(70) * 1_000);
            assert_eq!(ask(&mut network, &request("DELETE", channel)).status, 200, "seed {seed}");
            ask(&mut network, &post(channel, "again"));
            let (body, _) = polled(&mut network, channel, None);
            assert_eq!(body, "again", "seed {seed}");
        }
    }
}
