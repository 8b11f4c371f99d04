/* How a static binary looks up the names of hosts; tests/static-binary links it in.
 *
 * glibc reads from /etc/nsswitch.conf where names are to be found, and loads a library of the
 * system for what it has not built in (resolve, myhostname, mdns4_minimal). A static binary does
 * this, too; that library brings the system's own glibc with it, and if this is of another version
 * than the one that is linked in, the process is killed by a signal (seen with 2.36 in the binary
 * and 2.41 on the system, at the first name that is not in /etc/hosts).
 * So names are looked up in /etc/hosts and by the name servers of /etc/resolv.conf alone.
 */
#include <nss.h>

__attribute__((constructor)) static void settle(void) {
    __nss_configure_lookup("hosts", "files dns");
}
