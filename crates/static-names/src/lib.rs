//! One call: how a static binary looks up the names of hosts. For programs that forbid unsafe code;
//! this is the one line of it, in a crate of its own, which does nothing else.
//!
//! glibc reads from /etc/nsswitch.conf where names are to be found, and loads a library of the
//! system for what it has not built in (`resolve`, `myhostname`, `mdns4_minimal`). A static binary
//! does this, too; that library brings the system's own glibc with it, and if this is of another
//! version than the one that is linked in, the process is killed by a signal (seen with 2.36 in the
//! binary and 2.41 on the system, at the first name that is not in /etc/hosts).

/// Has names looked up in /etc/hosts and by the name servers of /etc/resolv.conf, whatever
/// /etc/nsswitch.conf says. Does nothing in a binary that is not static. Call it before any lookup.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{c_char, c_int};

        unsafe extern "C" {
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        // SAFETY: <nss.h>: both are C strings, of which it copies what it keeps; any thread may
        // call it. It fails for want of memory alone, and then names are looked up as before.
        let _ = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}
