//! `[server]`: where it listens, and the paths and names that it knows.

use std::time::Duration;

use url::Url;

use crate::config::{
    PublicUrlSource, ServerConfig,
    document::{Field, Table},
    parse::read_duration,
};

/// Paths that the server answers itself.
const BUILT_IN_PATHS: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/api",
    "/x",
    "/assistant",
    "/mcp",
    "/credentials",
    "/oauth",
    "/auth",
];

pub fn read_server(root: &Table<'_>) -> ServerConfig {
    let table = root.table(
        "server",
        &[
            "listen",
            "cors_origins",
            "public_url",
            "chatkit_paths",
            "visible_headers",
            "shutdown_grace",
        ],
    );
    let listen = table.get("listen").and_then(|it| read_listen(&it));
    let listen = listen.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let port = listen.rsplit_once(':').map_or("8000", |(_, port)| port);
    let public_url = table.get("public_url").and_then(|it| {
        let url = read_url(&it)?;
        if url.query().is_some() || url.fragment().is_some() {
            it.refuse(format!("`{}` must have neither `?` nor `#`", it.path));
        }
        Some(url)
    });
    let origins = table.get("cors_origins").and_then(|it| it.list()).unwrap_or_default();
    let paths = table.get("chatkit_paths").map(|it| read_chatkit_paths(&it));
    let headers = table.get("visible_headers").and_then(|it| it.list()).unwrap_or_default();
    let public_url_source = match &public_url {
        Some(_) => PublicUrlSource::Written,
        None => PublicUrlSource::Default,
    };
    ServerConfig {
        public_url_source,
        cors_origins: origins.iter().filter_map(read_origin).collect(),
        public_url: public_url.unwrap_or_else(|| {
            Url::parse(&format!("http://localhost:{port}")).expect("a checked port makes a URL")
        }),
        chatkit_paths: paths.unwrap_or_else(|| vec!["/chatkit".to_owned()]),
        visible_headers: headers.iter().filter_map(read_visible_header).collect(),
        shutdown_grace: read_duration(
            &table,
            "shutdown_grace",
            Duration::from_secs(20),
            Duration::ZERO,
        ),
        listen,
    }
}

pub fn read_listen(field: &Field<'_>) -> Option<String> {
    let listen = field.text()?;
    let is_valid = listen.rsplit_once(':').is_some_and(|(host, port)| {
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_host = !host.is_empty() && (is_bracketed || !host.contains([':', '/', ' ']));
        is_host && port.parse::<u16>().is_ok()
    });
    if !is_valid {
        field.must_be("`host:port`, such as `127.0.0.1:8000`");
        return None;
    }
    Some(listen)
}

/// An http URL without a password and without a slash at the end of its path.
pub fn read_url(field: &Field<'_>) -> Option<Url> {
    // Not quoted in errors: it may hold a secret.
    let text = field.text()?;
    let url = Url::parse(&text).ok().filter(|it| matches!(it.scheme(), "http" | "https"));
    let Some(mut url) = url else {
        field.refuse(format!(
            "`{}` must be a URL that begins with `http://` or `https://`",
            field.path
        ));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        field.refuse(format!("`{}` must not hold a user name or password", field.path));
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

fn read_origin(field: &Field<'_>) -> Option<String> {
    let origin = field.text()?;
    if origin == "*" {
        field.refuse_with_remedy(
            format!(
                "`{}` is `*`, which would let every website speak for its visitors",
                field.path
            ),
            "list the exact origins, such as `https://www.example.org`",
        );
        return None;
    }
    let exact = Url::parse(&origin)
        .ok()
        .filter(|it| matches!(it.scheme(), "http" | "https"))
        .map(|it| it.origin().ascii_serialization());
    match exact {
        Some(exact) if exact == origin => Some(origin),
        Some(exact) => {
            field.refuse_with_remedy(
                format!("`{}` is not an exact origin: `{origin}`", field.path),
                format!("write `{exact}`"),
            );
            None
        }
        None => {
            field.must_be("an exact origin, such as `https://www.example.org`");
            None
        }
    }
}

fn read_chatkit_paths(field: &Field<'_>) -> Vec<String> {
    let Some(fields) = field.list() else { return Vec::new() };
    if fields.is_empty() {
        field.refuse_with_remedy(
            format!("`{}` must not be empty", field.path),
            "leave it out for `/chatkit`",
        );
    }
    let mut paths = Vec::new();
    for field in fields {
        let Some(path) = read_path(&field) else { continue };
        if paths.contains(&path) {
            field.refuse(format!("`{}` lists `{path}` twice", field.path));
            continue;
        }
        paths.push(path);
    }
    paths
}

fn read_path(field: &Field<'_>) -> Option<String> {
    let path = field.text()?;
    check_path(field, &path).then_some(path)
}

/// Tells what keeps `path` from being served.
pub fn check_path(field: &Field<'_>, path: &str) -> bool {
    if !path.starts_with('/') {
        field.refuse(format!("`{}` must begin with `/`, not `{path}`", field.path));
        return false;
    }
    if let Some(built_in) = built_in_path(path) {
        field.refuse_with_remedy(
            format!(
                "`{}` is `{path}`, but `{built_in}` is a path of the server itself",
                field.path
            ),
            "choose another path",
        );
        return false;
    }
    if path.ends_with('/')
        || path.contains("//")
        || path.split('/').any(|it| it == "." || it == "..")
        || !path.chars().all(|it| it.is_ascii_graphic() && !"{}*?#%\\".contains(it))
    {
        field.must_be("a plain path, such as `/chatkit`, without a slash at the end");
        return false;
    }
    true
}

fn built_in_path(path: &str) -> Option<&'static str> {
    if path == "/" {
        return Some("/");
    }
    BUILT_IN_PATHS.iter().copied().find(|it| is_at_or_below(path, it))
}

pub fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

fn read_visible_header(field: &Field<'_>) -> Option<String> {
    let name = read_header_name(field)?.to_ascii_lowercase();
    if matches!(name.as_str(), "x-session-id" | "cookie") {
        field.refuse_with_remedy(
            format!("`{}` is `{name}`, which is as good as a password", field.path),
            "use `request.session_id`, which stands for the session and opens nothing",
        );
        return None;
    }
    Some(name)
}

pub fn read_header_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let is_name = |it: &str| {
        !it.is_empty()
            && it.chars().all(|it| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it))
    };
    if !is_name(&name) {
        field.must_be("the name of a header, such as `X-User-ID`");
        return None;
    }
    Some(name)
}
