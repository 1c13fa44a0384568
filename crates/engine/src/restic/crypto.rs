//! The repository's key: AES-256-CTR and Poly1305-AES, as restic uses them.
//!
//! What is encrypted looks like `nonce (16) | ciphertext | MAC (16)`.

use aes256ctr_poly1305aes::aead::AeadInPlace;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::Rng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// Length of the nonce in front of the ciphertext.
pub(super) const NONCE: usize = 16;
/// Length of the MAC behind it.
const MAC: usize = 16;
/// How much longer the encrypted form is.
pub(super) const OVERHEAD: usize = NONCE + MAC;

/// Decryption failed: another key, or damage.
#[derive(Debug, thiserror::Error)]
#[error("failed to decrypt: the key does not fit or the data is damaged")]
pub(super) struct DecryptError;

/// Encryption failed: the text is too long for the cipher.
#[derive(Debug, thiserror::Error)]
#[error("failed to encrypt: the data is too long")]
pub(super) struct EncryptError;

/// The text in a key file is no key.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the repository's key from its key file")]
pub(super) struct InvalidKey;

/// An AES-256 key and the two halves of a Poly1305-AES key, in this order.
#[derive(Clone)]
pub(super) struct RepoKey(Zeroizing<[u8; 64]>);

/// A master key as it stands in key files.
#[derive(Serialize, Deserialize)]
struct MasterKey {
    mac: MacKey,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacKey {
    k: String,
    r: String,
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.encrypt.zeroize();
        self.mac.k.zeroize();
        self.mac.r.zeroize();
    }
}

impl RepoKey {
    /// A new random key.
    pub(super) fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 64]);
        rand::rng().fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// A key from its three parts: 32, 16 and 16 bytes.
    pub(super) fn from_parts(encrypt: &[u8], k: &[u8], r: &[u8]) -> Result<Self, InvalidKey> {
        if (encrypt.len(), k.len(), r.len()) != (32, 16, 16) {
            return Err(InvalidKey);
        }
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(encrypt);
        bytes[32..48].copy_from_slice(k);
        bytes[48..].copy_from_slice(r);
        Ok(Self(bytes))
    }

    /// The master key in the decrypted text of a key file.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, InvalidKey> {
        let key: MasterKey = serde_json::from_slice(json).map_err(|_| InvalidKey)?;
        let decode = |text: &str| {
            BASE64
                .decode(text)
                .map(Zeroizing::new)
                .map_err(|_| InvalidKey)
        };
        Self::from_parts(
            &decode(&key.encrypt)?,
            &decode(&key.mac.k)?,
            &decode(&key.mac.r)?,
        )
    }

    /// The text of a key file for this master key.
    pub(super) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let key = MasterKey {
            mac: MacKey {
                k: BASE64.encode(&self.0[32..48]),
                r: BASE64.encode(&self.0[48..]),
            },
            encrypt: BASE64.encode(&self.0[..32]),
        };
        serde_json::to_vec(&key).map(Zeroizing::new)
    }

    /// The cipher of this key. Making it costs little; one for each blob is fine.
    fn cipher(&self) -> Aes256CtrPoly1305Aes {
        Aes256CtrPoly1305Aes::new(Key::from_slice(self.0.as_ref()))
    }

    /// Encrypts a buffer that begins with [`NONCE`] bytes of room; afterwards it is the encrypted
    /// form.
    pub(super) fn encrypt_in_place(&self, buffer: &mut Vec<u8>) -> Result<(), EncryptError> {
        let (head, text) = buffer.split_at_mut_checked(NONCE).ok_or(EncryptError)?;
        rand::rng().fill_bytes(head);
        let mac = self
            .cipher()
            .encrypt_in_place_detached(Nonce::from_slice(head), b"", text)
            .map_err(|_| EncryptError)?;
        buffer.extend_from_slice(&mac);
        Ok(())
    }

    /// The encrypted form of a text.
    pub(super) fn encrypt(&self, text: &[u8]) -> Result<Vec<u8>, EncryptError> {
        let mut buffer = Vec::with_capacity(text.len() + OVERHEAD);
        buffer.resize(NONCE, 0);
        buffer.extend_from_slice(text);
        self.encrypt_in_place(&mut buffer)?;
        Ok(buffer)
    }

    /// The text of an encrypted form, if it was encrypted with this key and nobody changed it.
    pub(super) fn decrypt(&self, data: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let (nonce, rest) = data.split_at_checked(NONCE).ok_or(DecryptError)?;
        let length = rest.len().checked_sub(MAC).ok_or(DecryptError)?;
        let (text, mac) = rest.split_at(length);
        let mut text = text.to_vec();
        self.cipher()
            .decrypt_in_place_detached(
                Nonce::from_slice(nonce),
                b"",
                &mut text,
                aes256ctr_poly1305aes::Tag::from_slice(mac),
            )
            .map_err(|_| DecryptError)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_decrypts_and_damage_is_noticed() {
        let key = RepoKey::generate();
        for text in [&b""[..], b"x", &[7; 100_000]] {
            let mut data = key.encrypt(text).unwrap();
            assert_eq!(data.len(), text.len() + OVERHEAD);
            assert_eq!(key.decrypt(&data).unwrap(), text);
            assert!(RepoKey::generate().decrypt(&data).is_err());
            let last = data.len() - 1;
            data[last] ^= 1;
            assert!(key.decrypt(&data).is_err());
        }
        assert!(key.decrypt(&[0; 31]).is_err());
    }

    #[test]
    fn a_master_key_survives_its_key_file() {
        let key = RepoKey::generate();
        let again = RepoKey::from_json(&key.to_json().unwrap()).unwrap();
        assert_eq!(
            again.decrypt(&key.encrypt(b"hello").unwrap()).unwrap(),
            b"hello"
        );
        assert!(RepoKey::from_json(b"{}").is_err());
    }
}
