//! `[auth.oidc]`

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use url::Url;

use crate::config::{
    JwtConfig, JwtKeys, OidcConfig, PublicUrlSource, ServerConfig,
    document::{Field, Table},
};

use super::{
    auth::{is_safe, read_algorithms, read_claims},
    read_duration,
};

const KNOWN: &[&str] = &[
    "issuer",
    "client_id",
    "client_secret",
    "scopes",
    "label",
    "parameters",
    "algorithms",
    "leeway",
    "claims",
    "idle_timeout",
    "lifetime",
];

/// What a login itself says to the provider.
const RESERVED: &[&str] = &[
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

pub fn read_oidc(field: &Field<'_>, server: &ServerConfig) -> Option<OidcConfig> {
    let table = field.table(KNOWN)?;
    let text = |key: &str| table.get(key).and_then(|it| it.text_not_empty());
    for (key, why) in [
        ("issuer", "the URL of the identity provider, as its discovery document writes it"),
        ("client_id", "what the identity provider knows this server as"),
    ] {
        if table.get(key).is_none() {
            let message = format!("`{}` has no `{key}`", field.path);
            field.refuse_with_remedy(message, format!("add it: {why}"));
        }
    }
    let issuer = text("issuer");
    let url = issuer.as_deref().and_then(|it| Url::parse(it).ok());
    if let (Some(field), None) = (table.get("issuer"), url.as_ref().filter(|it| is_safe(it))) {
        field.must_be("a URL that begins with `https://`");
    }
    check_way_back(field, server);
    let client_id = text("client_id");
    let (scopes, parameters) = (read_scopes(&table), read_parameters(&table));
    let tokens = JwtConfig {
        issuer: issuer.unwrap_or_default(),
        audience: client_id.iter().cloned().collect(),
        keys: JwtKeys::Discovered,
        algorithms: read_algorithms(&table),
        leeway: read_duration(&table, "leeway", Duration::from_mins(1), Duration::ZERO),
        claims: read_claims(&table),
    };
    let lifetime = read_duration(&table, "lifetime", Duration::from_hours(24), LEAST);
    let idle_timeout =
        read_duration(&table, "idle_timeout", Duration::from_hours(8).min(lifetime), LEAST);
    if let Some(field) = table.get("idle_timeout").filter(|_| idle_timeout > lifetime) {
        field.refuse_with_remedy(
            format!("`{}` is longer than a login lasts at all", field.path),
            "shorten it, or set a longer `lifetime` beside it",
        );
    }
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    Some(OidcConfig {
        tokens,
        client_id: client_id?,
        client_secret: text("client_secret").map(SecretString::from),
        scopes,
        label: text("label").unwrap_or(host),
        parameters,
        idle_timeout,
        lifetime,
    })
}

const LEAST: Duration = Duration::from_secs(1);

/// Logins come back to the public URL, and what a browser then has is as good as a password.
fn check_way_back(field: &Field<'_>, server: &ServerConfig) {
    if server.public_url_source == PublicUrlSource::Default && !server.listens_on_loopback() {
        field.refuse_with_remedy(
            format!(
                "logins would come back to `{}`, because `[server] public_url` is not set",
                server.public_url
            ),
            "set it to the URL that browsers use",
        );
    } else if server.public_url.scheme() != "https" && !server.is_public_url_loopback() {
        field.refuse_with_remedy(
            format!(
                "logins would come back to `{}`, where everybody on the way can read them",
                server.public_url
            ),
            "let a proxy serve it with TLS, and set `[server] public_url` to its `https://` URL",
        );
    }
}

fn read_scopes(table: &Table<'_>) -> Vec<String> {
    let Some(field) = table.get("scopes") else {
        return ["openid", "profile", "email"].map(str::to_owned).to_vec();
    };
    let scopes = field.text_or_texts().unwrap_or_default();
    if !scopes.iter().any(|it| it == "openid") {
        field.refuse_with_remedy(
            format!("`{}` has no `openid`, without which there are no ID tokens", field.path),
            "add it",
        );
    }
    scopes
}

fn read_parameters(table: &Table<'_>) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for (key, field) in table.map("parameters").fields() {
        if RESERVED.contains(&key.name.as_str()) {
            field.refuse_with_remedy(
                format!("`{}` is a parameter that each login has of its own", field.path),
                "take it out",
            );
        } else if let Some(value) = field.text() {
            parameters.insert(key.name, value);
        }
    }
    parameters
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use insta::assert_snapshot;

    use crate::config::{AuthMode, Config, Environment};

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Some(text), &Environment::default(), Path::new("/srv/demo"))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn an_identity_provider_needs_little() {
        let config = parse(
            "[auth]\nmode = \"oidc\"\n[auth.oidc]\nissuer = \"https://id.example.com/\"\nclient_id = \"kitfox\"",
        )
        .unwrap();
        assert_eq!(config.auth.modes, [AuthMode::Oidc]);
        let oidc = config.auth.oidc.unwrap();
        assert_eq!(oidc.tokens.issuer, "https://id.example.com/");
        assert_eq!(oidc.tokens.audience, ["kitfox"]);
        assert_eq!(oidc.scopes, ["openid", "profile", "email"]);
        assert_eq!(oidc.label, "id.example.com");
        assert_eq!(oidc.idle_timeout, Duration::from_hours(8));
        assert_eq!(oidc.lifetime, Duration::from_hours(24));
    }

    #[test]
    fn what_keeps_users_from_logging_in_is_told() {
        assert_snapshot!(parse("[auth]\nmode = \"oidc\"").unwrap_err(), @"kitfox.toml:2:8: `auth.mode` names `oidc`, and nothing says where users log in (add `[auth.oidc]` with `issuer` and `client_id`)");
        assert_snapshot!(parse(r#"
            [auth]
            mode = "oidc"
            [auth.oidc]
            issuer = "http://id.example.com"
            scopes = ["email"]
            lifetime = "1m"
            idle_timeout = "2m"
            parameters = { prompt = "login", state = "x" }
        "#).unwrap_err(), @"
        kitfox.toml:4:13: `auth.oidc` has no `client_id` (add it: what the identity provider knows this server as)
        kitfox.toml:5:22: `auth.oidc.issuer` must be a URL that begins with `https://`, not `http://id.example.com`
        kitfox.toml:6:22: `auth.oidc.scopes` has no `openid`, without which there are no ID tokens (add it)
        kitfox.toml:8:28: `auth.oidc.idle_timeout` is longer than a login lasts at all (shorten it, or set a longer `lifetime` beside it)
        kitfox.toml:9:54: `auth.oidc.parameters.state` is a parameter that each login has of its own (take it out)
        ");
        assert_snapshot!(parse(r#"
            [server]
            listen = "0.0.0.0:8000"
            [auth]
            mode = "oidc"
            [auth.oidc]
            issuer = "https://id.example.com"
            client_id = "kitfox"
        "#).unwrap_err(), @"kitfox.toml:6:13: logins would come back to `http://localhost:8000/`, because `[server] public_url` is not set (set it to the URL that browsers use)");
        assert_snapshot!(parse(r#"
            [server]
            public_url = "http://chat.example.com"
            [auth]
            mode = "oidc"
            [auth.oidc]
            issuer = "https://id.example.com"
            client_id = "kitfox"
        "#).unwrap_err(), @"kitfox.toml:6:13: logins would come back to `http://chat.example.com/`, where everybody on the way can read them (let a proxy serve it with TLS, and set `[server] public_url` to its `https://` URL)");
    }

    #[test]
    fn a_header_that_anybody_could_send_is_refused() {
        assert_snapshot!(parse("[server]\nlisten = \"0.0.0.0:8000\"\n[auth]\nmode = \"header\"").unwrap_err(), @r#"kitfox.toml:4:8: `auth.mode` is `header`, and the server listens on `0.0.0.0:8000`: whoever reaches it there could send the header, and be anyone (add `trusted_proxies = ["10.0.0.7"]` to `[auth]`, with the addresses or networks of the proxies that set it, or let `[server] listen` be `127.0.0.1:8000`)"#);
        assert_snapshot!(parse("[auth]\nmode = \"header\"\ntrusted_proxies = [\"proxy:80\"]").unwrap_err(), @"kitfox.toml:3:19: `proxy:80` in `auth.trusted_proxies` is no address (write an address as `10.0.0.7`, or a network as `10.0.0.0/8`)");
        let text = "[server]\nlisten = \"0.0.0.0:8000\"\n[auth]\nmode = \"header\"\ntrusted_proxies = [\"10.1.0.0/16\"]";
        let proxies = parse(text).unwrap().auth.trusted_proxies.unwrap();
        assert!(proxies.contains("10.1.2.3".parse().unwrap()));
        assert!(proxies.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!proxies.contains("10.2.0.1".parse().unwrap()));
    }
}
