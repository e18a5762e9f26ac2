/// Words that a field which asks for a secret is called by, however they are joined.
const NAMES: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "passcode",
    "secret",
    "secrets",
    "token",
    "apikey",
    "api key",
    "access key",
    "secret key",
    "private key",
    "signing key",
    "encryption key",
    "ssh key",
    "credential",
    "credentials",
    "bearer",
    "jwt",
    "seed phrase",
    "recovery phrase",
    "recovery code",
    "backup code",
    "verification code",
    "security code",
    "one time code",
    "otp",
    "totp",
    "mfa code",
    "2fa code",
    "pin",
    "pin code",
    "cvv",
    "cvc",
    "card number",
    "credit card",
    "debit card",
    "iban",
    "ssn",
    "social security number",
];

/// Those that say so in a sentence too.
const PHRASES: &[&str] = &[
    "password",
    "passphrase",
    "passcode",
    "api key",
    "apikey",
    "access token",
    "secret key",
    "private key",
    "credit card number",
    "card number",
    "cvv",
    "one time code",
    "recovery phrase",
    "social security number",
];

/// Whether a field of this name or title asks for what belongs in no form.
pub fn names_a_secret(name: &str) -> bool {
    holds(name, NAMES)
}

/// Whether a description says so.
pub fn speaks_of_a_secret(text: &str) -> bool {
    holds(text, PHRASES)
}

fn holds(text: &str, phrases: &[&str]) -> bool {
    let text = format!(" {} ", words(text));
    phrases.iter().any(|it| text.contains(&format!(" {it} ")))
}

/// `apiKey_2` as `api key 2`.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut before: Option<char> = None;
    for character in text.chars() {
        if character.is_alphanumeric() {
            let is_hump = character.is_uppercase()
                && before.is_some_and(|it| it.is_lowercase() || it.is_ascii_digit());
            if is_hump && !words.ends_with(' ') {
                words.push(' ');
            }
            words.extend(character.to_lowercase());
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
        before = Some(character);
    }
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in [
            "password",
            "user_password",
            "newPassword",
            "API key",
            "apiKey",
            "api-key",
            "access_token",
            "githubToken",
            "client_secret",
            "PIN",
            "cardNumber",
            "card_cvv",
            "Enter your passphrase:",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in [
            "name",
            "max_tokens",
            "pinned",
            "spinach",
            "tokenizer",
            "secretary",
            "key",
            "compass",
            "description",
        ] {
            assert!(!names_a_secret(name), "{name}");
        }
        assert!(speaks_of_a_secret("The password of your account"));
        assert!(!speaks_of_a_secret("What the token ring is called"));
    }
}
