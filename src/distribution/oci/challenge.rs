use anyhow::Context;
use url::Url;

/// How a registry wants to know who asks: <https://distribution.github.io/distribution/spec/auth/token/>.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A token is to be had there.
    Bearer(Url),
    Basic,
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header; `repository` is asked for where it says nothing of what to ask for.
    pub fn parse(header: &str, repository: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        let bearer = scheme.eq_ignore_ascii_case("bearer").then(|| parameters(rest));
        let realm = bearer.iter().flatten().find(|(key, _)| key == "realm");
        let realm = realm.with_context(|| {
            format!(
                "the registry wants to know who asks in a way that is not known here: `{}`",
                header.escape_debug()
            )
        })?;
        let mut url = Url::parse(&realm.1).context("the registry's realm is no URL")?;
        let mut has_scope = false;
        for (key, value) in bearer.iter().flatten() {
            if key == "service" || key == "scope" {
                has_scope |= key == "scope";
                url.query_pairs_mut().append_pair(key, value);
            }
        }
        if !has_scope {
            url.query_pairs_mut().append_pair("scope", &format!("repository:{repository}:pull"));
        }
        Ok(Self::Bearer(url))
    }
}

/// `realm="https://a.test/token",service="a.test",scope="repository:a:pull"`
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        parameters.push((key, value.trim().to_owned()));
        rest = next;
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn a_registry_says_where_a_token_is_to_be_had() {
        let header = r#"Bearer realm="https://a.test/token?x=1",service="a.test",scope="repository:a/b:pull,push""#;
        let Challenge::Bearer(url) = Challenge::parse(header, "c").unwrap() else { panic!() };
        assert_eq!(
            url.as_str(),
            "https://a.test/token?x=1&service=a.test&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
        let Challenge::Bearer(url) =
            Challenge::parse("bearer Realm=https://a.test , foo", "c").unwrap()
        else {
            panic!()
        };
        assert_eq!(url.as_str(), "https://a.test/?scope=repository%3Ac%3Apull");
        assert_eq!(Challenge::parse("Basic realm=\"x\"", "c").unwrap(), Challenge::Basic);
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        for header in [
            "",
            "Bearer",
            "Digest realm=\"x\"",
            "Bearer realm=\"no url\"",
            "Bearer =",
            "Bearer realm=\"",
        ] {
            assert!(Challenge::parse(header, "c").is_err(), "{header}");
        }
    }
}
