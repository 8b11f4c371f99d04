//! pushserver: an HTTP push relay. A publisher POSTs a message to a channel; every subscriber that
//! waits on that channel by long polling gets it at once.

#![forbid(unsafe_code)]

pub mod arena;
pub mod bench;
pub mod clock;
pub mod http;
pub mod hub;
pub mod message;
pub mod net;
pub mod relay;
pub mod store;
pub mod wheel;
