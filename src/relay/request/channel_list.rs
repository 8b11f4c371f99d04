//! Channel list: which page of all channels a query asks for. Knows no channel.

use super::form::pairs;

/// Channels of a page where the query does not say how many, and the most that it may ask for.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct Page {
    /// What the ids begin with.
    pub(in crate::relay) prefix: Vec<u8>,
    /// Most channels.
    pub(in crate::relay) limit: usize,
    /// The slot that it begins with.
    pub(in crate::relay) after: usize,
}

impl Page {
    /// Reads the query of a request.
    ///
    /// # Errors
    /// What is wrong with it, and what to send instead.
    pub(in crate::relay) fn of(query: &[u8]) -> Result<Self, &'static str> {
        let mut page = Self { prefix: Vec::new(), limit: LIMIT, after: 0 };
        for (name, value) in pairs(query)? {
            let number = || std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            match &*name {
                b"prefix" => page.prefix = value,
                b"limit" => {
                    let limit = number().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    page.limit = limit.ok_or("limit is to be a number from 1 to 1000")?;
                }
                b"after" => {
                    page.after = number().ok_or("after is to be the next of the page before")?;
                }
                // As for other requests: caches are passed by with `_=1`.
                _ => {}
            }
        }
        Ok(page)
    }
}
