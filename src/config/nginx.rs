//! nginx configuration: writes the settings as directives of nginx and Nchan (version 1.3.6), so
//! that production behaves as development did. Reads and writes no file.
//!
//! Where nginx cannot do what a setting says, a comment in the output says so. Every value either
//! consists of harmless characters or is quoted here. nginx cannot quote a `$`, so values with one
//! are percent-encoded.

mod admission;
mod authorize;
mod pattern;
mod publisher;
mod redis;
mod subscriber;
mod tls;
mod upstream;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::problem::Error;
use super::seconds::Seconds;
use super::settings::{Common, Settings, Store, Stores};
use crate::hub::options::StoreOptions;
use crate::net::options::Listen;

/// Name of the capture group of a location. It has a name because an `if` would overwrite `$1`.
const CHANNEL: &str = "push_channel";

/// The text of a file for nginx's `http` block.
///
/// # Errors
/// The port is 0: nginx cannot choose one.
pub(super) fn configuration(
    settings: &Settings,
    stores: &[StoreOptions],
    listen: &[Listen],
) -> Result<String, Error> {
    let mut out = Output { text: HEAD.to_owned(), indent: 0 };
    if settings.limits.connections.is_some() {
        out.note("limits.connections is worker_connections, which belongs to the events block.");
    }
    out.line("");
    let has_unix = listen.iter().any(|address| matches!(address, Listen::Unix(_)));
    admission::variables(&mut out, settings, has_unix);
    upstream::connection(&mut out, settings);
    memory(&mut out, settings);
    redis::upstreams(&mut out, settings, stores);
    out.line("");
    out.line("server {");
    out.indent = 1;
    let files = tls::files(settings, &mut out);
    let ssl = if files.is_some() { "ssl " } else { "" };
    for address in listen {
        out.line(&format!("listen {} {ssl}backlog=4096;", listen_address(address)?));
    }
    if let Some(files) = files {
        tls::directives(settings, files, &mut out);
    }
    server(&mut out, settings);
    for (index, location) in settings.locations.iter().enumerate() {
        out.line("");
        out.note(&format!("locations[{index}]"));
        let Some(common) = location.common() else {
            out.note("Left out: nginx tells nobody how it is, and has no tokens to take back.");
            continue;
        };
        let Some(expression) = pattern::of(common, CHANNEL) else {
            out.note("Left out: nginx has no expression for the same paths as this url.");
            continue;
        };
        if !subscriber::is_query_written(location) {
            out.note("Left out: nginx has no variable for a query parameter of this name.");
            continue;
        }
        pattern::notes(common).into_iter().for_each(|note| out.note(note));
        out.line(&format!("location ~ \"{expression}\" {{"));
        out.indent = 2;
        admission::directives(&mut out, location, index, has_unix);
        authorize::directives(&mut out, common);
        publisher::directives(&mut out, settings, location, common);
        if !subscriber::directives(&mut out, settings, location, common) {
            channel(&mut out, settings, common, CHANNEL);
        }
        out.indent = 1;
        out.line("}");
    }
    authorize::server(&mut out, settings);
    out.line("");
    upstream::all_else(&mut out, settings);
    out.indent = 0;
    out.line("}");
    Ok(out.text)
}

const HEAD: &str = "\
# nginx with Nchan, made by `pushserver --nginx-config`: do not edit, make it again.
# Belongs into the http block: on Debian, /etc/nginx/conf.d/pushserver.conf.
#
# What no setting can make alike is in docs/protocol.md, \"Where Nchan differs\"; what of these
# settings nginx cannot do is said below, where it would stand. For all of them:
# - Locations are matched with the path percent-decoded, so %2F is a slash, not part of an id, and
#   each character matches encoded or not.
# - No message says X-Push-Gap, and a channel that is deleted begins its tags at 0.
# - An event stream has no retry and no push:end, a WebSocket no codes 4409 and 4410, and both no
#   gaps.
# - PUT is refused here, because Nchan publishes an empty message for it; HEAD, because Nchan
#   never answers it.
# - The Server header is nginx's. The number of headers, of channels and of pipelined requests is
#   not limited.
";

/// The text so far, and the depth of its open blocks.
struct Output {
    text: String,
    indent: usize,
}

impl Output {
    fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.extend(std::iter::repeat_n("    ", self.indent));
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn note(&mut self, note: &str) {
        self.line(&format!("# {note}"));
    }

    fn block(&mut self, head: &str, lines: &[impl AsRef<str>]) {
        self.line(&format!("{head} {{"));
        self.indent += 1;
        lines.iter().for_each(|line| self.line(line.as_ref()));
        self.indent -= 1;
        self.line("}");
    }
}

fn listen_address(address: &Listen) -> Result<String, Error> {
    match address {
        Listen::Tcp(address) if address.port() == 0 => {
            Err(Error("nginx cannot pick a free port; set \"port\"".to_owned()))
        }
        Listen::Tcp(address) => Ok(address.to_string()),
        Listen::Unix(_) => Ok(quoted(&address.to_string())),
    }
}

/// As an expression: plain keys of a map are compared in any case, and `\x24` is no variable.
fn literal(text: &str) -> String {
    let mut expression = String::new();
    text.bytes().for_each(|byte| pattern::plain_or_escaped(&mut expression, byte, b"-_:/"));
    expression
}

fn budget(store: &Store) -> usize {
    match store {
        Store::Memory(store) => store.max_memory,
        Store::Redis(store) => store.cache,
    }
}

fn memory(out: &mut Output, settings: &Settings) {
    let stores = settings.stores();
    let bytes = stores.iter().map(|store| budget(store)).fold(0_usize, usize::saturating_add);
    // Nchan needs room for channels and subscribers, too, and refuses less than a few pages.
    let mebibytes = (bytes.saturating_mul(2) >> 20).clamp(32, 1 << 20);
    out.note("Twice max_memory, or cache, of all stores together: Nchan keeps more beside each");
    out.note("message. When it is full Nchan refuses new messages, where pushserver lets the");
    out.note("oldest go.");
    out.line(&format!("nchan_shared_memory_size {mebibytes}m;"));
    if stores.iter().any(|store| store.memory().is_some_and(|store| store.persist.is_some())) {
        out.note("persist: Nchan keeps no files; its messages outlive a restart in Redis alone.");
    }
}

fn server(out: &mut Output, settings: &Settings) {
    let limits = &settings.limits;
    if !settings.hosts.is_empty() {
        out.note("hosts: nginx serves every name.");
    }
    out.line("server_name _;");
    out.line("server_tokens off;");
    out.line("merge_slashes off;");
    let uri_bytes = limits.head.uri_bytes.max(1024);
    let buffers = limits.head.header_bytes.div_ceil(uri_bytes).max(2);
    out.line(&format!("large_client_header_buffers {buffers} {uri_bytes};"));
    out.line(&format!("client_header_timeout {};", time(limits.header_timeout)));
    out.line(&format!("client_body_timeout {};", time(limits.body_timeout)));
    out.line(&format!("client_max_body_size {};", limits.body_bytes));
    out.line(&format!("send_timeout {};", time(limits.write_timeout)));
    out.line(&format!("keepalive_timeout {};", time(limits.keepalive_timeout)));
    // Its default, 1000, would cut long polls that live on one connection.
    out.line("keepalive_requests 1000000;");
    out.line(&format!("nchan_max_channel_id_length {};", limits.channel_id_bytes));
}

/// `variable`: has the channel ids.
fn channel(out: &mut Output, settings: &Settings, common: &Common, variable: &str) {
    redis::pass(out, settings, common);
    out.line(&format!("nchan_channel_id ${variable};"));
    let group = group(settings, common);
    if !group.is_empty() {
        out.line(&format!("nchan_channel_group \"{group}\";"));
    }
    if let Some(store) = store(settings, common) {
        whole_seconds(out, "nchan_channel_timeout", store.kept().channel_timeout);
    }
}

/// The store's name, if stores have names, and the location's group, each encoded, so that no two
/// pairs look alike and nothing in them is special to nginx or to Nchan.
fn group(settings: &Settings, common: &Common) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    let group = utf8_percent_encode(&common.channel_group, PLAIN);
    match &settings.store {
        Stores::Named(stores) if stores.len() > 1 => {
            format!("{}+{group}", utf8_percent_encode(&common.store, PLAIN))
        }
        _ => group.to_string(),
    }
}

fn access_control(out: &mut Output, origins: &[String], credentials: bool) {
    out.line(&format!("nchan_access_control_allow_origin {};", quoted(&origins.join(" "))));
    let credentials = if credentials { "on" } else { "off" };
    out.line(&format!("nchan_access_control_allow_credentials {credentials};"));
}

fn store<'s>(settings: &'s Settings, common: &Common) -> Option<&'s Store> {
    match &settings.store {
        Stores::One(store) => Some(store),
        Stores::Named(stores) => stores.get(&common.store),
    }
}

/// A directive that takes whole seconds, rounded up; 0 is "never" on both sides.
fn whole_seconds(out: &mut Output, directive: &str, seconds: Seconds) {
    let ms = seconds.milliseconds();
    if !ms.is_multiple_of(1000) {
        out.note("Nchan takes whole seconds: rounded up.");
    }
    out.line(&format!("{directive} {}s;", ms.div_ceil(1000)));
}

fn time(seconds: Seconds) -> String {
    match seconds.milliseconds() {
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// As one argument of nginx. A value with a `$` would be taken for one with a variable: none that
/// comes here can have one where nginx looks for them.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
