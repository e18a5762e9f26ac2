use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::Mac;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{chatkit::now, oauth::SignIn, server::auth::session::SessionKey};

/// As long as a login at the provider may take.
pub const MINUTES: i64 = 10;

const PURPOSE: &str = "login";

/// A login that has begun, kept in the browser that began it: signed, so that nobody else can make one up, and kept
/// nowhere else, so that whoever begins a thousand costs nothing.
#[derive(Serialize, Deserialize)]
pub struct Begun {
    #[serde(flatten)]
    pub sign_in: SignIn,
    /// Where it is to lead: a path of this server.
    pub next: String,
    /// Where it was begun.
    pub issuer: String,
    pub client_id: String,
    pub expires_at: Timestamp,
}

impl Begun {
    pub fn new(sign_in: SignIn, next: String, issuer: &str, client_id: &str) -> Self {
        let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
        Self { sign_in, next, issuer, client_id, expires_at: now() + MINUTES.minutes() }
    }

    /// As it stands in the cookie.
    pub fn sign(&self, key: &SessionKey) -> String {
        let text = serde_json::to_string(self).expect("texts can be written as JSON");
        let text = URL_SAFE_NO_PAD.encode(text);
        let mac = key.mac(PURPOSE, &text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// None: it was not signed here, or it took too long.
    pub fn verify(signed: &str, key: &SessionKey) -> Option<Self> {
        let (text, mac) = signed.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        key.mac(PURPOSE, text).verify_slice(&mac).ok()?;
        let begun: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        (begun.expires_at > now()).then_some(begun)
    }
}

/// The name of the cookie of the login that has this state: a browser may have begun several.
pub fn cookie_name(state: &str) -> String {
    let digest = Sha256::digest(state);
    format!("kitfox_sign_in_{}", &URL_SAFE_NO_PAD.encode(digest)[..16])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: SessionKey = SessionKey::new([7; 32]);

    fn begun() -> Begun {
        let sign_in = json!({ "state": "s", "nonce": "n", "verifier": "v" });
        Begun::new(serde_json::from_value(sign_in).unwrap(), "/".to_owned(), "https://id", "kitfox")
    }

    #[test]
    fn what_a_browser_keeps_of_a_login_cannot_be_made_up() {
        let signed = begun().sign(&KEY);
        assert_eq!(Begun::verify(&signed, &KEY).unwrap().sign_in.nonce, "n");
        let (text, mac) = signed.split_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode(r#"{"state":"x"}"#);
        for wrong in [
            format!("{other}.{mac}"),
            format!("{text}."),
            format!("{text}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
            text.to_owned(),
            format!("{signed}x"),
        ] {
            assert!(Begun::verify(&wrong, &KEY).is_none(), "{wrong}");
        }
        assert!(Begun::verify(&signed, &SessionKey::new([8; 32])).is_none());
    }

    #[test]
    fn a_login_that_took_too_long_is_none() {
        let late = Begun { expires_at: now() - 1.second(), ..begun() };
        assert!(Begun::verify(&late.sign(&KEY), &KEY).is_none());
    }
}
