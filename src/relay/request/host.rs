//! Which names a daemon on a loopback address goes by, and so which web pages count as its own.
//!
//! The threat is DNS rebinding: a page of `http://evil.example:8001/` has its name lead to
//! 127.0.0.1 from now on. To the browser, what it then asks of port 8001 is of the page's own
//! origin: no `Origin` goes with a GET, and the page may read the answer. Only `Host` tells, for no
//! script can set it. It holds the name and the port that the browser connected to, so a request
//! that names another port came by way of a front server, whose names are none of our business.
//!
//! Pure; made at start and on reload.

use crate::http::authority::{host_len, port_number};

/// The names beside those that every machine has for itself.
#[derive(Debug)]
pub(in crate::relay) struct Hosts {
    /// As in the settings: `push.example`, `.example` for it and all below it, `*` for all.
    names: Vec<Box<[u8]>>,
}

impl Hosts {
    pub(in crate::relay) fn new(names: &[String]) -> Self {
        let names = names.iter().map(|name| name.as_bytes().into()).collect();
        Self { names }
    }

    /// Whether a request with this `Host` may be served, that came to a loopback address at `port`.
    /// An HTTP/1.0 request without one is no browser's.
    pub(in crate::relay) fn admit(&self, host: &[u8], port: u16) -> bool {
        let (name, asked) = host.split_at(host_len(host));
        if name.is_empty() || port_number(asked) != Some(port) {
            return true;
        }
        let name = name.strip_suffix(b".").unwrap_or(name);
        is_of_this_machine(name) || self.names.iter().any(|known| covers(known, name))
    }
}

/// Addresses, which no name server is asked for, and `localhost`, which browsers do not ask for
/// (RFC 6761 6.3).
fn is_of_this_machine(name: &[u8]) -> bool {
    if name.first() == Some(&b'[') {
        return true;
    }
    // No top-level domain is a number: browsers read such a host as an IPv4 address.
    let end = name.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    let (before, digits) = name.split_at(end);
    if !digits.is_empty() && before.last().is_none_or(|byte| *byte == b'.') {
        return true;
    }
    let Some(at) = name.len().checked_sub(LOCALHOST.len()) else { return false };
    name[at..].eq_ignore_ascii_case(LOCALHOST) && (at == 0 || name[at - 1] == b'.')
}

fn covers(known: &[u8], name: &[u8]) -> bool {
    match known {
        b"*" => true,
        [b'.', domain @ ..] => {
            let at = name.len().saturating_sub(known.len());
            name.eq_ignore_ascii_case(domain) || at > 0 && name[at..].eq_ignore_ascii_case(known)
        }
        _ => name.eq_ignore_ascii_case(known),
    }
}

const LOCALHOST: &[u8] = b"localhost";

#[cfg(test)]
mod tests {
    use super::Hosts;

    fn hosts(names: &[&str]) -> Hosts {
        Hosts::new(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_page_of_a_foreign_name_on_our_port_is_not_ours() {
        let hosts = hosts(&[]);
        for host in [
            "evil.example:8001",
            "EVIL.example:8001",
            "evil.example.:8001",
            "evil.example:08001",
            "1.evil:8001",
            "127.0.0.1.nip.example:8001",
            "localhost.evil.example:8001",
            "notlocalhost:8001",
            "localhos%74:8001",
            "..:8001",
            "a:8001",
        ] {
            assert!(!hosts.admit(host.as_bytes(), 8001), "{host}");
        }
        for host in ["evil.example", "evil.example:", "evil.example:80"] {
            assert!(!hosts.admit(host.as_bytes(), 80), "{host}");
        }
    }

    #[test]
    fn addresses_and_localhost_are_this_machine() {
        let hosts = hosts(&[]);
        for host in [
            "127.0.0.1:8001",
            "127.0.0.1.:8001",
            "127.1:8001",
            "0.0.0.0:8001",
            "192.168.1.7:8001",
            "2130706433:8001",
            "[::1]:8001",
            "[::ffff:127.0.0.1]:8001",
            "localhost:8001",
            "LocalHost:8001",
            "localhost.:8001",
            "shop.localhost:8001",
            "a.b.localhost:8001",
        ] {
            assert!(hosts.admit(host.as_bytes(), 8001), "{host}");
        }
        assert!(hosts.admit(b"localhost", 80));
    }

    #[test]
    fn another_port_is_that_of_a_front_server() {
        let hosts = hosts(&[]);
        for host in ["www.example", "www.example:443", "www.example:8443", ""] {
            assert!(hosts.admit(host.as_bytes(), 8001), "{host}");
        }
    }

    #[test]
    fn the_settings_add_names() {
        let hosts = hosts(&["Push.test", ".dev.example"]);
        for host in ["push.test:1", "PUSH.test.:1", "dev.example:1", "a.b.DEV.example:1"] {
            assert!(hosts.admit(host.as_bytes(), 1), "{host}");
        }
        for host in ["a.push.test:1", "evildev.example:1", "example:1", ".dev.example:1"] {
            assert!(!hosts.admit(host.as_bytes(), 1), "{host}");
        }
        assert!(super::Hosts::new(&["*".to_owned()]).admit(b"evil.example:1", 1));
    }
}
