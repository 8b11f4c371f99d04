//! nginx admission: which requests a location takes: by method, body, web page, secret and address.
//! Writes nothing of messages.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::super::settings::{Location, Settings};
use super::{Output, literal};

/// Writes the variables that [`directives`] compare: whether a request has the location's secret,
/// comes from its networks, and from a web page that may ask. Nchan's own check of an origin would
/// leave the body unread.
pub(super) fn variables(out: &mut Output, settings: &Settings, has_unix: bool) {
    for (index, location) in settings.locations.iter().enumerate() {
        let Some((publishing, origins)) = location.publishing() else { continue };
        let is_pubsub = matches!(location, Location::PubSub(_));
        let is_signed = location.common().is_some_and(|keys| keys.signed);
        if let Some(secret) = publishing.secret.as_ref().filter(|_| !is_signed) {
            let head = format!("map \"$request_method $http_authorization\" $push_bears_{index}");
            let bears =
                format!("\"~^[A-Z]+ (?i:bearer) +{} *\\z\" 1;", literal(secret.secret().reveal()));
            // A browser's preflight has no secret.
            let free = if is_pubsub { "\"~^(?:GET|OPTIONS) \" 1;" } else { "\"~^OPTIONS \" 1;" };
            out.block(&head, &["default 0;", free, &bears]);
        }
        if let Some(allow) = publishing.allow.as_ref().filter(|_| is_pubsub) {
            let mut lines = vec!["default 0;".to_owned()];
            lines.extend(allow.iter().map(|network| format!("{network} 1;")));
            if has_unix && allow.iter().any(|network| has_localhost(network)) {
                // A peer of a Unix socket counts as this address.
                lines.push("255.255.255.255 1;".to_owned());
            }
            out.block(&format!("geo $push_near_{index}"), &lines);
            let head = format!("map \"$request_method $push_near_{index}\" $push_may_{index}");
            out.block(&head, &["default 0;", "\"~^(?:GET|OPTIONS) \" 1;", "\"~ 1\\z\" 1;"]);
        }
        if origins != ["*"] {
            let mut lines = vec!["default 0;".to_owned(), "\"\" 1;".to_owned()];
            lines.extend(origins.iter().map(|origin| format!("\"~^{}\\z\" 1;", literal(origin))));
            out.block(&format!("map $http_origin $push_admits_{index}"), &lines);
        }
    }
    if settings.locations.iter().any(|location| matches!(location, Location::PubSub(_))) {
        let head = "map \"$request_method $http_content_length$http_transfer_encoding\" \
                    $push_get_body";
        out.block(head, &["default 0;", "\"~^GET .\" 1;"]);
    }
}

/// Writes the conditions of one location.
pub(super) fn directives(out: &mut Output, location: &Location, index: usize, has_unix: bool) {
    match location {
        Location::Subscriber(_) => methods(out, &["GET", "OPTIONS"]),
        _ => methods(out, &["GET", "POST", "DELETE", "OPTIONS"]),
    }
    // Nchan does not read the body of a GET, and would take it for the next request.
    match location {
        Location::Publisher(_) | Location::Status(_) => {}
        Location::Subscriber(_) => {
            out.line("if ($http_content_length) { return 400; }");
            out.line("if ($http_transfer_encoding) { return 400; }");
        }
        Location::PubSub(_) => out.line("if ($push_get_body) { return 400; }"),
    }
    let Some((publishing, origins)) = location.publishing() else { return };
    if origins != ["*"] {
        out.line(&format!("if ($push_admits_{index} = 0) {{ return 403; }}"));
    }
    // Where tokens will do, too, the application is asked for both.
    let is_signed = location.common().is_some_and(|keys| keys.signed);
    if publishing.secret.is_some() && !is_signed {
        let lines = ["add_header WWW-Authenticate Bearer always;", "return 401;"];
        out.block(&format!("if ($push_bears_{index} = 0)"), &lines);
    }
    let Some(allow) = &publishing.allow else { return };
    if matches!(location, Location::PubSub(_)) {
        return out.line(&format!("if ($push_may_{index} = 0) {{ return 403; }}"));
    }
    for network in allow {
        out.line(&format!("allow {network};"));
    }
    if has_unix && allow.iter().any(|network| has_localhost(network)) {
        out.line("allow unix:;");
    }
    out.line("deny all;");
}

/// Nchan never answers methods that it does not know, and leaves their bodies unread.
fn methods(out: &mut Output, methods: &[&str]) {
    let lines = [&format!("add_header Allow \"{}\" always;", methods.join(", ")), "return 405;"];
    out.block(&format!("if ($request_method !~ \"^({})$\")", methods.join("|")), &lines);
}

/// Whether peers of a Unix socket belong to it: they count as this address.
fn has_localhost(network: &str) -> bool {
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    match network.parse::<IpNet>() {
        Ok(network) => network.contains(&localhost),
        Err(_) => network.parse() == Ok(localhost),
    }
}
