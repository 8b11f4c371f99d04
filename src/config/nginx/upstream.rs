//! nginx upstream: the directives for requests that no location matches, passed on or answered 404.
//! Looks nothing up.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use super::super::settings::{Location, Settings};
use super::{Output, pattern, quoted, time};

/// Writes the variable for the `Connection` header to the upstream: WebSockets keep theirs.
pub(super) fn connection(out: &mut Output, settings: &Settings) {
    if settings.allrequests.is_some() {
        out.block("map $http_upgrade $push_connection", &["default upgrade;", "\"\" \"\";"]);
    }
}

/// Writes the block for requests that no location matches.
pub(super) fn all_else(out: &mut Output, settings: &Settings) {
    let upstream = settings.allrequests.as_deref().map(upstream);
    if upstream.is_some() {
        for path in passthrough_paths(settings) {
            out.note("Only the push server itself may ask for this path.");
            out.line(&format!("location ~ \"{path}\" {{ return 403; }}"));
        }
    }
    out.line("location / {");
    out.indent += 1;
    match upstream {
        None => out.line("return 404;"),
        Some(None) => {
            out.note("allrequests: nginx has no way to write a \"$\" in the address.");
            out.line("return 502;");
        }
        Some(Some(url)) => proxy(out, settings, &url),
    }
    out.indent -= 1;
    out.line("}");
}

fn proxy(out: &mut Output, settings: &Settings, url: &str) {
    if let Some(host) = &settings.forcehost {
        let redirect = format!("return 301 \"$scheme://{host}$request_uri\";");
        out.block(&format!("if ($http_host != {})", quoted(host)), &[redirect]);
    }
    if settings.trusted_proxies.is_some() {
        out.line(
            "# trusted_proxies: use set_real_ip_from and real_ip_header; the lines below replace",
        );
        out.line("# X-Forwarded-… whoever sends it.");
    }
    if settings.allrequests_secret.is_some() {
        out.note("allrequests_secret: add proxy_set_header lines for X-Pushserver-Secret and");
        out.note("X-Pushserver-Peer ($remote_addr), if your application believes them.");
    }
    let timeout = time(settings.limits.upstream_timeout);
    for line in [
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $push_connection;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Host $http_host;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_request_buffering off;",
        "proxy_buffering off;",
        "client_max_body_size 0;",
        &format!("proxy_read_timeout {timeout};"),
        &format!("proxy_pass {};", quoted(url)),
    ] {
        out.line(line);
    }
    out.note(
        "limits.upstream_wait: nginx does not wait for an upstream that restarts, but answers 502.",
    );
}

/// The address in nginx's spelling; `None` if it has none.
fn upstream(address: &str) -> Option<String> {
    if address.contains('$') {
        return None;
    }
    match address.strip_prefix("unix:") {
        Some(path) => Some(format!("http://unix:{path}:")),
        None => Some(address.trim_end_matches('/').to_owned()),
    }
}

/// Expressions for the paths of the locations' passthrough URLs, and for all spellings that the
/// most lenient upstream may accept: with empty segments, and with a line end behind them. nginx
/// compares the decoded path, without dot segments.
fn passthrough_paths(settings: &Settings) -> BTreeSet<String> {
    let subscribing = settings.locations.iter().filter_map(Location::subscribing);
    let urls = subscribing.filter_map(|keys| keys.passthrough.as_deref());
    urls.filter_map(|url| {
        let (_, rest) = url.split_once("://")?;
        let path = rest[rest.find('/')?..].split(['?', '#']).next()?;
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        let segments = decoded.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty());
        let segments: String =
            segments.map(|segment| format!("/+{}", pattern::bytes(segment))).collect();
        // The home page would be closed, too.
        (!segments.is_empty()).then(|| format!("^{segments}/*\\x0a?\\z"))
    })
    .collect()
}
