//! The messages of streams as bytes, in each form that there is. Pure.

use std::rc::Rc;

use super::large::LargeEvents;
use super::payload::{COPIED_BODY_MAX, Payload};
use super::{event_stream, websocket};
use crate::hub::Due;
use crate::message::Order;

/// How the messages of a stream are written, which is all that their bytes depend on beside the
/// message and its gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct StreamForm {
    pub(in crate::relay) kind: StreamKind,
    /// That of its cursors; in the order of the store each message names its channel.
    pub(in crate::relay) order: Order,
}

/// What a message is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum StreamKind {
    /// An event.
    Event,
    /// A frame of a WebSocket with the body alone.
    Frame,
    /// A frame with the id and the content type before the body.
    FrameWithMeta,
}

impl StreamForm {
    /// Appends a message; `id`: of its channel.
    pub(in crate::relay) fn write(self, due: &Due, id: &[u8], out: &mut Vec<u8>) {
        let Self { kind, order } = self;
        let meta = match kind {
            StreamKind::Event => return event_stream::write_event(due, order, id, out),
            StreamKind::Frame => false,
            StreamKind::FrameWithMeta => true,
        };
        websocket::write_message_head(due, order, meta, id, out);
        out.extend_from_slice(&due.message.content.body);
    }

    /// The same as a payload of its own. A large body is not copied.
    pub(super) fn payload(self, due: &Due, id: &[u8], large: &mut LargeEvents) -> Payload {
        let Self { kind, order } = self;
        let mut out = Vec::with_capacity(128);
        if !is_large(due) {
            self.write(due, id, &mut out);
            return Payload::Owned(out);
        }
        if kind == StreamKind::Event {
            event_stream::write_event_head(due, order, id, &mut out);
            return Payload::WithLines(out.into(), large.lines(&due.message));
        }
        let meta = kind == StreamKind::FrameWithMeta;
        websocket::write_message_head(due, order, meta, id, &mut out);
        Payload::WithBody(out.into(), Rc::clone(&due.message))
    }
}

/// Whether a message is too large to be copied for each stream.
pub(in crate::relay) fn is_large(due: &Due) -> bool {
    due.message.content.body.len() > COPIED_BODY_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Content, Message};
    use crate::store::Gap;

    fn due(content: Content<&[u8]>, gap: Gap) -> Due {
        let message =
            Message { time: 100, tag: 3, number: 9, sequence: 0, content: content.into() };
        Due { message: message.into(), gap, name: (&b"x"[..]).into() }
    }

    fn written(kind: StreamKind, order: Order, content: Content<&[u8]>, gap: Gap) -> String {
        let mut out = Vec::new();
        let due = due(content, gap);
        StreamForm { kind, order }.write(&due, b"a b/\xc5\xa1", &mut out);
        let payload =
            StreamForm { kind, order }.payload(&due, b"a b/\xc5\xa1", &mut LargeEvents::default());
        let mut sent = Vec::new();
        while let (first, second) = payload.slices(sent.len())
            && !(first.is_empty() && second.is_empty())
        {
            sent.extend([first, second].concat());
        }
        assert_eq!((sent.len(), &sent), (payload.len(), &out));
        out.escape_ascii().to_string().replace("\\n", "\n")
    }

    fn event(body: &[u8]) -> String {
        let content = Content { body, ..Content::default() };
        let text = written(StreamKind::Event, Order::Channel, content, Gap::NONE);
        text.strip_prefix("id: 100:3\n").unwrap().to_owned()
    }

    #[test]
    fn each_line_of_a_body_is_a_line_of_data_whatever_ends_it() {
        assert_eq!(event(b"one"), "data: one\n\n");
        assert_eq!(event(b""), "data: \n\n");
        assert_eq!(event(b"a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(event(b"a\n"), "data: a\ndata: \n\n");
        assert_eq!(event(b"a\r\r\n\n"), "data: a\ndata: \ndata: \ndata: \n\n");
        assert_eq!(
            event(b" a\rid: 5\r\revent: x"),
            "data:  a\ndata: id: 5\ndata: \ndata: event: x\n\n"
        );
    }

    #[test]
    fn an_id_tells_the_gap_and_the_channel_where_there_is_something_to_say() {
        let content = Content { event: Some(&b"chat"[..]), body: &b"x"[..], content_type: None };
        let text = |order, gap| written(StreamKind::Event, order, content, gap);
        assert_eq!(
            text(Order::Channel, Gap::Messages(4)),
            "event: chat\nid: 100:3;gap=4\ndata: x\n\n"
        );
        assert_eq!(
            text(Order::Store, Gap::Unknown),
            "event: chat\nid: 100:9;gap=unknown;channel=a%20b%2F%C5%A1\ndata: x\n\n"
        );
    }

    #[test]
    fn a_large_event_is_written_as_a_small_one() {
        let body = [&[b'x'; 20_000][..], b"\r\n", &[b'y'; 20_000][..]].concat();
        let text = event(&body);
        assert_eq!(text.len(), "data: ".len() * 2 + 40_000 + 3, "{}", &text[..60]);
    }

    #[test]
    fn a_frame_is_text_if_it_is_and_binary_else() {
        let frame = |body: &[u8], content_type| {
            let content = Content { body, content_type, event: None };
            written(StreamKind::Frame, Order::Channel, content, Gap::NONE)
        };
        assert_eq!(frame("š".as_bytes(), None), "\\x81\\x02\\xc5\\xa1");
        assert_eq!(frame(b"\xff", None), "\\x82\\x01\\xff");
        assert_eq!(frame(b"x", Some(&b"Application/Octet-Stream ;q"[..])), "\\x82\\x01x");
        assert_eq!(frame(b"x", Some(&b"image/png"[..])), "\\x81\\x01x");
        let content = Content { body: &b"x"[..], content_type: Some(&b"a/b"[..]), event: None };
        let meta = |order, gap| written(StreamKind::FrameWithMeta, order, content, gap);
        assert_eq!(
            meta(Order::Channel, Gap::Messages(1)),
            "\\x81.id: 100:3;gap=1\ncontent-type: a/b\n\nx".replace('.', "$")
        );
        let large = Content { body: &[b'x'; 70_000][..], ..Content::default() };
        let text = written(StreamKind::Frame, Order::Channel, large, Gap::NONE);
        assert!(
            text.starts_with("\\x81\\x7f\\x00\\x00\\x00\\x00\\x00\\x01\\x11p"),
            "{}",
            &text[..60]
        );
    }
}
