//! Gives the free pages of the heap back to the system. For programs that forbid unsafe code; this
//! is the one line of it, in a crate of its own, which does nothing else but join small pieces.
//!
//! glibc gives back the top of its heap only, so that one small piece that lives there keeps tens
//! of megabytes of free ones below it resident.

/// Gives back every free page of the heap; where that is not the C library's to do (anything but
/// glibc), nothing. Takes about 0.3 ms for each megabyte, in which no other thread can allocate.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            // SAFETY: malloc_trim(3): any thread may call it at any time, with any `pad` (the bytes
            // to keep at the top); it moves nothing that is in use.
            safe fn malloc_trim(pad: usize) -> i32;
        }
        // What it says (whether anything went) changes nothing for anyone.
        let _ = malloc_trim(0);
    }
}

/// Joins the small pieces that were freed. glibc puts that off until something larger is wanted:
/// for a million pieces it then takes 100 ms and more, for a few thousand next to nothing.
pub fn join() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4096)));
}
