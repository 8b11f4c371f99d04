//! Request: what a head asks for, and whether its location allows it. Never writes an answer.

pub(super) mod accept;
pub(super) mod admission;
mod bearer;
pub(super) mod channel_ids;
pub(super) mod channel_list;
pub(super) mod content;
pub(super) mod cursor;
mod decimal;
pub(super) mod events;
mod form;
pub(super) mod host;
pub(super) mod identity;
mod page;
pub(super) mod pass;
pub(super) mod prefer;
pub(super) mod presence;
pub(super) mod publish;
pub(super) mod refusal;
pub(super) mod revoke;
pub(super) mod status;
pub(super) mod token;
pub(super) mod transport;
pub(super) mod upgrade;
