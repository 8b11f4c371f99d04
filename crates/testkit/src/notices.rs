//! Notices: which holds Django was told of, and not yet of their end.

use std::collections::HashMap;
use std::sync::Arc;

use pushserver::relay::notice::{Event, Notice};

/// See the file. A notice is one hold's as long as it is kept, so its place names it.
#[derive(Debug, Default)]
pub(crate) struct Notices(HashMap<*const Notice, Arc<Notice>>);

impl Notices {
    /// Django is told.
    ///
    /// # Panics
    /// If one of a pair comes twice or alone.
    pub(crate) fn tell(&mut self, event: Event, notice: &Arc<Notice>) {
        let place = Arc::as_ptr(notice);
        match event {
            Event::Subscribe => {
                let before = self.0.insert(place, Arc::clone(notice));
                assert!(before.is_none(), "subscribe twice");
            }
            Event::Unsubscribe => {
                let before = self.0.remove(&place);
                assert!(before.is_some(), "unsubscribe without subscribe, or twice");
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
