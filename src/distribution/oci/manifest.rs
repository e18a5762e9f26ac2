use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::distribution::web::MAX_BYTES;

/// What of an image's manifest leads to a plugin:
/// <https://github.com/opencontainers/image-spec/blob/main/manifest.md>.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    /// Of an index: other manifests.
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    media_type: String,
    /// `sha256:…`
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What is asked for. A registry that has an index alone gives it none the less.
pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
                          application/vnd.docker.distribution.manifest.v2+json";
/// By <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>, and what was in use before.
const COMPONENTS: &[&str] = &["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
const TITLE: &str = "org.opencontainers.image.title";

impl Layer {
    /// The layer that is the plugin: that of a component, or a single file with a title.
    pub fn find(manifest: &[u8]) -> anyhow::Result<Self> {
        let manifest: Manifest = serde_json::from_slice(manifest)
            .context("what the registry calls a manifest is none")?;
        if !manifest.manifests.is_empty() {
            bail!(
                "it is an index of {} images: name one of them by its digest",
                manifest.manifests.len()
            );
        }
        let is_component = |it: &&Self| COMPONENTS.contains(&it.media_type.as_str());
        let components: Vec<_> = manifest.layers.iter().filter(is_component).collect();
        let layer = match (components.as_slice(), manifest.layers.as_slice()) {
            ([layer], _) => *layer,
            ([], [layer]) if layer.annotations.contains_key(TITLE) => layer,
            _ => bail!(
                "it is no plugin: it should have one layer of the type application/wasm, or one file with a title"
            ),
        };
        if layer.size > MAX_BYTES {
            bail!("it has {} bytes, more than {MAX_BYTES}", layer.size);
        }
        let digest = layer.digest.strip_prefix("sha256:").unwrap_or_default();
        if digest.len() != 64 || !digest.bytes().all(|it| it.is_ascii_hexdigit()) {
            bail!("its layer has a digest that is not sha256: `{}`", layer.digest.escape_debug());
        }
        Ok(layer.clone())
    }

    /// The name of its file, which the registry may have made up.
    pub fn title(&self) -> &str {
        self.annotations.get(TITLE).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::Layer;

    fn layer(media_type: &str, title: Option<&str>) -> Value {
        let annotations = title.map(|it| json!({ "org.opencontainers.image.title": it }));
        json!({
            "mediaType": media_type, "size": 1, "digest": format!("sha256:{}", "0".repeat(64)),
            "annotations": annotations.unwrap_or(json!({})),
        })
    }

    fn find(layers: &[Value]) -> Result<String, String> {
        let manifest = json!({ "schemaVersion": 2, "layers": layers }).to_string();
        let layer = Layer::find(manifest.as_bytes()).map_err(|err| err.to_string())?;
        Ok(format!("{} {}", layer.media_type, layer.title()))
    }

    #[test]
    fn the_component_is_the_plugin_or_a_single_file() {
        let readme = layer("text/markdown", Some("README.md"));
        let component = layer("application/wasm", None);
        assert_eq!(find(&[readme, component.clone()]).unwrap(), "application/wasm ");
        let script = layer("text/plain", Some("a.rhai"));
        assert_eq!(find(std::slice::from_ref(&script)).unwrap(), "text/plain a.rhai");
        for layers in [
            vec![],
            vec![component.clone(), component],
            vec![script.clone(), script],
            vec![layer("application/vnd.oci.image.layer.v1.tar+gzip", None)],
        ] {
            let err = find(&layers).unwrap_err();
            assert!(err.starts_with("it is no plugin: it should have one layer"), "{err}");
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_told_before() {
        let with = |key: &str, value: Value| {
            let mut layer = layer("application/wasm", None);
            layer[key] = value;
            find(&[layer]).unwrap_err()
        };
        assert_snapshot!(with("size", json!(67_108_865)), @"it has 67108865 bytes, more than 67108864");
        assert_snapshot!(with("size", json!(-1)), @"what the registry calls a manifest is none");
        assert_snapshot!(with("digest", json!("md5:00")), @"its layer has a digest that is not sha256: `md5:00`");
        assert_snapshot!(with("digest", json!("sha256:../../x")), @"its layer has a digest that is not sha256: `sha256:../../x`");
        let index = json!({ "manifests": [{}, {}] }).to_string();
        assert_snapshot!(Layer::find(index.as_bytes()).unwrap_err(), @"it is an index of 2 images: name one of them by its digest");
    }
}
