//! Stream: what one request that follows channels should be given, and what it was given. Reads
//! events and frames as a client does; knows nothing of connections.

use pushserver::message::{Cursor, MessageId};
use pushserver::store::Gap;

use crate::model::{Message, Model, Name, Wake};
use crate::settings::PLACES;
use pushserver_testkit::Answer;

/// How a stream receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Event,
    Frame,
    FrameWithMeta,
    /// One answer: the stream ends with its first message.
    Poll,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) form: Form,
    /// Its location.
    pub(crate) place: usize,
    pub(crate) names: Vec<Name>,
    /// Its ids are places in the store, and name the channel.
    pub(crate) is_several: bool,
    /// Behind the last message that it was given.
    pub(crate) cursor: Cursor,
    /// Where it began.
    first: Cursor,
    /// Django is told of it.
    pub(crate) told: bool,
    /// The interval of its pings, milliseconds; 0: none.
    pub(crate) ping_ms: u64,
    /// After which a poll ends, milliseconds; 0: never.
    pub(crate) timeout_ms: u64,
    /// When something was sent to it last, and when its client last sent a frame, milliseconds.
    pub(crate) sent_ms: u64,
    pub(crate) heard_ms: u64,
    /// Its end is on the way: the status that a poll would have.
    pub(crate) ending: Option<u16>,
    /// None of its several channels was there, for a while at least: it may end.
    pub(crate) was_orphaned: bool,
    /// Messages after this one in the order of all are for it.
    since: u64,
    /// Its socket was full, or it had not begun, since it was last seen to be level.
    pub(crate) was_behind: bool,
    /// Of messages that nobody keeps: up to this one in the order of all it was level.
    level_through: u64,
    /// Messages that nobody keeps and that it has been given, or was told of.
    settled: Vec<u64>,
    /// A frame of its client of which a part has come.
    pub(crate) frame: Vec<u8>,
    /// A message of its client as far as it has come, without frames that are not whole; and
    /// whether it is text.
    pub(crate) message: Option<(bool, Vec<u8>)>,
    /// When bytes of that came last, milliseconds.
    pub(crate) progress_ms: u64,
    /// A message of its client is on the way to the store: the next one is read behind that.
    pub(crate) publishes: bool,
}

/// One thing that a stream is sent.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Given),
    Ping,
    Pong,
    /// 409 or 410.
    End(u16),
    /// A Close with this code.
    Close(u16),
}

/// A message as the client reads it.
#[derive(Debug)]
pub(crate) struct Given {
    /// Its id, the gap before it and the id of its channel, where the form has them.
    id: Option<(MessageId, Gap, Option<String>)>,
    event: Option<String>,
    content_type: Option<String>,
    is_text: bool,
    body: Vec<u8>,
}

impl Given {
    /// Of an answer to a poll of several channels.
    pub(crate) fn of_answer(answer: &Answer) -> Self {
        let time = answer.header("last-modified").expect("a time").as_bytes();
        let time = pushserver::http::parse_http_date(time).expect("a time");
        let tag = answer.header("etag").expect("a tag").parse().expect("a number");
        let gap = match answer.header("x-push-gap") {
            None => Gap::NONE,
            Some("unknown") => Gap::Unknown,
            Some(count) => Gap::Messages(count.parse().expect("a number")),
        };
        let channel = answer.header("x-push-channel").map(decoded);
        Self {
            id: Some((MessageId { time, tag }, gap, channel)),
            event: None,
            content_type: answer.header("content-type").map(str::to_owned),
            is_text: false,
            body: answer.body.clone(),
        }
    }

    /// Compares it with what it should be; gives the gap before it.
    pub(crate) fn check_found(&self, wake: &Wake, gaps: &[Gap]) -> Gap {
        let (id, gap, channel) = self.id.as_ref().expect("a poll has ids");
        assert_eq!((*id, channel.as_deref()), (wake.message.place, Some(wake.name.2)));
        assert_eq!(self.body, wake.message.body);
        assert_eq!(self.content_type.as_deref(), wake.message.content_type);
        assert!(gaps.contains(gap), "a gap of {gap:?} before {id}, not {gaps:?}");
        *gap
    }

    /// Whether it could be any of several messages.
    pub(crate) fn is_unknown(&self) -> bool {
        self.id.is_none() && self.body.is_empty()
    }
}

impl Stream {
    pub(crate) fn new(
        form: Form,
        (place, names, is_several): (usize, Vec<Name>, bool),
        cursor: Cursor,
        (since, now_ms): (u64, u64),
    ) -> Self {
        Self {
            form,
            place,
            names,
            is_several,
            cursor,
            first: cursor,
            told: false,
            ping_ms: 0,
            timeout_ms: 0,
            sent_ms: now_ms,
            heard_ms: now_ms,
            ending: None,
            was_orphaned: false,
            since,
            was_behind: form != Form::Poll,
            level_through: since,
            settled: Vec::new(),
            frame: Vec::new(),
            message: None,
            progress_ms: now_ms,
            publishes: false,
        }
    }

    /// One more byte of a message's frame has come: the message, where that makes it whole, and
    /// whether it is text.
    pub(crate) fn take_message(
        &mut self,
        opcode: u8,
        length: usize,
        now_ms: u64,
    ) -> Option<(bool, Vec<u8>)> {
        if self.frame.len() == 6 && opcode & 0x0f != 0 {
            self.message = Some((opcode & 1 == 1, Vec::new()));
            self.progress_ms = now_ms;
        }
        if self.frame.len() > 6 {
            self.progress_ms = now_ms;
        }
        if self.frame.len() < 6 + length {
            return None;
        }
        let payload = self.frame.split_off(6);
        self.frame.clear();
        let (_, body) = self.message.as_mut().expect("it has begun");
        body.extend(payload);
        if opcode & 0x80 == 0 { None } else { self.message.take() }
    }

    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.form, Form::Frame | Form::FrameWithMeta)
    }

    /// Whether its client may publish.
    pub(crate) fn takes_messages(&self) -> bool {
        self.is_websocket() && PLACES[self.place].publishes.is_some()
    }

    pub(crate) fn is_poll(&self) -> bool {
        self.form == Form::Poll
    }

    pub(crate) fn id_of(&self, message: &Message) -> MessageId {
        if self.is_several { message.place } else { message.id }
    }

    pub(crate) fn wants(&self, message: &Message) -> bool {
        self.cursor.wants(self.id_of(message))
    }

    /// Takes a message; panics if it is not the next one. Gives the gap that it was told.
    pub(crate) fn take(&mut self, given: &Given, model: &Model) -> (Wake, Gap) {
        let wake = self.find(given, model).clone();
        let Wake { message, .. } = &wake;
        assert!(self.wants(message), "{} again or too late, behind {:?}", message.id, self.cursor);
        let id = self.id_of(message);
        for name in &self.names {
            for other in model.published(*name) {
                let is_between = self.wants(&other.message) && self.id_of(&other.message) < id;
                let is_lost =
                    is_between && model.is_there(other) && !self.is_unknown(&other.message);
                assert!(!is_lost, "{} is not given before {}", other.message.id, message.id);
            }
        }
        self.check_content(given, message);
        let gap = self.check_gap(given, &wake, model);
        if !message.is_kept {
            self.settled.push(message.order());
        }
        self.cursor = Cursor::at(id);
        (wake, gap)
    }

    /// Whether a frame with this message could be any other's.
    pub(crate) fn is_unknown(&self, message: &Message) -> bool {
        self.form == Form::Frame && message.body.is_empty()
    }

    fn find<'m>(&self, given: &Given, model: &'m Model) -> &'m Wake {
        let channel = given.id.as_ref().map(|(.., channel)| channel.as_deref());
        assert!(channel.is_none_or(|one| one.is_some() == self.is_several), "{channel:?} is named");
        let of = |name: &Name| channel.flatten().is_none_or(|channel| channel == name.2);
        let mut all: Vec<&Wake> = self
            .names
            .iter()
            .filter(|name| of(name))
            .flat_map(|name| model.published(*name))
            .collect();
        all.sort_by_key(|wake| self.id_of(&wake.message));
        let found = match &given.id {
            Some((id, ..)) => all.into_iter().find(|wake| self.id_of(&wake.message) == *id),
            // Without ids: the first that it may be.
            None => all
                .into_iter()
                .find(|wake| self.wants(&wake.message) && wake.message.body == given.body),
        };
        found.unwrap_or_else(|| panic!("nobody published {given:?}"))
    }

    fn check_content(&self, given: &Given, message: &Message) {
        let is_text = message.content_type != Some("application/octet-stream")
            && std::str::from_utf8(&message.body).is_ok();
        match self.form {
            Form::Event => {
                assert_eq!(given.event.as_deref(), message.event);
                assert_eq!(given.body, with_line_feeds(&message.body));
            }
            Form::Poll => assert_eq!(given.body, message.body),
            _ => assert_eq!((&given.body, given.is_text), (&message.body, is_text)),
        }
        if matches!(self.form, Form::FrameWithMeta | Form::Poll) {
            assert_eq!(given.content_type.as_deref(), message.content_type);
        }
    }

    /// What lies between is told exactly; as unknown only where the store cannot know.
    fn check_gap(&mut self, given: &Given, wake: &Wake, model: &Model) -> Gap {
        let (before, after) = self.unkept(model, wake);
        let missed = Gap::Messages(before.len() as u64);
        let Some((_, told, _)) = given.id else {
            self.settled.extend(before);
            return Gap::NONE;
        };
        let kept = self.kept_gaps(wake, model);
        if kept.iter().any(|gap| gap.and(missed) == told) {
            self.settled.extend(before);
        } else {
            // Told with a later one, where there are more than are kept apart.
            assert!(
                before.len() + after > APART_MAX && kept.contains(&told),
                "a gap of {told:?} before {}, not {kept:?} and {missed:?}",
                wake.message.id
            );
        }
        told
    }

    /// What the store may say of messages that it kept.
    fn kept_gaps(&self, wake: &Wake, model: &Model) -> Vec<Gap> {
        if self.cursor.is_oldest() {
            return vec![Gap::NONE];
        }
        if self.is_several {
            let (names, until) = (&self.names, wake.message.place);
            let mut gaps = model.missed_among(names, self.cursor, until);
            if self.ending == Some(409) {
                gaps.extend(model.missed_when_displaced(names, self.cursor, until));
            }
            return gaps;
        }
        let mut gaps = vec![model.gap_of(wake, self.cursor)];
        if model.life(wake.name) == Some(wake.life()) {
            gaps.push(model.missed(wake.name, self.cursor, wake.message.id));
        }
        gaps
    }

    /// Messages that nobody keeps and that it missed while it was behind: those before a message,
    /// and how many later ones there are.
    fn unkept(&self, model: &Model, before: &Wake) -> (Vec<u64>, usize) {
        let all = self.names.iter().flat_map(|name| model.published(*name));
        let missed = all.map(|wake| &wake.message).filter(|message| {
            let order = message.order();
            let is_due = order > self.since && self.first.wants(self.id_of(message));
            !message.is_kept && is_due && !self.settled.contains(&order)
        });
        let (before, after): (Vec<&Message>, Vec<&Message>) = missed
            .filter(|m| m.order() != before.message.order())
            .partition(|m| m.place < before.message.place);
        (before.into_iter().map(Message::order).collect(), after.len())
    }

    /// It is at rest and takes all that it is sent: it has everything.
    pub(crate) fn check_level(&mut self, model: &Model) {
        for name in &self.names {
            for wake in model.published(*name) {
                let message = &wake.message;
                let order = message.order();
                if self.is_unknown(message) {
                    continue;
                }
                let is_due = self.wants(message) && model.is_there(wake);
                assert!(!is_due, "{} is not given, behind {:?}", message.id, self.cursor);
                let is_lost = !message.is_kept
                    && !self.was_behind
                    && order > self.level_through
                    && self.wants(message);
                assert!(!is_lost, "{} is lost to one that reads", message.id);
            }
        }
        (self.was_behind, self.level_through) = (false, model.order());
    }

    /// Reads what it was sent at once.
    pub(crate) fn read(&self, bytes: &[u8]) -> Vec<Item> {
        if self.is_websocket() { self.read_frames(bytes) } else { read_events(bytes) }
    }

    fn read_frames(&self, mut bytes: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        while !bytes.is_empty() {
            assert!(bytes[0] & 0x70 == 0 && bytes[1] & 0x80 == 0, "{}", bytes.escape_ascii());
            let (length, head) = match bytes[1] {
                126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
                127 => panic!("no message is so long"),
                short => (usize::from(short), 2),
            };
            let (opcode, payload) = (bytes[0], bytes[head..head + length].to_vec());
            bytes = &bytes[head + length..];
            items.push(match opcode {
                0x89 => Item::Ping,
                0x8a => Item::Pong,
                0x88 => Item::Close(u16::from_be_bytes([payload[0], payload[1]])),
                0x81 | 0x82 => Item::Message(self.read_message(opcode == 0x81, payload)),
                other => panic!("opcode {other}"),
            });
        }
        items
    }

    fn read_message(&self, is_text: bool, payload: Vec<u8>) -> Given {
        let mut given = Given { id: None, event: None, content_type: None, is_text, body: payload };
        if self.form == Form::FrameWithMeta {
            let end = given.body.windows(2).position(|two| two == b"\n\n").expect("an empty line");
            let head = String::from_utf8(given.body[..end].to_vec()).expect("UTF-8");
            given.body.drain(..end + 2);
            let (id, rest) = head.split_once('\n').map_or((&*head, None), |(a, b)| (a, Some(b)));
            given.id = Some(read_id(id.strip_prefix("id: ").expect("an id")));
            given.content_type = rest.map(|rest| {
                rest.strip_prefix("content-type: ").expect("a content type").to_owned()
            });
        }
        given
    }
}

fn read_events(bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\n\n").expect("a whole event") + 2;
        let (event, after) = rest.split_at(end);
        rest = after;
        if event == b":\n\n" {
            items.push(Item::Ping);
            continue;
        }
        let mut fields = Vec::new();
        for line in event[..end - 2].split(|byte| *byte == b'\n') {
            let at = line.iter().position(|byte| *byte == b':').expect("a field");
            let name = String::from_utf8(line[..at].to_vec()).expect("ASCII");
            fields.push((name, line[at + 1..].strip_prefix(b" ").expect("a space").to_vec()));
        }
        items.push(read_event(&fields));
    }
    items
}

fn read_event(fields: &[(String, Vec<u8>)]) -> Item {
    let text = |name: &str| {
        let mut found = fields.iter().filter(|(field, _)| field == name);
        let value = found.next().map(|(_, value)| String::from_utf8(value.clone()).expect("UTF-8"));
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    let data: Vec<&[u8]> =
        fields.iter().filter(|(name, _)| name == "data").map(|(_, value)| &value[..]).collect();
    let body = data.join(&b'\n');
    if text("event").as_deref() == Some("push:end") {
        let status = if body == b"409 Conflict" { 409 } else { 410 };
        assert_eq!(text("retry").is_some(), status == 409);
        assert_eq!(body, if status == 409 { &b"409 Conflict"[..] } else { b"410 Gone" });
        return Item::End(status);
    }
    let id = Some(read_id(&text("id").expect("an id")));
    Item::Message(Given { id, event: text("event"), content_type: None, is_text: true, body })
}

/// Gaps of messages that nobody keeps which are told each where it is.
const APART_MAX: usize = 32;

/// `TIME:TAG;gap=N;channel=ID`.
fn read_id(text: &str) -> (MessageId, Gap, Option<String>) {
    let mut parts = text.split(';');
    let (time, tag) = parts.next().and_then(|id| id.split_once(':')).expect("TIME:TAG");
    let id = MessageId { time: time.parse().expect("a time"), tag: tag.parse().expect("a tag") };
    let (mut gap, mut channel) = (Gap::NONE, None);
    for part in parts {
        match part.split_once('=') {
            Some(("gap", "unknown")) => gap = Gap::Unknown,
            Some(("gap", count)) => gap = Gap::Messages(count.parse().expect("a number")),
            Some(("channel", id)) => channel = Some(decoded(id)),
            _ => panic!("{part} in an id"),
        }
    }
    assert_ne!(gap, Gap::Messages(u64::MAX));
    (id, gap, channel)
}

/// A channel id as it was given.
fn decoded(id: &str) -> String {
    id.replace("%2F", "/").replace("%20", " ")
}

/// As scripts see a body in an event stream.
fn with_line_feeds(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'\r' => out.push(b'\n'),
            b'\n' if at > 0 && body[at - 1] == b'\r' => {}
            other => out.push(*other),
        }
    }
    out
}
