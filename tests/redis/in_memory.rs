//! The link on the server in memory, with a clock that the test moves: it is lost at every byte,
//! and the server does its worst. What is answered has happened, once, and what comes too late
//! never does.

use pushserver::jitter::Jitter;
use pushserver::store::redis::answers::{Published, Refusal, Synced};
use pushserver::store::redis::keys::Keys;
use pushserver::store::redis::link::{self, Event, Input, Link, NotSent};
use pushserver::store::redis::options::{Address, Limits, Server as At};
use pushserver::store::redis::reason::Reason;
use pushserver::store::redis::scripts::{Calls, Command, Publish};
use pushserver_testkit::fake_redis::{ConnId, Mood, Output, Server};
use pushserver_testkit::redis::Data;

use crate::store::{FOREVER, id, message};
use crate::wire::options;

/// As long as anything takes: a command that is not answered, and dials behind it.
const PATIENCE_MS: u64 = 10_000;

struct Play {
    link: Link<u32>,
    server: Server,
    conn: Option<ConnId>,
    /// Of what is sent on each connection only so many bytes arrive.
    silent_behind: Option<usize>,
    keys: Keys,
    limits: Limits,
    now_ms: u64,
    /// The server's clock is ahead by so much.
    ahead_ms: u64,
    events: Vec<Event<u32>>,
}

impl Play {
    fn new(ahead_ms: u64) -> Self {
        let link = Link::new(options(At::Node(Address::Tcp("redis".into(), 6379))), Jitter::new(1));
        let (server, keys) = (Server::default(), Keys::new(b"", 0));
        let (conn, silent_behind, events) = (None, None, Vec::new());
        let (limits, now_ms) = (FOREVER, 1_000);
        let mut play =
            Self { link, server, conn, silent_behind, keys, limits, now_ms, ahead_ms, events };
        play.wait(0);
        play
    }

    fn up(ahead_ms: u64) -> Self {
        let mut play = Self::new(ahead_ms);
        assert_eq!(play.take(), [Event::Up]);
        play
    }

    fn server_ms(&self) -> u64 {
        self.now_ms + self.ahead_ms
    }

    /// Carries out what both ends want, until neither wants anything.
    fn settle(&mut self) {
        loop {
            if let Some(output) = self.link.poll_output() {
                match output {
                    link::Output::Close => self.server.close(self.conn.take().expect("it is open")),
                    link::Output::Connect(_) => {
                        let conn = self.server.accept();
                        self.conn = Some(conn);
                        if let Some(behind) = self.silent_behind {
                            self.server.silence(conn, behind);
                        }
                        self.link.handle_input(Input::Connected, self.now_ms);
                    }
                    link::Output::Send(bytes) => {
                        let conn = self.conn.expect("it is open");
                        self.server.receive(conn, &bytes, self.server_ms());
                    }
                }
            } else if let Some(output) = self.server.poll_output() {
                let input = match &output {
                    Output::Send(conn, bytes) if self.conn == Some(*conn) => Input::Received(bytes),
                    Output::Reset(conn) if self.conn == Some(*conn) => Input::Closed("reset"),
                    _ => continue,
                };
                self.link.handle_input(input, self.now_ms);
            } else {
                break;
            }
        }
        while let Some(event) = self.link.poll_event() {
            self.events.push(event);
        }
    }

    /// Time passes, and everything that is due meanwhile is done.
    fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        self.settle();
        while let Some(due_ms) = self.link.poll_timeout().filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.link.handle_timeout(self.now_ms);
            self.settle();
        }
        self.now_ms = end_ms;
    }

    fn send(&mut self, command: Command, key: u32) -> Result<(), NotSent> {
        let sent = self.link.send(command, key, self.now_ms);
        self.settle();
        sent.map_err(|(not_sent, _)| not_sent)
    }

    fn publish(&mut self, body: &[u8], key: u32) -> Result<(), NotSent> {
        let deadline_ms = self.link.deadline_ms(self.now_ms).ok_or(NotSent::Away)?;
        let calls = Calls { keys: &self.keys, limits: self.limits };
        self.send(calls.publish(b"a", Publish { deadline_ms, ..message(body) }), key)
    }

    fn take(&mut self) -> Vec<Event<u32>> {
        std::mem::take(&mut self.events)
    }

    /// What is kept of the channel.
    fn bodies(&mut self) -> Vec<Vec<u8>> {
        self.take();
        let calls = Calls { keys: &self.keys, limits: self.limits };
        let command = calls.sync(b"a", id(0, 0), 1000, 1 << 20);
        self.send(command, u32::MAX).expect("the link is up");
        self.wait(0);
        let Some(Event::Reply(u32::MAX, answer)) = self.take().pop() else { panic!("no answer") };
        let synced = Synced::read(answer).expect("an answer");
        synced.entries.into_iter().map(|entry| entry.content.body.into()).collect()
    }
}

#[test]
fn a_link_that_is_lost_at_any_byte_comes_back_and_what_was_answered_has_happened_once() {
    // A message is announced to whoever publishes it, too.
    let mut lost_done = 0;
    for is_told_first in [false, true] {
        for behind in 0..2000 {
            let mut play = Play::new(7_000);
            play.server.is_told_first = is_told_first;
            play.silent_behind = Some(behind);
            play.server.restart(Data::Lost);
            play.wait(3_000);
            let is_up = play.link.is_up();
            if is_up {
                let subscribe = Command::subscribe(&play.keys, b"a");
                play.link.send_unanswered(&subscribe, play.now_ms);
                for key in 0..4 {
                    let _ = play.publish(key.to_string().as_bytes(), key);
                }
            }
            play.silent_behind = None;
            play.wait(PATIENCE_MS);
            let events = play.take();
            let (mut answered, mut lost, mut pushes) = (Vec::new(), 0, 0);
            for event in events {
                match event {
                    Event::Published(key, _) => answered.push(key.to_string().into_bytes()),
                    Event::Reply(key, answer) => {
                        Published::read(answer).expect("it is published");
                        answered.push(key.to_string().into_bytes());
                    }
                    Event::Lost(_) => lost += 1,
                    Event::Push(..) => pushes += 1,
                    Event::Up | Event::Down(_) => {}
                }
            }
            assert!(play.link.is_up(), "behind {behind} bytes it does not come back");
            assert_eq!(answered.len() + lost, if is_up { 4 } else { 0 }, "behind {behind} bytes");
            assert!(pushes <= 4);
            play.server.restart(Data::Kept);
            play.wait(PATIENCE_MS);
            let bodies = play.bodies();
            assert!(bodies.starts_with(&answered), "{bodies:?}, but {answered:?} were answered");
            assert!(bodies.len() <= 4, "behind {behind} bytes one was published again: {bodies:?}");
            lost_done += usize::from(bodies.len() > answered.len());
        }
    }
    assert!(lost_done > 100, "some were done, and nobody knows");
}

#[test]
fn what_a_frozen_server_does_when_it_thaws_is_not_what_is_late() {
    for ahead_ms in [0, 3_600_000] {
        let mut play = Play::up(ahead_ms);
        play.publish(b"before", 0).expect("the link is up");
        play.wait(500);
        play.take();
        play.server.freeze();
        play.publish(b"late", 1).expect("the link is up");
        play.wait(1_499);
        assert_eq!(play.take(), []);
        play.wait(1);
        assert_eq!(play.take(), [Event::Lost(1), Event::Down(Reason::Silent("command"))]);
        assert_eq!(play.publish(b"not sent", 2), Err(NotSent::Away));
        play.wait(PATIENCE_MS);
        let server_ms = play.server_ms();
        play.server.thaw(server_ms);
        play.wait(PATIENCE_MS);
        assert_eq!(play.bodies(), [b"before"]);
        assert_eq!(play.server.connections(), 1, "those that were given up are closed");
    }
}

#[test]
fn a_server_that_begins_anew_is_another_run_with_what_it_has_kept() {
    for data in [Data::Kept, Data::Lost] {
        let mut play = Play::up(0);
        play.wait(120_000);
        assert!(!play.link.is_fresh(play.now_ms));
        play.publish(b"before", 0).expect("the link is up");
        play.server.restart(data);
        play.wait(PATIENCE_MS);
        assert!(play.link.is_up() && play.link.is_fresh(play.now_ms));
        let expected: &[&[u8]] = if data == Data::Kept { &[b"before"] } else { &[] };
        assert_eq!(play.bodies(), expected);
    }
}

#[test]
fn keys_end_with_their_time() {
    let mut play = Play::up(0);
    play.limits = Limits { message_timeout_s: 5, channel_timeout_s: 10, ..FOREVER };
    let keys = [play.keys.stream(b"a"), play.keys.record(b"a")];
    play.publish(b"x", 0).expect("the link is up");
    let second = play.server_ms() / 1000;
    for (key, left) in keys.iter().zip([5 + 1, 5 + 10 + 1 + 60]) {
        let ends = play.server.ends_ms(0, key, play.server_ms());
        assert_eq!(ends, Some(Some((second + left) * 1000)));
    }
    for (ms, are_there) in [(5_000, [true, true]), (60_000, [false, true]), (30_000, [false; 2])] {
        play.wait(ms);
        let _ = play.bodies();
        assert_eq!([0, 1].map(|at| play.server.look(0, &keys[at]).is_some()), are_there);
    }
}

#[test]
fn a_server_in_every_mood_is_met_and_left_for_what_it_says() {
    for (mood, expected) in [
        (Mood::ReadOnly, Some(Reason::Refused(Refusal::ReadOnly))),
        (Mood::Loading, Some(Reason::Refused(Refusal::Loading))),
        (Mood::OutOfMemory, None),
    ] {
        let mut play = Play::up(0);
        play.server.mood = mood;
        play.publish(b"x", 0).expect("the link is up");
        let events = play.take();
        let Event::Reply(0, answer) = &events[0] else { panic!("{events:?}") };
        let refusal = Published::read(answer.clone()).expect_err("it is refused");
        match expected {
            Some(reason) => {
                assert_eq!(events[1..], [Event::Down(reason)]);
                play.wait(PATIENCE_MS);
                assert!(!play.link.is_up(), "and is not taken again");
            }
            None => assert_eq!((refusal, play.link.is_up()), (Refusal::OutOfMemory, true)),
        }
        play.server.mood = Mood::Well;
        play.wait(PATIENCE_MS);
        assert_eq!(play.bodies(), [[0; 0]; 0]);
    }
    let mut play = Play::up(0);
    play.server.mood = Mood::Rubbish;
    play.wait(PATIENCE_MS);
    assert!(matches!(&play.take()[..], [Event::Down(Reason::Rubbish(_))]));
    play.server.mood = Mood::Well;
    play.wait(PATIENCE_MS);
    play.server.spoil(0, &play.keys.stream(b"a"));
    play.take();
    play.publish(b"x", 0).expect("the link is up");
    let Some(Event::Reply(0, answer)) = play.take().pop() else { panic!("no answer") };
    assert_eq!(Published::read(answer), Err(Refusal::WrongType));
    play.server.remove(0, &play.keys.stream(b"a"));
    let conn = play.conn.expect("it is open");
    play.server.reset(conn);
    play.wait(PATIENCE_MS);
    assert_eq!(play.bodies(), [[0; 0]; 0]);
}
