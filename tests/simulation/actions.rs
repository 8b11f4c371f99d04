//! What happens next: the weighted grammar of inputs.

use pushserver::clock::Now;
use pushserver::message::{Cursor, First, MessageId};
use pushserver::relay::Command;

use crate::client::{Client, Phase};
use crate::following::Resume;
use crate::model::Name;
use crate::request::{Ask, Request};
use crate::settings::{FIRST_ID, Kind, PLACES, SEVERAL_FROM, is_of_several};
use crate::stream::{Form, Stream};
use crate::world::World;
use pushserver_testkit::Random;

const CHANNELS: [&str; 5] = ["a", "b", "a/b", "news", "\u{20}x"];
const CONTENT_TYPES: [Option<&str>; 5] = [
    None,
    Some("application/octet-stream"),
    Some("text/plain"),
    Some("application/json; charset=utf-8"),
    Some("x/y"),
];
const FORMS: [Form; 6] =
    [Form::Event, Form::Event, Form::FrameWithMeta, Form::Frame, Form::Poll, Form::Poll];
const CLIENTS_MAX: usize = 12;

impl World {
    /// One input, one turn, some outputs.
    pub(crate) fn step(&mut self) {
        match self.random.weighted(&[12, 40, 14, 3, 4, 8, 8, 2, 2, 1, 3, 2, 20, 6, 3]) {
            0 => self.connects(),
            1 => (0..if self.asks.has_durable() { 2 } else { 1 }).for_each(|_| self.sends()),
            2 => self.arrives(),
            3 => self.half_closes(),
            4 => self.resets(),
            5 => self.reads_on(),
            6 => self.time_passes(),
            7 => self.clock_is_set(),
            8 => {
                self.note(|| "reload".to_owned());
                self.reload();
            }
            9 => self.bursts(),
            10 => self.floods(),
            11 => (0..if self.asks.is_slow() { 2 } else { 1 }).for_each(|_| self.interferes()),
            12 => self.overfills(),
            13 => self.sends_on_stream(),
            _ => {
                self.note(|| "room is made".to_owned());
                // Now and then so much that only clients that cannot be spared go on.
                let count = self.random.pick(&[1, 10]);
                self.shed(count);
            }
        }
        // What waits for a disk is what the other clients go on beside.
        let drains = if self.asks.has_durable() { 3 } else { 7 };
        match self.random.below(10) < drains {
            true => {
                self.drain();
                self.inspect_sometimes();
            }
            false => {
                let most = 1 + self.random.index(6);
                self.slow_turn(most);
            }
        }
        self.check();
    }

    /// Everything ends, in one of the ways in which it can.
    pub(crate) fn finish(&mut self) {
        self.note(|| "finish".to_owned());
        self.finish_ready();
        if self.random.percent(50) {
            self.shut_down();
        }
        let numbers: Vec<u64> = self.clients.keys().copied().collect();
        for number in numbers {
            if self.random.percent(50) && !self.clients[&number].ended {
                self.half_close(number);
            } else {
                self.reset(number);
            }
        }
        self.drain();
        self.check();
        while !self.asks.is_empty() {
            self.turn();
            self.drain();
        }
        self.pass(120_000);
        self.check();
        for store in &mut self.settings.stores {
            store.memory.min_messages = 0;
            store.memory.message_timeout_ms = 1_000;
        }
        let (stores, now) = (self.settings.stores.clone(), self.now());
        let options = self.settings.relay();
        self.network.relay.command(Command::Reload(&options, stores.clone()), now);
        self.model.reload(stores);
        for ms in [1_000, 60_000, 3_600_000, 3_600_000] {
            self.pass(ms);
            self.check();
        }
        for _ in 0..if self.asks.has_durable() { 20 } else { 0 } {
            // What has gone is written down some time, though a disk refuses that now and then.
            if self.network.relay.state().due_ms().is_some() {
                self.pass(2_000);
            }
        }
        self.check_empty();
        self.inspect();
    }

    fn shut_down(&mut self) {
        self.note(|| "shutdown".to_owned());
        self.count("stops");
        if self.random.percent(50) {
            let now = self.now();
            self.network.relay.command(Command::AnnounceShutdown, now);
            self.stopping = true;
            for _ in 0..self.random.below(4) {
                self.arrives();
            }
        }
        self.shutdown();
        self.check();
        for _ in 0..self.random.below(30) {
            match self.random.weighted(&[6, 1, 3]) {
                0 => self.arrives(),
                1 => self.resets(),
                _ => self.reads_on(),
            }
            let most = 1 + self.random.index(6);
            self.slow_turn(most);
            self.check();
        }
        self.drain();
        for client in self.clients.values() {
            assert!(client.phase != Phase::Waiting, "{} is held while stopping", client.number);
        }
        // A client that reads gets all of it; one that does not is closed in time.
        self.pass(1_000);
        self.pass(1_000);
        let slow = |client: &Client| client.stalled || client.phase == Phase::Closing;
        assert!(self.clients.values().all(slow), "{:?}", self.clients);
        self.pass(15_000);
        self.pass(15_000);
        assert_eq!(self.network.relay.state().connections(), 0, "{:?}", self.clients);
    }

    fn connects(&mut self) {
        if self.clients.len() < CLIENTS_MAX {
            let number = self.connect();
            self.note(|| format!("{number} connects"));
        }
    }

    /// One of the clients that `fits`.
    fn some_client(&mut self, fits: impl Fn(&Client) -> bool) -> Option<u64> {
        let numbers: Vec<u64> =
            self.clients.values().filter(|client| fits(client)).map(|c| c.number).collect();
        if numbers.is_empty() { None } else { Some(self.random.pick(&numbers)) }
    }

    fn sends(&mut self) {
        let found = self.some_client(|c| !c.doomed && !c.ended && c.requests.len() < 8);
        let Some(number) = found else { return self.connects() };
        let requests = self.random.pick(&[1, 1, 1, 1, 2, 5]);
        for _ in 0..requests {
            let request = self.draw_request();
            self.note(|| format!("{number} asks {request:?}"));
            self.enqueue(number, request);
        }
        if self.random.percent(70) {
            self.feed(number, usize::MAX);
        } else {
            self.arrives_in_part(number);
        }
    }

    /// One that is behind with its reading sends on, until it is read no further.
    fn overfills(&mut self) {
        let fits = |c: &Client| c.stalled && c.phase == Phase::Head && !c.doomed && !c.ended;
        let Some(number) = self.some_client(fits) else { return };
        self.note(|| format!("{number} sends though it does not read"));
        while !self.clients[&number].paused && !self.clients[&number].doomed {
            let request = self.draw_request();
            self.enqueue(number, request);
            self.feed(number, usize::MAX);
        }
        if self.random.percent(60) {
            let unsent = self.network.peers.get(self.conns[&number]).waiting;
            self.socket_takes(number, unsent);
        }
    }

    fn enqueue(&mut self, number: u64, request: Request) {
        let client = self.clients.get_mut(&number).expect("it is there");
        if client.doomed {
            return;
        }
        let is_doomed = matches!(request.ask, Ask::Doomed(_));
        client.doomed = is_doomed || request.close || matches!(request.ask, Ask::Follow(..));
        client.coming.push_back((request.bytes(), is_doomed));
        client.requests.push_back(request);
    }

    fn arrives(&mut self) {
        let refused = self.some_client(|c| matches!(c.phase, Phase::Lingering(_)) && !c.ended);
        if let Some(number) = refused
            && self.random.percent(30)
        {
            // The rest of what was refused.
            self.client(number).coming.push_back((vec![b'x'; 50], true));
            return self.feed(number, usize::MAX);
        }
        if let Some(number) = self.some_client(|c| !c.coming.is_empty() && !c.ended) {
            self.arrives_in_part(number);
        }
    }

    fn arrives_in_part(&mut self, number: u64) {
        let most = match self.random.below(3) {
            0 => 1 + self.random.index(8),
            1 => 1 + self.random.index(400),
            _ => usize::MAX,
        };
        self.feed(number, most);
    }

    fn half_closes(&mut self) {
        let asking = self.some_that_asks();
        if let Some(number) = asking.or_else(|| self.some_client(|c| !c.ended)) {
            self.half_closes_one(number);
        }
    }

    /// Now and then one that a disk holds up.
    fn some_that_asks(&mut self) -> Option<u64> {
        let is_wanted = self.asks.has_durable() && self.random.percent(60);
        if !is_wanted {
            return None;
        }
        self.some_client(|c| !c.ended && (c.phase == Phase::Asked || c.publishes()))
    }

    fn half_closes_one(&mut self, number: u64) {
        self.note(|| format!("{number} half closes"));
        let client = &self.clients[&number];
        self.count(match client.phase {
            Phase::Asked if self.asks.takes_turns() => "half closes while asking",
            _ if client.held.is_some() => "half closes while held",
            _ => "half closes",
        });
        self.half_close(number);
    }

    fn resets(&mut self) {
        let asking = self.some_that_asks();
        if let Some(number) = asking.or_else(|| self.some_client(|_| true)) {
            self.resets_one(number);
        }
    }

    fn resets_one(&mut self, number: u64) {
        self.note(|| format!("{number} resets"));
        self.count(match self.clients[&number].held {
            None => "resets",
            Some(held) if held.woken.is_none() => "resets while held",
            Some(_) => "resets while woken",
        });
        self.reset(number);
    }

    fn reads_on(&mut self) {
        if let Some(number) = self.some_client(|c| c.stalled) {
            let unsent = self.network.peers.get(self.conns[&number]).waiting;
            let bytes = if self.random.percent(60) { unsent } else { unsent / 2 };
            self.note(|| format!("{number} reads {bytes} of {unsent}"));
            self.socket_takes(number, bytes);
        }
    }

    fn time_passes(&mut self) {
        let ms = match self.random.below(12) {
            0..6 => self.random.below(40) * 10,
            6..9 => self.random.below(100) * 100,
            9..11 => self.random.below(600) * 100,
            _ => self.random.below(40_000) * 100,
        };
        self.pass(ms);
    }

    fn pass(&mut self, ms: u64) {
        self.note(|| format!("{ms} ms pass"));
        self.finish_ready();
        if self.asks.waiting() > 0 {
            self.count("time passes while asking");
        }
        let Now { mono_ms, unix_s, .. } = self.now();
        let seconds = (mono_ms + ms) / 1000 - mono_ms / 1000;
        self.set_now(Now::at(mono_ms + ms, unix_s + seconds));
        self.turn();
        self.drain();
    }

    /// Every client that can go on does so before time passes: which of the holds end in the tenth
    /// of their time in which they may, only the answers tell.
    fn finish_ready(&mut self) {
        while !self.ready.is_empty() || self.is_behind() {
            self.turn();
        }
    }

    fn clock_is_set(&mut self) {
        let Now { mono_ms, unix_s: before_s, .. } = self.now();
        let unix_s = match self.random.below(10) {
            0 => before_s.saturating_sub(self.random.below(7200)),
            1..4 => before_s.saturating_sub(self.random.below(5)),
            _ => before_s + self.random.below(2000),
        };
        self.note(|| format!("the clock is set to {unix_s}"));
        self.count(if unix_s < before_s { "clocks set back" } else { "clocks set ahead" });
        self.set_now(Now::at(mono_ms, unix_s));
    }

    /// More requests at once than are served in one turn.
    fn bursts(&mut self) {
        self.finish_ready();
        self.drain();
        let fits = |c: &Client| !c.doomed && !c.ended && c.requests.is_empty() && !c.stalled;
        let Some(number) = self.some_client(fits) else { return };
        self.note(|| format!("{number} sends a burst"));
        let before = self.random.pick(&[15, 15, 16, 20, 40]);
        for _ in 0..before {
            let (place, ask) = (0, Ask::Inspect { is_head: self.random.percent(30) });
            let channel = self.random.pick(&CHANNELS);
            let request = Request::draw(&mut self.random, ask, place, channel);
            self.enqueue(number, request);
        }
        let request = self.draw_publish();
        self.enqueue(number, request);
        self.feed(number, usize::MAX);
        self.drain();
    }

    /// Many messages in a row, so that limits are reached and runs forgotten.
    fn floods(&mut self) {
        let fits = |c: &Client| !c.doomed && !c.ended && c.requests.is_empty();
        let Some(number) = self.some_client(fits) else { return };
        let channel = self.random.pick(&CHANNELS);
        self.note(|| format!("{number} floods {channel}"));
        for _ in 0..self.random.below(14) {
            let place = self.random.pick(&[0, 0, 1]);
            let ask = Ask::Publish {
                body: self.draw_body(60),
                content_type: None,
                event: None,
                expects: false,
            };
            let request = Request::draw(&mut self.random, ask, place, channel);
            self.enqueue(number, request);
            self.feed(number, usize::MAX);
            if self.random.percent(20) {
                self.pass(1_000);
                if !self.clients.contains_key(&number) {
                    return;
                }
            }
        }
    }

    /// A message is published, and while it is on its way to the clients that waited something else
    /// happens to them or to their channel.
    fn interferes(&mut self) {
        self.let_stores_answer();
        self.finish_ready();
        self.drain();
        let fits = |c: &Client| !c.doomed && !c.ended && c.requests.is_empty() && !c.stalled;
        let (Some(name), Some(number)) = (self.draw_waiting(), self.some_client(fits)) else {
            return;
        };
        self.note(|| format!("{number} publishes to {name:?}, and"));
        let (place, channel) = (publisher_of(name), name.2);
        let ask = Ask::Publish {
            body: self.draw_body(5),
            content_type: None,
            event: None,
            expects: false,
        };
        let request = Request::draw(&mut self.random, ask, place, channel);
        self.enqueue(number, request);
        self.feed(number, usize::MAX);
        self.let_stores_answer();
        let before = self.random.index(2);
        self.slow_turn(before);
        let woken = self.some_client(|c| c.held.is_some_and(|held| held.woken.is_some()));
        // Of deletions some are lost, or come too late.
        let kinds = if self.asks.is_slow() { 4 } else { 3 };
        match (self.random.below(kinds), woken) {
            (0, Some(woken)) => {
                self.resets_one(woken);
                self.slow_turn(0);
            }
            (1, Some(woken)) if !self.clients[&woken].ended => self.half_closes_one(woken),
            _ => {
                if let Some(number) = self.some_client(fits) {
                    self.note(|| format!("{number} deletes it"));
                    let request = Request::draw(&mut self.random, Ask::Delete, place, channel);
                    self.enqueue(number, request);
                    self.feed(number, usize::MAX);
                    self.let_stores_answer();
                }
            }
        }
    }

    /// As many turns as stores that take time may need, without a delivery.
    fn let_stores_answer(&mut self) {
        for _ in 0..if self.asks.takes_turns() { 8 } else { 0 } {
            self.slow_turn(0);
        }
    }

    /// A channel on which somebody waits.
    fn draw_waiting(&mut self) -> Option<Name> {
        let streams = self.random.percent(40);
        let waits = |client: &Client| client.held.is_some() || streams && client.stream.is_some();
        let number = self.some_client(waits)?;
        let client = &self.clients[&number];
        let stream = client.stream.as_ref().and_then(|stream| stream.names.first());
        client.held.map(|held| held.name).or(stream.copied())
    }

    fn draw_publish(&mut self) -> Request {
        let (place, channel) = match self.draw_waiting() {
            Some(name) if self.random.percent(60) => {
                let place = match publisher_of(name) {
                    0 => self.random.pick(&[0, 0, 0, 1, 2]),
                    place => place,
                };
                (place, name.2)
            }
            _ => (self.random.pick(&[0, 0, 0, 1, 2, 3, 4]), self.random.pick(&CHANNELS)),
        };
        let size = match self.random.below(8) {
            0 => 0,
            1..5 => self.random.index(40),
            5..7 => self.random.index(1_000),
            // As many answers as are made in one turn are below the bytes that are, which the model
            // does not count.
            _ => self.random.index(3_000),
        };
        let body = self.draw_body(size + 1);
        let content_type = self.random.pick(&CONTENT_TYPES);
        let event = self.random.pick(&[None, None, Some("chat")]);
        let ask = Ask::Publish { body, content_type, event, expects: self.random.percent(5) };
        let request = Request::draw(&mut self.random, ask, place, channel);
        if self.random.percent(20) { request.with_wait(&mut self.random) } else { request }
    }

    /// A subscriber's request, which may say where it begins without a cursor.
    fn draw_since(&mut self, request: Request) -> Request {
        if !self.random.percent(20) {
            return request;
        }
        let drawn = match is_of_several(request.place) {
            true => self.draw_place(PLACES[request.place].store),
            false => self.draw_cursor(request.place, request.channel),
        };
        let unix_s = self.now().unix_s;
        let id = match self.random.below(4) {
            0 => {
                MessageId { time: unix_s + self.random.below(3), tag: self.random.below(2) as u32 }
            }
            1 => MessageId { time: unix_s.saturating_sub(self.random.below(9)), tag: 0 },
            _ => drawn.id(),
        };
        request.with_since(&mut self.random, id)
    }

    /// A body below `most` bytes, unlike every other unless it is empty.
    fn draw_body(&mut self, most: usize) -> Vec<u8> {
        let size = self.random.index(most);
        if size == 0 {
            return Vec::new();
        }
        self.bodies += 1;
        let mut body = format!("{}.", self.bodies).into_bytes();
        let seed = self.random.number() as u8;
        let lines = self.random.percent(30);
        body.extend((0..size).map(|at| {
            match (lines, (at as u8).wrapping_mul(31).wrapping_add(seed)) {
                (true, byte) => b"ab\r\n"[usize::from(byte % 4)],
                (false, byte) => byte,
            }
        }));
        body
    }

    fn draw_request(&mut self) -> Request {
        let channel = self.random.pick(&CHANNELS);
        let random = &mut self.random;
        let publishers = [0, 0, 1, 2, 3, 4];
        match random.weighted(&[42, 30, 3, 6, 4, 4, 2, 20]) {
            7 => {
                let request = self.draw_follow(channel);
                self.draw_since(request)
            }
            0 => {
                let place = 5 + random.index(SEVERAL_FROM - 5);
                let cursor = self.draw_cursor(place, channel);
                let request = Request::draw(&mut self.random, Ask::Get(cursor), place, channel);
                self.draw_since(request)
            }
            1 => self.draw_publish(),
            2 => {
                let place = random.pick(&publishers);
                Request::draw(random, Ask::Create, place, channel)
            }
            3 => {
                let (place, is_head) = (random.pick(&publishers), random.percent(20));
                Request::draw(random, Ask::Inspect { is_head }, place, channel)
            }
            4 => {
                let place = random.pick(&publishers);
                Request::draw(random, Ask::Delete, place, channel)
            }
            5 => draw_fixed(random, channel),
            _ => Request::doomed(random),
        }
    }

    /// A stream, which often goes on where one has ended.
    fn draw_follow(&mut self, channel: &'static str) -> Request {
        let form = self.random.pick(&FORMS);
        if self.random.percent(50) && !self.resumes.is_empty() {
            let index = self.random.index(self.resumes.len());
            let Resume { place, mut channels, cursor } = self.resumes.swap_remove(index);
            self.count("streams resumed");
            if is_of_several(place) {
                self.count("streams of several resumed");
                self.change(&mut channels);
            }
            let ask = asked(form, cursor);
            return Request::draw_of_several(&mut self.random, ask, place, &channels);
        }
        if self.random.percent(40) {
            let place = SEVERAL_FROM + self.random.index(PLACES.len() - SEVERAL_FROM);
            let mut channels = vec![channel];
            (0..self.random.below(4)).for_each(|_| self.change(&mut channels));
            let ask = asked(form, self.draw_place(PLACES[place].store));
            return Request::draw_of_several(&mut self.random, ask, place, &channels);
        }
        let place = 5 + self.random.index(SEVERAL_FROM - 5);
        let cursor = self.draw_cursor(place, channel);
        Request::draw(&mut self.random, asked(form, cursor), place, channel)
    }

    /// Adds a channel to those of a request, drops one, or puts them in another order.
    fn change(&mut self, channels: &mut Vec<&'static str>) {
        let other = self.random.pick(&CHANNELS);
        match self.random.below(3) {
            _ if !channels.contains(&other) => channels.push(other),
            0 if channels.len() > 1 => channels.retain(|channel| *channel != other),
            1 => channels.reverse(),
            _ => {}
        }
    }

    /// A cursor of a location of several channels.
    fn draw_place(&mut self, store: u16) -> Cursor {
        let place = match self.random.weighted(&[40, 20, 30, 3, 3, 3]) {
            0 => self.seen_places.get(&store).copied(),
            1 => {
                let places = self.model.places_of(store);
                (!places.is_empty()).then(|| self.random.pick(&places))
            }
            2 => None,
            3 => Some(MessageId { time: 0, tag: self.random.below(3) as u32 }),
            4 => Some(MessageId { time: FIRST_ID.time - self.random.below(9), tag: 0 }),
            _ => Some(MessageId { time: self.now().unix_s + self.random.below(100), tag: 1 }),
        };
        place.map_or(Cursor::OLDEST, Cursor::at)
    }

    /// What is no request comes on a stream.
    fn sends_on_stream(&mut self) {
        let streams = |client: &Client| client.phase == Phase::Streaming && !client.ended;
        let may_publish = |client: &Client| {
            streams(client) && client.stream.as_ref().is_some_and(Stream::takes_messages)
        };
        let publisher = match self.asks.has_durable() {
            true => self.some_client(may_publish),
            false => None,
        };
        let Some(number) = publisher.or_else(|| self.some_client(streams)) else { return };
        let stream = self.clients[&number].stream.as_ref();
        let is_websocket = stream.is_some_and(Stream::is_websocket);
        let is_publisher = stream.is_some_and(Stream::takes_messages);
        if is_publisher && self.random.percent(70) {
            return self.publishes_on_stream(number);
        }
        let frame: &[u8] = if is_websocket {
            self.random.pick(&[
                &b"\x89\x83\0\0\0\0abc"[..],
                b"\x8a\x80\0\0\0\0",
                b"\x8a\x80\0\0\0\0",
                b"\x89\x80\0\0\0\0\x89\x81\0\0\0\0x\x8a\x80\0\0\0\0",
                b"\x88\x82\0\0\0\0\x03\xe8\x89\x80\0\0\0\0",
                b"\x81\x81\0\0\0\0x",
            ])
        } else {
            b"GET / HTTP/1.1\r\n\r\n"
        };
        if is_publisher && frame[0] == 0x81 {
            return;
        }
        self.note(|| format!("{number} sends {}", frame.escape_ascii()));
        self.client(number).coming.push_back((frame.to_vec(), false));
        self.arrives_in_part(number);
    }

    /// A message, or several, whole or in fragments, perhaps with a Ping between two of these.
    fn publishes_on_stream(&mut self, number: u64) {
        let mut bytes = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 3]) {
            let is_text = self.random.percent(50);
            let mut body = self.draw_body(200);
            if is_text {
                body = String::from_utf8_lossy(&body).into_owned().into_bytes();
            }
            let mut opcode = if is_text { 1 } else { 2 };
            loop {
                let most = body.len().min(125);
                let length =
                    if self.random.percent(50) { most } else { self.random.index(most + 1) };
                let rest = body.split_off(length);
                let is_last = rest.is_empty();
                bytes.extend([if is_last { 0x80 | opcode } else { opcode }, 0x80 | length as u8]);
                bytes.extend([0; 4]);
                bytes.extend(std::mem::replace(&mut body, rest));
                if is_last {
                    break;
                }
                opcode = 0;
                if self.random.percent(10) {
                    bytes.extend(b"\x89\x80\0\0\0\0");
                }
            }
        }
        self.note(|| format!("{number} publishes {}", bytes.escape_ascii()));
        self.client(number).coming.push_back((bytes, false));
        self.arrives_in_part(number);
    }

    fn draw_cursor(&mut self, place: usize, channel: &'static str) -> Cursor {
        let place = PLACES[place];
        let name: Name = (place.store, place.group, channel);
        if place.first != First::Oldest && self.random.percent(40) {
            return Cursor::OLDEST;
        }
        match self.random.weighted(&[45, 25, 12, 3, 2, 3]) {
            0 => match self.seen.get(&name) {
                Some(id) => Cursor::at(*id),
                None => Cursor::OLDEST,
            },
            1 => {
                let ids = self.model.ids(name);
                if ids.is_empty() {
                    return Cursor::OLDEST;
                }
                let MessageId { time, tag } = self.random.pick(&ids);
                let (time, tag) = match self.random.below(6) {
                    0 => (time, tag.saturating_sub(1)),
                    1 => (time, tag + 1),
                    2 => (time - 1, 5),
                    _ => (time, tag),
                };
                Cursor { time, tag, given: true }
            }
            2 => Cursor::OLDEST,
            3 => Cursor { time: 0, tag: self.random.below(3) as u32, given: true },
            4 => Cursor { time: FIRST_ID.time - self.random.below(9), tag: 0, given: true },
            _ => Cursor {
                time: self.now().unix_s + self.random.below(100),
                tag: self.random.below(3) as u32,
                given: true,
            },
        }
    }
}

/// Asks for a stream, or polls.
fn asked(form: Form, cursor: Cursor) -> Ask {
    match form {
        Form::Poll => Ask::Get(cursor),
        _ => Ask::Follow(form, cursor),
    }
}

/// The first publisher location that reaches a channel.
fn publisher_of((store, group, _): Name) -> usize {
    match (store, group) {
        (0, "") => 0,
        (0, _) => 3,
        _ => 4,
    }
}

fn draw_fixed(random: &mut Random, channel: &'static str) -> Request {
    let status = random.pick(&[204, 405, 404, 400, 403, 426]);
    let place = match status {
        // A handshake.
        400 | 426 => 5 + random.index(PLACES.len() - 5),
        404 => 0,
        // A method that a location does not have comes before a channel id that is too long.
        403 => 0,
        _ => random.index(PLACES.len()),
    };
    let is_subscriber = matches!(PLACES[place].kind, Kind::Subscriber { .. });
    debug_assert!(!matches!(status, 400 | 426) || is_subscriber);
    Request::draw(random, Ask::Fixed(status), place, channel)
}
