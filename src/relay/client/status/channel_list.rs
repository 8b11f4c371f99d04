//! Channel list: answers which channels there are, a bounded part of all at a time.

use std::io::Write;

use serde_json::to_writer;

use crate::http::RequestHead;
use crate::hub::Information;
use crate::relay::client::Client;
use crate::relay::client::telling::{JSON, refuse, tell};
use crate::relay::location::{group_and_id, id_text};
use crate::relay::options::StatusOptions;
use crate::relay::render::Reply;
use crate::relay::request::channel_list::WhichChannels;
use crate::relay::step::Step;
use crate::store::Listed;

/// Slots that are looked at for one page: less than a millisecond.
const SLOTS_MAX: usize = 4096;

/// A page ends behind so many bytes: long ids, of which there are many, fill no memory.
const BYTES_MAX: usize = 256 << 10;

/// Answers with a page of the channels, in the order of their slots: each keeps its own for as long
/// as it lives, so one that lives throughout comes once.
pub(super) fn list(
    client: &mut Client,
    reply: &Reply,
    options: &StatusOptions,
    head: &RequestHead<'_>,
    step: &mut Step<'_>,
) {
    match WhichChannels::of(head.query.unwrap_or_default()) {
        Ok(which) => {
            let json = json_of(&which, &options.stores, step);
            tell(client, reply, (JSON, &json), step);
        }
        Err(text) => refuse(client, reply, 400, &text, step),
    }
}

fn json_of(which: &WhichChannels, stores: &[String], step: &Step<'_>) -> Vec<u8> {
    let WhichChannels { prefix, page } = which;
    let slots = step.hub.channel_slots();
    let mut out = b"{\"channels\": [".to_vec();
    let after = usize::try_from(page.after).unwrap_or(usize::MAX);
    let (mut slot, mut found) = (after, 0);
    let end = slots.min(slot.saturating_add(SLOTS_MAX));
    while slot < end && found < page.limit && out.len() < BYTES_MAX {
        if let Some((listed, information)) = step.hub.channel_at(slot, step.now)
            && let (group, id) = group_and_id(listed.name)
            && id.starts_with(prefix)
        {
            out.extend_from_slice(if found == 0 { b"" } else { b", " });
            let store = stores.get(listed.store.index()).map_or("", String::as_str);
            write_channel(&mut out, (id, group, store), listed, information);
            if let Some(presence) = &step.effects.presence {
                let members = presence.present(listed.name);
                write(&mut out, format_args!(", \"members\": {members}"));
            }
            out.push(b'}');
            found += 1;
        }
        slot += 1;
    }
    let next = if slot < slots { slot.to_string() } else { "null".to_owned() };
    write(&mut out, format_args!("], \"next\": {next}}}\n"));
    out
}

fn write_channel(
    out: &mut Vec<u8>,
    (id, group, store): (&[u8], &[u8], &str),
    Listed { bytes, .. }: Listed<'_>,
    information: Information,
) {
    match id_text(id) {
        Ok(id) => write_text(out, "{\"id\": ", id),
        Err(base64) => write_text(out, "{\"id_base64\": ", &base64),
    }
    write_text(out, ", \"group\": ", &String::from_utf8_lossy(group));
    write_text(out, ", \"store\": ", store);
    let Information { messages, requested, subscribers, last_message_id: last } = information;
    let requested = requested.map_or_else(|| "null".to_owned(), |ago_s| ago_s.to_string());
    write(
        out,
        format_args!(
            ", \"messages\": {messages}, \"bytes\": {bytes}, \"subscribers\": {subscribers}, \
             \"requested\": {requested}, \"last_message_id\": \"{}:{}\"",
            last.time, last.tag
        ),
    );
}

fn write_text(out: &mut Vec<u8>, before: &str, text: &str) {
    out.extend_from_slice(before.as_bytes());
    to_writer(out, text).expect("a text is written to memory");
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes all");
}
