//! Fetching the ConfigMaps and Secrets that containers and volumes name.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use super::env::{SourceKind, Sources};

/// Fetches every `needed` object of the namespace; those that do not exist map to `None`.
pub(crate) async fn fetch(
    client: &Client,
    namespace: &str,
    needed: BTreeSet<(SourceKind, String)>,
) -> Result<Sources, kube::Error> {
    let mut sources = Sources::default();
    for (kind, name) in needed {
        match kind {
            SourceKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                let data = api.get_opt(&name).await?.map(config_map_data);
                sources.config_maps.insert(name, data);
            }
            SourceKind::Secret => {
                let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let data = api.get_opt(&name).await?.map(secret_data);
                sources.secrets.insert(name, data);
            }
        }
    }
    Ok(sources)
}

fn config_map_data(object: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = object
        .data
        .into_iter()
        .flatten()
        .map(|(k, v)| (k, v.into_bytes()));
    let binary = object
        .binary_data
        .into_iter()
        .flatten()
        .map(|(k, v)| (k, v.0));
    text.chain(binary).collect()
}

fn secret_data(object: Secret) -> BTreeMap<String, Vec<u8>> {
    let data = object.data.into_iter().flatten().map(|(k, v)| (k, v.0));
    let text = object
        .string_data
        .into_iter()
        .flatten()
        .map(|(k, v)| (k, v.into_bytes()));
    data.chain(text).collect()
}
