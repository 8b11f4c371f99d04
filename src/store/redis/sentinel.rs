//! Sentinel: which node is the master, asked of the sentinels in turn, anew for each dial. What one
//! said is never kept: it may be the one that is cut off.

use super::options::{Address, Sentinels, Server};
use super::reason::Reason;
use super::resp::{Value, write_command};

/// See the module.
#[derive(Debug)]
pub(super) struct Sentinel {
    options: Sentinels,
    /// The node that is asked now: an index into the list.
    at: usize,
    /// Whether the answer to AUTH comes first.
    is_greeted: bool,
}

impl Sentinel {
    /// `None`: the address of the node is known.
    pub(super) fn of(server: &Server) -> Option<Self> {
        match server {
            Server::Sentinel(options) => {
                Some(Self { options: options.clone(), at: 0, is_greeted: false })
            }
            Server::Node(_) => None,
        }
    }

    /// The sentinel to be asked.
    pub(super) fn address(&self) -> &Address {
        &self.options.nodes[self.at]
    }

    /// Writes the question.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let words = self.options.credentials.words();
        self.is_greeted = words.is_none();
        if let Some([user, password]) = words {
            // Sentinels before 6.2 know no user.
            match self.options.credentials.username {
                Some(_) => write_command(&[b"AUTH", user, password], out),
                None => write_command(&[b"AUTH", password], out),
            }
        }
        let master = self.options.master.as_bytes();
        write_command(&[b"SENTINEL", b"get-master-addr-by-name", master], out);
    }

    /// Takes an answer. `None`: the one that counts comes next.
    pub(super) fn read(&mut self, answer: Value) -> Option<Result<Address, Reason>> {
        let is_greeted = std::mem::replace(&mut self.is_greeted, true);
        Some(match answer {
            Value::Error(error) => Err(Reason::of("SENTINEL", &error)),
            _ if !is_greeted => return None,
            Value::Null => Err(Reason::UnknownMaster),
            Value::List(parts) => address(&parts).ok_or(Reason::Unexpected("sentinel")),
            _ => Err(Reason::Unexpected("sentinel")),
        })
    }

    /// The next one is asked next; gives the one that was asked.
    pub(super) fn pass_on(&mut self) -> &Address {
        let asked = self.at;
        self.at = (asked + 1) % self.options.nodes.len();
        &self.options.nodes[asked]
    }
}

fn address(parts: &[Value]) -> Option<Address> {
    let [Value::Text(host), Value::Text(port)] = parts else { return None };
    let text = |text| std::str::from_utf8(text).ok();
    let is_host = !host.is_empty() && host.len() < 256 && host.iter().all(u8::is_ascii_graphic);
    let host = text(host).filter(|_| is_host)?;
    Some(Address::Tcp(host.to_owned(), text(port)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::options::Credentials;
    use super::*;

    fn sentinel(credentials: Credentials) -> Sentinel {
        let nodes = vec![Address::Tcp("a".into(), 1), Address::Tcp("b".into(), 2)];
        let sentinels = Sentinels { master: "m".into(), nodes, credentials };
        Sentinel::of(&Server::Sentinel(sentinels)).expect("there are sentinels")
    }

    fn list(parts: &[&str]) -> Value {
        Value::List(parts.iter().map(|part| Value::Text(part.as_bytes().into())).collect())
    }

    #[test]
    fn a_sentinel_says_where_the_master_is() {
        let mut sentinel = sentinel(Credentials::default());
        let mut out = Vec::new();
        sentinel.write(&mut out);
        assert_eq!(out, b"*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$1\r\nm\r\n");
        let found = sentinel.read(list(&["10.0.0.1", "6380"]));
        assert_eq!(found, Some(Ok(Address::Tcp("10.0.0.1".into(), 6380))));
    }

    #[test]
    fn its_password_goes_first() {
        let credentials = Credentials { username: None, password: Some("secret".into()) };
        let mut sentinel = sentinel(credentials);
        let mut out = Vec::new();
        sentinel.write(&mut out);
        assert!(out.starts_with(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*3\r\n"));
        assert_eq!(sentinel.read(Value::Text(b"OK"[..].into())), None);
        assert_eq!(sentinel.read(list(&["::1", "1"])), Some(Ok(Address::Tcp("::1".into(), 1))));
        sentinel.write(&mut out);
        let refused = sentinel.read(Value::Error(b"WRONGPASS no"[..].into()));
        assert!(matches!(refused, Some(Err(Reason::Rights(_)))));
        assert!(!format!("{sentinel:?}").contains("secret"));
    }

    #[test]
    fn one_that_knows_nothing_is_passed_over() {
        let mut sentinel = sentinel(Credentials::default());
        let mut out = Vec::new();
        for (answer, reason) in [
            (Value::Null, Reason::UnknownMaster),
            (list(&["h"]), Reason::Unexpected("sentinel")),
            (list(&["h", "65536"]), Reason::Unexpected("sentinel")),
            (list(&["h\n", "1"]), Reason::Unexpected("sentinel")),
            (Value::Number(1), Reason::Unexpected("sentinel")),
        ] {
            sentinel.write(&mut out);
            assert_eq!(sentinel.read(answer), Some(Err(reason)));
        }
        assert_eq!(sentinel.pass_on().to_string(), "a:1");
        assert_eq!(sentinel.pass_on().to_string(), "b:2");
        assert_eq!(sentinel.address().to_string(), "a:1");
    }
}
