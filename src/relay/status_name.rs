//! The names that a status location serves behind its prefix. Knows no request.

/// What a status location is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusName {
    /// The inspector's page, at the prefix itself.
    Page,
    /// Whether the daemon lives.
    Healthz,
    /// Whether it takes new connections.
    Readyz,
    /// The figures, for Prometheus.
    Metrics,
    /// The figures, for people and other collectors.
    Status,
    /// Which channels there are.
    Channels,
    /// Who is on a channel.
    Presence,
    /// What has happened.
    Events,
    /// Takes access back.
    Revoke,
    /// Publishes.
    Publish,
}

impl StatusName {
    /// Every name, as it stands in a path.
    pub const ALL: [(&str, Self); 10] = [
        ("", Self::Page),
        ("healthz", Self::Healthz),
        ("readyz", Self::Readyz),
        ("metrics", Self::Metrics),
        ("status", Self::Status),
        ("channels", Self::Channels),
        ("presence", Self::Presence),
        ("events", Self::Events),
        ("revoke", Self::Revoke),
        ("publish", Self::Publish),
    ];

    /// The one of this path, behind the prefix and a slash.
    pub(super) fn of(part: &[u8]) -> Option<Self> {
        let name = part.strip_prefix(b"/")?;
        let found = Self::ALL.into_iter().find(|(text, _)| text.as_bytes() == name);
        found.map(|(_, name)| name)
    }

    /// Whether it changes something, so that it is asked with POST.
    pub(super) fn is_post(self) -> bool {
        matches!(self, Self::Revoke | Self::Publish)
    }
}
