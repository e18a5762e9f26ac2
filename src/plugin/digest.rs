use std::{fmt, fmt::Write, str::FromStr};

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The SHA-256 of what a plugin is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest(pub [u8; 32]);

impl ContentDigest {
    /// Of one file, as `sha256sum` prints it.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of a pack, whose files come in the order of their paths: that of the lines that `sha256sum` prints for them.
    pub fn of_pack<'a>(files: impl Iterator<Item = (&'a str, Self)>) -> Self {
        let mut lines = String::new();
        for (path, digest) in files {
            // Writing to a text cannot fail.
            let _ = writeln!(lines, "{digest}  {path}");
        }
        Self::of(lines.as_bytes())
    }

    /// Enough of it for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ContentDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
        if text.len() != 64 || !text.bytes().all(is_hex) {
            let shown: String = text.chars().take(80).collect();
            return Err(format!(
                "`{}` is no SHA-256: it has 64 digits of 0-9 and a-f",
                shown.escape_debug()
            ));
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16)
                .expect("two digits are a byte");
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::ContentDigest;

    #[test]
    fn it_is_what_sha256sum_prints() {
        let digest = ContentDigest::of(b"hello\n");
        let text = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(digest.short(), "5891b5b522d5");
        // printf 'hello\n' > a; printf 'hello\n' > b; sha256sum a b | sha256sum
        let pack = ContentDigest::of_pack([("a", digest), ("b", digest)].into_iter());
        assert_eq!(
            pack.to_string(),
            "079ee2d23876143cdec4fe58ada08e1d57cb0d37b6553e7babdc944181972334"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "5891", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32), "\x1b[2J"] {
            assert!(text.parse::<ContentDigest>().is_err(), "{text}");
        }
    }
}
