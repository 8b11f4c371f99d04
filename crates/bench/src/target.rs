//! Target: the server under load: URL templates with `{channel}`, resolved once. Refuses other
//! machines unless they are allowed.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// The placeholder for the channel's name in a template.
const PLACE: &str = "{channel}";

/// A server under load: where to publish and where to subscribe.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name in reports.
    pub(crate) label: String,
    pub(crate) publish: Template,
    pub(crate) subscribe: Template,
    /// The server's process, if its figures are wanted; its children count with it.
    pub(crate) pid: Option<u32>,
}

/// A URL with a place for the channel's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// The URL as given.
    text: String,
    pub(crate) address: SocketAddr,
    /// The `Host` header.
    pub(crate) host: String,
    before: String,
    after: String,
}

impl Template {
    /// Reads `http://HOST[:PORT]/PATH` with one `{channel}` in the path.
    ///
    /// # Errors
    /// Says what is wrong with the URL; or that it leads away from this machine and `remote` does
    /// not allow it.
    pub(crate) fn parse(url: &str, remote: bool) -> Result<Self, String> {
        let wrong = |why: &str| format!("{url}: {why}");
        let rest = url.strip_prefix("http://").ok_or_else(|| wrong("must start with http://"))?;
        let slash = rest.find('/').ok_or_else(|| wrong("has no path"))?;
        let (host, path) = rest.split_at(slash);
        let (before, after) =
            path.split_once(PLACE).ok_or_else(|| wrong("has no {channel} in its path"))?;
        if after.contains(PLACE) {
            return Err(wrong("has more than one {channel}"));
        }
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#') {
            return Err(wrong("has a space, a control character or a fragment"));
        }
        let address = resolve(host, remote).map_err(|why| wrong(&why))?;
        let (host, before, after) = (host.to_owned(), before.to_owned(), after.to_owned());
        Ok(Self { text: url.to_owned(), address, host, before, after })
    }

    /// The request target for this channel.
    pub(crate) fn path(&self, channel: &str) -> String {
        format!("{}{channel}{}", self.before, self.after)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first address of `HOST[:PORT]`, port 80 by default.
fn resolve(host: &str, remote: bool) -> Result<SocketAddr, String> {
    let has_port = host.rsplit(':').next().is_some_and(|port| {
        port.len() < host.len() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    });
    let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
    let found = with_port.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let addresses: Vec<SocketAddr> = found.collect();
    let first = *addresses.first().ok_or_else(|| format!("{host} has no address"))?;
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        Some(away) if !remote => Err(format!(
            "{} is not this machine; load is for servers of your own: say --remote if it is one",
            away.ip()
        )),
        _ => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn a_template_gives_address_host_and_path() {
        let url = "http://127.0.0.1:18010/send-update/{channel}?x=1";
        let template = Template::parse(url, false).unwrap();
        assert_eq!(template.address, "127.0.0.1:18010".parse().unwrap());
        assert_eq!(template.host, "127.0.0.1:18010");
        assert_eq!(template.path("a"), "/send-update/a?x=1");
        assert_eq!(template.to_string(), url);
    }

    #[test]
    fn the_port_is_80_by_default_for_ipv6_too() {
        let four = Template::parse("http://127.0.0.1/{channel}", false).unwrap();
        assert_eq!(four.address, "127.0.0.1:80".parse().unwrap());
        let six = Template::parse("http://[::1]/{channel}", false).unwrap();
        assert_eq!(six.address, "[::1]:80".parse().unwrap());
    }

    #[test]
    fn another_machine_is_refused_unless_it_is_allowed() {
        let refused = Template::parse("http://192.0.2.1/{channel}", false).unwrap_err();
        assert!(refused.contains("not this machine"), "{refused}");
        assert!(Template::parse("http://192.0.2.1/{channel}", true).is_ok());
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        for (url, why) in [
            ("https://127.0.0.1/{channel}", "must start with http://"),
            ("http://127.0.0.1", "has no path"),
            ("http://127.0.0.1/a", "has no {channel} in its path"),
            ("http://127.0.0.1/{channel}/{channel}", "has more than one {channel}"),
            ("http://127.0.0.1/{channel} x", "has a space"),
        ] {
            let error = Template::parse(url, false).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
