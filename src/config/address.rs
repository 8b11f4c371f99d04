//! Addresses, networks, origins and URLs of settings and arguments: parses and checks them. Never
//! resolves a name: `localhost` is the loopback address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::problem::{Error, Path, Problem, quoted};
use crate::http::authority::{host_len, ipv6, port_number};
use crate::net::is_url;
use crate::net::options::Listen;

/// Most bytes of a Unix socket's path (`sun_path`, without its final 0).
const UNIX_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The address to listen on, of the settings `address` and `port`.
///
/// # Errors
/// What to write instead.
pub(super) fn listen(address: &str, port: u16, ipv6: bool) -> Result<Listen, Error> {
    if let Some(path) = address.strip_prefix("unix:") {
        return unix_path(path).map(Listen::Unix);
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(ip) = ip(bare.unwrap_or(address), ipv6) {
        return Ok(Listen::Tcp(SocketAddr::new(ip, port)));
    }
    if socket_address(address, ipv6).is_some() {
        return Err(Error(format!("{} has a port; write that as \"port\"", quoted(address))));
    }
    Err(Error(match address {
        "" | "*" => "write \"0.0.0.0\" to listen on every address, or \"127.0.0.1\"".to_owned(),
        _ => format!(
            "{} is no address; write an IP address, \"localhost\" or \"unix:/path\"",
            quoted(address)
        ),
    }))
}

/// The address to listen on, of one argument `--listen`.
///
/// # Errors
/// What to write instead.
pub(super) fn listen_argument(text: &str, ipv6: bool) -> Result<Listen, Error> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(Listen::Unix);
    }
    socket_address(text, ipv6).map(Listen::Tcp).ok_or_else(|| {
        Error(format!(
            "{} is no address with a port; write 127.0.0.1:8001, [::1]:8001 or unix:/path",
            quoted(text)
        ))
    })
}

/// Checks `host:port`, or a host alone.
///
/// # Errors
/// What to write instead.
pub(super) fn check_host(text: &str) -> Result<(), Error> {
    let (host, port) = text.as_bytes().split_at(host_len(text.as_bytes()));
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let host_fits = ipv6(host).is_some() || !host.is_empty() && host.iter().all(name);
    if host_fits && port != b":" && port_number(port).is_some_and(|port| port > 0) {
        return Ok(());
    }
    let hint = if text.contains("://") { ", without the scheme" } else { "" };
    Err(Error(format!("{} is no host:port; write \"127.0.0.1:8001\"{hint}", quoted(text))))
}

/// Checks a name of `hosts`: a host without a port, a domain with all below it (`.example`), `*`.
///
/// # Errors
/// What to write instead.
pub(super) fn check_name(text: &str) -> Result<(), Error> {
    let name = text.strip_prefix('.').unwrap_or(text);
    let has_port = name.contains(':') && !name.ends_with(']');
    if text == "*" || !has_port && check_host(name).is_ok() {
        return Ok(());
    }
    let form = "write a name without scheme and port, as in \"push.test\" or \".push.test\"";
    Err(Error(format!("{} is no host; {form}", quoted(text))))
}

/// Checks that a web origin is written as browsers send it in `Origin` (RFC 6454 section 6.2):
/// another spelling would never match.
///
/// # Errors
/// What to write instead.
pub(super) fn check_origin(text: &str) -> Result<(), Error> {
    let form = "an origin is scheme://host:port, for example \"http://127.0.0.1:8000\"";
    if text.contains([' ', ',']) {
        return Err(Error(format!("{form}; write several as a list")));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Error(format!("{} is no origin: {form}", quoted(text))));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_fits || check_host(host).is_err() {
        return Err(Error(format!("{} is no origin: {form}", quoted(text))));
    }
    let sent = format!("{scheme}://{host}").to_ascii_lowercase();
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let sent = sent.strip_suffix(default_port).unwrap_or(&sent);
    if sent == text {
        return Ok(());
    }
    Err(Error(format!("browsers send {} as {}; write that", quoted(text), quoted(sent))))
}

/// Checks the URL of a passthrough.
///
/// # Errors
/// What to write instead.
pub(super) fn check_url(text: &str) -> Result<(), Error> {
    if text.starts_with("https://") && !cfg!(feature = "tls") {
        let what = "this pushserver was built without the feature \"tls\"; write an http:// URL";
        return Err(Error(what.to_owned()));
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next());
    if authority.is_none_or(|host| check_host(host).is_err()) {
        return Err(Error(format!("{} is no URL; write \"http://host:port/path\"", quoted(text))));
    }
    // The sender parses these, but drops the fragment and does not encode.
    if !text.bytes().all(|b| matches!(b, 0x21..=0x7e)) || text.contains('#') {
        return Err(Error(format!(
            "{} has a space, a \"#\" or more than ASCII; percent-encode it, as %C3%B6 for ö",
            quoted(text)
        )));
    }
    if !is_url(text) {
        let what = "has a character that no URL has; percent-encode it, as %3C for <";
        return Err(Error(format!("{} {what}", quoted(text))));
    }
    Ok(())
}

fn network(text: &str) -> Result<IpNet, Error> {
    let network = match text.parse::<IpAddr>() {
        // Addresses of peers are compared in this form.
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            Error(format!("{} is no network; write \"10.0.0.0/8\" or \"127.0.0.1\"", quoted(text)))
        })?,
    };
    if network.addr() != network.network() {
        let meant = quoted(&network.trunc().to_string());
        return Err(Error(format!("{} has bits beyond its mask; write {meant}", quoted(text))));
    }
    Ok(network)
}

/// Parses a list of networks.
///
/// # Errors
/// The first that is none.
pub(super) fn networks(list: Option<&[String]>, path: &Path<'_>) -> Result<Vec<IpNet>, Problem> {
    let read = |(index, text): (usize, &String)| {
        network(text).map_err(|wrong| wrong.at(&path.index(index)))
    };
    list.unwrap_or_default().iter().enumerate().map(read).collect()
}

/// Checks the path of a Unix socket.
///
/// # Errors
/// What to write instead.
pub(super) fn unix_path(path: &str) -> Result<PathBuf, Error> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(Error(
            "write a Unix socket with its whole path, for example unix:/run/p.sock".into(),
        ));
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(Error(format!(
            "the path of a Unix socket has at most {UNIX_PATH_BYTES_MAX} bytes"
        )));
    }
    if path.chars().any(char::is_control) {
        return Err(Error(format!("{} has control characters", quoted(path))));
    }
    Ok(PathBuf::from(path))
}

fn ip(text: &str, ipv6: bool) -> Option<IpAddr> {
    match (text, ipv6) {
        ("localhost", false) => Some(Ipv4Addr::LOCALHOST.into()),
        ("localhost", true) => Some(Ipv6Addr::LOCALHOST.into()),
        _ => text.parse().ok(),
    }
}

fn socket_address(text: &str, ipv6: bool) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::new(ip("localhost", ipv6)?, port.parse().ok()?)),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_host, check_origin, check_url, listen, listen_argument};

    #[test]
    fn an_address_is_an_ip_localhost_or_a_unix_socket() {
        for (address, shown) in [
            ("127.0.0.1", "http://127.0.0.1:80"),
            ("::1", "http://[::1]:80"),
            ("[::1]", "http://[::1]:80"),
            ("localhost", "http://127.0.0.1:80"),
            ("unix:/run/p.sock", "unix:/run/p.sock"),
        ] {
            assert_eq!(listen(address, 80, false).expect(address).to_string(), shown);
        }
        assert_eq!(listen("localhost", 80, true).expect("ok").to_string(), "http://[::1]:80");
    }

    #[test]
    fn a_wrong_address_says_what_to_write() {
        let long = format!("unix:/{}", "x".repeat(200));
        for (address, hint) in [
            ("", "0.0.0.0"),
            ("*", "0.0.0.0"),
            ("127.0.0.1:80", "\"port\""),
            ("example.com", "an IP address"),
            ("127.0.0.256", "an IP address"),
            ("unix:p.sock", "whole path"),
            ("unix:", "whole path"),
            ("unix:/a\u{0}b", "control"),
            (long.as_str(), "at most"),
        ] {
            let what = listen(address, 80, false).expect_err(address).to_string();
            assert!(what.contains(hint), "{address}: {what}");
        }
    }

    #[test]
    fn the_argument_has_its_port_with_it() {
        for (text, shown) in [
            ("127.0.0.1:0", "http://127.0.0.1:0"),
            ("[::1]:81", "http://[::1]:81"),
            ("localhost:81", "http://127.0.0.1:81"),
            ("unix:/p", "unix:/p"),
        ] {
            assert_eq!(listen_argument(text, false).expect(text).to_string(), shown);
        }
        for text in ["8001", "127.0.0.1", "::1:80", "localhost:", "localhost:70000", "a.b:80"] {
            assert!(listen_argument(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_ip_with_or_without_a_port() {
        for host in ["127.0.0.1:8001", "push.example.com", "[::1]:80", "[::1]", "web_1:8000"] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        let wrong =
            ["", ":80", "a:", "a:0", "a:+80", "a:70000", "::1", "http://a", "a b", "a@b", "[x]:1"];
        for host in wrong {
            assert!(check_host(host).is_err(), "{host}");
        }
    }

    #[test]
    fn an_origin_is_spelled_as_browsers_send_it() {
        for origin in ["http://127.0.0.1:8000", "https://a.example", "http://[::1]:1", "app+x://a"]
        {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for (origin, hint) in [
            ("http://a:8000/", "as \"http://a:8000\""),
            ("http://a/b", "as \"http://a\""),
            ("HTTP://A", "as \"http://a\""),
            ("http://a:80", "as \"http://a\""),
            ("https://a:443", "as \"https://a\""),
            ("http://a, http://b", "a list"),
            ("a.example", "scheme://"),
            ("null", "scheme://"),
            ("http://", "scheme://"),
            ("http://a\r\nX: y", "a list"),
            ("http://a\r\nX:y", "no origin"),
        ] {
            let what = check_origin(origin).expect_err(origin).to_string();
            assert!(what.contains(hint), "{origin}: {what}");
        }
    }

    #[test]
    fn a_passthrough_is_an_http_url() {
        for url in ["http://127.0.0.1:8000/passthrough", "http://a", "http://[::1]:1/x?y=%20"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        // A build without TLS refuses it.
        assert_eq!(check_url("https://a/").is_ok(), cfg!(feature = "tls"));
        for url in [
            "",
            "/x",
            "127.0.0.1:8000",
            "https://",
            "https://user:secret@a/",
            "http:///x",
            "http://a/ b",
            "http://a/<b>",
            "http://a b/",
            "ftp://a",
            "http://user:secret@a/",
            "http://a:0/",
            "http://a:70000/",
            "http://a:/",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
