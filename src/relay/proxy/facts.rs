//! Request facts: what of a request its answer, and another attempt at it, depend on. Never changes
//! but for the attempts.

use super::fault;
use crate::http::Version;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestFacts {
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// It is a GET for an upstream on this machine: a browser may be asking for a page.
    pub(super) may_be_page: bool,
    pub(super) wants_upgrade: bool,
    /// Its body has chunks.
    pub(super) is_chunked: bool,
    /// Its client sends nothing behind it.
    pub(super) is_last: bool,
}

impl RequestFacts {
    /// Whether a browser asks for a page, of an upstream on this machine. `head`: the request's,
    /// as the upstream gets it.
    pub(super) fn is_page(self, head: &[u8]) -> bool {
        self.may_be_page && fault::accepts_html(values(head, "accept"))
    }
}

/// The values of the fields of this name in a head that was found sound and written anew.
fn values<'h>(head: &'h [u8], name: &str) -> impl Iterator<Item = &'h [u8]> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(move |line| {
            let (field, value) = line.split_at_checked(name.len())?;
            field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.strip_prefix(b":"))?
        })
        .map(<[u8]>::trim_ascii)
}

/// Whether a request is sent again after the upstream has closed the connection without a byte of
/// an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The upstream may have executed it, and must not do so twice.
    Never,
    /// Once: it is idempotent (RFC 9110 9.2.2).
    Once,
    /// Until the wait for the upstream is over: it is safe (RFC 9110 9.2.1).
    Safe,
    /// As `Safe`, and it was sent in vain once already: until this time, monotonic milliseconds.
    SafeUntil(u64),
}

impl Repeat {
    pub(super) fn of(method: &str, has_body: bool) -> Self {
        match method {
            _ if has_body => Self::Never,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Self::Safe,
            "PUT" | "DELETE" => Self::Once,
            _ => Self::Never,
        }
    }

    /// Whether it may be sent over a connection that was idle, which the upstream may just be
    /// closing.
    pub(super) fn takes_idle(self) -> bool {
        matches!(self, Self::Once | Self::Safe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_field_are_found_in_a_head() {
        let head = b"GET /accept: HTTP/1.1\r\nHost: a\r\nAccept: x\r\nAccept-Encoding: y\r\n\
                     accept: z, w\r\n\r\n";
        let found: Vec<_> = values(head, "accept").collect();
        assert_eq!(found, [&b"x"[..], b"z, w"]);
    }
}
