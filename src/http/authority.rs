//! Authority: a host and its port as in `Host` and in URLs, `uri-host [ ":" port ]` (RFC 9110
//! section 7.2). Looks nothing up.

use std::net::Ipv6Addr;
use std::str::FromStr;

use memchr::memchr;

/// The port of an authority that names none, over plain HTTP.
const DEFAULT_PORT: u16 = 80;

/// Where the host ends in an authority: behind it stands the port with its colon, or nothing.
#[must_use]
pub fn host_len(authority: &[u8]) -> usize {
    let end = match authority {
        [b'[', ..] => memchr(b']', authority).map(|bracket| bracket + 1),
        _ => memchr(b':', authority),
    };
    end.unwrap_or(authority.len())
}

/// The number in what stands behind the host: nothing, or a colon and 16 bits in decimal, which
/// RFC 3986 section 3.2.3 lets be absent too. `None`: it is neither.
#[must_use]
pub fn port_number(port: &[u8]) -> Option<u16> {
    match port {
        [] | [b':'] => Some(DEFAULT_PORT),
        [b':', digits @ ..] => {
            let mut number = 0;
            for byte in digits {
                let digit = byte.wrapping_sub(b'0');
                number = number * 10 + u32::from(digit);
                if digit > 9 || number > u32::from(u16::MAX) {
                    return None;
                }
            }
            number.try_into().ok()
        }
        _ => None,
    }
}

/// The address in `[address]`.
#[must_use]
pub fn ipv6(host: &[u8]) -> Option<Ipv6Addr> {
    let address = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    Ipv6Addr::from_str(std::str::from_utf8(address).ok()?).ok()
}

/// Whether a request may name this authority: its host is not empty.
pub(super) fn is_authority(text: &[u8]) -> bool {
    // The common case first: a name of plain bytes, or an IPv4 address.
    let end = text.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(text.len());
    if end > 0
        && let port @ ([] | [b':', ..]) = &text[end..]
    {
        return port_number(port).is_some();
    }
    let (host, port) = text.split_at(host_len(text));
    (ipv6(host).is_some() || is_name(host)) && port_number(port).is_some()
}

/// `reg-name` or an IPv4 address (RFC 3986 3.2.2), less the comma: it could be a list of hosts.
fn is_name(name: &[u8]) -> bool {
    let escapes_are_whole = || {
        name.split(|byte| *byte == b'%').skip(1).all(
            |after| matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
        )
    };
    !name.is_empty() && name.iter().all(is_name_byte) && escapes_are_whole()
}

const fn is_name_byte(byte: &u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

/// Which bytes a name may have wherever they stand: all but the `%` of an escape.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = is_name_byte(&(byte as u8)) && byte != b'%' as usize;
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slow obvious version, without a case that comes first.
    fn is_authority_at_length(text: &[u8]) -> bool {
        let (host, port) = text.split_at(host_len(text));
        let is_port = match port {
            [] | [b':'] => true,
            [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(digits).unwrap().parse::<u16>().is_ok()
            }
            _ => false,
        };
        (ipv6(host).is_some() || is_name(host)) && is_port
    }

    proptest! {
        #[test]
        fn plain_names_are_judged_as_all_others(
            text in prop_oneof![
                "[a-z0-9.%:\\[\\]+,-]{0,12}",
                "[a-z.]{0,4}%?[0-9a-g]{0,3}:?[0-9]{0,6}:?",
                "\\[?[0-9a-f:]{0,6}\\]?:?[0-9]{0,2}",
                ".{0,4}:[0-9+]{0,6}",
            ],
        ) {
            let text = text.as_bytes();
            prop_assert_eq!(is_authority(text), is_authority_at_length(text));
        }
    }

    #[test]
    fn a_port_is_split_off_behind_brackets_too() {
        for (authority, host, port, number) in [
            ("[::1]:80", "[::1]", ":80", Some(80)),
            ("[::1]", "[::1]", "", Some(80)),
            ("a:", "a", ":", Some(80)),
            ("a:08001", "a", ":08001", Some(8001)),
            ("a:65536", "a", ":65536", None),
            ("a:+80", "a", ":+80", None),
            ("a:1:2", "a", ":1:2", None),
            ("[::1]2", "[::1]", "2", None),
            ("[::1", "[::1", "", Some(80)),
        ] {
            let split = authority.split_at(host_len(authority.as_bytes()));
            assert_eq!(split, (host, port), "{authority}");
            assert_eq!(port_number(port.as_bytes()), number, "{authority}");
        }
        assert_eq!(ipv6(b"[::1]"), Some(Ipv6Addr::LOCALHOST));
        assert_eq!((ipv6(b"::1"), ipv6(b"[::1"), ipv6(b"[a]")), (None, None, None));
    }
}
