//! Page: which part of a long list is asked for. Pure; knows no list.

use super::decimal::decimal;

/// Entries of a page where the request does not say it, and most of them.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Page {
    /// Entries at most.
    pub(in crate::relay) limit: usize,
    /// The `next` of the page before; 0: it is the first.
    pub(in crate::relay) after: u64,
}

impl Page {
    /// Of the values of `limit` and `after`.
    ///
    /// # Errors
    /// What they may be.
    pub(super) fn of(limit: Option<&[u8]>, after: Option<&[u8]>) -> Result<Self, String> {
        let limit = limit.map_or(Some(LIMIT as u64), decimal);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let limit = limit.ok_or_else(|| format!("limit is a number from 1 to {LIMIT_MAX}"))?;
        let after = after.map_or(Some(0), decimal);
        let after = after.ok_or("after is the number that the page before gives as next")?;
        Ok(Self { limit, after })
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn a_page_has_a_hundred_entries_or_as_many_as_it_is_asked_for_up_to_a_thousand() {
        assert_eq!(Page::of(None, None), Ok(Page { limit: 100, after: 0 }));
        assert_eq!(Page::of(Some(b"1000"), Some(b"7")), Ok(Page { limit: 1000, after: 7 }));
        for wrong in ["0", "1001", "", "-1", "+1", "1.0", "99999999999999999999"] {
            assert!(Page::of(Some(wrong.as_bytes()), None).is_err(), "{wrong}");
        }
        for wrong in ["", "-1", "x", "99999999999999999999"] {
            assert!(Page::of(None, Some(wrong.as_bytes())).is_err(), "{wrong}");
        }
    }
}
