//! Connection key: the name of a connection, to the relay and to `net`. Holds nothing.

use crate::arena::Key;

/// What a [`ConnKey`] names.
#[derive(Debug)]
pub enum Connection {}

/// Names a connection, to `net` too.
pub type ConnKey = Key<Connection>;
