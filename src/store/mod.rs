//! Keeps messages for later cursors. Never sees a subscriber, a connection or a clock.
//!
//! The hub talks to a store in steps (append, then go on), and answers its callers through
//! outputs only, so that a store whose answers take time can come in beside the memory store.

pub mod memory;

pub use memory::{Gap, Memory};

/// Which of the configured stores: an index into their list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u16);
