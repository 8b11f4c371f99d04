//! Voice: what the operator reads of a link: one line at each change of state, at most one in a
//! second, and each warning once. Never a password.

use super::greeting::Warning;
use crate::store::redis::options::Address;
use crate::store::redis::reason::Reason;

/// Between two lines, milliseconds.
const PAUSE_MS: u64 = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct Voice {
    /// The name of the store.
    store: String,
    /// What was said last, and when, milliseconds.
    said: Option<(Line, u64)>,
    /// What is so since then, and when it may be said, milliseconds.
    unsaid: Option<(Line, u64)>,
    /// The link was refused for want of rights: it may be up for no more than a command.
    is_wary: bool,
    warned: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    node: String,
    /// `None`: it is up.
    away: Option<String>,
}

impl Voice {
    pub(super) fn new(store: String) -> Self {
        Self { store, said: None, unsaid: None, is_wary: false, warned: Vec::new() }
    }

    /// The link is up.
    pub(super) fn up(&mut self, node: &Address, warnings: Vec<Warning>, now_ms: u64) {
        let from_ms = if self.is_wary { now_ms + PAUSE_MS } else { now_ms };
        self.say(Line { node: node.to_string(), away: None }, from_ms, now_ms);
        for warning in warnings {
            if self.warned.contains(&warning) || self.warned.len() >= WARNINGS_MAX {
                continue;
            }
            let store = &self.store;
            match &warning {
                Warning::Evicts(policy) => log::warn!(
                    "event=redis_evicts store={store} node={node}: maxmemory-policy is {policy}, \
                     so that messages and cursors may be lost: set it to noeviction"
                ),
                Warning::Old(version) => log::warn!(
                    "event=redis_old store={store} node={node}: version {version}, \
                     6.2 or newer is needed"
                ),
            }
            self.warned.push(warning);
        }
    }

    /// The link is not up.
    pub(super) fn down(&mut self, node: Option<&Address>, reason: &Reason, now_ms: u64) {
        let node = node.map(Address::to_string).unwrap_or_default();
        self.is_wary = reason.is_of_rights();
        self.say(Line { node, away: Some(reason.to_string()) }, now_ms, now_ms);
    }

    /// Says what could not be said before.
    pub(super) fn handle_timeout(&mut self, now_ms: u64) {
        if let Some((line, _)) = self.unsaid.take_if(|(_, due_ms)| now_ms >= *due_ms) {
            self.say(line, now_ms, now_ms);
        }
    }

    /// When [`Voice::handle_timeout`] has something to do, milliseconds.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.unsaid.as_ref().map(|(_, due_ms)| *due_ms)
    }

    /// Says a line from that time on, unless another takes its place before.
    fn say(&mut self, line: Line, from_ms: u64, now_ms: u64) {
        self.unsaid = None;
        let mut due_ms = from_ms;
        if let Some((said, said_ms)) = &self.said {
            if *said == line {
                return;
            }
            due_ms = due_ms.max(said_ms + PAUSE_MS);
        }
        if now_ms < due_ms {
            self.unsaid = Some((line, due_ms));
            return;
        }
        let (store, node) = (&self.store, &line.node);
        match &line.away {
            None => log::info!("event=redis_up store={store} node={node}"),
            Some(cause) => log::warn!("event=redis_away store={store} node={node} cause={cause:?}"),
        }
        self.said = Some((line, now_ms));
    }
}

/// A server that changes its mind is warned of so often.
const WARNINGS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_said_once_and_at_most_one_in_a_second() {
        let node = Address::Tcp("a".into(), 1);
        let mut voice = Voice::new("default".into());
        let said = |voice: &Voice| {
            let (line, ms) = voice.said.as_ref().expect("it has spoken");
            (line.away.is_none(), *ms)
        };
        let closed = Reason::Closed("reset".into());
        voice.up(&node, vec![], 0);
        assert_eq!(said(&voice), (true, 0));
        voice.down(Some(&node), &closed, 100);
        assert_eq!((said(&voice), voice.poll_timeout()), ((true, 0), Some(1000)));
        voice.handle_timeout(999);
        assert_eq!(said(&voice), (true, 0));
        voice.handle_timeout(1000);
        assert_eq!((said(&voice), voice.poll_timeout()), ((false, 1000), None));
        voice.down(Some(&node), &closed, 9000);
        assert_eq!(said(&voice), (false, 1000), "nothing has changed");
        // Up and down again within the second: nothing has changed.
        voice.up(&node, vec![], 1100);
        voice.down(Some(&node), &closed, 1200);
        assert_eq!(voice.poll_timeout(), None);
    }
    #[test]
    fn who_lacks_a_right_is_not_said_to_be_up_until_that_has_lasted() {
        let node = Address::Tcp("a".into(), 1);
        let mut voice = Voice::new("default".into());
        let refused = Reason::Rights("NOPERM".into());
        voice.down(Some(&node), &refused, 0);
        for now_ms in [1100, 2200, 3300] {
            voice.up(&node, vec![], now_ms);
            voice.down(Some(&node), &refused, now_ms + 1);
        }
        assert_eq!(voice.said.as_ref().map(|(_, ms)| *ms), Some(0));
        voice.up(&node, vec![], 4400);
        assert_eq!(voice.poll_timeout(), Some(5400));
        voice.handle_timeout(5400);
        assert!(voice.said.is_some_and(|(line, ms)| line.away.is_none() && ms == 5400));
    }
}
