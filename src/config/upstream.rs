//! Upstream: the options of the proxy, and the addresses that `allrequests` and `passthrough` lead
//! to. Resolves names, so it never runs in the loop: at the start, and on a thread on reload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::address::{check_host, networks, unix_path};
use super::header_text::check_secret;
use super::problem::{Error, Path, Problem, quoted};
use super::settings::{Given, Location, Settings};
use crate::http::authority::{host_len, port_number};
use crate::net::options::Listen;
use crate::parts;
use crate::relay::options::{ProxyOptions, UpstreamAddress};

const WITHOUT_UPSTREAM: &str =
    "has no effect without \"allrequests\"; set that too, or leave this out";

/// The proxy's options, if the settings have an upstream.
///
/// # Errors
/// The setting that cannot work.
pub(super) fn proxy(settings: &Settings) -> Result<Option<ProxyOptions>, Problem> {
    let root = Path::Root;
    let Some(url) = &settings.allrequests else {
        let useless = [
            ("forcehost", settings.forcehost.is_some()),
            ("trusted_proxies", settings.trusted_proxies.is_some()),
            ("allrequests_secret", settings.allrequests_secret.is_some()),
        ];
        return match useless.iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(Problem::new(&root.key(key), WITHOUT_UPSTREAM)),
            None => Ok(None),
        };
    };
    if !parts::PROXY {
        return Err(Problem::not_built(&root.key("allrequests"), "proxy"));
    }
    let force_host = settings.forcehost.clone();
    if let Some(host) = &force_host {
        check_host(host).map_err(|wrong| wrong.at(&root.key("forcehost")))?;
    }
    let secret = settings.allrequests_secret.as_ref().map(|given| given.secret().clone());
    check_proxy_secret(settings, &root.key("allrequests_secret"))?;
    let trusted = networks(settings.trusted_proxies.as_deref(), &root.key("trusted_proxies"))?;
    let (host, addresses) = upstream(url).map_err(|wrong| wrong.at(&root.key("allrequests")))?;
    Ok(Some(ProxyOptions { url: url.clone(), host, addresses, force_host, trusted, secret }))
}

/// Refuses a secret that a location has for its notices: every request of a client carries this
/// one, and could be a forged notice.
fn check_proxy_secret(settings: &Settings, path: &Path<'_>) -> Result<(), Problem> {
    let given = settings.allrequests_secret.as_ref();
    check_secret(given, path)?;
    let secret = given.map(Given::secret);
    let subscribing = settings.locations.iter().filter_map(Location::subscribing);
    let mut of_notices = subscribing.filter_map(|keys| keys.passthrough_secret.as_ref());
    if of_notices.any(|known| Some(known.secret()) == secret) {
        let what = "a location has it as its passthrough_secret; choose another, because this one \
                    goes with the requests of clients";
        return Err(Problem::new(path, what));
    }
    Ok(())
}

/// Refuses an upstream that is the daemon itself: each request would return to it for ever.
///
/// # Errors
/// The setting `allrequests`.
pub(super) fn check_not_itself(proxy: &ProxyOptions, listen: &[Listen]) -> Result<(), Problem> {
    if !proxy.addresses.iter().any(|to| is_reached(listen, to)) {
        return Ok(());
    }
    let url = quoted(&proxy.url);
    let what = format!("{url} is where this daemon itself listens; give Django another port");
    Err(Problem::new(&Path::Root.key("allrequests"), what))
}

/// Whether this `passthrough` is an address of the daemon itself. Resolves no name.
pub(super) fn comes_back(url: &str, listen: &[Listen]) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next());
    let Some(authority) = authority else { return false };
    let (name, port) = name_and_port(authority);
    literal(name, port).into_iter().any(|to| is_reached(listen, &UpstreamAddress::Tcp(to)))
}

/// Whether this host and port, which were checked, are where the daemon itself listens at a
/// loopback address. Resolves no name.
pub(super) fn is_own_loopback(host: &str, listen: &[Listen]) -> bool {
    let (name, port) = name_and_port(host);
    literal(name, port).into_iter().any(|to| {
        to.ip().to_canonical().is_loopback() && is_reached(listen, &UpstreamAddress::Tcp(to))
    })
}

/// Whether a connection to `to` reaches a socket that listens at one of these.
fn is_reached(listen: &[Listen], to: &UpstreamAddress) -> bool {
    listen.iter().any(|listen| match (listen, to) {
        (Listen::Unix(path), UpstreamAddress::Unix(to)) => path == to,
        (Listen::Tcp(listen), UpstreamAddress::Tcp(to)) => {
            let (at, to_ip) = (listen.ip().to_canonical(), to.ip().to_canonical());
            // A connection to the unspecified address reaches the loopback one.
            let is_local = to_ip.is_loopback() || to_ip.is_unspecified();
            let is_any = at.is_unspecified() && (at.is_ipv6() || to_ip.is_ipv4());
            let is_same = at == to_ip || to_ip.is_unspecified() && at.is_loopback();
            listen.port() == to.port() && (is_same || is_any && is_local)
        }
        _ => false,
    })
}

/// The host of a URL, as `Host` has it, and the addresses behind it.
fn upstream(url: &str) -> Result<(String, Vec<UpstreamAddress>), Error> {
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok(("localhost".to_owned(), vec![UpstreamAddress::Unix(unix_path(path)?)]));
    }
    if url.starts_with("https://") {
        return Err(Error("https is not spoken to an upstream; write an http:// URL".to_owned()));
    }
    let form = "write \"http://host:port\" or \"unix:/path\"";
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(Error(format!("{} is no URL; {form}", quoted(url))));
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.contains(['/', '?', '#']) {
        return Err(Error(format!("{} has a path; requests keep their own: {form}", quoted(url))));
    }
    check_host(host).map_err(|_| Error(format!("{} is no URL; {form}", quoted(url))))?;
    let (name, port) = name_and_port(host);
    Ok((host.to_owned(), look_up(name, port)?))
}

fn name_and_port(host: &str) -> (&str, u16) {
    let (name, port) = host.split_at(host_len(host.as_bytes()));
    (name, port_number(port.as_bytes()).expect("a checked host has a port or none"))
}

/// The addresses of a host that needs no look-up; none of another.
fn literal(name: &str, port: u16) -> Vec<SocketAddr> {
    if name.eq_ignore_ascii_case("localhost") {
        // Development servers listen on one of the two.
        return vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    }
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    ip.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

fn look_up(name: &str, port: u16) -> Result<Vec<UpstreamAddress>, Error> {
    let mut found = literal(name, port);
    if found.is_empty() {
        let looked_up = (name, port).to_socket_addrs();
        found.extend(
            looked_up
                .map_err(|error| Error(format!("cannot look up {}: {error}", quoted(name))))?,
        );
    }
    if found.is_empty() {
        return Err(Error(format!("{} has no address", quoted(name))));
    }
    Ok(found.into_iter().map(UpstreamAddress::Tcp).collect())
}

#[cfg(test)]
mod tests {
    use super::upstream;
    use crate::relay::options::UpstreamAddress;

    #[test]
    fn an_upstream_is_a_host_or_a_unix_socket() {
        for (url, host, addresses) in [
            ("http://127.0.0.1:8002", "127.0.0.1:8002", &["127.0.0.1:8002"][..]),
            ("http://[::1]:8002/", "[::1]:8002", &["[::1]:8002"]),
            ("http://10.0.0.1", "10.0.0.1", &["10.0.0.1:80"]),
            ("http://localhost:1", "localhost:1", &["127.0.0.1:1", "[::1]:1"]),
        ] {
            let tcp = |address: &&str| UpstreamAddress::Tcp(address.parse().unwrap());
            let expected = (host.to_owned(), addresses.iter().map(tcp).collect());
            assert_eq!(upstream(url), Ok(expected), "{url}");
        }
        let unix = UpstreamAddress::Unix("/run/u.sock".into());
        assert_eq!(upstream("unix:/run/u.sock"), Ok(("localhost".to_owned(), vec![unix])));
    }

    #[test]
    fn another_url_says_what_to_write() {
        for (url, words) in [
            ("127.0.0.1:8002", "http://host:port"),
            ("https://a", "https is not"),
            ("http://a/b", "has a path"),
            ("http://a/?b", "has a path"),
            ("http://", "http://host:port"),
            ("http://u:p@a", "http://host:port"),
            ("http://a:0", "http://host:port"),
            ("unix:u.sock", "whole path"),
        ] {
            let error = upstream(url).unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}
