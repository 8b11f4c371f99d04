//! Exchange key: the name of an exchange with the upstream, to the proxy and to its client. Holds
//! nothing.

use crate::arena::Key;

/// What an [`ExchangeKey`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Exchanging {}

/// Names an exchange.
pub(super) type ExchangeKey = Key<Exchanging>;
