//! Stores: their part of the settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::given::Given;
use crate::config::problem::Path;
use crate::config::seconds::Seconds;
use crate::net::options::PersistSync;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum Stores {
    One(Store),
    Named(BTreeMap<String, Store>),
}

impl Stores {
    /// Where a store stands; `root` is `store`.
    pub(in crate::config) fn path<'p>(&self, root: &'p Path<'p>, name: &'p str) -> Path<'p> {
        match self {
            Self::One(_) => *root,
            Self::Named(_) => root.key(name),
        }
    }

    /// Each with its name, if it has one.
    pub(in crate::config) fn each_mut(&mut self) -> Vec<(Option<&str>, &mut Store)> {
        match self {
            Self::One(store) => vec![(None, store)],
            Self::Named(stores) => {
                stores.iter_mut().map(|(name, store)| (Some(name.as_str()), store)).collect()
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::config) enum Store {
    Memory(MemoryStore),
    Redis(Box<RedisStore>),
}

impl Store {
    /// How much is kept of a channel, and for how long.
    pub(in crate::config) fn kept(&self) -> &Kept {
        match self {
            Self::Memory(store) => &store.kept,
            Self::Redis(store) => &store.kept,
        }
    }

    /// The keys of a store in memory, if it is one.
    pub(in crate::config) fn memory(&self) -> Option<&MemoryStore> {
        match self {
            Self::Memory(store) => Some(store),
            Self::Redis(_) => None,
        }
    }
}

/// What all stores have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::config) struct Kept {
    pub(in crate::config) min_messages: usize,
    pub(in crate::config) max_messages: usize,
    pub(in crate::config) message_timeout: Seconds,
    pub(in crate::config) channel_timeout: Seconds,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::config) struct MemoryStore {
    #[serde(flatten)]
    pub(in crate::config) kept: Kept,
    pub(in crate::config) max_memory: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) persist: Option<String>,
    pub(in crate::config) persist_sync: PersistSync,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::config) struct RedisStore {
    /// `host` and `port` are there, unless `sentinel` or a Unix socket stands for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) port: Option<u16>,
    pub(in crate::config) database: u32,
    pub(in crate::config) key_prefix: String,
    #[serde(flatten)]
    pub(in crate::config) login: Login,
    pub(in crate::config) tls: StoreTls,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) sentinel: Option<Sentinel>,
    #[serde(flatten)]
    pub(in crate::config) kept: Kept,
    pub(in crate::config) timeout: Seconds,
    pub(in crate::config) cache: usize,
}

/// Whether its Redis is connected to by TLS, and with which files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum StoreTls {
    Switch(bool),
    Files {
        #[serde(skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cert: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        server_name: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::config) struct Sentinel {
    pub(in crate::config) master: String,
    pub(in crate::config) nodes: Vec<String>,
    #[serde(flatten)]
    pub(in crate::config) login: Login,
}

/// Who connects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::config) struct Login {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<Given>,
}
