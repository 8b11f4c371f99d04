//! Overview: what `status` answers, as lines or as JSON.

use std::fmt::Write;

use crate::figures::Figures;
use crate::figures::json::Fields;
use crate::relay::location::{Location, group_and_id};
use crate::relay::step::Step;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The lines of Nchan's `nchan_stub_status` that there is something to say to, and the version.
pub(super) fn lines(figures: &Figures) -> String {
    let (hub, kib) = (&figures.hub, |bytes: u64| bytes.div_ceil(1024));
    format!(
        "total published messages: {}\nstored messages: {}\nshared memory used: {}K\n\
         shared memory limit: {}K\nchannels: {}\nsubscribers: {}\npushserver version: {VERSION}\n",
        figures.relay.published,
        hub.messages,
        kib(hub.message_bytes),
        kib(hub.store_limit_bytes),
        hub.channels,
        hub.held,
    )
}

/// Every figure, and where they are to be shown the locations in the order of the settings.
pub(super) fn json(
    figures: &Figures,
    (with_locations, stores): (bool, &[String]),
    step: &Step<'_>,
) -> String {
    let instance = &step.effects.instance;
    let begin = format_args!("{{\"version\": \"{VERSION}\", \"instance\": \"{instance}\"");
    let mut out = format!("{begin}, {}", Fields(figures));
    if with_locations {
        out.push_str(", \"locations\": [");
        for (index, location) in step.site.routes.locations().enumerate() {
            out.push_str(if index == 0 { "" } else { ", " });
            write_location(&mut out, location, stores);
        }
        out.push(']');
    }
    out.push_str("}\n");
    out
}

fn write_location(out: &mut String, location: &Location, stores: &[String]) {
    let text = |text: &str| serde_json::Value::from(text);
    let (group, _) = group_and_id(&location.namespace);
    let store = stores.get(location.store.index()).map_or("", String::as_str);
    let written = write!(
        out,
        "{{\"type\": \"{}\", \"pattern\": {}, \"group\": {}, \"store\": {}, \"requests\": {}}}",
        location.role.name(),
        text(&location.pattern),
        text(&String::from_utf8_lossy(group)),
        text(store),
        location.requests.get(),
    );
    written.expect("memory takes all");
}
