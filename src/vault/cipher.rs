//! How a value is sealed: XChaCha20-Poly1305, for one owner, kind and name alone.

use chacha20poly1305::{
    AeadCore, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, OsRng, Payload},
};
use secrecy::SecretString;

use crate::{
    store::{Ciphertext, SealedKind},
    user::UserKey,
};

use super::keys::Key;

/// What a value is sealed for: in another's place it does not open.
#[derive(Clone, Copy)]
pub struct Purpose<'a> {
    pub owner: &'a UserKey,
    pub kind: SealedKind,
    pub name: &'a str,
}

const NONCE_BYTES: usize = 24;

impl Purpose<'_> {
    fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let parts = ["kitfox vault 1", self.kind.column(), self.owner.as_str(), self.name, key_id];
        let mut bytes = Vec::new();
        for part in parts {
            // Lengths make the parts unambiguous whatever they hold.
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

pub fn seal(key: &Key, purpose: Purpose<'_>, text: &str) -> Ciphertext {
    let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
    let associated = purpose.associated_data(&key.id);
    let payload = Payload { msg: text.as_bytes(), aad: &associated };
    let sealed = XChaCha20Poly1305::new(key.expose().into())
        .encrypt(&nonce, payload)
        .expect("a text in memory is shorter than the cipher's limit");
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&sealed);
    Ciphertext { key_id: key.id.clone(), bytes }
}

/// None: it was changed, it is another one's, or the key is.
pub fn open(key: &Key, purpose: Purpose<'_>, ciphertext: &Ciphertext) -> Option<SecretString> {
    let (nonce, sealed) = ciphertext.bytes.split_at_checked(NONCE_BYTES)?;
    let associated = purpose.associated_data(&key.id);
    let payload = Payload { msg: sealed, aad: &associated };
    let bytes = XChaCha20Poly1305::new(key.expose().into())
        .decrypt(XNonce::from_slice(nonce), payload)
        .ok()?;
    String::from_utf8(bytes).ok().map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_sealed_value_opens_for_what_it_was_sealed_for_and_nothing_else() {
        let (ada, bob) = (UserKey::new("test", "", "ada"), UserKey::new("test", "", "bob"));
        let key = Key::generate();
        let purpose = Purpose { owner: &ada, kind: SealedKind::Entered, name: "notes" };
        let sealed = seal(&key, purpose, "correct horse");
        assert!(!sealed.bytes.windows(7).any(|it| it == b"correct"));
        assert_eq!(open(&key, purpose, &sealed).unwrap().expose_secret(), "correct horse");
        assert!(open(&key, Purpose { owner: &bob, ..purpose }, &sealed).is_none());
        assert!(open(&key, Purpose { name: "note", ..purpose }, &sealed).is_none());
        assert!(open(&key, Purpose { kind: SealedKind::Tokens, ..purpose }, &sealed).is_none());
        assert!(open(&Key::generate(), purpose, &sealed).is_none());
    }

    #[test]
    fn a_value_that_was_tampered_with_does_not_open() {
        let ada = UserKey::new("test", "", "ada");
        let key = Key::generate();
        let purpose = Purpose { owner: &ada, kind: SealedKind::Entered, name: "notes" };
        let sealed = seal(&key, purpose, "correct horse");
        for index in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[index] ^= 1;
            assert!(open(&key, purpose, &changed).is_none(), "byte {index}");
        }
        for length in [0, 10, NONCE_BYTES, sealed.bytes.len() - 1] {
            let mut cut = sealed.clone();
            cut.bytes.truncate(length);
            assert!(open(&key, purpose, &cut).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_the_same_way() {
        let ada = UserKey::new("test", "", "ada");
        let key = Key::generate();
        let purpose = Purpose { owner: &ada, kind: SealedKind::Entered, name: "notes" };
        assert!(seal(&key, purpose, "x").bytes != seal(&key, purpose, "x").bytes);
    }
}
