//! Worker: the threads that wait, for Django's answers, the disk and name servers. Nothing else in
//! `net` ever waits.

mod outcomes;
pub(super) mod passthrough;
pub(super) mod persist;
mod post;
mod queue;
pub(super) mod resolver;

pub use self::persist::{PersistError, Why};
pub use self::post::is_url;
