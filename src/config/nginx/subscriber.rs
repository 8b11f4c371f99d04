//! nginx subscriber: the directives of a location that gives messages. Decides nothing of who may
//! subscribe.

use super::super::settings::{
    Common, FirstMessage, Location, NamedFirst, PassthroughEvents, Settings, Subscribing, Transport,
};
use super::{CHANNEL, Output, access_control, channel, quoted, whole_seconds};
use crate::hub::options::Concurrency;
use crate::message::Delivery;

/// Most newest messages that Nchan begins at.
const FIRST_MAX: i32 = 32;

/// Most channels of one subscription in Nchan.
const CHANNELS_MAX: usize = 255;

/// Writes them, with the location's channel, if the location gives messages; says whether it does.
pub(super) fn directives(
    out: &mut Output,
    settings: &Settings,
    location: &Location,
    common: &Common,
) -> bool {
    let Some(keys) = location.subscribing() else { return false };
    transports(out, keys);
    channels(out, settings, location, common);
    if !keys.create_on_get {
        out.note("An unknown channel is answered 403, not 404.");
        out.line("nchan_subscribe_existing_channels_only on;");
    }
    // A cursor whose message has expired ends a worker process of Nchan 1.3.6, and the `since` of a
    // page that was just rendered often is one: read, it would end a worker for each such page.
    out.note("since in the query is not read: a cursor of an expired message ends a worker.");
    first_message(out, keys.first_message);
    times(out, keys);
    if keys.max_subscribers > 0 {
        out.line(&format!("nchan_max_channel_subscribers {};", keys.max_subscribers));
    }
    match keys.concurrency {
        Concurrency::Broadcast => {}
        Concurrency::Last => out.note("concurrency last: nginx cannot; it always broadcasts."),
        Concurrency::First => out.note("concurrency first: nginx cannot; it always broadcasts."),
    }
    let origins = match location {
        Location::Subscriber(subscriber) => subscriber.allow_origin.list(),
        _ => location.publishing().map_or(&[][..], |(_, origins)| origins),
    };
    if origins != ["*"] {
        out.note("Web pages of other origins are answered 403.");
    }
    if matches!(location, Location::Subscriber(_)) || !origins.is_empty() {
        access_control(out, origins, keys.allow_credentials);
    }
    if keys.presence == Some(true) || keys.passthrough_events == PassthroughEvents::Debounced {
        out.note("presence: Nchan cannot; it tells of no polls, and knows no members");
    }
    if keys.passthrough.is_some() {
        out.note("passthrough: nginx cannot; Nchan calls nchan_subscribe_request and");
        out.note("nchan_unsubscribe_request for EventSource and WebSocket, but not for polls.");
    }
    true
}

/// Whether nginx has a variable for the parameter of the location's `query`, if that has one.
pub(super) fn is_query_written(location: &Location) -> bool {
    let Location::Subscriber(subscriber) = location else { return true };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    subscriber.query.as_ref().is_none_or(|name| name.bytes().all(is_plain))
}

fn serves(keys: &Subscribing, transport: Transport) -> bool {
    keys.transports.contains(&transport)
}

/// In a fixed order, however the setting lists them. `nchan_pubsub` would serve further ones.
fn transports(out: &mut Output, keys: &Subscribing) {
    let poll = match keys.polling {
        Delivery::LongPoll | Delivery::Stream => "longpoll",
        Delivery::IntervalPoll => "intervalpoll",
    };
    let names = [
        (Transport::WebSocket, "websocket"),
        (Transport::EventSource, "eventsource"),
        (Transport::Poll, poll),
    ];
    let served = names.iter().filter(|(transport, _)| serves(keys, *transport));
    let served: Vec<&str> = served.map(|(_, name)| *name).collect();
    out.line(&format!("nchan_subscriber {};", served.join(" ")));
    // What a http block may have switched on; both hold events back.
    out.line("gzip off;");
}

/// The ids: one, a list, or a parameter of the query.
fn channels(out: &mut Output, settings: &Settings, location: &Location, common: &Common) {
    let Location::Subscriber(subscriber) = location else {
        return channel(out, settings, common, CHANNEL);
    };
    if let Some(name) = &subscriber.query {
        out.note("nginx takes the first id of the query only, and does not decode it.");
        out.line(&format!("if ($arg_{name} = \"\") {{ return 400; }}"));
        return channel(out, settings, common, &format!("arg_{name}"));
    }
    channel(out, settings, common, CHANNEL);
    let Some(delimiter) = &subscriber.delimiter else { return };
    let limits = &settings.limits;
    out.note(
        "An encoded delimiter splits, too; a cursor has a tag for each channel, by its place.",
    );
    out.line(&format!("nchan_channel_id_split_delimiter {};", quoted(delimiter)));
    if limits.channels_per_request != CHANNELS_MAX {
        out.note(&format!("channels_per_request: nginx takes up to {CHANNELS_MAX}."));
    }
    let bytes = limits.channel_id_bytes.saturating_mul(limits.channels_per_request);
    out.line(&format!("nchan_max_channel_id_length {bytes};"));
}

fn first_message(out: &mut Output, first: FirstMessage) {
    let first = match first {
        // As without the directive.
        FirstMessage::Named(NamedFirst::Oldest) => return,
        FirstMessage::Named(NamedFirst::Newest) => "newest".to_owned(),
        FirstMessage::Last(minus) if minus < -FIRST_MAX => {
            out.note(&format!("first_message {minus}: Nchan begins at the newest 32 at most."));
            format!("-{FIRST_MAX}")
        }
        FirstMessage::Last(minus) => minus.to_string(),
    };
    out.line(&format!("nchan_subscriber_first_message {first};"));
}

/// Timeouts of polls, which streams have none of, and pings of streams.
fn times(out: &mut Output, keys: &Subscribing) {
    let holds = serves(keys, Transport::Poll) && keys.polling == Delivery::LongPoll;
    if holds {
        out.note("At the timeout Nchan answers 408, not 304.");
        whole_seconds(out, "nchan_subscriber_timeout", keys.timeout);
    }
    let ends = holds && keys.timeout.milliseconds() > 0;
    let pings = keys.ping_interval.milliseconds() > 0;
    if serves(keys, Transport::EventSource) {
        if pings {
            whole_seconds(out, "nchan_eventsource_ping_interval", keys.ping_interval);
            out.line("nchan_eventsource_ping_event \"\";");
        }
        let mut lines = vec![
            "add_header X-Accel-Buffering no;",
            "add_header Cache-Control \"no-store, no-transform\";",
        ];
        lines.extend(ends.then_some("nchan_subscriber_timeout 0;"));
        out.block("if ($http_accept ~* \"text/event-stream\")", &lines);
    }
    if serves(keys, Transport::WebSocket) {
        if pings {
            whole_seconds(out, "nchan_websocket_ping_interval", keys.ping_interval);
        }
        if ends {
            out.line("if ($http_upgrade ~* \"websocket\") { nchan_subscriber_timeout 0; }");
        }
    }
}
