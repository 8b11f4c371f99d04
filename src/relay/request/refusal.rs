//! Refusal: the answer to a request that is not served as it asks. Never written here.

/// Why a request is not served as it asks.
#[derive(Debug)]
pub(in crate::relay) struct Refusal {
    pub(in crate::relay) status: u16,
    /// Further header lines.
    pub(in crate::relay) lines: Vec<u8>,
    pub(in crate::relay) text: &'static str,
    /// What the operator may not have meant.
    pub(in crate::relay) concern: Option<Concern>,
}

/// What of the settings a refusal may be due to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Concern {
    /// The location's `allow_origin`.
    Origin,
    /// `hosts`.
    Host,
}

impl Refusal {
    pub(in crate::relay) const fn new(status: u16, text: &'static str) -> Self {
        Self { status, lines: Vec::new(), text, concern: None }
    }
}
