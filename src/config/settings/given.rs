//! Given: a secret of the settings, or where it stands.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// See the module. The file shows it as it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum Given {
    Text(Secret),
    /// One of the two.
    Elsewhere {
        #[serde(skip_serializing_if = "Option::is_none")]
        env: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// What was found there; `None`: not read yet.
        #[serde(skip)]
        found: Option<Secret>,
    },
}

impl Given {
    /// The secret itself, once it was read.
    pub(in crate::config) fn secret(&self) -> &Secret {
        match self {
            Self::Text(secret) | Self::Elsewhere { found: Some(secret), .. } => secret,
            Self::Elsewhere { found: None, .. } => unreachable!("secrets are read first"),
        }
    }
}
