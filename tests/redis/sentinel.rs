//! The link where a sentinel knows the node: the master ends, and the link follows the next one.

use std::time::Instant;

use pushserver::store::redis::keys::Keys;
use pushserver::store::redis::options::{Credentials, Sentinels, Server};
use pushserver::store::redis::scripts::{Calls, Publish};
use pushserver_testkit::Redis;
use pushserver_testkit::redis::{Data, Sentinel};

use crate::store::{FOREVER, message};
use crate::wire::{Wire, options};

#[test]
fn the_link_follows_a_failover_and_ids_go_on() {
    let mut master = Redis::start(&[]);
    let replica = master.replica();
    let sentinel = Sentinel::of("m", master.address());
    let sentinels = Sentinels {
        master: "m".into(),
        // One that is not there is passed over.
        nodes: vec![pushserver_testkit::redis::refusing(), sentinel.tcp()],
        credentials: Credentials::default(),
    };
    let mut wire = Wire::new(options(Server::Sentinel(sentinels)));
    wire.until_up();
    assert_eq!(wire.dials.last().expect("it dialled").1, master.tcp());
    let keys = Keys::new(b"", 0);
    let calls = Calls { keys: &keys, limits: FOREVER };
    let before = wire.publish(calls.publish(b"a", message(b"before")));
    master.kill(Data::Lost);
    wire.until_down();
    let down = Instant::now();
    wire.until_up();
    println!("up {:?} after the master ended, {} dials", down.elapsed(), wire.dials.len());
    assert_eq!(wire.dials.last().expect("it dialled").1, replica.tcp());
    let now_ms = wire.now_ms();
    assert!(wire.link.is_fresh(now_ms), "what was not replicated is lost");
    let publish = Publish { least_id: before.id, ..message(b"after") };
    assert!(wire.publish(calls.publish(b"a", publish)).id > before.id);
    let times: Vec<u64> = wire.dials.iter().map(|dial| dial.0).collect();
    assert!(times.windows(13).all(|some| some[12] - some[0] > 1000), "{times:?}");
}
