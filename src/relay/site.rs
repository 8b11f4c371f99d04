//! Site: what the settings made of the relay. A reload replaces it whole.

use super::location::Routes;
use super::options::{Limits, Options};
use super::request::host::Hosts;
use crate::http::HeadLimits;

/// See the module.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) routes: Routes,
    pub(super) hosts: Hosts,
    pub(super) limits: Limits,
    pub(super) head_limits: HeadLimits,
    /// Each answer is logged.
    pub(super) access_log: bool,
}

impl Site {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            routes: Routes::new(&options.locations),
            hosts: Hosts::new(&options.hosts),
            limits: options.limits.clone(),
            head_limits: options.limits.of_a_head(),
            access_log: options.access_log,
        }
    }
}
