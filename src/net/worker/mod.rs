//! Worker: the threads that wait, for Django's answers. Nothing else in `net` ever waits.

pub(super) mod passthrough;
mod post;
mod queue;

pub use self::post::is_url;
