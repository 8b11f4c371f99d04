//! Numbers: what names members, channels with members and addressees. None is used again.

/// Names a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MemberNumber(pub(super) u64);

/// Names a channel with members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChannelNumber(pub(super) u64);

/// Names an addressee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddresseeNumber(pub(super) u32);
