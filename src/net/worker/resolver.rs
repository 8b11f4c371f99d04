//! Resolver: looks up the names that stores dial, each on a thread, as a name server may be slow.
//! At most one thread for each store; the loop never waits.

use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::Waker;

use crate::store::StoreId;

/// What was asked for.
type Asked = (StoreId, Box<str>, u16);

/// See the module.
#[derive(Debug)]
pub(in crate::net) struct Resolver {
    waker: Arc<Waker>,
    tell: Sender<(Asked, Vec<SocketAddr>)>,
    told: Receiver<(Asked, Vec<SocketAddr>)>,
    /// Stores whose thread runs, each with what it has asked for since then.
    running: Vec<(StoreId, Option<Asked>)>,
}

impl Resolver {
    pub(in crate::net) fn new(waker: Arc<Waker>) -> Self {
        let (tell, told) = mpsc::channel();
        Self { waker, tell, told, running: Vec::new() }
    }

    /// Looks up a name, when what the store asked for before is done.
    pub(in crate::net) fn ask(&mut self, store: StoreId, name: &Rc<str>, port: u16) {
        let asked = (store, Box::from(&**name), port);
        match self.running.iter_mut().find(|(of, _)| *of == store) {
            Some((_, next)) => *next = Some(asked),
            None => {
                self.running.push((store, None));
                self.start(asked);
            }
        }
    }

    /// What was looked up; no addresses: it leads nowhere.
    pub(in crate::net) fn poll(&mut self) -> Option<(StoreId, Box<str>, u16, Vec<SocketAddr>)> {
        let ((store, name, port), addresses) = self.told.try_recv().ok()?;
        let index = self.running.iter().position(|(of, _)| *of == store);
        if let Some((_, next)) = index.map(|index| self.running.swap_remove(index))
            && let Some(next) = next
        {
            self.running.push((store, None));
            self.start(next);
        }
        Some((store, name, port, addresses))
    }

    fn start(&self, asked: Asked) {
        let (waker, tell) = (Arc::clone(&self.waker), self.tell.clone());
        let look_up = {
            let asked = asked.clone();
            move || {
                let addresses = (&*asked.1, asked.2).to_socket_addrs();
                let mut addresses: Vec<_> = addresses.into_iter().flatten().collect();
                // Redis listens on 127.0.0.1 by default, and not always on ::1.
                addresses.sort_by_key(SocketAddr::is_ipv6);
                // The loop may have ended.
                let _ = tell.send((asked, addresses));
                let _ = waker.wake();
            }
        };
        let thread = thread::Builder::new().name("resolver".to_owned()).spawn(look_up);
        if let Err(error) = thread {
            log::warn!("event=resolver cause=\"cannot start a thread: {error}\"");
            // Told as if the thread had: in the next turn.
            let _ = self.tell.send((asked, Vec::new()));
            let _ = self.waker.wake();
        }
    }
}
