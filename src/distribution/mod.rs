//! Plugins from elsewhere: how they are fetched, looked at, put into the project and taken out of it.
//!
//! What comes from elsewhere is hostile until somebody said yes to it: its names, its length, and what it leads to.

mod candidate;
mod content;
mod credentials;
mod folder;
mod oci;
mod source;
mod web;

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};

use crate::config::Environment;

use self::web::Web;

pub use self::{
    candidate::{Before, Candidate, find_candidate, find_update},
    content::Content,
    folder::{Existing, Kept, install, remove},
    source::Source,
};

/// For all that is asked for one plugin's sake.
const TIMEOUT: Duration = Duration::from_mins(5);

/// What a source gave.
#[derive(Debug)]
pub struct Package {
    pub content: Content,
    /// What the plugin may be called where it does not say so itself: checked by nobody.
    pub name: String,
    /// The one version that the source led to, where it can lead to several.
    pub resolved: Option<String>,
}

/// Fetches a plugin; `project` is what local paths are meant from.
pub async fn fetch(
    source: &Source,
    project: &Path,
    environment: &Environment,
) -> anyhow::Result<Package> {
    let fetch = async {
        match source {
            Source::Local(path) => content::read(project.join(path)).await,
            Source::Url(url) => {
                let answer = Web::new()?.get(url, web::Ask::default()).await?.success()?;
                let name = source::last_name(url.path());
                if answer.is_page {
                    bail!(content::PAGE);
                }
                let content = Content::of_bytes(&name, &answer.body)?;
                Ok(Package { content, name: content::stem(&name).to_owned(), resolved: None })
            }
            Source::Oci(reference) => oci::pull(&Web::new()?, reference, environment).await,
        }
    };
    match tokio::time::timeout(TIMEOUT, fetch).await {
        Ok(package) => package.with_context(|| format!("cannot fetch `{source}`")),
        Err(_) => bail!("`{source}` was not there after {} minutes", TIMEOUT.as_secs() / 60),
    }
}
