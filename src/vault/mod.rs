//! Secrets that last, encrypted at rest: what users enter, and the tokens of their logins elsewhere.

mod cipher;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    store::{Ciphertext, Sealed, SealedKind, Store, StoreError},
    user::UserKey,
};

use self::cipher::Purpose;
pub use self::keys::{Key, KeyRing, Keys, VARIABLE};

/// Seals and opens what the store keeps. Clones share it.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    keys: Arc<Keys>,
}

/// The values of one user.
pub struct UserVault<'a> {
    vault: &'a Vault,
    user: &'a UserKey,
}

/// A value that was opened.
pub struct Opened {
    pub text: SecretString,
    /// As it stands in the store, to be replaced or deleted.
    pub sealed: Sealed,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no key: why, and what to do.
    #[error("{0}")]
    NoKeys(String),
    /// Its key is gone, or the value was changed: the user has to give it anew.
    #[error("what is stored as `{name}` cannot be opened: {reason}")]
    Unreadable { name: String, reason: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of sealing everything with the newest key.
#[derive(Debug, PartialEq, Eq)]
pub struct Rotated {
    pub key_id: String,
    pub resealed: u64,
    /// What no key opens stays as it is.
    pub unreadable: u64,
}

/// Rows that are read at one time.
const BATCH: u32 = 100;

impl Vault {
    pub fn new(store: Store, keys: Keys) -> Self {
        Self { store, keys: Arc::new(keys) }
    }

    /// With keys that others use too.
    pub const fn with_keys(store: Store, keys: Arc<Keys>) -> Self {
        Self { store, keys }
    }

    pub const fn of<'a>(&'a self, user: &'a UserKey) -> UserVault<'a> {
        UserVault { vault: self, user }
    }

    pub const fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Seals everything with the newest key, also what is written meanwhile with an older one.
    pub async fn rotate(&self) -> Result<Rotated, VaultError> {
        let ring = self.keys.load().await?;
        let newest = ring.newest();
        let mut rotated = Rotated { key_id: newest.id.clone(), resealed: 0, unreadable: 0 };
        loop {
            let (mut position, mut changed) = (0, false);
            rotated.unreadable = 0;
            loop {
                let rows = self.store.list_sealed_otherwise(&newest.id, position, BATCH).await?;
                let Some(last) = rows.last() else { break };
                position = last.position;
                for row in &rows {
                    let purpose = Purpose {
                        owner: &row.owner,
                        kind: row.sealed.kind,
                        name: &row.sealed.name,
                    };
                    let opened = ring
                        .find(&row.sealed.ciphertext.key_id)
                        .and_then(|key| cipher::open(key, purpose, &row.sealed.ciphertext));
                    let Some(text) = opened else {
                        rotated.unreadable += 1;
                        continue;
                    };
                    let ciphertext = cipher::seal(newest, purpose, text.expose_secret());
                    changed = true;
                    rotated.resealed += u64::from(self.store.reseal(row, &ciphertext).await?);
                }
            }
            // A process that had not seen the new key yet may have written behind us.
            if !changed {
                return Ok(rotated);
            }
        }
    }
}

impl UserVault<'_> {
    /// Keeps a value in place of the one of its name.
    pub async fn save(
        &self,
        kind: SealedKind,
        name: &str,
        text: &SecretString,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError> {
        let ciphertext = self.seal(kind, name, text).await?;
        Ok(self.vault.store.of(self.user).save_sealed(kind, name, &ciphertext, expires_at).await?)
    }

    pub async fn find(&self, kind: SealedKind, name: &str) -> Result<Option<Opened>, VaultError> {
        match self.vault.store.of(self.user).find_sealed(kind, name).await? {
            Some(sealed) => self.open(sealed).await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes a value away, readable or not; says whether it was there.
    pub async fn forget(&self, kind: SealedKind, name: &str) -> Result<bool, VaultError> {
        Ok(self.vault.store.of(self.user).delete_sealed(kind, name).await?)
    }

    /// Takes `old` away, only if it is still there; says whether it did.
    pub async fn delete(&self, old: &Sealed) -> Result<bool, VaultError> {
        Ok(self.vault.store.of(self.user).delete_unchanged(old).await?)
    }

    /// What there is of a kind, by name.
    pub async fn list(&self, kind: SealedKind) -> Result<Vec<Sealed>, VaultError> {
        Ok(self.vault.store.of(self.user).list_sealed(kind).await?)
    }

    /// Puts another value in the place of `old`, only if that is still there; says whether it did.
    pub async fn replace(
        &self,
        old: &Sealed,
        text: &SecretString,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, VaultError> {
        let ciphertext = self.seal(old.kind, &old.name, text).await?;
        Ok(self.vault.store.of(self.user).replace_sealed(old, &ciphertext, expires_at).await?)
    }

    /// What only [`Self::unseal`] makes a text of again, for the same user, kind and name: to be kept elsewhere.
    pub async fn seal(
        &self,
        kind: SealedKind,
        name: &str,
        text: &SecretString,
    ) -> Result<Ciphertext, VaultError> {
        let ring = self.vault.keys.load().await?;
        let purpose = Purpose { owner: self.user, kind, name };
        Ok(cipher::seal(ring.newest(), purpose, text.expose_secret()))
    }

    pub async fn unseal(
        &self,
        kind: SealedKind,
        name: &str,
        ciphertext: &Ciphertext,
    ) -> Result<SecretString, VaultError> {
        let ring = self.vault.keys.load().await?;
        let unreadable = |reason| VaultError::Unreadable { name: name.to_owned(), reason };
        let key = ring
            .find(&ciphertext.key_id)
            .ok_or_else(|| unreadable("the key that it was sealed with is not there"))?;
        let purpose = Purpose { owner: self.user, kind, name };
        cipher::open(key, purpose, ciphertext)
            .ok_or_else(|| unreadable("it is damaged, or another's"))
    }

    async fn open(&self, sealed: Sealed) -> Result<Opened, VaultError> {
        let text = self.unseal(sealed.kind, &sealed.name, &sealed.ciphertext).await?;
        Ok(Opened { text, sealed })
    }
}
