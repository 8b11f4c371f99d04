//! Pool: the connections of one client, at most one to each daemon.

use crate::link::Link;
use crate::shared::Shared;

/// See the file. The one in use is its client's.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Link>);

impl Pool {
    /// The connection for the next request, to a daemon by chance: kept from before, or a new one.
    /// `last` is the one that was in use.
    pub(crate) fn next(
        &mut self,
        last: Option<Link>,
        (token, narrow): (usize, bool),
        shared: &mut Shared,
    ) -> Link {
        self.0.extend(last);
        self.0.retain(|link| shared.targets.lives(link.place));
        let place = shared.targets.pick(&mut shared.random);
        match self.0.iter().position(|link| link.place == place) {
            Some(index) => self.0.swap_remove(index),
            None => shared.open(token, narrow, place),
        }
    }
}
