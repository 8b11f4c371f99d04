//! Holders: which connections have a request of a user or a session, as tokens and cookies say, and
//! which of them are to be ended. Others are not here. Ends nothing itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::conn_key::ConnKey;
use super::names::Names;
use super::request::identity::Identity;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// In the order of their keys, so that a run can be repeated.
    by_identity: HashMap<Identity, BTreeMap<ConnKey, Channels>>,
    identities: BTreeMap<ConnKey, Identity>,
    /// Those whose access was taken back.
    revoked: BTreeSet<ConnKey>,
}

/// The names of a request's channels.
#[derive(Debug)]
enum Channels {
    /// Apart: to look at thousands of them takes the less time.
    One(Box<[u8]>),
    More(Box<[Box<[u8]>]>),
}

impl Channels {
    fn of(names: &Names) -> Self {
        match names.len() {
            1 => Self::One(names.first().into()),
            _ => Self::More(names.iter().map(Into::into).collect()),
        }
    }

    fn have(&self, name: &[u8]) -> bool {
        match self {
            Self::One(one) => **one == *name,
            Self::More(more) => more.iter().any(|one| **one == *name),
        }
    }
}

impl Holders {
    /// A connection has a request of this user or session, for these channels.
    pub(super) fn enter(&mut self, identity: Identity, conn: ConnKey, names: &Names) {
        let known = self.by_identity.get_key_value(&identity).map(|(known, _)| known.clone());
        let identity = known.unwrap_or(identity);
        self.identities.insert(conn, identity.clone());
        self.by_identity.entry(identity).or_default().insert(conn, Channels::of(names));
    }

    /// The request of a connection is over, whether it is one of these or not.
    pub(super) fn leave(&mut self, conn: ConnKey) {
        let Some(identity) = self.identities.remove(&conn) else { return };
        self.revoked.remove(&conn);
        if let Some(conns) = self.by_identity.get_mut(&identity) {
            conns.remove(&conn);
            if conns.is_empty() {
                self.by_identity.remove(&identity);
            }
        }
    }

    /// The requests of a user or a session are to be ended: those for a channel of this name, or
    /// all. Gives how many they are.
    pub(super) fn revoke(&mut self, identity: &Identity, channel: Option<&[u8]>) -> usize {
        let Some(conns) = self.by_identity.get(identity) else { return 0 };
        let is_meant = |channels: &Channels| channel.is_none_or(|name| channels.have(name));
        let meant = conns.iter().filter(|(_, channels)| is_meant(channels)).map(|(conn, _)| *conn);
        let before = self.revoked.len();
        // Made at once of what is in order, and not one by one: several times as fast.
        self.revoked.append(&mut meant.collect());
        self.revoked.len() - before
    }

    /// The next connection whose request is to be ended; it stays here until it leaves.
    pub(super) fn next_revoked(&mut self) -> Option<ConnKey> {
        self.revoked.pop_first()
    }

    /// Whether the request of a connection is to be ended.
    pub(super) fn is_revoked(&self, conn: ConnKey) -> bool {
        self.revoked.contains(&conn)
    }

    /// Whether some are to be ended.
    pub(super) fn has_revoked(&self) -> bool {
        !self.revoked.is_empty()
    }

    /// Connections with such a request.
    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether a connection has such a request; for tests.
    pub(super) fn has(&self, conn: ConnKey) -> bool {
        self.identities.contains_key(&conn)
    }

    pub(super) fn shrink(&mut self) {
        self.by_identity.shrink_to(0);
    }

    /// Compares the tables; for tests.
    pub(super) fn check_invariants(&self) {
        let conns: usize = self.by_identity.values().map(BTreeMap::len).sum();
        assert_eq!(conns, self.identities.len(), "each connection is of one");
        for (conn, identity) in &self.identities {
            assert!(self.by_identity[identity].contains_key(conn), "{conn:?}");
        }
        assert!(self.revoked.iter().all(|conn| self.identities.contains_key(conn)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    /// So many keys of connections.
    fn keys<const N: usize>() -> [ConnKey; N] {
        let mut arena = Arena::default();
        std::array::from_fn(|_| arena.insert(()))
    }

    fn names(all: &[&str]) -> Names {
        let mut names = Names::default();
        for name in all {
            names.begin(name.as_bytes());
            names.add();
        }
        names
    }

    fn revoked(holders: &mut Holders) -> Vec<ConnKey> {
        holders.check_invariants();
        std::iter::from_fn(|| holders.next_revoked()).collect()
    }

    #[test]
    fn those_of_the_user_and_the_channel_are_to_be_ended_once() {
        let [a, b, c, d] = keys();
        let mut holders = Holders::default();
        holders.enter(Identity::user("42"), a, &names(&["x"]));
        holders.enter(Identity::user("42"), b, &names(&["y", "x"]));
        holders.enter(Identity::user("42"), c, &names(&["xx"]));
        holders.enter(Identity::user("4"), d, &names(&["x"]));
        assert_eq!(holders.revoke(&Identity::user("42"), Some(b"x")), 2);
        assert_eq!(holders.revoke(&Identity::user("42"), Some(b"x")), 0);
        assert_eq!(holders.revoke(&Identity::user("42"), Some(b"z")), 0);
        assert_eq!(holders.revoke(&Identity::user("nobody"), None), 0);
        assert_eq!(revoked(&mut holders), [a, b]);
        assert_eq!(holders.revoke(&Identity::user("42"), None), 3);
        assert_eq!(revoked(&mut holders), [a, b, c]);
    }

    #[test]
    fn who_has_left_is_not_ended_and_what_comes_next_there_is_another_request() {
        let [a, b] = keys();
        let mut holders = Holders::default();
        holders.enter(Identity::user("42"), a, &names(&["x"]));
        holders.enter(Identity::user("42"), b, &names(&["x"]));
        assert_eq!(holders.revoke(&Identity::user("42"), None), 2);
        holders.leave(a);
        holders.enter(Identity::user("42"), a, &names(&["x"]));
        assert_eq!(revoked(&mut holders), [b]);
        holders.leave(a);
        holders.leave(a);
        holders.leave(b);
        assert!(!holders.has_revoked());
        assert_eq!((holders.identities.len(), holders.by_identity.len()), (0, 0));
    }
}
