//! Presence: reads from a query whose presence is asked for. Knows no member.

use super::form::{pairs, values};
use super::identity::Identity;
use super::page::Page;
use super::revoke::{channel_name, of_user, text};
use crate::http::RequestHead;
use crate::relay::options::StatusOptions;

/// The parameters that the query may have.
const PARAMETERS: [&str; 6] = ["channel", "user", "group", "store", "limit", "after"];

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
        let given = pairs(head.query.unwrap_or_default())?;
        let [channel, user, group, store, limit, after] = values(
            given,
            &PARAMETERS,
            "query",
            |name| {
                format!(
                    "the query has an unknown parameter \"{name}\"; it has channel or user, and may \
                     have group, store, limit and after"
                )
            },
        )?;
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
            (None, Some(user)) => Whose::User(of_user(&user)?),
            _ => return Err("give channel=ID, or user=ID, and not both".to_owned()),
        };
        Ok(Self { whose, page })
    }
}
