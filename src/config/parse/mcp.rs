//! `[mcp]` and `[credentials]`.

use std::collections::BTreeMap;

use secrecy::SecretString;
use url::Url;

use crate::{
    config::{
        AuthMode, CredentialConfig, CredentialSource, CrossServer, ExchangeConfig, ExchangePlace,
        McpConfig, OAuthConfig, SECRET_CHARACTERS, StdioPolicy,
        document::{Content, Field, Table},
    },
    net::is_near,
};

use super::server::read_header_name;

const SOURCES: &str = "one of `login`, `request`, `store`, `static`, `oauth` and `exchange`";

const CREDENTIAL_NAME: &str =
    "a credential's name begins with a letter and goes on with letters, digits and `_`, at most 64";

pub fn read_mcp(root: &Table<'_>) -> McpConfig {
    let table = root.table("mcp", &["stdio", "allow", "allow_plaintext", "cross_server"]);
    let words = [("ask", CrossServer::Ask), ("allow", CrossServer::Allow)];
    McpConfig {
        stdio: table.get("stdio").map_or(StdioPolicy::Only(Vec::new()), |it| read_stdio(&it)),
        allow: table.get("allow").and_then(|it| it.texts()).unwrap_or_default(),
        allow_plaintext: table.get("allow_plaintext").and_then(|it| it.boolean()).unwrap_or(false),
        cross_server: table.get("cross_server").and_then(|it| it.word(&words)).unwrap_or_default(),
    }
}

fn read_stdio(field: &Field<'_>) -> StdioPolicy {
    match &field.node.content {
        Content::List(_) => StdioPolicy::Only(field.texts().unwrap_or_default()),
        _ => match field.boolean() {
            Some(true) => StdioPolicy::Any,
            Some(false) | None => StdioPolicy::Only(Vec::new()),
        },
    }
}

/// `modes`: how users log in. `allow`: the addresses nearby that may be reached.
pub fn read_credentials(
    root: &Table<'_>,
    modes: &[AuthMode],
    allow: &[String],
) -> BTreeMap<String, CredentialConfig> {
    let mut credentials = BTreeMap::new();
    for (key, field) in root.map("credentials").fields() {
        if !is_name(&key.name) {
            field.refuse_with_remedy(
                format!("`credentials.{}` is no name: {CREDENTIAL_NAME}", key.name),
                "rename it, here and where it is used",
            );
            continue;
        }
        if let Some(credential) = read_credential(&field, modes, allow) {
            credentials.insert(key.name, credential);
        }
    }
    credentials
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|it: char| it.is_ascii_alphabetic())
        && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

fn read_credential(
    field: &Field<'_>,
    modes: &[AuthMode],
    allow: &[String],
) -> Option<CredentialConfig> {
    let known = [
        "source",
        "field",
        "header",
        "value",
        "label",
        "destinations",
        "issuer",
        "token_endpoint",
        "audience",
        "resource",
        "scopes",
        "client_id",
        "client_secret",
    ];
    let table = field.table(&known)?;
    let (headers, send) = read_headers(&table);
    let source = table.get("source").and_then(|it| it.text_not_empty());
    let Some(source) = source else {
        field.refuse_with_remedy(format!("`{}` needs a `source`", field.path), SOURCES);
        return None;
    };
    let uses: &[&str] = match source.as_str() {
        "login" => &["field"],
        "request" => &[],
        "store" => &["label"],
        "static" => &["value"],
        "oauth" => &["label", "issuer", "resource", "scopes", "client_id", "client_secret"],
        "exchange" => &[
            "issuer",
            "token_endpoint",
            "audience",
            "resource",
            "scopes",
            "client_id",
            "client_secret",
        ],
        _ => &known,
    };
    for key in known.into_iter().filter(|it| !["source", "header", "destinations"].contains(it)) {
        if let Some(field) = table.get(key).filter(|_| !uses.contains(&key)) {
            field.refuse_with_remedy(
                format!("`{}` is not for the source `{source}`", field.path),
                "take it out",
            );
        }
    }
    let text = |key: &str| table.get(key).and_then(|it| it.text_not_empty());
    let needs = |key: &str, example: &str| {
        field.refuse_with_remedy(
            format!("`{}` has the source `{source}`, and no `{key}`", field.path),
            format!("add `{key} = \"{example}\"`"),
        );
    };
    let source = match source.as_str() {
        "login" => {
            let Some(field) = text("field") else {
                needs("field", "access_token");
                return None;
            };
            CredentialSource::Login { field }
        }
        "request" => {
            let [header] = headers.as_slice() else {
                needs("header", "X-Access-Token");
                return None;
            };
            CredentialSource::Request { header: header.clone() }
        }
        "store" => CredentialSource::Store { label: text("label") },
        "static" => CredentialSource::Static { value: read_secret(&table, &needs)? },
        "oauth" => CredentialSource::OAuth(read_oauth(&table, &needs)?),
        "exchange" => {
            if modes.iter().all(|it| matches!(it, AuthMode::Session | AuthMode::Header)) {
                field.refuse_with_remedy(
                    format!(
                        "`{}` exchanges the token of the user's login, and no `auth.mode` has users log in with one",
                        field.path
                    ),
                    "set `mode = \"jwt\"` under [auth], or use the source `request`, `store` or `oauth`",
                );
            }
            CredentialSource::Exchange(read_exchange(field, &table, allow)?)
        }
        other => {
            field.refuse_with_remedy(
                format!("`{}`: there is no source `{other}`", field.path),
                SOURCES,
            );
            return None;
        }
    };
    let destinations = table.get("destinations").and_then(|it| it.texts()).unwrap_or_default();
    Some(CredentialConfig { source, destinations, send })
}

/// The headers that a credential comes in, and the one that it is sent to hosts in: the latter holds `{}`.
fn read_headers(table: &Table<'_>) -> (Vec<String>, Option<(String, String)>) {
    let (mut names, mut send) = (Vec::new(), None);
    let Some(field) = table.get("header") else { return (names, send) };
    let fields = match &field.node.content {
        Content::List(_) => field.list().unwrap_or_default(),
        _ => vec![field],
    };
    for field in fields {
        let text = field.text().unwrap_or_default();
        match text.split_once(':') {
            Some((name, value)) if value.matches("{}").count() == 1 => {
                send = Some((name.trim().to_owned(), value.trim().to_owned()));
            }
            Some(_) => field.must_be("a name, or a header with `{}` in place of the secret"),
            None => names.extend(read_header_name(&field)),
        }
    }
    (names, send)
}

fn read_secret(table: &Table<'_>, needs: &dyn Fn(&str, &str)) -> Option<SecretString> {
    let Some(field) = table.get("value") else {
        needs("value", "${NAME}");
        return None;
    };
    let value = field.text()?;
    if value.chars().count() < SECRET_CHARACTERS {
        field.refuse_with_remedy(
            format!("`{}` has fewer than {SECRET_CHARACTERS} characters", field.path),
            "a secret so short cannot be told from other text: use a longer one",
        );
        return None;
    }
    Some(SecretString::from(value))
}

fn read_oauth(table: &Table<'_>, needs: &dyn Fn(&str, &str)) -> Option<OAuthConfig> {
    let Some(field) = table.get("issuer") else {
        needs("issuer", "https://…");
        return None;
    };
    let issuer = field.text().and_then(|it| Url::parse(&it).ok()).filter(Url::has_host);
    let Some(issuer) = issuer else {
        field.must_be("the URL of an authorization server");
        return None;
    };
    let text = |key: &str| table.get(key).and_then(|it| it.text_not_empty());
    Some(OAuthConfig {
        label: text("label"),
        issuer,
        resource: text("resource"),
        scopes: table.get("scopes").and_then(|it| it.texts()).unwrap_or_default(),
        client_id: text("client_id"),
        client_secret: text("client_secret").map(SecretString::from),
    })
}

fn read_exchange(field: &Field<'_>, table: &Table<'_>, allow: &[String]) -> Option<ExchangeConfig> {
    let place = match (table.get("issuer"), table.get("token_endpoint")) {
        (None, None) => {
            field.refuse_with_remedy(
                format!("`{}` has the source `exchange`, and no `token_endpoint`", field.path),
                "add `token_endpoint = \"https://…\"`, or the `issuer` whose metadata name it",
            );
            return None;
        }
        (Some(_), Some(endpoint)) => {
            endpoint.refuse_with_remedy(
                format!("`{}` has both `issuer` and `token_endpoint`", field.path),
                "leave one of them out",
            );
            return None;
        }
        (Some(issuer), None) => ExchangePlace::Issuer(read_authority(&issuer, allow)?),
        (None, Some(endpoint)) => ExchangePlace::TokenEndpoint(read_authority(&endpoint, allow)?),
    };
    let text = |key: &str| table.get(key).and_then(|it| it.text_not_empty());
    let config = ExchangeConfig {
        place,
        audience: text("audience"),
        resource: text("resource"),
        scopes: table.get("scopes").and_then(|it| it.texts()).unwrap_or_default(),
        client_id: text("client_id"),
        client_secret: text("client_secret").map(SecretString::from),
    };
    if config.audience.is_none() && config.resource.is_none() && config.scopes.is_empty() {
        field.refuse_with_remedy(
            format!("`{}` does not say what its token is to be for", field.path),
            "add `audience = \"…\"`, `resource = \"https://…\"` or `scopes = [\"…\"]`",
        );
        return None;
    }
    if config.client_secret.is_some() && config.client_id.is_none() {
        field.refuse_with_remedy(
            format!("`{}` has a `client_secret` and no `client_id`", field.path),
            "add the `client_id`",
        );
        return None;
    }
    Some(config)
}

/// Where logins are sent: never in the clear, but to what is near.
fn read_authority(field: &Field<'_>, allow: &[String]) -> Option<Url> {
    let url = field.text().and_then(|it| Url::parse(&it).ok()).filter(Url::has_host);
    let is_plain = |it: &Url| it.username().is_empty() && it.password().is_none();
    let Some(url) = url.filter(is_plain) else {
        field.must_be("the URL of an authorization server");
        return None;
    };
    let place = format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    );
    let is_secure = match url.scheme() {
        "https" => true,
        "http" => is_near(&url) || allow.contains(&place),
        _ => false,
    };
    if !is_secure {
        field.refuse_with_remedy(
            format!("`{}` would send logins in the clear", field.path),
            "use an `https` URL",
        );
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use crate::config::{Config, CredentialSource, Environment, StdioPolicy};

    #[test]
    fn credentials_name_their_source_and_where_they_may_go() {
        let variables = [("WEATHER_KEY".to_owned(), "sk-weather-1".to_owned())];
        let config = Config::parse(
            Some(
                r#"
            [mcp]
            stdio = ["notes-server"]
            allow = ["127.0.0.1:9000"]
            [credentials.notes_token]
            source = "request"
            header = ["X-Access-Token", "Authorization: Bearer {}"]
            destinations = ["notes", "api.example.com"]
            [credentials.weather_key]
            source = "static"
            value = "${WEATHER_KEY}"
            "#,
            ),
            &Environment(variables.into_iter().collect()),
            Path::new("/srv/demo"),
        )
        .expect("it is valid");
        assert_eq!(config.mcp.stdio, StdioPolicy::Only(vec!["notes-server".to_owned()]));
        assert_eq!(config.mcp.allow, ["127.0.0.1:9000"]);
        let notes = &config.credentials["notes_token"];
        assert!(
            matches!(&notes.source, CredentialSource::Request { header } if header == "X-Access-Token")
        );
        assert_eq!(notes.send, Some(("Authorization".to_owned(), "Bearer {}".to_owned())));
        let weather = &config.credentials["weather_key"];
        assert!(!format!("{weather:?}").contains("sk-weather"), "{weather:?}");
    }

    fn errors(text: &str) -> String {
        let errors = Config::parse(Some(text), &Environment::default(), Path::new("/srv/demo"));
        let lines: Vec<_> =
            errors.expect_err("it is wrong").iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_credential_that_cannot_be_had_is_an_error_with_its_place() {
        assert_snapshot!(errors(r#"
            [credentials.a]
            source = "login"
            [credentials.b]
            source = "static"
            value = "short"
            [credentials.c]
            field = "x"
            [credentials.d]
            source = "request"
            header = "X-Token"
            label = "mine"
            [credentials.e]
            source = "vault"
        "#), @r#"
        kitfox.toml:2:13: `credentials.a` has the source `login`, and no `field` (add `field = "access_token"`)
        kitfox.toml:6:21: `credentials.b.value` has fewer than 8 characters (a secret so short cannot be told from other text: use a longer one)
        kitfox.toml:7:13: `credentials.c` needs a `source` (one of `login`, `request`, `store`, `static`, `oauth` and `exchange`)
        kitfox.toml:12:21: `credentials.d.label` is not for the source `request` (take it out)
        kitfox.toml:13:13: `credentials.e`: there is no source `vault` (one of `login`, `request`, `store`, `static`, `oauth` and `exchange`)
        "#);
    }

    #[test]
    fn an_exchange_that_cannot_work_is_an_error_with_its_place() {
        assert_snapshot!(errors(r#"
            [credentials.a]
            source = "exchange"
            token_endpoint = "https://login.example.com/token"
            audience = "notes"
        "#), @r#"kitfox.toml:2:13: `credentials.a` exchanges the token of the user's login, and no `auth.mode` has users log in with one (set `mode = "jwt"` under [auth], or use the source `request`, `store` or `oauth`)"#);
        let tokens = format!(
            "[auth]\nmode = \"token\"\n[auth.tokens.ada]\nhash = \"sha256:{}\"\n",
            "0".repeat(64)
        );
        assert_snapshot!(errors(&(tokens + r#"
            [credentials.a]
            source = "exchange"
            [credentials.b]
            source = "exchange"
            token_endpoint = "http://login.example.com/token"
            audience = "notes"
            [credentials.c]
            source = "exchange"
            issuer = "http://127.0.0.1:9000"
            [credentials.d]
            source = "exchange"
            issuer = "https://login.example.com"
            token_endpoint = "https://login.example.com/token"
            [credentials.e]
            source = "exchange"
            token_endpoint = "https://login.example.com/token"
            scopes = ["notes.read"]
            client_secret = "hush-hush"
            field = "id_token"
        "#)), @r#"
        kitfox.toml:6:13: `credentials.a` has the source `exchange`, and no `token_endpoint` (add `token_endpoint = "https://…"`, or the `issuer` whose metadata name it)
        kitfox.toml:10:30: `credentials.b.token_endpoint` would send logins in the clear (use an `https` URL)
        kitfox.toml:12:13: `credentials.c` does not say what its token is to be for (add `audience = "…"`, `resource = "https://…"` or `scopes = ["…"]`)
        kitfox.toml:18:30: `credentials.d` has both `issuer` and `token_endpoint` (leave one of them out)
        kitfox.toml:19:13: `credentials.e` has a `client_secret` and no `client_id` (add the `client_id`)
        kitfox.toml:24:21: `credentials.e.field` is not for the source `exchange` (take it out)
        "#);
    }
}
