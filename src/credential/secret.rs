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

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use serde::Serialize;

    use super::Secret;

    /// With another implementation beside the one for all, which one is meant would be ambiguous, and this would not
    /// compile.
    #[test]
    fn a_secret_can_be_neither_printed_nor_written_nor_compared() {
        trait Is<Reason> {
            fn a_secret() -> bool {
                true
            }
        }
        struct Printed;
        struct Shown;
        struct Written;
        struct Compared;
        impl<T: ?Sized> Is<()> for T {}
        impl<T: ?Sized + Debug> Is<Printed> for T {}
        impl<T: ?Sized + Display> Is<Shown> for T {}
        impl<T: ?Sized + Serialize> Is<Written> for T {}
        impl<T: ?Sized + PartialEq> Is<Compared> for T {}
        assert!(<Secret as Is<_>>::a_secret());
    }
}
