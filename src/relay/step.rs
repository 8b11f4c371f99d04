//! Step: what one step of a client may use beside the client itself. Holds borrows, decides
//! nothing.

use super::conn_key::ConnKey;
use super::effects::Effects;
use super::names::Names;
use super::render::Renderer;
use super::site::Site;
use crate::clock::Now;
use crate::hub::Hub;

/// See the module.
pub(super) struct Step<'a> {
    /// The client's key.
    pub(super) conn: ConnKey,
    pub(super) now: Now,
    pub(super) hub: &'a mut Hub,
    pub(super) site: &'a mut Site,
    pub(super) renderer: &'a mut Renderer,
    pub(super) effects: &'a mut Effects,
    /// For the channels of a request; kept for its room.
    pub(super) names: &'a mut Names,
}
