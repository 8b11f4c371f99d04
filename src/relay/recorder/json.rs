//! JSON: writes events for the page. Sound whatever the bytes of clients are.

use std::io::Write as _;
use std::net::IpAddr;

use super::event::{Fact, NO_LOCATION};
use super::name::namespace_len;
use super::ring::{Event, TEXTS};
use super::rings::Rings;
use crate::message::MessageId;
use crate::relay::location::id_text;

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 256 << 10;

/// Longest event, bytes: texts of so many bytes, each of which may take six.
const EVENT_BYTES: usize = 10 << 10;

/// The events behind the number `after`, as many as go into one answer. `stores`: their names.
/// Where `after` is ahead of all events, another process has counted: then all of them.
pub(super) fn answer(rings: &Rings, after: u64, (stores, instance): (&[String], &str)) -> Vec<u8> {
    let after = if after > rings.newest() { 0 } else { after };
    let (mut events, mut next, mut count) = (Vec::new(), after, 0);
    for event in rings.after(after) {
        if count > 0 {
            events.push(b',');
        }
        (next, count) = (event.number, count + 1);
        write(&event, stores, &mut events);
        if events.len() + EVENT_BYTES > ANSWER_BYTES {
            break;
        }
    }
    let lost = (next - after) - count;
    let mut out = Vec::with_capacity(events.len() + 64);
    let _ =
        write!(out, "{{\"next\":{next},\"lost\":{lost},\"instance\":\"{instance}\",\"events\":[");
    out.append(&mut events);
    out.extend_from_slice(b"]}\n");
    out
}

/// Writes one event.
fn write(event: &Event<'_>, stores: &[String], out: &mut Vec<u8>) {
    let Event { number, at_us, fact, texts } = event;
    let (s, us) = (at_us / 1_000_000, at_us % 1_000_000);
    let _ = write!(out, "{{\"n\":{number},\"t\":{s}.{us:06},\"k\":\"");
    let mut fields = Fields { out, texts };
    match *fact {
        Fact::Publish { id, bytes, sent, kept, by } => {
            fields.begin("publish", stores);
            fields.id("id", id);
            fields.number("bytes", bytes);
            fields.text("type", 2);
            fields.number("sent", sent);
            let _ = write!(fields.out, ",\"kept\":{kept}");
            fields.word("preview", texts[3]);
            fields.from(1);
            fields.word("by", by.word().as_bytes());
        }
        Fact::Sent { id, to, us } => {
            fields.begin("sent", stores);
            fields.id("id", id);
            fields.number("to", to);
            fields.millis("ms", us);
        }
        Fact::Drop { id, why } => {
            fields.begin("drop", stores);
            fields.id("id", id);
            fields.word("why", why.word().as_bytes());
        }
        other => write_rest(other, &mut fields, stores),
    }
    out.push(b'}');
}

/// Of holds, refusals and notices.
fn write_rest(fact: Fact, fields: &mut Fields<'_>, stores: &[String]) {
    let texts = fields.texts;
    match fact {
        Fact::Hold { h, cursor, transport } => {
            fields.begin("hold", stores);
            let _ = write!(fields.out, ",\"h\":{h}");
            if !cursor.is_oldest() {
                fields.id("cursor", cursor.id());
            }
            fields.word("transport", transport.word().as_bytes());
            fields.from(1);
            fields.text("agent", 2);
            fields.text("origin", 3);
            fields.text("member", 4);
        }
        Fact::End { h, why, id, held_ms } => {
            fields.begin("end", stores);
            let _ = write!(fields.out, ",\"h\":{h}");
            fields.word("why", why.word().as_bytes());
            if id != MessageId::default() {
                fields.id("id", id);
            }
            let _ = write!(fields.out, ",\"held_s\":{}.{:03}", held_ms / 1000, held_ms % 1000);
        }
        Fact::Answer { id, behind } => {
            fields.begin("answer", stores);
            fields.id("id", id);
            fields.number("behind", behind);
            fields.from(1);
            fields.text("agent", 2);
        }
        Fact::Refuse { status, why, location } => {
            fields.begin("refuse", stores);
            fields.number("status", status.into());
            fields.word("why", why.as_bytes());
            if location != NO_LOCATION {
                fields.number("location", location.into());
            }
            fields.word("text", texts[2]);
            fields.word("fix", texts[3]);
            fields.text("method", 4);
            fields.text("path", 5);
            fields.text("host", 6);
            fields.text("origin", 7);
            fields.from(1);
        }
        Fact::Notice { what, us } => {
            fields.begin("notice", stores);
            fields.word("what", what.as_bytes());
            fields.word("url", texts[1]);
            fields.word("result", texts[3]);
            fields.millis("ms", us);
            fields.text("fix", 2);
        }
        Fact::Publish { .. } | Fact::Sent { .. } | Fact::Drop { .. } => {}
    }
}

/// The fields of one event.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    texts: &'a [&'a [u8]; TEXTS],
}

impl Fields<'_> {
    /// The kind, and the channel, whose name is the first text: none where that is empty.
    fn begin(&mut self, kind: &str, stores: &[String]) {
        let _ = write!(self.out, "{kind}\"");
        let name = self.texts[0];
        let namespace = namespace_len(name);
        if namespace == 0 {
            return;
        }
        let (store, id) = (u16::from_be_bytes([name[0], name[1]]), &name[namespace..]);
        match id_text(id) {
            Ok(id) => self.word("ch", id.as_bytes()),
            Err(base64) => self.word("ch_base64", base64.as_bytes()),
        }
        if namespace > 3 {
            self.word("group", &name[2..namespace - 1]);
        }
        if let Some(store) = stores.get(usize::from(store)).filter(|store| *store != "default") {
            self.word("store", store.as_bytes());
        }
    }

    fn number(&mut self, name: &str, number: u32) {
        let _ = write!(self.out, ",\"{name}\":{number}");
    }

    /// Microseconds, as milliseconds.
    fn millis(&mut self, name: &str, us: u32) {
        let _ = write!(self.out, ",\"{name}\":{}.{:03}", us / 1000, us % 1000);
    }

    fn id(&mut self, name: &str, id: MessageId) {
        let _ = write!(self.out, ",\"{name}\":\"{id}\"");
    }

    fn word(&mut self, name: &str, word: &[u8]) {
        let _ = write!(self.out, ",\"{name}\":");
        string(word, self.out);
    }

    /// A text, where there is one.
    fn text(&mut self, name: &str, place: usize) {
        if !self.texts[place].is_empty() {
            self.word(name, self.texts[place]);
        }
    }

    /// The address; without one it is a Unix socket.
    fn from(&mut self, place: usize) {
        let octets = self.texts[place];
        let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        let address = four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
        let shown = address.map_or_else(|_| "unix".to_owned(), |address| address.to_string());
        self.word("from", shown.as_bytes());
    }
}

/// A string; what is no UTF-8 is replaced.
fn string(text: &[u8], out: &mut Vec<u8>) {
    serde_json::to_writer(out, &String::from_utf8_lossy(text)).expect("a buffer takes everything");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::event::By;
    use super::super::rings::Kind;
    use super::*;
    use crate::clock::Now;

    #[test]
    fn whoever_reads_on_sees_each_event_once_or_is_told_how_many_are_lost() {
        let (mut rings, mut after, mut seen, mut lost) = (Rings::default(), 0, 0, 0);
        let id = MessageId { time: 1, tag: 0 };
        for round in 1..=6_u64 {
            for n in 0..1000_u64 {
                let fact = Fact::Publish { id, bytes: 1, sent: 0, kept: true, by: By::Publisher };
                let body = [b"\x01\"", &[0xff; 250][..]].concat();
                let texts: [&[u8]; 4] = [b"\0\0\0room", &[127, 0, 0, 1], b"", &body];
                rings.record(Kind::Publishes, fact, &texts, Now::at(0, round));
                if n % 3 == 0 {
                    rings.record(
                        Kind::Sent,
                        Fact::Sent { id, to: 1, us: 1 },
                        &texts[..1],
                        Now::at(0, 1),
                    );
                }
            }
            // One answer does not hold all of it, so this reader falls behind.
            let answered = answer(&rings, after, (&[], ""));
            assert!(answered.len() <= ANSWER_BYTES, "{}", answered.len());
            let json: Value = serde_json::from_slice(&answered).expect("it is JSON");
            let numbers: Vec<u64> = json["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["n"].as_u64().unwrap())
                .collect();
            assert!(numbers.is_sorted_by(|a, b| a < b) && numbers[0] > after);
            let next = json["next"].as_u64().unwrap();
            assert_eq!(numbers.last(), Some(&next));
            assert_eq!(json["lost"].as_u64().unwrap() + numbers.len() as u64, next - after);
            lost += json["lost"].as_u64().unwrap();
            (after, seen) = (next, seen + numbers.len() as u64);
        }
        assert!(lost > 0 && seen > 1000, "{lost} {seen}");
        assert_eq!(lost + seen, after);
    }
}
