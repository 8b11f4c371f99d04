//! pushserver: an HTTP push relay. A publisher POSTs a message to a channel; every subscriber that
//! waits on that channel by long polling gets it at once.

#![forbid(unsafe_code)]

pub mod arena;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod hub;
pub mod logging;
pub mod message;
pub mod nearest;
pub mod net;
pub mod pid_file;
pub mod relay;
pub mod store;
pub mod wheel;
