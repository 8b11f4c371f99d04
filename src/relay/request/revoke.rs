//! Revoke: reads from a form whose access is taken back, and to which channel. Takes nothing back.

use super::form::{fields, values};
use super::identity::{Identity, SESSION, SESSION_TEXT_BYTES, USER};
use super::token::USER_BYTES_MAX;
use crate::http::RequestHead;
use crate::relay::location::namespace;
use crate::relay::options::{Limits, StatusOptions};
use crate::store::StoreId;

/// The fields that the form may have.
const FIELDS: [&str; 5] = ["user", "channel", "group", "store", "member"];

/// Whose access is taken back.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct Revoke {
    pub(in crate::relay) identity: Identity,
    /// The namespace and the id of the one channel that is meant; `None`: all.
    pub(in crate::relay) channel: Option<Vec<u8>>,
}

/// How long such a form may be, bytes: more than its fields with every byte encoded.
pub(in crate::relay) fn form_bytes_max(limits: &Limits) -> usize {
    const OTHERS: usize = 8 << 10;
    (OTHERS + 3 * limits.channel_id_bytes).min(limits.body_bytes)
}

impl Revoke {
    /// Reads the form of a request.
    ///
    /// # Errors
    /// What is wrong with it, and what to send instead.
    pub(in crate::relay) fn of(
        head: &RequestHead<'_>,
        body: &[u8],
        options: &StatusOptions,
        limits: &Limits,
    ) -> Result<Self, String> {
        // A misspelled `channel` would take back more than was meant.
        let [user, channel, group, store, member] =
            values(fields(head, body)?, &FIELDS, "form", |name| {
                format!(
                    "the form has an unknown field \"{name}\"; it has user or member, and may have \
                     channel, group and store"
                )
            })?;
        let identity = match (text(user, "user")?, text(member, "member")?) {
            (Some(user), None) => of_user(&user)?,
            (None, Some(member)) => of_member(&member)?,
            (None, None) => return Err("the form has no user; give user=ID".to_owned()),
            (Some(_), Some(_)) => {
                return Err("the form has both user and member; give one".to_owned());
            }
        };
        let (group, store) = (text(group, "group")?, text(store, "store")?);
        let Some(id) = channel else {
            if group.is_some() || store.is_some() {
                return Err("group and store say which channel is meant; give channel".to_owned());
            }
            return Ok(Self { identity, channel: None });
        };
        if id.is_empty() || id.len() > limits.channel_id_bytes {
            return Err("channel is empty or longer than limits.channel_id_bytes".to_owned());
        }
        let name = channel_name(&id, group.as_deref(), store.as_deref(), &options.stores)?;
        Ok(Self { identity, channel: Some(name) })
    }
}

/// Of a user who is named so.
///
/// # Errors
/// Nobody can be.
pub(super) fn of_user(user: &str) -> Result<Identity, String> {
    if user.is_empty() || user.len() > USER_BYTES_MAX {
        return Err(format!("user is empty or has more than {USER_BYTES_MAX} bytes"));
    }
    Ok(Identity::user(user))
}

/// As it is shown where members are.
fn of_member(member: &str) -> Result<Identity, String> {
    if let Some(user) = member.strip_prefix(USER) {
        return of_user(user);
    }
    if member.starts_with(SESSION) && member.len() == SESSION_TEXT_BYTES {
        return Ok(Identity::of_text(member));
    }
    Err("member is neither a user's (u:NAME) nor a session's (s:HASH); nobody else can be told from \
         others who come"
        .to_owned())
}

/// The name of a channel that is given by its id, group and store.
///
/// # Errors
/// There is no such store.
pub(super) fn channel_name(
    id: &[u8],
    group: Option<&str>,
    store: Option<&str>,
    stores: &[String],
) -> Result<Vec<u8>, String> {
    let store = store.unwrap_or("default");
    let Some(place) = stores.iter().position(|name| name == store) else {
        let known = stores.iter().take(STORES_SHOWN).map(|name| format!("{name:?}"));
        let known: Vec<_> = known.collect();
        let known = known.join(", ");
        return Err(format!("no store has the name that store gives; there is {known}"));
    };
    let place = u16::try_from(place).expect("a store's id has 16 bits");
    let mut name = namespace(StoreId(place), group.unwrap_or_default());
    name.extend_from_slice(id);
    Ok(name)
}

/// Of the stores' names.
const STORES_SHOWN: usize = 8;

pub(super) fn text(value: Option<Vec<u8>>, field: &str) -> Result<Option<String>, String> {
    let text = value.map(String::from_utf8).transpose();
    text.map_err(|_| format!("{field} is not UTF-8"))
}
