//! Channel information for publishers, in the form that the request's `Accept` asks for (Basic
//! HTTP Push Relay Protocol 2). The bytes are Nchan's, so that its clients can read them.

use std::io::Write as _;

use crate::http::response::write_decimal;
use crate::hub::Information;
use crate::relay::request::accept::ranges;

/// One of the media types that channel information can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Form(u8);

#[derive(Debug, Clone, Copy)]
enum Syntax {
    Plain,
    Json,
    Yaml,
    Xml,
}

/// Every media type that is understood; the answer's is the one asked for.
const FORMS: [(&str, Syntax); 12] = [
    ("text/plain", Syntax::Plain),
    ("application/json", Syntax::Json),
    ("text/json", Syntax::Json),
    ("text/x-json", Syntax::Json),
    ("application/yaml", Syntax::Yaml),
    ("application/x-yaml", Syntax::Yaml),
    ("text/yaml", Syntax::Yaml),
    ("text/x-yaml", Syntax::Yaml),
    ("application/xml", Syntax::Xml),
    ("text/xml", Syntax::Xml),
    // Ranges that `text/plain` satisfies.
    ("*/*", Syntax::Plain),
    ("text/*", Syntax::Plain),
];

impl Form {
    pub(in crate::relay) const PLAIN: Self = Self(0);

    /// The first form in the fields `accept` that there is; weights other than 0 are not compared,
    /// as in Nchan.
    pub(in crate::relay) fn of<'b>(accept: impl IntoIterator<Item = &'b [u8]>) -> Self {
        let form = |name: &[u8]| {
            FORMS.iter().position(|(form, _)| name.eq_ignore_ascii_case(form.as_bytes()))
        };
        match ranges(accept).find_map(form) {
            Some(index) if !FORMS[index].0.ends_with('*') => Self(index as u8),
            _ => Self::PLAIN,
        }
    }

    pub(in crate::relay) fn media_type(self) -> &'static str {
        FORMS[usize::from(self.0)].0
    }

    /// Appends the information to `out`.
    pub(in crate::relay) fn write(self, information: &Information, out: &mut Vec<u8>) {
        let Information { messages, subscribers, last_message_id: id, .. } = information;
        let requested = information.requested.map_or(-1, |seconds| seconds as i64);
        let written = match FORMS[usize::from(self.0)].1 {
            Syntax::Plain => return write_plain(information, out),
            Syntax::Json => write!(
                out,
                "{{\"messages\": {messages}, \"requested\": {requested}, \
                 \"subscribers\": {subscribers}, \"last_message_id\": \"{id}\" }}"
            ),
            Syntax::Yaml => write!(
                out,
                "---\r\nmessages: {messages}\r\nrequested: {requested}\r\n\
                 subscribers: {subscribers}\r\nlast_message_id: \"{id}\"\r\n\r\n"
            ),
            Syntax::Xml => write!(
                out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<channel>\r\n  \
                 <messages>{messages}</messages>\r\n  <requested>{requested}</requested>\r\n  \
                 <subscribers>{subscribers}</subscribers>\r\n  \
                 <last_message_id>{id}</last_message_id>\r\n</channel>"
            ),
        };
        written.expect("a vector takes every byte");
    }
}

/// Every publisher is answered so that asks for nothing else: without the formatter, which takes
/// longer than the rest of the answer.
fn write_plain(information: &Information, out: &mut Vec<u8>) {
    let &Information { messages, requested, subscribers, last_message_id } = information;
    let mut part = |text: &[u8], number: Option<u64>| {
        out.extend_from_slice(text);
        match number {
            Some(number) => write_decimal(out, number),
            None => out.extend_from_slice(b"-1"),
        }
    };
    part(b"queued messages: ", Some(messages as u64));
    part(b"\r\nlast requested: ", requested);
    part(b" sec. ago\r\nactive subscribers: ", Some(subscribers as u64));
    part(b"\r\nlast message id: ", Some(last_message_id.time));
    part(b":", Some(last_message_id.tag.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageId;

    #[test]
    fn the_first_form_that_there_is_is_chosen() {
        let form = |accept: &str| Form::of(Some(accept.as_bytes())).media_type();
        assert_eq!(form("application/json"), "application/json");
        assert_eq!(form("text/html, TEXT/X-YAML;q=0.5, text/xml"), "text/x-yaml");
        assert_eq!(form("text/json;q=0, text/xml"), "text/xml");
        assert_eq!(form("*/*"), "text/plain");
        assert_eq!(form("image/png"), "text/plain");
        assert_eq!(Form::of(None).media_type(), "text/plain");
    }

    #[test]
    fn the_four_forms_have_the_bytes_of_the_specification() {
        let information = Information {
            messages: 5,
            requested: Some(18),
            subscribers: 0,
            last_message_id: MessageId { time: 1_450_755_280, tag: 0 },
        };
        let text = |accept: &str| {
            let mut out = Vec::new();
            Form::of(Some(accept.as_bytes())).write(&information, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text("text/plain"),
            "queued messages: 5\r\nlast requested: 18 sec. ago\r\nactive subscribers: 0\r\n\
             last message id: 1450755280:0"
        );
        assert_eq!(
            text("text/json"),
            "{\"messages\": 5, \"requested\": 18, \"subscribers\": 0, \
             \"last_message_id\": \"1450755280:0\" }"
        );
        assert_eq!(
            text("text/yaml"),
            "---\r\nmessages: 5\r\nrequested: 18\r\nsubscribers: 0\r\n\
             last_message_id: \"1450755280:0\"\r\n\r\n"
        );
        assert_eq!(
            text("text/xml"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<channel>\r\n  \
             <messages>5</messages>\r\n  <requested>18</requested>\r\n  \
             <subscribers>0</subscribers>\r\n  \
             <last_message_id>1450755280:0</last_message_id>\r\n</channel>"
        );
    }
}
