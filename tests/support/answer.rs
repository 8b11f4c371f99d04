//! One HTTP answer, read whole from the front of what a peer was sent. Strict: what is no sound
//! answer is a failed test.

#![allow(dead_code, unreachable_pub, reason = "each of those who share this file uses a part")]

/// See the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    /// In order, as sent.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Takes the first answer out of `inbox`; `None` while it is not whole. `to_head`: it answers
    /// a HEAD request, so it has no body.
    pub fn take(inbox: &mut Vec<u8>, to_head: bool) -> Option<Self> {
        let head_bytes = inbox.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&inbox[..head_bytes - 4]).expect("heads are UTF-8");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status_line = status_line.strip_prefix("HTTP/1.1 ").expect("a status line");
        let (status, reason) = status_line.split_at(3);
        let fields: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("`name: value`"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Self {
            status: status.parse().expect("three digits"),
            reason: reason.trim_start().to_owned(),
            fields,
            body: Vec::new(),
        };
        let has_none = to_head || matches!(answer.status, 100..=199 | 204 | 304);
        let length = match answer.field("Content-Length") {
            _ if has_none => 0,
            length => length.expect("a Content-Length").parse().expect("a number"),
        };
        answer.body = inbox.get(head_bytes..head_bytes + length)?.to_vec();
        inbox.drain(..head_bytes + length);
        Some(answer)
    }

    /// The value of the one field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there once only");
        value
    }
}
