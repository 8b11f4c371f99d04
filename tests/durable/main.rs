//! Durable stores on the relay alone: what they write down before anybody sees it, and what a later
//! process finds. The disk is in memory (`testkit::disk`).

mod restarts;
mod rubbish;

use pushserver::config::{Config, Overrides, Source};
use pushserver::hub::options::StoreKind;
use pushserver::message::MessageId;
use pushserver::relay::ConnKey;
use pushserver::store::{Restored, StoreId};
use pushserver_testkit::network::BEGIN_UNIX_S;
use pushserver_testkit::{Answer, Network, header, settings};
use serde_json::{Value, json};

const STORE: StoreId = StoreId(0);

/// Of a process: the second of its start, and a microsecond that tells it from others.
fn start(settings: &Value, second: u64, before: Option<&Network>) -> Network {
    start_as(settings, second, before.map(|before| (before, STORE, STORE)))
}

/// As before; what one store has written down is another's now.
fn start_as(
    settings: &Value,
    second: u64,
    before: Option<(&Network, StoreId, StoreId)>,
) -> Network {
    let text = settings.to_string();
    let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
    let config = config.expect("the settings are right");
    let mut hub = config.hub_options(MessageId { time: BEGIN_UNIX_S + second, tag: 500_000 }, 1);
    hub.stores.iter_mut().for_each(|store| store.kind = StoreKind::Durable);
    let now = pushserver::clock::Now::at(1_100_000_000_000, BEGIN_UNIX_S + second);
    let mut network = Network::at(now, &config.relay_options(), hub);
    if let Some((before, was, is)) = before {
        network.disk = before.disk.again();
        for restored in network.disk.restored(was) {
            network.relay.restore(is, restored, now);
        }
        network.relay.restored(now);
    }
    network
}

fn with_store(store: Value) -> Value {
    let mut settings = settings();
    settings["store"] = store;
    settings
}

fn send(network: &mut Network, request: &str) -> ConnKey {
    let conn = network.connect();
    network.send(conn, request.as_bytes());
    conn
}

fn answer(network: &mut Network, conn: ConnKey) -> Option<Answer> {
    Answer::take(&mut network.peers.get_mut(conn).got, false)
}

fn ask(network: &mut Network, request: &str) -> Answer {
    let conn = send(network, request);
    network.settle();
    answer(network, conn).expect("an answer")
}

fn post(channel: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /publisher/{channel} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn request(method: &str, channel: &str) -> String {
    format!("{method} /publisher/{channel} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A long poll behind `cursor`, seconds since the first start and a tag.
fn poll(channel: &str, cursor: Option<(u64, u32)>) -> String {
    let query = cursor.map_or(String::new(), |(second, tag)| {
        format!("?last_event_id={}:{tag}", BEGIN_UNIX_S + second)
    });
    format!("GET /subscriber/{channel}{query} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// What a poll gets: status, body, gap.
fn polled(network: &mut Network, channel: &str, cursor: Option<(u64, u32)>) -> (String, String) {
    let conn = send(network, &poll(channel, cursor));
    network.settle();
    match answer(network, conn) {
        None => ("held".to_owned(), String::new()),
        Some(answer) => {
            let gap = header(&answer.head, "X-Push-Gap").unwrap_or_default().to_owned();
            (String::from_utf8_lossy(&answer.body).into_owned(), gap)
        }
    }
}

fn same(body: &str, gap: &str) -> (String, String) {
    (body.to_owned(), gap.to_owned())
}

#[test]
fn nobody_sees_what_is_not_written_yet_and_one_batch_has_all_that_waits() {
    let mut network = start(&settings(), 0, None);
    network.disk.turns = 20;
    let waiting = send(&mut network, &poll("a", None));
    network.settle();
    let first = send(&mut network, &post("a", "one"));
    network.turn();
    let second = send(&mut network, &post("a", "two"));
    let third = send(&mut network, &post("b", "three"));
    for _ in 0..4 {
        network.turn();
        assert!(answer(&mut network, first).is_none());
        assert!(answer(&mut network, waiting).is_none());
        assert_eq!(ask_now(&mut network, "b"), None);
    }
    network.settle();
    assert_eq!(answer(&mut network, first).unwrap().status, 201);
    assert_eq!(answer(&mut network, waiting).unwrap().body, b"one");
    assert_eq!(answer(&mut network, second).unwrap().status, 202);
    assert_eq!(answer(&mut network, third).unwrap().status, 202);
    assert_eq!(network.disk.batches(), 2);
}

/// How many messages a channel has, where that is asked within one turn.
fn ask_now(network: &mut Network, channel: &str) -> Option<u16> {
    let conn = send(network, &request("GET", channel));
    network.turn();
    answer(network, conn).map(|answer| answer.status).filter(|status| *status != 404)
}

#[test]
fn what_is_refused_is_nowhere_and_the_next_one_is_written_again() {
    let mut network = start(&settings(), 0, None);
    let waiting = send(&mut network, &poll("a", None));
    network.settle();
    network.disk.refuses = true;
    for refused in [post("a", "lost"), request("PUT", "c"), post("d", "lost")] {
        let answer = ask(&mut network, &refused);
        assert_eq!(answer.status, 507);
        assert!(String::from_utf8_lossy(&answer.body).contains("disk"), "{answer:?}");
    }
    assert!(answer(&mut network, waiting).is_none(), "whoever waits goes on waiting");
    assert_eq!(ask(&mut network, &request("GET", "c")).status, 404);
    assert_eq!(ask(&mut network, &request("GET", "d")).status, 404);
    network.disk.refuses = false;
    assert_eq!(ask(&mut network, &post("a", "kept")).status, 201);
    assert_eq!(answer(&mut network, waiting).unwrap().body, b"kept");
    assert_eq!(network.disk.restored(STORE).len(), 1);
}

#[test]
fn a_deletion_that_is_refused_has_not_happened() {
    let mut network = start(&settings(), 0, None);
    ask(&mut network, &post("a", "one"));
    network.disk.refuses = true;
    assert_eq!(ask(&mut network, &request("DELETE", "a")).status, 507);
    network.disk.refuses = false;
    assert_eq!(polled(&mut network, "a", None), same("one", ""));
    assert_eq!(ask(&mut network, &request("DELETE", "a")).status, 200);
    assert_eq!(ask(&mut network, &request("DELETE", "a")).status, 404);
}

#[test]
fn cursors_go_on_over_a_start_and_nothing_is_said_to_be_missing() {
    let mut network = start(&settings(), 0, None);
    for body in ["one", "two"] {
        ask(&mut network, &post("a", body));
    }
    network.advance_ms(10_000);
    ask(&mut network, &post("a", "three"));
    let mut again = start(&settings(), 20, Some(&network));
    assert_eq!(polled(&mut again, "a", None), same("one", ""));
    let first = again.disk.restored(STORE);
    assert_eq!(first.len(), 3);
    assert_eq!(polled(&mut again, "a", Some((10, 0))), same("held", ""));
    let information = ask(&mut again, &request("GET", "a"));
    let text = String::from_utf8(information.body).unwrap();
    assert!(text.contains(&format!("last message id: {}:0", BEGIN_UNIX_S + 10)), "{text}");
    assert_eq!(ask(&mut again, &post("a", "four")).status, 201);
    assert_eq!(polled(&mut again, "a", Some((10, 0))), same("four", ""));
}

#[test]
fn ids_after_a_start_are_above_all_before_whatever_the_clock_says() {
    let mut network = start(&settings(), 100, None);
    ask(&mut network, &post("a", "late"));
    ask(&mut network, &post("gone", "late"));
    ask(&mut network, &request("DELETE", "gone"));
    // The clock was set back meanwhile.
    let mut again = start(&settings(), 50, Some(&network));
    for channel in ["a", "gone", "new"] {
        ask(&mut again, &post(channel, "later"));
        let (body, _) = polled(&mut again, channel, Some((100, 999_999)));
        assert_eq!(body, "later", "{channel}");
    }
}

#[test]
fn what_was_deleted_expired_or_pushed_out_does_not_come_back() {
    let settings = with_store(json!({"max_messages": 2, "message_timeout": 60}));
    let mut network = start(&settings, 0, None);
    ask(&mut network, &post("old", "expired"));
    network.advance_ms(30_000);
    for body in ["pushed out", "two", "three"] {
        ask(&mut network, &post("a", body));
    }
    ask(&mut network, &post("deleted", "gone"));
    ask(&mut network, &request("DELETE", "deleted"));
    ask(&mut network, &post("again", "gone"));
    ask(&mut network, &request("DELETE", "again"));
    ask(&mut network, &post("again", "there"));
    let mut again = start(&settings, 70, Some(&network));
    assert_eq!(polled(&mut again, "old", None).0, "held");
    assert_eq!(polled(&mut again, "a", None), same("two", ""));
    assert_eq!(polled(&mut again, "deleted", None).0, "held");
    assert_eq!(polled(&mut again, "again", None), same("there", ""));
    // Time goes on while no process runs.
    let mut later = start(&settings, 120, Some(&network));
    assert_eq!(polled(&mut later, "a", None).0, "held");
}

/// Through which place the messages of a channel are written down as deleted.
fn gone_through(network: &Network, channel: &str) -> Option<MessageId> {
    network.disk.restored(STORE).into_iter().find_map(|restored| match restored {
        Restored::Channel(record) if record.name.ends_with(channel.as_bytes()) => {
            Some(record.gone_through)
        }
        _ => None,
    })
}

#[test]
fn a_channel_that_ends_without_messages_need_not_be_remembered_for_their_rows() {
    let mut network = start(&settings(), 0, None);
    ask(&mut network, &post("spoken", "message"));
    ask(&mut network, &request("PUT", "silent"));
    for channel in ["spoken", "silent"] {
        assert_eq!(ask(&mut network, &request("DELETE", channel)).status, 200);
    }
    assert_eq!(gone_through(&network, "silent"), Some(MessageId::default()));
    assert!(gone_through(&network, "spoken") > Some(MessageId::default()));
}

#[test]
fn a_gap_before_a_start_is_told_behind_it_and_what_a_deletion_took_is_none() {
    let settings = with_store(json!({"max_messages": 1}));
    let mut network = start(&settings, 0, None);
    ask(&mut network, &post("a", "one"));
    network.advance_ms(1000);
    ask(&mut network, &post("a", "two"));
    network.advance_ms(1000);
    ask(&mut network, &post("a", "three"));
    let mut again = start(&settings, 20, Some(&network));
    assert_eq!(polled(&mut again, "a", Some((0, 500_001))), same("three", "1"));
    assert_eq!(polled(&mut again, "a", Some((0, 500_000))), same("three", "unknown"));
    assert_eq!(polled(&mut again, "a", Some((1, 0))), same("three", ""));
}

#[test]
fn a_channel_without_messages_is_remembered_with_what_it_lost() {
    let settings = with_store(json!({"message_timeout": 10, "channel_timeout": 1000}));
    let mut network = start(&settings, 0, None);
    ask(&mut network, &post("a", "one"));
    network.advance_ms(5_000);
    ask(&mut network, &post("a", "two"));
    ask(&mut network, &request("PUT", "made"));
    network.advance_ms(20_000);
    let mut again = start(&settings, 40, Some(&network));
    let last = |network: &mut Network, channel| {
        let answer = ask(network, &request("GET", channel));
        let line = answer.text().lines().find_map(|line| line.strip_prefix("last message id: "));
        line.map(str::to_owned)
    };
    assert_eq!(last(&mut again, "made").as_deref(), Some("0:0"));
    assert_eq!(last(&mut again, "a"), Some(format!("{}:0", BEGIN_UNIX_S + 5)));
    ask(&mut again, &post("a", "three"));
    assert_eq!(polled(&mut again, "a", Some((5, 0))), same("three", ""));
    assert_eq!(polled(&mut again, "a", Some((0, 500_001))), same("three", "unknown"));
}

#[test]
fn what_waits_to_be_written_is_bounded() {
    let mut network = start(&with_store(json!({"max_memory": 64 << 20})), 0, None);
    network.disk.turns = 1_000;
    let body = "x".repeat(900_000);
    let asked: Vec<ConnKey> = (0..12)
        .map(|_| {
            let conn = send(&mut network, &post("a", &body));
            for _ in 0..40 {
                network.turn();
            }
            conn
        })
        .collect();
    let answers: Vec<Option<u16>> =
        asked.iter().map(|conn| answer(&mut network, *conn).map(|answer| answer.status)).collect();
    assert_eq!(answers[..9], [None; 9]);
    assert_eq!(answers[9..], [Some(503); 3]);
    network.settle();
    assert_eq!(answer(&mut network, asked[0]).unwrap().status, 202);
}

#[test]
fn what_was_not_written_when_the_process_ended_was_not_answered() {
    let mut network = start(&settings(), 0, None);
    ask(&mut network, &post("a", "answered"));
    network.disk.turns = 100;
    let conn = send(&mut network, &post("a", "not answered"));
    network.turn();
    network.turn();
    assert!(answer(&mut network, conn).is_none());
    network.disk.lose_rest();
    let mut again = start(&settings(), 20, Some(&network));
    assert_eq!(polled(&mut again, "a", None), same("answered", ""));
    assert_eq!(again.disk.restored(STORE).len(), 1);
}

#[test]
fn there_are_never_more_channels_than_may_be_though_some_are_agreed_to_and_not_written_yet() {
    let mut settings = settings();
    settings["limits"] = json!({"channels": 2});
    let mut network = start(&settings, 0, None);
    network.disk.turns = 20;
    let agreed = [send(&mut network, &request("PUT", "a")), send(&mut network, &post("b", "x"))];
    network.turn();
    network.turn();
    let polling = send(&mut network, &poll("c", None));
    network.turn();
    assert_eq!(answer(&mut network, polling).expect("it cannot wait").status, 503);
    network.settle();
    let statuses = agreed.map(|conn| answer(&mut network, conn).expect("it is written").status);
    assert_eq!(statuses, [200, 202]);
    // What is refused keeps no room.
    ask(&mut network, &request("DELETE", "a"));
    network.disk.refuses = true;
    assert_eq!(ask(&mut network, &request("PUT", "d")).status, 507);
    network.disk.refuses = false;
    assert_eq!(polled(&mut network, "c", None).0, "held");
}

#[test]
fn what_is_being_written_is_published_behind_whoever_begins_with_the_newest_meanwhile() {
    let subscriber = json!({"first_message": "newest", "delimiter": ","});
    let mut network = start(&pushserver_testkit::subscriber(subscriber), 0, None);
    network.disk.turns = 20;
    let publishing = send(&mut network, &post("a", "one"));
    network.turn();
    network.turn();
    let several = send(&mut network, &poll("a,b", None));
    network.settle();
    assert_eq!(answer(&mut network, several).expect("a message").body, b"one");
    assert_eq!(answer(&mut network, publishing).expect("it is written").status, 201);
}

#[test]
fn a_disk_that_takes_seconds_does_not_publish_before_whoever_begins_with_the_newest_meanwhile() {
    let subscriber = json!({"first_message": "newest"});
    let mut network = start(&pushserver_testkit::subscriber(subscriber), 0, None);
    network.disk.turns = 20;
    let publishing = send(&mut network, &post("a", "one"));
    network.turn();
    network.turn();
    let (mono_ms, unix_s) = (network.now.mono_ms + 5_000, network.now.unix_s + 5);
    network.now = pushserver::clock::Now::at(mono_ms, unix_s);
    let one = send(&mut network, &poll("a", None));
    network.settle();
    assert_eq!(answer(&mut network, one).expect("a message").body, b"one");
    assert_eq!(answer(&mut network, publishing).expect("it is written").status, 201);
}

#[test]
fn a_store_finds_its_channels_again_though_another_one_has_been_put_before_it() {
    let location = |kind: &str, store: &str, prefix: &str| json!({"type": kind, "store": store, "prefix": prefix});
    let one = json!({
        "store": {"main": {"type": "memory"}},
        "locations": [
            location("publisher", "main", "/publisher/"),
            location("subscriber", "main", "/subscriber/"),
        ],
    });
    let mut network = start(&one, 0, None);
    ask(&mut network, &post("a", "one"));
    ask(&mut network, &request("PUT", "b"));
    let mut two = one;
    two["store"]["first"] = json!({"type": "memory"});
    two["locations"].as_array_mut().unwrap().push(location("publisher", "first", "/first/"));
    let mut again = start_as(&two, 10, Some((&network, STORE, StoreId(1))));
    assert_eq!(polled(&mut again, "a", None), same("one", ""));
    assert_eq!(ask(&mut again, &request("GET", "b")).status, 200);
    let other = ask(&mut again, "GET /first/a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(other.status, 404, "it is the other store's");
}
