use std::{error::Error, time::Duration};

use anyhow::{anyhow, bail};
use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};
use url::Url;

use crate::distribution::source::{check_scheme, is_loopback};

/// Of one plugin, as a component in the project has it.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;

/// Asks servers that are not trusted.
pub struct Web {
    client: Client,
    /// For this machine, which no proxy has to reach.
    direct: Client,
}

/// How something is asked for.
#[derive(Clone)]
pub struct Ask {
    pub accept: Option<&'static str>,
    /// For the first server alone, not for those that it leads to.
    pub authorization: Option<HeaderValue>,
    /// Longer answers are given up.
    pub limit: u64,
}

impl Default for Ask {
    fn default() -> Self {
        Self { accept: None, authorization: None, limit: MAX_BYTES }
    }
}

pub struct Answer {
    /// Whose answer it is, after redirects.
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether it says that it is HTML.
    pub is_page: bool,
}

impl Web {
    pub fn new() -> anyhow::Result<Self> {
        // It is refused when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("kitfox/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
        };
        Ok(Self { client: builder().build()?, direct: builder().no_proxy().build()? })
    }

    /// Gets what is at `url`, whatever the status of the answer, redirects followed: none leads out of TLS, and none
    /// from elsewhere to this machine.
    pub async fn get(&self, url: &Url, ask: Ask) -> anyhow::Result<Answer> {
        check_scheme(url)?;
        let mut url = url.clone();
        let mut authorization = ask.authorization;
        for _ in 0..=MOST_REDIRECTS {
            let client = if is_loopback(&url) { &self.direct } else { &self.client };
            let mut request = client.get(url.clone());
            if let Some(accept) = ask.accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|err| explain(&err, &url))?;
            let Some(target) = redirect_target(&response, &url)? else {
                return read(response, url, ask.limit).await;
            };
            if target.origin() != url.origin() {
                authorization = None;
            }
            url = target;
        }
        bail!("it redirects more than {MOST_REDIRECTS} times")
    }
}

impl Answer {
    /// Fails where there is nothing.
    pub fn success(self) -> anyhow::Result<Self> {
        match self.status {
            status if status == StatusCode::OK => Ok(self),
            StatusCode::NOT_FOUND => bail!("`{}` has nothing there (404)", origin(&self.url)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                bail!("`{}` does not give it to everybody ({})", origin(&self.url), self.status)
            }
            status => bail!("`{}` answered {status}", origin(&self.url)),
        }
    }
}

/// Where the answer leads to, if it is a redirect, and may lead there.
fn redirect_target(response: &Response, url: &Url) -> anyhow::Result<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|it| str::from_utf8(it.as_bytes()).ok());
    let Some(target) = location.and_then(|it| url.join(it).ok()) else {
        bail!("`{}` redirects to what is no URL", origin(url));
    };
    let leads_down = url.scheme() == "https" && target.scheme() != "https";
    if leads_down || (is_loopback(&target) && !is_loopback(url)) || check_scheme(&target).is_err() {
        bail!(
            "`{}` redirects to `{}`, which is not followed: from https only https, and to this machine only from it",
            origin(url),
            origin(&target)
        );
    }
    Ok(Some(target))
}

async fn read(mut response: Response, url: Url, limit: u64) -> anyhow::Result<Answer> {
    let too_long = || anyhow!("the answer of `{}` is longer than {limit} bytes", origin(&url));
    if response.content_length().is_some_and(|it| it > limit) {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    let broken = |err: &reqwest::Error| {
        let how = if err.is_timeout() { "fell silent" } else { "broke off" };
        anyhow!("`{}` {how} in the middle of its answer", origin(&url))
    };
    while let Some(chunk) = response.chunk().await.map_err(|err| broken(&err))? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    let headers = response.headers().clone();
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let is_page = content_type.is_some_and(|it| it.to_ascii_lowercase().starts_with("text/html"));
    Ok(Answer { status: response.status(), url, headers, body: body.freeze(), is_page })
}

fn explain(err: &reqwest::Error, url: &Url) -> anyhow::Error {
    let origin = origin(url);
    if err.is_timeout() {
        return anyhow!("`{origin}` does not answer");
    }
    // The first of the causes says whom, the last one why.
    let mut cause: &dyn Error = err;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if err.is_connect() {
        return anyhow!("`{origin}` cannot be reached: {cause}");
    }
    anyhow!("`{origin}` broke off before its answer, or gave none that is HTTP: {cause}")
}

/// What errors call a URL: what stands behind the host may be secret.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
