//! Presence: reads from a query whose presence is asked for. Knows no member.

use super::form::pairs;
use super::identity::Identity;
use super::page::Page;
use super::revoke::{channel_name, text};
use super::token::USER_BYTES_MAX;
use crate::http::RequestHead;
use crate::relay::options::StatusOptions;

/// The parameters that the query may have.
const PARAMETERS: [&str; 6] = ["channel", "user", "group", "store", "limit", "after"];

/// Of a parameter's name, in an answer.
const NAME_BYTES_SHOWN: usize = 40;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct WhoIsThere {
    pub(in crate::relay) whose: Whose,
    pub(in crate::relay) page: Page,
}

/// Whose presence.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) enum Whose {
    /// Who is on the channel of this name.
    Channel(Vec<u8>),
    /// Where a user is.
    User(Identity),
}

impl WhoIsThere {
    /// Reads the query of a request.
    ///
    /// # Errors
    /// What is wrong with it, and what to ask instead.
    pub(in crate::relay) fn of(
        head: &RequestHead<'_>,
        options: &StatusOptions,
    ) -> Result<Self, String> {
        let mut values: [Option<Vec<u8>>; PARAMETERS.len()] = Default::default();
        for (name, value) in pairs(head.query.unwrap_or_default())? {
            let place = PARAMETERS.iter().position(|one| one.as_bytes() == name);
            let Some(place) = place else {
                let name = name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii();
                return Err(format!(
                    "the query has an unknown parameter \"{name}\"; it has channel or user, and may \
                     have group, store, limit and after"
                ));
            };
            if values[place].replace(value).is_some() {
                return Err(format!("the query gives {} twice", PARAMETERS[place]));
            }
        }
        let [channel, user, group, store, limit, after] = values;
        let page = Page::of(limit.as_deref(), after.as_deref())?;
        let user = text(user, "user")?;
        let whose = match (channel, user) {
            (Some(id), None) if id.is_empty() => return Err("channel is empty".to_owned()),
            (Some(id), None) => {
                let (group, store) = (text(group, "group")?, text(store, "store")?);
                let stores = &options.stores;
                let name = channel_name(&id, group.as_deref(), store.as_deref(), stores)?;
                Whose::Channel(name)
            }
            (None, Some(_)) if group.is_some() || store.is_some() => {
                return Err("group and store say which channel is meant; give channel".to_owned());
            }
            (None, Some(user)) if user.is_empty() || user.len() > USER_BYTES_MAX => {
                return Err(format!("user is empty or has more than {USER_BYTES_MAX} bytes"));
            }
            (None, Some(user)) => Whose::User(Identity::user(&user)),
            _ => return Err("give channel=ID, or user=ID, and not both".to_owned()),
        };
        Ok(Self { whose, page })
    }
}
