//! `[auth]`: who is asking, and how they prove it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    config::{
        AuthConfig, AuthMode, BearerToken, ClaimNames, JwtConfig, JwtKeys, ServerConfig,
        document::{Content, Field, Table, list_of},
    },
    net::Networks,
};

use super::{
    oidc::read_oidc,
    read_duration,
    server::{read_header_name, read_url},
};

/// What may sign a token: nothing that the server would have to keep secret too (RFC 7518 §3.1, RFC 8037).
pub const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

pub fn read_auth(root: &Table<'_>, project: &Path, server: &ServerConfig) -> AuthConfig {
    let known = ["mode", "header", "trusted_proxies", "tokens", "jwt", "oidc"];
    let table = root.table("auth", &known);
    let header = table.get("header").and_then(|it| read_header_name(&it));
    let modes = table.get("mode").map_or_else(|| vec![AuthMode::Session], |it| read_modes(&it));
    let tokens = read_tokens(&table);
    let trusted_proxies = table.get("trusted_proxies").map(|it| read_networks(&it));
    let jwt = table.get("jwt").and_then(|it| read_jwt(&it, project));
    let oidc = table.get("oidc").and_then(|it| read_oidc(&it, server));
    if let Some(mode) = table.get("mode") {
        if modes.contains(&AuthMode::Token) && table.get("tokens").is_none() {
            mode.refuse_with_remedy(
                "`auth.mode` names `token`, and there are no tokens",
                "add `[auth.tokens.NAME]` with a `hash`",
            );
        }
        if modes.contains(&AuthMode::Jwt) && table.get("jwt").is_none() {
            mode.refuse_with_remedy(
                "`auth.mode` names `jwt`, and nothing says whose tokens count",
                "add `[auth.jwt]` with `issuer` and `audience`",
            );
        }
        if modes.contains(&AuthMode::Oidc) && table.get("oidc").is_none() {
            mode.refuse_with_remedy(
                "`auth.mode` names `oidc`, and nothing says where users log in",
                "add `[auth.oidc]` with `issuer` and `client_id`",
            );
        }
        if modes.contains(&AuthMode::Header)
            && !server.listens_on_loopback()
            && trusted_proxies.is_none()
        {
            mode.refuse_with_remedy(
                format!(
                    "`auth.mode` is `header`, and the server listens on `{}`: whoever reaches it there could send \
                     the header, and be anyone",
                    server.listen
                ),
                "add `trusted_proxies = [\"10.0.0.7\"]` to `[auth]`, with the addresses or networks of the proxies \
                 that set it, or let `[server] listen` be `127.0.0.1:8000`",
            );
        }
    }
    AuthConfig {
        modes,
        header: header.unwrap_or_else(|| "X-User-ID".to_owned()),
        trusted_proxies: trusted_proxies.flatten(),
        tokens,
        jwt,
        oidc,
    }
}

fn read_networks(field: &Field<'_>) -> Option<Networks> {
    let entries = field.text_or_texts()?;
    match Networks::parse(&entries) {
        Ok(networks) => Some(networks),
        Err(entry) => {
            field.refuse_with_remedy(
                format!("`{entry}` in `{}` is no address", field.path),
                "write an address as `10.0.0.7`, or a network as `10.0.0.0/8`",
            );
            None
        }
    }
}

fn read_modes(field: &Field<'_>) -> Vec<AuthMode> {
    let fields = match &field.node.content {
        Content::Text(_) => vec![field.clone()],
        _ => field.list().unwrap_or_default(),
    };
    let mut modes = Vec::new();
    for field in &fields {
        let Some(mode) = read_mode(field) else { continue };
        if modes.contains(&mode) {
            field.refuse(format!("`{}` names a mode twice", field.path));
        } else {
            modes.push(mode);
        }
    }
    if fields.is_empty() {
        field.refuse_with_remedy("`auth.mode` must not be empty", "leave it out for `session`");
    }
    if modes.len() > 1 && modes.contains(&AuthMode::Header) {
        field.refuse_with_remedy(
            "`auth.mode` lists `header` beside others, so that anybody could be anyone by sending it",
            "use `header` alone, behind a proxy that sets it, or leave it out",
        );
    }
    modes
}

fn read_mode(field: &Field<'_>) -> Option<AuthMode> {
    let words = [
        ("session", AuthMode::Session),
        ("header", AuthMode::Header),
        ("token", AuthMode::Token),
        ("jwt", AuthMode::Jwt),
        ("oidc", AuthMode::Oidc),
    ];
    field.word(&words)
}

fn read_tokens(auth: &Table<'_>) -> BTreeMap<String, BearerToken> {
    let mut tokens = BTreeMap::new();
    for (key, field) in auth.map("tokens").fields() {
        let Some(table) = field.table(&["hash", "name", "email", "org", "roles"]) else { continue };
        let Some(hashes) = table.get("hash") else {
            field.refuse_with_remedy(
                format!("`{}` has no `hash`", field.path),
                "add `hash = \"sha256:…\"`: the SHA-256 of a long random token, in hexadecimal",
            );
            continue;
        };
        let fields = match &hashes.node.content {
            Content::List(_) => hashes.list().unwrap_or_default(),
            _ => vec![hashes],
        };
        let text = |key: &str| table.get(key).and_then(|it| it.text_not_empty());
        let token = BearerToken {
            hashes: fields.iter().filter_map(read_hash).collect(),
            name: text("name"),
            email: text("email"),
            org: text("org"),
            roles: table.get("roles").and_then(|it| it.texts()).unwrap_or_default(),
        };
        tokens.insert(key.name, token);
    }
    tokens
}

/// `sha256:` and 64 hexadecimal digits.
fn read_hash(field: &Field<'_>) -> Option<[u8; 32]> {
    let text = field.text()?;
    let hash = text.strip_prefix("sha256:").filter(|it| it.len() == 64 && it.is_ascii()).and_then(
        |digits| {
            let mut hash = [0; 32];
            for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
                *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
            }
            Some(hash)
        },
    );
    if hash.is_none() {
        // Not quoted: it may be the token itself.
        field.refuse_with_remedy(
            format!("`{}` is no hash", field.path),
            "write `sha256:` and the SHA-256 of the token, in hexadecimal: `printf %s \"$TOKEN\" | sha256sum`",
        );
    }
    hash
}

fn read_jwt(field: &Field<'_>, project: &Path) -> Option<JwtConfig> {
    let known = ["issuer", "audience", "keys", "algorithms", "leeway", "claims"];
    let table = field.table(&known)?;
    let needs = |key: &str, why: &str| {
        field.refuse_with_remedy(
            format!("`{}` has no `{key}`", field.path),
            format!("add it: {why}"),
        );
    };
    let issuer = table.get("issuer").and_then(|it| it.text_not_empty());
    if table.get("issuer").is_none() {
        needs(
            "issuer",
            "tokens of others are refused by it, as they are written in the claim `iss`",
        );
    }
    let audience = table.get("audience").and_then(|it| it.text_or_texts()).unwrap_or_default();
    if audience.is_empty() {
        needs("audience", "tokens for other services are refused by it (the claim `aud`)");
    }
    let keys = match table.get("keys") {
        Some(field) => read_keys(&field, project),
        None => JwtKeys::Discovered,
    };
    if let (JwtKeys::Discovered, Some(written)) = (&keys, &issuer)
        && !url::Url::parse(written).is_ok_and(|it| is_safe(&it))
    {
        table.get("issuer")?.refuse_with_remedy(
            "the keys of an issuer that is no https:// URL cannot be found",
            "add `keys`: the URL of its JWKS, or a file of this project",
        );
    }
    let algorithms = read_algorithms(&table);
    Some(JwtConfig {
        issuer: issuer?,
        audience,
        keys,
        algorithms,
        leeway: read_duration(&table, "leeway", Duration::from_mins(1), Duration::ZERO),
        claims: read_claims(&table),
    })
}

/// All, where none are named.
pub fn read_algorithms(table: &Table<'_>) -> Vec<&'static str> {
    let mut algorithms = Vec::new();
    for field in table.get("algorithms").and_then(|it| it.list()).unwrap_or_default() {
        let Some(name) = field.text() else { continue };
        match ALGORITHMS.iter().find(|it| **it == name) {
            Some(algorithm) => algorithms.push(*algorithm),
            None => field.refuse_with_remedy(
                format!(
                    "`{}`: `{name}` is no algorithm that a token may be signed with",
                    field.path
                ),
                format!("one of {}", list_of(ALGORITHMS)),
            ),
        }
    }
    if algorithms.is_empty() {
        algorithms = ALGORITHMS.to_vec();
    }
    algorithms
}

fn read_keys(field: &Field<'_>, project: &Path) -> JwtKeys {
    match field.text_not_empty() {
        Some(text) if text.contains("://") => match read_url(field) {
            Some(url) if is_safe(&url) => JwtKeys::Url(url),
            Some(_) => {
                field.must_be("a URL that begins with `https://`");
                JwtKeys::Discovered
            }
            None => JwtKeys::Discovered,
        },
        Some(path) => JwtKeys::File(project.join(path)),
        None => JwtKeys::Discovered,
    }
}

/// Whether what comes from there is what was sent from there.
pub fn is_safe(url: &url::Url) -> bool {
    url.scheme() == "https" || url.host_str().is_some_and(crate::config::is_loopback)
}

pub fn read_claims(jwt: &Table<'_>) -> ClaimNames {
    let default = ClaimNames::default();
    let known = ["user", "name", "email", "org", "roles"];
    let table = jwt.table("claims", &known);
    let name = |key: &str, default: String| {
        table.get(key).and_then(|it| it.text_not_empty()).unwrap_or(default)
    };
    ClaimNames {
        user: name("user", default.user),
        name: name("name", default.name),
        email: name("email", default.email),
        org: name("org", default.org),
        roles: name("roles", default.roles),
    }
}
