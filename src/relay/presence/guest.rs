//! Guest: a request of a member, before it is held and while it is. Decides nothing.

use std::net::IpAddr;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use super::numbers::MemberNumber;
use crate::relay::request::identity::Identity;

/// See the module.
#[derive(Debug)]
pub(super) enum Guest {
    /// Boxed: only for a moment.
    Expected(Box<Attendance>),
    Came(Came),
}

impl Guest {
    /// Members whose hold it is; for tests.
    pub(super) fn holds(&self) -> usize {
        match self {
            Self::Expected(_) => 0,
            Self::Came(came) => came.members().len(),
        }
    }
}

/// What is known of a request before it is held.
#[derive(Debug)]
pub(in crate::relay) struct Attendance {
    pub(in crate::relay) identity: Identity,
    /// The names of its channels.
    pub(in crate::relay) names: Box<[Box<[u8]>]>,
    /// How long it may be away, milliseconds.
    pub(in crate::relay) grace_ms: u32,
    /// `None`: nobody is told.
    pub(in crate::relay) told: Option<Told>,
}

/// Who is told, and what.
#[derive(Debug)]
pub(in crate::relay) struct Told {
    pub(in crate::relay) url: Arc<str>,
    /// Header lines of what no request is the cause of.
    pub(in crate::relay) lines: Box<[u8]>,
    pub(in crate::relay) passed: Rc<Passed>,
}

/// What a notice carries of a request.
#[derive(Debug)]
pub(in crate::relay) struct Passed {
    /// Header lines.
    pub(in crate::relay) headers: Box<[u8]>,
    pub(in crate::relay) peer: Option<IpAddr>,
}

/// Whose hold it is, by channel.
#[derive(Debug)]
pub(super) enum Came {
    /// Apart: most have one channel.
    One(MemberNumber),
    More(Box<[MemberNumber]>),
}

impl Came {
    pub(super) fn of(members: Vec<MemberNumber>) -> Self {
        match *members {
            [one] => Self::One(one),
            _ => Self::More(members.into()),
        }
    }

    pub(super) fn members(&self) -> &[MemberNumber] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}
