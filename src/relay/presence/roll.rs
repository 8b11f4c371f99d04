//! Roll: members as whoever asks is shown them, in pages. Changes nothing.

use serde::Serialize;

use super::member::Member;
use super::members::{Members, Place};
use crate::relay::location::{group_and_id, id_text};
use crate::relay::request::identity::Identity;

/// Members that are looked at for a page: those that have left are left out.
const LOOKED_AT: usize = 4096;

/// Who is on a channel.
#[derive(Debug, Serialize)]
pub(in crate::relay) struct ChannelRoll<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'p str>,
    /// Instead, where the id is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_base64: Option<String>,
    members: Vec<Shown<'p>>,
    count: usize,
    next: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Shown<'p> {
    member: &'p str,
    user: Option<&'p str>,
    since: u64,
    holds: u32,
    here: bool,
}

/// On which channels a user is.
#[derive(Debug, Serialize)]
pub(in crate::relay) struct UserRoll<'p> {
    user: &'p str,
    channels: Vec<ShownChannel<'p>>,
    next: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ShownChannel<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_base64: Option<String>,
    group: &'p str,
    store: &'p str,
    since: u64,
}

/// Who is on the channel of this name, behind the entry whose number is `after`.
pub(super) fn of_channel<'p>(
    members: &'p Members,
    name: &'p [u8],
    (limit, after): (usize, u64),
) -> ChannelRoll<'p> {
    let (entries, next) = page(members.on_channel(name, after), limit);
    let show = |member: &'p Member| Shown {
        member: member.identity.text(),
        user: member.identity.user_name(),
        since: member.since_s,
        holds: member.holds,
        here: member.holds > 0,
    };
    let (channel, channel_base64) = id(group_and_id(name).1);
    let count = members.present(name);
    let members = entries.into_iter().map(show).collect();
    ChannelRoll { channel, channel_base64, members, count, next }
}

/// On which channels a user is, behind the entry whose number is `after`. `stores`: the names of
/// all stores.
pub(super) fn of_user<'p>(
    members: &'p Members,
    user: &'p Identity,
    (limit, after): (usize, u64),
    stores: &'p [String],
) -> UserRoll<'p> {
    let (entries, next) = page(members.of_identity(user, after), limit);
    let show = |member: &'p Member| {
        let Place { store, group, id: bytes } = members.place_of(member.channel);
        let (channel, channel_base64) = id(bytes);
        let store = stores.get(store).map_or("", String::as_str);
        ShownChannel { channel, channel_base64, group, store, since: member.since_s }
    };
    let channels = entries.into_iter().map(show).collect();
    UserRoll { user: user.user_name().unwrap_or_default(), channels, next }
}

/// The entries of a page, without those that have left; and the number of the last one that was
/// looked at, if there are more behind it.
fn page<'p>(
    entries: impl Iterator<Item = (u64, &'p Member)>,
    limit: usize,
) -> (Vec<&'p Member>, Option<u64>) {
    let (mut page, mut last) = (Vec::new(), None);
    for (seen, (number, member)) in entries.enumerate() {
        if page.len() == limit || seen == LOOKED_AT {
            return (page, last);
        }
        if !member.is_gone {
            page.push(member);
        }
        last = Some(number);
    }
    (page, None)
}

/// An id as text, or else as base64.
fn id(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    let text = id_text(bytes);
    (text.as_ref().ok().copied(), text.err())
}
