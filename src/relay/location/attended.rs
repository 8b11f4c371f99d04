//! Attended: how it is known who is on the channels of a location. Values only.

use std::sync::Arc;

use crate::relay::options::SubscriberOptions;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Attended {
    /// How long a member may be away, milliseconds.
    pub(in crate::relay) grace_ms: u32,
    /// The cookie whose value is a session.
    pub(in crate::relay) cookie: Box<str>,
    /// URL that is told who comes and leaves.
    pub(in crate::relay) url: Option<Arc<str>>,
}

impl Attended {
    /// `None`: it is not known.
    pub(super) fn of(options: &SubscriberOptions) -> Option<Self> {
        let presence = options.presence.as_ref()?;
        let url = options.passthrough.as_deref().filter(|_| presence.is_told);
        Some(Self {
            grace_ms: presence.grace_ms,
            cookie: presence.cookie.as_str().into(),
            url: url.map(Into::into),
        })
    }
}
