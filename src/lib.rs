//! pushserver: an HTTP push relay. A publisher POSTs a message to a channel; every subscriber that
//! waits on that channel, by a long poll, an event stream or a WebSocket, gets it at once, and a
//! later subscriber gets it from the channel's queue.
//!
//! The library's API is for this repository only: for its program, tests, benches and fuzzers.
//!
//! Two state machines without sockets and without a clock, under a thin event loop. In reading
//! order; each row uses only the rows before it:
//!
//! 1. [`clock`], [`arena`], [`wheel`], [`message`], [`rate_limit`], [`jitter`],
//!    [`log_targets`], [`parts`], [`secret`]: leaves.
//! 2. [`http`]: heads, bodies and dates as bytes. [`store`]: messages for later cursors.
//! 3. [`hub`]: channels, subscriptions, fan-outs. The domain.
//! 4. [`relay`]: connections, locations, answers. The domain's HTTP face.
//! 5. [`net`]: the loop; the only owner of sockets, threads and signals.
//! 6. [`config`], [`logging`], [`pid_file`], [`nearest`]: from a file to the options of every
//!    layer.
//! 7. [`cli`]: the arguments, with what they set over the file.
//!
//! `docs/architecture.md` tells how a message flows through them; `tests/tidy` keeps the order.

#![forbid(unsafe_code)]

pub mod arena;
pub mod cli;
pub mod clock;
pub mod config;
pub mod figures;
pub mod http;
pub mod hub;
pub mod jitter;
pub mod log_targets;
pub mod logging;
pub mod message;
pub mod nearest;
pub mod net;
pub mod parts;
pub mod pid_file;
pub mod rate_limit;
pub mod relay;
pub mod secret;
pub mod store;
pub mod wheel;
