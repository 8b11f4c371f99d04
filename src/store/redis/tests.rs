//! A store as the hub drives it, with a Redis that a test plays.

use super::link::{Input, Output};
use super::options::{Address, Credentials, Limits, Options, Server};
use super::scripts::Script;
use crate::clock::Now;
use crate::message::{Content, Cursor, First, MessageId};
use crate::store::memory;
use crate::store::{
    Answer, Ask, ChannelKey, ChannelName, Reply, Start, StoreId, StoreKind, StoreOptions, Stores,
};

const STORE: StoreId = StoreId(0);
const NAME: &[u8] = b"\0\0a";

/// What Redis says to the commands of a new connection.
const GREETED: &str = "%1\r\n$5\r\nproto\r\n:3\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+PONG\r\n\
     *2\r\n$10\r\n1700000000\r\n$6\r\n123456\r\n$8\r\nrun_id:1\r\n%0\r\n";

/// What it says to a subscriber of an empty channel, and that this is listened to.
const SUBSCRIBED: &str = ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n";
const UNSUBSCRIBED: &str = ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n";
const LEASED: &str = "*4\r\n$2\r\nok\r\n:1700000000000\r\n$3\r\n0-0\r\n:0\r\n";
const OPENED: &str = "*11\r\n$2\r\nok\r\n:1700000000000\r\n$3\r\n0-0\r\n$3\r\n0-0\r\n:0\r\n:0\r\n\
     $3\r\n0:0\r\n:0\r\n_\r\n:0\r\n*0\r\n";

struct Play {
    stores: Stores<()>,
    now: Now,
    /// What was sent and not looked at yet.
    sent: Vec<u8>,
    channel: Option<ChannelKey>,
}

impl Play {
    fn up() -> Self {
        let now = Now::at(1_000_000, 1_700_000_000);
        let redis = Options {
            name: "default".into(),
            server: Server::Node(Address::Tcp("127.0.0.1".into(), 6379)),
            credentials: Credentials { username: None, password: None },
            database: 0,
            key_prefix: Box::default(),
            limits: Limits::new((0, 0), 60_000, 5_000),
            timeout_ms: 1500,
            cache_bytes: 1 << 20,
        };
        let memory = memory::Options {
            min_messages: 0,
            max_messages: 64,
            message_timeout_ms: 60_000,
            max_memory: 1 << 20,
            dropped_at_once: 100,
        };
        let kind = StoreKind::Redis(Box::new(redis));
        let options = StoreOptions { memory, channel_timeout_ms: 5_000, kind };
        let mut stores = Stores::new(100, MessageId::default(), now);
        stores.reload(vec![options], now);
        let mut play = Self { stores, now, sent: Vec::new(), channel: None };
        play.turn();
        play.stores.handle_input(STORE, Input::Connected, now);
        play.hear(GREETED);
        play.sent.clear();
        play
    }

    /// A turn of the loop; gives what the store has answered.
    fn turn(&mut self) -> Vec<Reply<()>> {
        self.stores.handle_timeout(self.now);
        let mut replies = Vec::new();
        while let Some((_, reply)) = self.stores.next_reply(self.now) {
            replies.push(reply);
        }
        self.stores.flush(|_| false, self.now);
        while let Some((_, output)) = self.stores.poll_link() {
            if let Output::Send(bytes) = output {
                self.sent.extend(bytes);
            }
        }
        replies
    }

    fn hear(&mut self, said: &str) -> Vec<Reply<()>> {
        self.stores.handle_input(STORE, Input::Received(said.as_bytes()), self.now);
        self.turn()
    }

    /// Time passes, with a turn whenever something is due; gives how many leases were renewed.
    fn wait(&mut self, ms: u64) -> usize {
        let mut leases = 0;
        let end_ms = self.now.mono_ms + ms;
        while let Some(due_ms) = self.stores.poll_timeout().filter(|due_ms| *due_ms <= end_ms) {
            self.now.mono_ms = due_ms.max(self.now.mono_ms + 1);
            self.turn();
            leases += self.answer();
        }
        self.now.mono_ms = end_ms;
        leases
    }

    /// Redis answers what was sent; gives how many leases that was.
    fn answer(&mut self) -> usize {
        let sent = String::from_utf8(std::mem::take(&mut self.sent)).expect("it is ASCII");
        let mut leases = 0;
        for command in sent.split("\r\n*") {
            let said = match () {
                () if command.contains("UNSUBSCRIBE") => UNSUBSCRIBED,
                () if command.contains("SUBSCRIBE") => SUBSCRIBED,
                () if command.contains("PING") => "+PONG\r\n",
                () if command.contains(Script::Open.hash()) => OPENED,
                () if command.contains(Script::Lease.hash()) => {
                    leases += 1;
                    LEASED
                }
                () if command.is_empty() => continue,
                () => panic!("{command:?}"),
            };
            for reply in self.hear(said) {
                if let Reply::Nothing { channel: Some(channel), .. } = reply {
                    self.channel = Some(channel);
                }
            }
        }
        leases
    }

    fn ask(&mut self, ask: Ask<'_>) -> Answer<()> {
        self.stores.ask(ChannelName { store: STORE, name: NAME }, ask, self.now)
    }

    fn subscribe(&mut self) -> Answer<()> {
        let cursor = Cursor::OLDEST;
        self.ask(Ask::Next(Start { cursor, first: First::Oldest, create: true, waits: true }))
    }

    /// A subscriber waits.
    fn hold(&mut self) -> ChannelKey {
        assert!(matches!(self.subscribe(), Answer::Later(_)));
        self.turn();
        self.answer();
        let channel = self.channel.take().expect("the subscriber is told of its channel");
        self.stores.set_waited(channel, true, self.now);
        channel
    }

    /// Publishes so many bytes; gives whether Redis is asked.
    fn publish(&mut self, bytes: usize) -> bool {
        let body = vec![b'x'; bytes];
        let content = Content { body: &*body, ..Content::default() };
        let answer = self.ask(Ask::Append { content: content.into(), create: true, keep: true });
        matches!(answer, Answer::Later(_))
    }
}

#[test]
fn a_subscriber_waits_where_publishers_have_taken_all_room() {
    let mut play = Play::up();
    let mut bytes = 8 << 20;
    while bytes > 0 {
        if !play.publish(bytes) {
            bytes /= 2;
        }
    }
    assert!(matches!(play.subscribe(), Answer::Later(_)));
    play.turn();
    assert_ne!(play.stores.poll_timeout(), Some(0), "it spins");
}

#[test]
fn the_lease_of_a_channel_is_renewed_once_however_often_it_was_left() {
    let mut play = Play::up();
    for _ in 0..10 {
        let channel = play.hold();
        play.wait(20_000);
        play.stores.set_waited(channel, false, play.now);
        play.wait(6_000);
        assert!(play.stores.kept(channel).is_none(), "it has ended");
    }
    play.hold();
    play.wait(40_000);
    assert_eq!(play.wait(60_000), 2);
}

#[test]
fn a_deletion_that_was_heard_happens_though_the_answer_to_it_is_lost() {
    let mut play = Play::up();
    let channel = play.hold();
    assert!(matches!(play.ask(Ask::Delete), Answer::Later(_)));
    let told = play.hear(">3\r\n$7\r\nmessage\r\n$5\r\n0:{a}\r\n$3\r\nD 1\r\n");
    assert!(told.is_empty(), "it waits for the answer: {told:?}");
    play.stores.handle_input(STORE, Input::Closed("it was reset"), play.now);
    let told = play.turn();
    assert!(matches!(&told[..], [Reply::Away, Reply::Deleted { .. }]), "{told:?}");
    assert!(play.stores.kept(channel).is_none());
}
