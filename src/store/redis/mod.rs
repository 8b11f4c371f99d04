//! Redis: the pure inside of a store that several daemons share. Sans-io; it never sees a
//! subscriber or a socket.
//!
//! [`resp`]: the bytes of the protocol. [`keys`]: which keys there are. [`scripts`]: what is asked,
//! each an atomic script; [`answers`] and [`announcement`]: what comes back, asked and unasked;
//! `plain_reply`: the answer to a publish, read faster.
//! [`link`](mod@link): one connection, from its dial to its end; `sentinel`: which address that
//! has. [`options`]: the settings.

pub mod announcement;
pub mod answers;
mod conclusion;
pub mod keys;
pub mod link;
mod local;
mod mirror;
mod mirrors;
pub mod options;
mod plain_reply;
mod question;
pub mod reason;
pub mod resp;
pub mod scripts;
mod search;
mod searches;
mod sentinel;
mod store;
mod taking;
#[cfg(test)]
mod tests;
mod unheard;

pub(super) use self::store::{CONTENT_BYTES_MAX, Redis};
pub(super) use self::taking::next_reply;
