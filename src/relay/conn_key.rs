//! Connection key: the name of a connection, to the relay and to `net`. Holds nothing.

use crate::arena::Key;

/// What a [`ConnKey`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Connection {}

/// Names a connection, to `net` too.
pub type ConnKey = Key<Connection>;
