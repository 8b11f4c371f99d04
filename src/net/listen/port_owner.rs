//! Port owner: which process listens on an address that is in use, as far as `/proc` shows it; for
//! one line of an error message. Never fails: without `/proc`, or for another user's process, it
//! finds nothing.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::net::options::Listen;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOwner {
    /// Its name, cut to 15 bytes by the kernel.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// The first process found that listens where `listen` wants to.
#[must_use]
pub(in crate::net) fn find(listen: &Listen) -> Option<PortOwner> {
    let inode = match listen {
        Listen::Tcp(address) => ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table.lines().find_map(|line| tcp_listener(line, *address).map(str::to_owned))
        }),
        Listen::Unix(path) => {
            let table = fs::read("/proc/net/unix").ok()?;
            let table = String::from_utf8_lossy(&table);
            table.lines().find_map(|line| unix_listener(line, path).map(str::to_owned))
        }
    }?;
    owner_of_socket(&inode)
}

/// The inode of this line of `/proc/net/tcp` or `tcp6`, if it listens at `wanted` or at an address
/// that includes it.
fn tcp_listener(line: &str, wanted: SocketAddr) -> Option<&str> {
    let mut fields = line.split_ascii_whitespace();
    let (address, state) = (fields.nth(1)?, fields.nth(1)?);
    let (ip, port) = address.split_once(':')?;
    if state != "0A" || u16::from_str_radix(port, 16).ok()? != wanted.port() {
        return None;
    }
    let any = ip.bytes().all(|digit| digit == b'0');
    // A socket of IPv6 shows an IPv4 address in its last 8 digits.
    if !any && !wanted.ip().is_unspecified() && !ip.ends_with(&kernel_hex(wanted.ip())) {
        return None;
    }
    fields.nth(5)
}

/// As the kernel writes an address: words of 32 bits, each in the machine's own byte order.
fn kernel_hex(ip: IpAddr) -> String {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    octets
        .chunks_exact(4)
        .map(|word| format!("{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
        .collect()
}

/// The inode of this line of `/proc/net/unix`, if it listens at `wanted`.
fn unix_listener<'l>(line: &'l str, wanted: &Path) -> Option<&'l str> {
    const ACCEPTS_CONNECTIONS: &str = "00010000";
    let mut fields = line.split_ascii_whitespace();
    if fields.nth(3)? != ACCEPTS_CONNECTIONS {
        return None;
    }
    let inode = fields.nth(2)?;
    (line.split_once('/')?.1 == wanted.to_str()?.strip_prefix('/')?).then_some(inode)
}

fn owner_of_socket(inode: &str) -> Option<PortOwner> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    let pid = processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let holds = descriptors
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*socket));
        holds.then_some(pid)
    })?;
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    // A process may call itself anything, line ends included.
    let name = String::from_utf8_lossy(name.trim_ascii_end()).escape_debug().to_string();
    Some(PortOwner { name, pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_at_the_address_or_at_all_addresses_is_found() {
        let wanted = "127.0.0.1:8001".parse().unwrap();
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 \
                     1000        0 4711 1 0000000000000000 100 0 0 10 0"
            )
        };
        let here = format!("{}:1F41", kernel_hex([127, 0, 0, 1].into()));
        let mapped = format!("0000000000000000FFFF0000{here}");
        for address in [&*here, "00000000:1F41", &*mapped, &format!("{:032}:1F41", 0)] {
            assert_eq!(tcp_listener(&line(address, "0A"), wanted), Some("4711"), "{address}");
        }
        assert_eq!(tcp_listener(&line(&here, "01"), wanted), None);
        assert_eq!(tcp_listener(&line("00000000:1F42", "0A"), wanted), None);
        assert_eq!(tcp_listener(&line("01020304:1F41", "0A"), wanted), None);
        assert_eq!(tcp_listener("  sl  local_address rem_address   st", wanted), None);
        assert_eq!(tcp_listener("", wanted), None);
    }

    #[test]
    fn a_unix_listener_is_found_by_its_path() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/a b.sock";
        assert_eq!(unix_listener(line, Path::new("/run/a b.sock")), Some("4711"));
        assert_eq!(unix_listener(line, Path::new("/run/a")), None);
        let connected = line.replace("00010000", "00000000");
        assert_eq!(unix_listener(&connected, Path::new("/run/a b.sock")), None);
        assert_eq!(unix_listener("Num RefCount Protocol", Path::new("/run")), None);
    }
}
