//! Figures: what a [`crate::Network`] knows of them, which is what its relay does.

use pushserver::clock::Now;
use pushserver::figures::Figures;
use pushserver::relay::{Command, ConnKey, Exhibit, Relay};

/// Answers who asked for figures.
pub(crate) fn show(relay: &mut Relay, conn: ConnKey, exhibit: Exhibit, now: Now) {
    let state = relay.state();
    let stores = state.hub.store_figures(now).collect();
    let figures =
        Figures { relay: state.figures(), hub: state.hub.figures(), stores, ..Figures::default() };
    relay.command(Command::Figures { conn, exhibit, figures: &figures }, now);
}
