//! Channel list: which channels a query asks for. Knows no channel.

use super::form::pairs;
use super::page::Page;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct WhichChannels {
    /// What the ids begin with.
    pub(in crate::relay) prefix: Vec<u8>,
    /// By their slots.
    pub(in crate::relay) page: Page,
}

impl WhichChannels {
    /// Reads the query of a request.
    ///
    /// # Errors
    /// What is wrong with it, and what to send instead.
    pub(in crate::relay) fn of(query: &[u8]) -> Result<Self, String> {
        let (mut prefix, mut limit, mut after) = (Vec::new(), None, None);
        for (name, value) in pairs(query)? {
            match &*name {
                b"prefix" => prefix = value,
                b"limit" => limit = Some(value),
                b"after" => after = Some(value),
                // As for other requests: caches are passed by with `_=1`.
                _ => {}
            }
        }
        Ok(Self { prefix, page: Page::of(limit.as_deref(), after.as_deref())? })
    }
}
