//! HTTP as a strict peer reads it, from the front of what has come. Whole or not at all; what is
//! no sound answer is a failed test.

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of the status line.
    pub status: u16,
    /// Status line and fields, with the blank line.
    pub head: String,
    /// What is in its chunks, or of its length.
    pub body: Vec<u8>,
}

impl Answer {
    /// Takes the first answer out of `inbox`; `None` while it is not whole. `to_head`: it answers
    /// a HEAD request, so it has no body.
    #[track_caller]
    pub fn take(inbox: &mut Vec<u8>, to_head: bool) -> Option<Self> {
        let length = head_bytes(inbox)?;
        let head = String::from_utf8(inbox[..length].to_vec()).expect("heads are UTF-8");
        let is_sound = |line: &str| !line.bytes().any(|byte| matches!(byte, b'\r' | b'\n'));
        assert!(head.split("\r\n").all(is_sound), "a stray line end in {head:?}");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line in {head:?}"));
        let mut answer = Self { status, head, body: Vec::new() };
        let body_bytes = answer.header("Content-Length").map(|digits| digits.parse::<usize>());
        let end = if to_head || matches!(status, 100..=199 | 204 | 304) {
            length
        } else if answer.header("Transfer-Encoding") == Some("chunked") {
            let (taken, is_whole) = unchunk(&inbox[length..], &mut answer.body);
            is_whole.then_some(length + taken)?
        } else {
            let body_bytes = body_bytes.unwrap_or_else(|| panic!("no length in {:?}", answer.head));
            let end = length + body_bytes.expect("a number");
            answer.body = inbox.get(length..end)?.to_vec();
            end
        };
        inbox.drain(..end);
        Some(answer)
    }

    /// Its status and the words for it, as they were sent.
    pub fn status_line(&self) -> &str {
        let line = self.head.split("\r\n").next().unwrap_or_default();
        line.trim_start_matches("HTTP/1.1 ")
    }

    /// In order, as sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        fields(&self.head)
    }

    /// The value of the one field of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Header lines that ask for the message after this one.
    #[track_caller]
    pub fn cursor(&self) -> String {
        let (time, tag) = (self.header("Last-Modified"), self.header("Etag"));
        let (time, tag) = (time.expect("a message"), tag.expect("a message"));
        format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n")
    }

    /// The body, which is UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }

    /// Whether it says that the connection ends.
    pub fn closes(&self) -> bool {
        self.header("Connection") == Some("close")
    }
}

/// The length of the head in front, with its blank line, if it is whole.
pub fn head_bytes(inbox: &[u8]) -> Option<usize> {
    inbox.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of the one field of this name, in a head of a request or an answer.
#[track_caller]
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut found = fields(head).filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value);
    assert!(found.next().is_none(), "{name} is there once only: {head:?}");
    value
}

fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = head.strip_suffix("\r\n\r\n").expect("a whole head").split("\r\n").skip(1);
    lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("`name: value`, not {line:?}")))
}

/// Appends to `body` what is in the chunks at the front of `bytes`; gives the bytes of those that
/// are whole, and whether the last chunk is one of them.
pub fn unchunk(bytes: &[u8], body: &mut Vec<u8>) -> (usize, bool) {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return (at, false) };
        let size = std::str::from_utf8(&rest[..line]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        let (begin, end) = (line + 2, line + 2 + size);
        let Some(after) = rest.get(end..end + 2) else { return (at, false) };
        assert_eq!(after, b"\r\n", "behind a chunk");
        body.extend_from_slice(&rest[begin..end]);
        at += end + 2;
        if size == 0 {
            return (at, true);
        }
    }
}
