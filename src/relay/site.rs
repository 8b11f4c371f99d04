//! Site: what the settings made of the relay, and who is let in no more. A reload replaces the
//! former whole and keeps the latter.

use super::location::Routes;
use super::options::{Limits, Options};
use super::request::host::Hosts;
use super::revocations::Revocations;
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
    /// What sessions are hashed with.
    pub(super) session_key: SigningKey,
    run_key: SigningKey,
    /// What no location matches goes to the upstream.
    pub(super) forwards: bool,
    /// Each answer is logged.
    pub(super) access_log: bool,
    pub(super) revocations: Revocations,
}

impl Site {
    /// `run_key`: of this run, for whatever the settings have no key for.
    pub(super) fn new(options: &Options, run_key: SigningKey) -> Self {
        Self {
            routes: Routes::new(&options.locations),
            hosts: Hosts::new(&options.hosts),
            limits: options.limits.clone(),
            signing_keys: options.signing_keys.clone(),
            session_key: options.signing_keys.first().unwrap_or(&run_key).clone(),
            run_key,
            forwards: options.proxy.is_some(),
            access_log: options.access_log,
            revocations: Revocations::default(),
        }
    }

    /// Takes other settings.
    pub(super) fn reload(&mut self, options: &Options) {
        let revocations = std::mem::take(&mut self.revocations);
        *self = Self { revocations, ..Self::new(options, self.run_key.clone()) };
    }

    /// What all bodies that are coming in may take together, bytes.
    pub(super) fn uploads_max(&self) -> usize {
        UPLOADS_BYTES_MAX.max(self.limits.body_bytes)
    }
}
