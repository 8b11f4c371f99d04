//! Revoke: reads from a form whose access is taken back, and to which channel. Takes nothing back.

use super::form::fields;
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
    pub(in crate::relay) user: String,
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
        let mut values: [Option<Vec<u8>>; FIELDS.len()] = Default::default();
        for (name, value) in fields(head, body)? {
            let place = FIELDS.iter().position(|field| field.as_bytes() == name);
            let Some(place) = place else {
                // A misspelled `channel` would take back more than was meant.
                let name = name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii();
                return Err(format!(
                    "the form has an unknown field \"{name}\"; it has user, and may have channel, \
                     group and store"
                ));
            };
            if values[place].replace(value).is_some() {
                return Err(format!("the form gives {} twice", FIELDS[place]));
            }
        }
        let [user, channel, group, store, member] = values;
        if member.is_some() {
            return Err("member is not served by this version; give user".to_owned());
        }
        let user = text(user, "user")?.ok_or("the form has no user; give user=ID")?;
        if user.is_empty() || user.len() > USER_BYTES_MAX {
            return Err(format!("user is empty or has more than {USER_BYTES_MAX} bytes"));
        }
        let (group, store) = (text(group, "group")?, text(store, "store")?);
        let Some(id) = channel else {
            if group.is_some() || store.is_some() {
                return Err("group and store say which channel is meant; give channel".to_owned());
            }
            return Ok(Self { user, channel: None });
        };
        if id.is_empty() || id.len() > limits.channel_id_bytes {
            return Err("channel is empty or longer than limits.channel_id_bytes".to_owned());
        }
        let store = store.as_deref().unwrap_or("default");
        let Some(place) = options.stores.iter().position(|name| name == store) else {
            let known = options.stores.iter().take(STORES_SHOWN).map(|name| format!("{name:?}"));
            let known: Vec<_> = known.collect();
            return Err(format!(
                "no store has the name that store gives; there is {}",
                known.join(", ")
            ));
        };
        let place = u16::try_from(place).expect("a store's id has 16 bits");
        let mut name = namespace(StoreId(place), &group.unwrap_or_default());
        name.extend_from_slice(&id);
        Ok(Self { user, channel: Some(name) })
    }
}

/// Of a field's name, in an answer.
const NAME_BYTES_SHOWN: usize = 40;

/// Of the stores' names.
const STORES_SHOWN: usize = 8;

fn text(value: Option<Vec<u8>>, field: &str) -> Result<Option<String>, String> {
    let text = value.map(String::from_utf8).transpose();
    text.map_err(|_| format!("{field} is not UTF-8"))
}
