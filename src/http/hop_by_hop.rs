//! Hop-by-hop fields (RFC 9110 section 7.6.1): the fields that speak of one connection. Whoever
//! passes a message on leaves them out. Changes no head itself.

use httparse::Header;

/// Whether every field of this name ends here.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    // The length first: most names are none of these.
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}

/// The options in the `Connection` fields of one head: fields of these names end here, too.
#[derive(Debug)]
pub struct ConnectionOptions<'h> {
    headers: &'h [Header<'h>],
    /// Whether there are any but the usual ones, none of which names a further field.
    unusual: bool,
}

impl<'h> ConnectionOptions<'h> {
    /// Reads the options in `headers`.
    #[must_use]
    pub fn read(headers: &'h [Header<'h>]) -> Self {
        let options = Self { headers, unusual: false };
        let unusual = options.all().any(|option| {
            let usual = [&b"keep-alive"[..], b"close", b"upgrade", b"te", b""];
            !usual.iter().any(|usual| option.eq_ignore_ascii_case(usual))
        });
        Self { unusual, ..options }
    }

    /// Whether one of them is `name`.
    #[must_use]
    pub fn name(&self, name: &str) -> bool {
        self.unusual && self.all().any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn all(&self) -> impl Iterator<Item = &'h [u8]> {
        self.headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("connection"))
            .flat_map(|header| header.value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_rfc_9110_7_6_1_end_here_in_any_case() {
        for name in [
            "Connection",
            "proxy-connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "TRANSFER-ENCODING",
            "Upgrade",
        ] {
            assert!(is_hop_by_hop(name), "{name}");
        }
        for name in ["Cookie", "Host", "Expect", "", "T\u{e9}"] {
            assert!(!is_hop_by_hop(name), "{name}");
        }
    }

    #[test]
    fn what_connection_names_ends_here_too() {
        let header = |name, value| Header { name, value };
        let headers = [header("connection", b"close, X-A"), header("Connection", b"x-b\t,")];
        let options = ConnectionOptions::read(&headers);
        assert!(options.name("x-a") && options.name("X-B") && !options.name("x-c"));
        assert!(!ConnectionOptions::read(&[header("Connection", b"close")]).name("x-a"));
    }
}
