//! Worker: the threads that wait, for Django's answers and for the disk. Nothing else in `net` ever
//! waits.

pub(super) mod passthrough;
pub(super) mod persist;
mod post;
mod queue;

pub use self::persist::{PersistError, Why};
pub use self::post::is_url;
