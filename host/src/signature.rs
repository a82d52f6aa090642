//! Whether a plugin was signed by somebody this node trusts: signatures of [minisign](https://jedisct1.github.io/minisign/).
//!
//! A signature is the text of a `.minisig` file. Only the form that minisign has made since 0.10 (2022) is taken, in
//! which the file's BLAKE2b digest is signed. The older one signs the file itself, as other tools do with the same
//! keys, so that what was signed for them could be passed off as a plugin.

use std::fmt;

use minisign_verify::{Error, PublicKey, Signature};

pub use forebay_proto::deploy::SIGNATURE_BYTES_MAX;

/// The keys of those whose plugins a node takes, and whether it takes others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedKeys {
    /// In the order of the settings.
    pub keys: Vec<TrustedKey>,
    /// Whether a plugin without a signature is refused.
    pub require_signed: bool,
}

/// A public key of minisign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedKey {
    text: String,
    key: PublicKey,
}

/// What is known of a plugin that is not refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verified {
    /// It has no signature, and needs none.
    Unsigned,
    /// It has a signature, but no key is trusted here that it could be checked with, and it needs none.
    Unchecked,
    /// A trusted key has signed exactly these bytes.
    Signed {
        /// The key, as it stands in the settings.
        by: TrustedKey,
        /// The comment that was signed with them, with control characters escaped.
        comment: String,
    },
}

/// A plugin is refused for its signature.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// There is none, and there must be one.
    #[error("it is not signed, and `require_signed` asks for it; sign it with `minisign -S -m FILE`")]
    Missing,
    /// The text is none.
    #[error("its signature is not one of minisign: expected the four lines of a `.minisig` file, at most 4096 bytes")]
    NotASignature,
    /// It is of the form that is not taken.
    #[error("its signature is of minisign's old form, which is not taken; sign it again with minisign 0.10 or newer")]
    OldForm,
    /// None of the keys has made it.
    #[error("its signature was made by a key that is not one of the {trusted} in `trusted_keys`")]
    UnknownKey {
        /// How many keys are trusted.
        trusted: usize,
    },
    /// The key is trusted, but signed something else.
    #[error("its signature is not over these bytes, or was changed: it was made by the trusted key {key}")]
    OtherBytes {
        /// The key.
        key: TrustedKey,
    },
}

impl TrustedKey {
    /// Reads the base64 text in the second line of a `.pub` file.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let key = PublicKey::from_base64(text);
        let key = key.map_err(|_| "a public key of minisign: the second line of its `.pub` file, as in RWQf6LRC...")?;
        Ok(Self { text: text.to_owned(), key })
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TrustedKeys {
    /// Checks a plugin's bytes against its signature, if it has one. One that is there and wrong is an error also
    /// where none is required; without any trusted key nothing can be checked, and it is not looked at.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, bytes: &[u8], signature: Option<&str>) -> Result<Verified, SignatureError> {
        let Some(text) = signature else {
            return if self.require_signed { Err(SignatureError::Missing) } else { Ok(Verified::Unsigned) };
        };
        if self.keys.is_empty() && !self.require_signed {
            return Ok(Verified::Unchecked);
        }
        if text.len() > SIGNATURE_BYTES_MAX {
            return Err(SignatureError::NotASignature);
        }
        let signature = Signature::decode(text).map_err(|_| SignatureError::NotASignature)?;
        // A key's number, by which it is found, is chosen by whoever makes it: another key may have the same.
        let mut refusal = SignatureError::UnknownKey { trusted: self.keys.len() };
        for trusted in &self.keys {
            match trusted.key.verify(bytes, &signature, false) {
                Ok(()) => return Ok(signed(trusted, &signature)),
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnexpectedAlgorithm | Error::UnsupportedLegacyMode) => refusal = SignatureError::OldForm,
                Err(_) => refusal = SignatureError::OtherBytes { key: trusted.clone() },
            }
        }
        Err(refusal)
    }
}

fn signed(by: &TrustedKey, signature: &Signature) -> Verified {
    let comment = signature.trusted_comment().escape_debug().to_string();
    Verified::Signed { by: by.clone(), comment }
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    /// Made by Debian's minisign 0.11.
    const KEY: &str = include_str!("../tests/signed/key.pub");
    const PLUGIN: &[u8] = include_bytes!("../tests/signed/plugin");
    const SIGNATURE: &str = include_str!("../tests/signed/plugin.minisig");
    const OLD_FORM: &str = include_str!("../tests/signed/legacy.minisig");

    fn trusted(keys: &[&str], require_signed: bool) -> TrustedKeys {
        let keys = keys.iter().map(|key| TrustedKey::parse(key).unwrap()).collect();
        TrustedKeys { keys, require_signed }
    }

    fn debian() -> &'static str {
        KEY.lines().nth(1).unwrap()
    }

    fn sign(pair: &KeyPair, bytes: &[u8]) -> String {
        minisign::sign(Some(&pair.pk), &pair.sk, bytes, Some("for\u{1b} test"), None).unwrap().to_string()
    }

    #[test]
    fn what_minisign_itself_signed_is_verified() {
        let keys = trusted(&[debian()], true);
        let Verified::Signed { by, comment } = keys.verify(PLUGIN, Some(SIGNATURE)).unwrap() else { panic!("signed") };
        assert_eq!((by.to_string().as_str(), &*comment), (debian(), "a trusted comment"));
        assert_eq!(keys.verify(PLUGIN, Some(OLD_FORM)), Err(SignatureError::OldForm));
    }

    #[test]
    fn each_way_to_be_refused_has_its_own_words() {
        let [own, other] = [(); 2].map(|()| KeyPair::generate_unencrypted_keypair().unwrap());
        let keys = trusted(&[debian(), &own.pk.to_base64()], true);
        let verify = |bytes: &[u8], signature: Option<&str>| keys.verify(bytes, signature);
        let good = sign(&own, b"plugin");
        let Ok(Verified::Signed { comment, .. }) = verify(b"plugin", Some(&good)) else { panic!("signed") };
        assert_eq!(comment, "for\\u{1b} test");
        assert_eq!(verify(b"plugin", None), Err(SignatureError::Missing));
        let key = TrustedKey::parse(&own.pk.to_base64()).unwrap();
        assert_eq!(verify(b"plugim", Some(&good)), Err(SignatureError::OtherBytes { key: key.clone() }));
        // The comment is signed, too.
        let changed = good.replace("test", "live");
        assert_eq!(verify(b"plugin", Some(&changed)), Err(SignatureError::OtherBytes { key }));
        let foreign = sign(&other, b"plugin");
        assert_eq!(verify(b"plugin", Some(&foreign)), Err(SignatureError::UnknownKey { trusted: 2 }));
        let long = good.clone() + &"x".repeat(SIGNATURE_BYTES_MAX);
        for none in ["", "x", "untrusted comment: x\nRWQ=\ntrusted comment: y\nAA==\n", &long, &good[..100]] {
            assert_eq!(verify(b"plugin", Some(none)), Err(SignatureError::NotASignature), "{none}");
        }
    }

    #[test]
    fn a_key_that_took_the_number_of_another_is_another() {
        let [own, other] = [(); 2].map(|()| KeyPair::generate_unencrypted_keypair().unwrap());
        let [mut bytes, forged] = [own.pk.to_bytes(), other.pk.to_bytes()];
        bytes[10..].copy_from_slice(&forged[10..]);
        let twin = minisign::PublicKey::from_bytes(&bytes).unwrap().to_base64();
        let keys = trusted(&[&own.pk.to_base64(), &twin], true);
        assert!(matches!(keys.verify(b"x", Some(&sign(&own, b"x"))), Ok(Verified::Signed { .. })));
        let alone = trusted(&[&twin], true);
        assert!(matches!(alone.verify(b"x", Some(&sign(&own, b"x"))), Err(SignatureError::OtherBytes { .. })));
    }

    #[test]
    fn without_a_requirement_only_a_wrong_signature_is_refused() {
        let keys = trusted(&[debian()], false);
        assert_eq!(keys.verify(PLUGIN, None), Ok(Verified::Unsigned));
        assert!(matches!(keys.verify(b"other", Some(SIGNATURE)), Err(SignatureError::OtherBytes { .. })));
        assert_eq!(TrustedKeys::default().verify(b"other", Some("anything")), Ok(Verified::Unchecked));
        // Whoever builds one without keys that requires signatures gets nothing through.
        assert!(trusted(&[], true).verify(PLUGIN, Some(SIGNATURE)).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["", "RWQ", "untrusted comment: x", &debian()[1..], KEY] {
            assert!(TrustedKey::parse(wrong).is_err(), "{wrong}");
        }
    }
}
