//! Events: what a request asks of what has happened, by its query. Answers nothing.

use super::channel_ids::value_of;
use super::decimal::decimal;

/// Longest time that a request may wait, seconds.
const WAIT_S_MAX: u64 = 30;

/// What a request asks.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct EventsQuestion {
    /// Events behind this one; 0: all that are kept.
    pub(in crate::relay) after: u64,
    /// How long it waits for one, seconds.
    pub(in crate::relay) wait_s: u64,
}

impl EventsQuestion {
    /// Reads a query: `after=N&wait=S`, each 0 where it is missing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::relay) fn of(query: Option<&[u8]>) -> Result<Self, &'static str> {
        let after =
            number(query, b"after").ok_or("after is the number of an event, as next says")?;
        let wait_s = number(query, b"wait").filter(|wait_s| *wait_s <= WAIT_S_MAX);
        Ok(Self { after, wait_s: wait_s.ok_or("wait is a number of seconds from 0 to 30")? })
    }
}

/// The number that a parameter gives first, 0 if none does; `None`: it is no number.
fn number(query: Option<&[u8]>, name: &[u8]) -> Option<u64> {
    let pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
    let value = pairs.filter_map(|pair| value_of(pair, name)).next();
    value.map_or(Some(0), decimal)
}

#[cfg(test)]
mod tests {
    use super::EventsQuestion;

    #[test]
    fn numbers_are_read_and_what_is_none_is_refused() {
        let of = |query: &str| {
            let question = EventsQuestion::of(Some(query.as_bytes()));
            question.map(|EventsQuestion { after, wait_s }| (after, wait_s))
        };
        for (query, wanted) in [
            ("", (0, 0)),
            ("after=12&wait=25", (12, 25)),
            ("wait=30&after=18446744073709551615", (u64::MAX, 30)),
            ("other=x&wait=0", (0, 0)),
        ] {
            assert_eq!(of(query), Ok(wanted), "{query}");
        }
        for query in
            ["after=x", "after=", "after=-1", "wait=31", "wait=1.5", "after=99999999999999999999"]
        {
            assert!(of(query).is_err(), "{query}");
        }
        assert_eq!(EventsQuestion::of(None).map(|one| one.after), Ok(0));
    }
}
