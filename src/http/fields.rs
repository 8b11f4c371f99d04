//! Fields that frame and route a message: how its body ends, whether the connection is kept, which
//! host is meant (RFC 9112 sections 3.2, 6 and 9). Reads the fields in one pass, then answers
//! questions. Refuses a head that has two answers; knows no other field.

use httparse::Header;
use memchr::memchr;

use super::authority::is_authority;
use super::error::HttpError;
use super::framing::Framing;
use super::token::is_named;
use super::version::Version;

/// Most digits of a `Content-Length`: they always fit into 64 bits, signed or not.
const LENGTH_DIGITS_MAX: usize = 18;

/// The fields that frame and route one message.
#[derive(Debug, Default)]
pub(super) struct Fields<'b> {
    length: Option<u64>,
    chunked: bool,
    host: Option<&'b [u8]>,
    several_hosts: bool,
    expects: bool,
    expects_unknown: bool,
    closes: bool,
    keeps: bool,
    upgrades: bool,
    upgrade: Option<&'b [u8]>,
}

impl<'b> Fields<'b> {
    /// Reads `headers`, which lie in `head`.
    ///
    /// # Errors
    /// 400 and 501 for framing that has more than one reading.
    pub(super) fn read(head: &'b [u8], headers: &'b [Header<'b>]) -> Result<Self, HttpError> {
        let mut fields = Self::default();
        for header in headers {
            let (name, value) = (header.name, header.value);
            // The length first: most names are none of these.
            match name.len() {
                4 if is_named(name, "Host") => {
                    fields.several_hosts |= fields.host.is_some();
                    fields.host = Some(value);
                }
                6 if is_named(name, "Expect") => {
                    fields.expects = true;
                    fields.expects_unknown |= !value.eq_ignore_ascii_case(b"100-continue");
                }
                7 if is_named(name, "Upgrade") => {
                    fields.upgrade = fields.upgrade.or(Some(value));
                }
                10 if is_named(name, "Connection") => fields.read_connection(value),
                14 if is_named(name, "Content-Length") => {
                    refuse_tab(head, header)?;
                    fields.read_length(value)?;
                }
                17 if is_named(name, "Transfer-Encoding") => {
                    refuse_tab(head, header)?;
                    fields.read_coding(value)?;
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    /// The announced framing; `None` if nothing is announced (RFC 9112 6.3).
    ///
    /// # Errors
    /// 400 for `Content-Length` beside `Transfer-Encoding`, or the latter in HTTP/1.0.
    pub(super) fn framing(&self, version: Version) -> Result<Option<Framing>, HttpError> {
        match (self.chunked, self.length) {
            (true, Some(_)) => {
                Err(HttpError::bad_request("send Content-Length or Transfer-Encoding, never both"))
            }
            (true, None) if version == Version::Http10 => Err(HttpError::bad_request(
                "HTTP/1.0 has no Transfer-Encoding; send Content-Length",
            )),
            (true, None) => Ok(Some(Framing::Chunked)),
            (false, length) => Ok(length.map(Framing::Length)),
        }
    }

    /// Whether the connection outlives this message (RFC 9112 9.3); `close` wins.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.closes && (self.keeps || version == Version::Http11)
    }

    /// The value of `Upgrade`, if it holds for this connection (RFC 9110 7.8).
    pub(super) fn upgrade(&self, version: Version) -> Option<&'b [u8]> {
        self.upgrade.filter(|_| self.upgrades && version == Version::Http11)
    }

    /// Whether `Expect: 100-continue` is asked for; HTTP/1.0 cannot ask (RFC 9110 10.1.1).
    ///
    /// # Errors
    /// 417 for any other expectation.
    pub(super) fn expects_continue(&self, version: Version) -> Result<bool, HttpError> {
        match version {
            Version::Http10 => Ok(false),
            Version::Http11 if self.expects_unknown => {
                Err(HttpError::new(417, "the only Expect that is met here is 100-continue"))
            }
            Version::Http11 => Ok(self.expects),
        }
    }

    /// The host of the request: `Host`, which an absolute-form target's `authority` must repeat.
    /// Empty if HTTP/1.0 names none.
    ///
    /// # Errors
    /// 400 for a missing, repeated, malformed or contradicted host.
    pub(super) fn host(
        &self,
        version: Version,
        authority: Option<&'b [u8]>,
    ) -> Result<&'b [u8], HttpError> {
        let host = match (self.host, authority) {
            _ if self.several_hosts => {
                return Err(HttpError::bad_request("several Host headers; send one"));
            }
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                return Err(HttpError::bad_request("Host differs from the host in the target"));
            }
            (None, _) if version == Version::Http11 => {
                return Err(HttpError::bad_request("no Host header; HTTP/1.1 needs one"));
            }
            (None, None) => return Ok(b""),
            (Some(host), _) | (None, Some(host)) => host,
        };
        if is_authority(host) {
            Ok(host)
        } else {
            Err(HttpError::bad_request("Host is not `name` or `name:port`"))
        }
    }

    fn read_connection(&mut self, value: &[u8]) {
        // The common case first: every browser sends this.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keeps = true;
            return;
        }
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.keeps |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrades |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if self.length.is_some() {
            return Err(HttpError::bad_request("several Content-Length headers; send one"));
        }
        let is_number =
            (1..=LENGTH_DIGITS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !is_number {
            return Err(HttpError::bad_request(
                "Content-Length is not one number of 1 to 18 digits",
            ));
        }
        self.length = Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    fn read_coding(&mut self, value: &[u8]) -> Result<(), HttpError> {
        let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if chunked(value) && !self.chunked {
            self.chunked = true;
            return Ok(());
        }
        let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if codings.all(|coding| coding.is_empty() || chunked(coding)) {
            Err(HttpError::bad_request("Transfer-Encoding is not `chunked`, once"))
        } else {
            Err(HttpError::new(501, "the only Transfer-Encoding known here is chunked"))
        }
    }
}

/// Refuses HTAB in the line of `header`: legal white space (RFC 9110 5.6.3), but there are parsers
/// that do not skip it and so see another framing.
fn refuse_tab(head: &[u8], header: &Header<'_>) -> Result<(), HttpError> {
    let colon = (header.name.as_ptr().addr() + header.name.len())
        .checked_sub(head.as_ptr().addr())
        .and_then(|colon| head.get(colon..))
        .expect("a name lies in its head");
    let line = &colon[..memchr(b'\r', colon).unwrap_or(colon.len())];
    if line.contains(&b'\t') {
        return Err(HttpError::bad_request("a tab in Content-Length or Transfer-Encoding"));
    }
    Ok(())
}
