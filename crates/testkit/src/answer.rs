//! Answer: HTTP/1.1 as a strict peer reads it (RFC 9112), from the front of what has come. It knows
//! nothing of the code that is tested.

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

/// What is at the front of some bytes.
#[derive(Debug)]
pub enum Front {
    /// Not even a whole head.
    Head,
    /// A whole head, whose body goes on: to its length, or to the end of the connection.
    Body,
    /// A whole answer, and its length.
    Whole(Answer, usize),
}

impl Answer {
    /// Reads the front of `bytes`. `to_head`: it answers a HEAD request, so it has no body.
    ///
    /// # Errors
    /// Why it is no sound answer.
    pub fn read(bytes: &[u8], to_head: bool) -> Result<Front, String> {
        let Some(length) = head_bytes(bytes) else { return Ok(Front::Head) };
        // Of a field that is not UTF-8 only its value is lost.
        let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| format!("no status line in {head:?}"))?;
        let is_sound =
            |line: &str| !line.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control());
        if !head.split("\r\n").all(is_sound) {
            return Err(format!("a stray line end or another control character in {head:?}"));
        }
        if let Some(wrong) = lines(&head).find(|line| split(line).is_none()) {
            return Err(format!("`name: value`, not {wrong:?}"));
        }
        let rest = &bytes[length..];
        let mut answer = Self { status, head, body: Vec::new() };
        let framing = (answer.only("Transfer-Encoding")?, answer.only("Content-Length")?);
        let taken = match framing {
            _ if to_head || matches!(status, 100..=199 | 204 | 304) => Some(0),
            (Some("chunked"), None) => {
                let (taken, is_whole) = unchunk(rest, &mut answer.body)?;
                is_whole.then_some(taken)
            }
            (None, Some(digits)) => {
                let wrong = |_| format!("no length in {:?}", answer.head);
                let body_bytes = digits.parse::<usize>().map_err(wrong)?;
                if let Some(body) = rest.get(..body_bytes) {
                    answer.body = body.to_vec();
                }
                (rest.len() >= body_bytes).then_some(body_bytes)
            }
            (None, None) if answer.closes() || answer.is_event_stream() => None,
            _ => return Err(format!("no length, or two, in {:?}", answer.head)),
        };
        Ok(match taken {
            None => Front::Body,
            Some(taken) => Front::Whole(answer, length + taken),
        })
    }

    /// Takes the first answer out of `inbox`; `None` while it is not whole.
    ///
    /// # Panics
    /// If it is not sound.
    #[track_caller]
    pub fn take(inbox: &mut Vec<u8>, to_head: bool) -> Option<Self> {
        let front = Self::read(inbox, to_head).unwrap_or_else(|wrong| panic!("{wrong}"));
        let Front::Whole(answer, length) = front else { return None };
        assert!(inbox.starts_with(answer.head.as_bytes()), "heads are UTF-8");
        inbox.drain(..length);
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

    /// Whether it says that the connection ends, be it beside `Connection: Upgrade`.
    pub fn closes(&self) -> bool {
        let is_connection = |name: &str| name.eq_ignore_ascii_case("Connection");
        self.fields().any(|(name, value)| is_connection(name) && value == "close")
    }

    /// Whether it is an event stream, which goes on to the end of the connection.
    pub fn is_event_stream(&self) -> bool {
        let is_stream = |value: &str| value.starts_with("text/event-stream");
        self.status == 200
            && self.header("Content-Length").is_none()
            && self.header("Content-Type").is_some_and(is_stream)
    }

    fn only(&self, name: &str) -> Result<Option<&str>, String> {
        only(&self.head, name)
    }
}

/// The length of the head in front, with its blank line, if it is whole.
pub fn head_bytes(inbox: &[u8]) -> Option<usize> {
    inbox.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of the one field of this name, in a head of a request or an answer.
///
/// # Panics
/// If there are two.
#[track_caller]
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    only(head, name).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Appends to `body` what is in the chunks at the front of `bytes`; gives the bytes of those that
/// are whole, and whether the last chunk is one of them.
///
/// # Errors
/// Why they are no sound chunks.
pub fn unchunk(bytes: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), String> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return Ok((at, false));
        };
        let size = std::str::from_utf8(&rest[..line]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| format!("no chunk size: {}", rest.escape_ascii()))?;
        let (begin, end) = (line + 2, line + 2 + size);
        let Some(after) = rest.get(end..end + 2) else { return Ok((at, false)) };
        if after != b"\r\n" {
            return Err(format!("behind a chunk: {}", after.escape_ascii()));
        }
        body.extend_from_slice(&rest[begin..end]);
        at += end + 2;
        if size == 0 {
            return Ok((at, true));
        }
    }
}

fn only<'h>(head: &'h str, name: &str) -> Result<Option<&'h str>, String> {
    let mut found = fields(head).filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value);
    match found.next() {
        None => Ok(value),
        Some(_) => Err(format!("{name} is there twice: {head:?}")),
    }
}

fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    lines(head).map(|line| split(line).unwrap_or_else(|| panic!("`name: value`, not {line:?}")))
}

fn lines(head: &str) -> impl Iterator<Item = &str> {
    head.strip_suffix("\r\n\r\n").expect("a whole head").split("\r\n").skip(1)
}

/// The name, which is a token (RFC 9110 section 5.6.2), and the value.
fn split(line: &str) -> Option<(&str, &str)> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (name, value) = line.split_once(": ")?;
    (!name.is_empty() && name.bytes().all(is_token)).then_some((name, value))
}
