use std::sync::LazyLock;

use regex::Regex;

/// What a server wants, by its `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where its protected resource metadata is.
    pub resource_metadata: Option<String>,
    pub scopes: Vec<String>,
    /// Such as `invalid_token` and `insufficient_scope`.
    pub error: Option<String>,
}

static PARAMETER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))"#).expect("it is valid")
});

impl Challenge {
    /// Of the first of these headers that wants a bearer token.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let bearer = headers.into_iter().find_map(|header| {
            let start = header.to_ascii_lowercase().find("bearer")?;
            let before = header[..start].trim_end();
            // It is the scheme, not a part of another word or value.
            (before.is_empty() || before.ends_with(',')).then(|| &header[start + "bearer".len()..])
        })?;
        let mut challenge = Self::default();
        for found in PARAMETER.captures_iter(bearer) {
            let value = found.get(2).or_else(|| found.get(3)).map_or("", |it| it.as_str());
            let value = value.replace("\\\"", "\"").replace("\\\\", "\\");
            match found[1].to_ascii_lowercase().as_str() {
                "resource_metadata" => challenge.resource_metadata = Some(value),
                "scope" => challenge.scopes = value.split_whitespace().map(str::to_owned).collect(),
                "error" => challenge.error = Some(value),
                _ => (),
            }
        }
        Some(challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_to_look_and_what_is_wanted() {
        let header = r#"Bearer realm="x", error="insufficient_scope", scope="a b", resource_metadata=https://a.org/m"#;
        assert_eq!(
            Challenge::parse([header]).unwrap(),
            Challenge {
                resource_metadata: Some("https://a.org/m".to_owned()),
                scopes: vec!["a".to_owned(), "b".to_owned()],
                error: Some("insufficient_scope".to_owned()),
            }
        );
    }

    #[test]
    fn other_schemes_are_passed_over() {
        assert_eq!(Challenge::parse(["Basic realm=\"bearer\""]), None);
        assert_eq!(Challenge::parse([]), None);
        let found = Challenge::parse(["Basic realm=\"x\"", "bearer scope=\"one\""]).unwrap();
        assert_eq!(found.scopes, ["one"]);
        assert_eq!(Challenge::parse(["Bearer"]), Some(Challenge::default()));
    }
}
