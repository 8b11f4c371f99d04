//! Site: what the settings made of the relay. A reload replaces it whole.

use super::location::Routes;
use super::options::{Limits, Options};
use super::request::host::Hosts;
use crate::secret::SigningKey;

/// What all bodies that are not whole yet may take together, bytes, unless one alone may take more.
/// A body that came in one piece with its head is never among them.
const UPLOADS_BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) routes: Routes,
    pub(super) hosts: Hosts,
    pub(super) limits: Limits,
    pub(super) signing_keys: Vec<SigningKey>,
    /// What no location matches goes to the upstream.
    pub(super) forwards: bool,
    /// Each answer is logged.
    pub(super) access_log: bool,
}

impl Site {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            routes: Routes::new(&options.locations),
            hosts: Hosts::new(&options.hosts),
            limits: options.limits.clone(),
            signing_keys: options.signing_keys.clone(),
            forwards: options.proxy.is_some(),
            access_log: options.access_log,
        }
    }

    /// What all bodies that are coming in may take together, bytes.
    pub(super) fn uploads_max(&self) -> usize {
        UPLOADS_BYTES_MAX.max(self.limits.body_bytes)
    }
}
