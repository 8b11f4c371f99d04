//! Response heads: writes them into a buffer that its owner uses again. No value can end its line
//! or begin another: CR, LF and NUL are written as spaces.

use super::token::is_token;

/// Content type of errors and of all other answers that are one line for a person.
pub const TEXT: &[u8] = b"text/plain; charset=utf-8";

/// Appends one head: a start line, then fields, then [`HeadWriter::finish`].
#[derive(Debug)]
#[must_use = "a head without `finish` has no blank line"]
pub struct HeadWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> HeadWriter<'o> {
    /// Begins an answer: `HTTP/1.1 200 OK`, to HTTP/1.0 clients too (RFC 9110 6.2).
    pub fn response(out: &'o mut Vec<u8>, status: u16) -> Self {
        Self::begin(out, status, |out| out.extend_from_slice(reason(status).as_bytes()))
    }

    /// Begins an answer with the reason phrase an upstream gave.
    pub fn relayed(out: &'o mut Vec<u8>, status: u16, reason: &str) -> Self {
        Self::begin(out, status, |out| write_safely(out, reason.as_bytes()))
    }

    fn begin(out: &'o mut Vec<u8>, status: u16, reason: impl FnOnce(&mut Vec<u8>)) -> Self {
        debug_assert!((100..=999).contains(&status), "a status has three digits");
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(out, u64::from(status));
        out.push(b' ');
        reason(out);
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// One field.
    pub fn field(mut self, name: &'static str, value: &[u8]) -> Self {
        self.name(name);
        write_safely(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// One field whose value is a number.
    pub fn number(mut self, name: &'static str, value: u64) -> Self {
        self.name(name);
        write_decimal(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// A name that stands in the source: no peer gives one.
    fn name(&mut self, name: &'static str) {
        debug_assert!(name.bytes().all(is_token), "a name is a token");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
    }

    /// Lines that were written earlier (CORS, `Date`, `Server`): whole, with their CRLF, or none.
    pub fn lines(self, lines: &[u8]) -> Self {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\r\n"), "whole lines");
        debug_assert!(!lines.windows(4).any(|four| four == b"\r\n\r\n"), "no blank line inside");
        self.out.extend_from_slice(lines);
        self
    }

    /// Lines that are written now; as those of [`HeadWriter::lines`].
    pub fn written(self, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let start = self.out.len();
        write(self.out);
        debug_assert!(self.out[start..].ends_with(b"\r\n"), "whole lines");
        self
    }

    /// The blank line.
    pub fn finish(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The standard reason phrase of each status sent here (RFC 9110 15); empty for any other.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// Appends `value` in decimal, without an allocation of its own.
pub fn write_decimal(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut digits = [0; 20];
    let mut start = digits.len();
    // Two at a time: with half the divisions, each of which waits for the one before.
    while value >= 10 {
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value > 0 {
        start -= 1;
        digits[start] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[start..]);
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// Appends `text` with a space for each byte that could end a line. The second check: every caller
/// has checked its values.
fn write_safely(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    out.extend_from_slice(text);
    if memchr::memchr3(b'\r', b'\n', 0, text).is_some() {
        #[cfg(not(test))]
        debug_assert!(false, "a value with a line end came as far as the wire");
        for byte in &mut out[start..] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_head_has_its_lines_in_order_and_a_blank_line() {
        let mut out = b"before".to_vec();
        HeadWriter::response(&mut out, 201)
            .field("Etag", b"3")
            .lines(b"Date: x\r\nServer: y\r\n")
            .number("Content-Length", 0)
            .finish();
        assert_eq!(
            out,
            b"beforeHTTP/1.1 201 Created\r\nEtag: 3\r\nDate: x\r\nServer: y\r\n\
              Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn every_status_in_use_has_its_reason() {
        for status in [
            100, 101, 200, 201, 202, 204, 301, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410,
            413, 414, 417, 421, 431, 501, 502, 503, 504, 505,
        ] {
            assert_ne!(reason(status), "", "{status}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_formatter_writes_them() {
        let limits = (0..20).map(|digits| 10_u64.pow(digits));
        let near = limits.flat_map(|limit| [limit - 1, limit, limit + 7]);
        for value in near.chain([99, 100, 1_450_755_280, u64::MAX]) {
            let mut out = b"n=".to_vec();
            write_decimal(&mut out, value);
            assert_eq!(out, format!("n={value}").into_bytes());
        }
    }

    proptest! {
        #[test]
        fn no_value_begins_a_second_line(
            reason in ".*", value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut out = Vec::new();
            HeadWriter::relayed(&mut out, 200, &reason).field("Etag", &value).finish();
            prop_assert!(out.ends_with(b"\r\n\r\n"));
            prop_assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 3);
            prop_assert_eq!(memchr::memchr_iter(b'\r', &out).count(), 3);
            prop_assert_eq!(memchr::memchr(0, &out), None);
        }

        #[test]
        fn numbers_are_written_as_the_standard_library_does(value: u64) {
            let mut out = Vec::new();
            write_decimal(&mut out, value);
            prop_assert_eq!(out, value.to_string().into_bytes());
        }
    }
}
