//! Keeps messages for later positions. Never sees a subscriber, a connection or a clock.

pub mod memory;

/// Which of the configured stores: an index into their list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u16);
