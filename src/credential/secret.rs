use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// A secret's text. It cannot be shown, compared or serialized, and its memory is cleared when the last
/// copy goes.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// The text itself: for this module, and for what writes to the wire.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self(Arc::new(text))
    }
}

impl From<&SecretString> for Secret {
    fn from(text: &SecretString) -> Self {
        Self::from(text.expose_secret().to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::from(SecretString::from(text))
    }
}
