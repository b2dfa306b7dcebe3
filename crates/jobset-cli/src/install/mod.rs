//! `jobset install`: the operator's manifests.
//!
//! The files beside are the overlays of `config/` as kustomize renders them (`cargo xtask manifests
//! --embed` writes them, a test compares). Of the CustomResourceDefinition only the head is in them:
//! its schema is in this program already.

mod apply;

use anyhow::Context as _;
use jobset_api::crd;
use serde_json::Value;

use crate::args::{InstallArgs, Variant};
use crate::exit::Exit;
use crate::{cluster, engine, output};

/// The image in the files: none that exists.
const PLACEHOLDER: &str = "registry.invalid/jobset/jobset-controller:v0.1.0";

fn text(variant: Variant) -> &'static str {
    match variant {
        Variant::Default => include_str!("default.yaml"),
        Variant::Ha => include_str!("ha.yaml"),
        Variant::CertManager => include_str!("certmanager.yaml"),
        Variant::NoWebhook => include_str!("no-webhook.yaml"),
    }
}

/// Prints or applies them.
pub(crate) fn main(args: &InstallArgs) -> anyhow::Result<Exit> {
    let objects = objects(args)?;
    if args.apply {
        return engine::block_on(async {
            let at = cluster::connect(&args.connection).await?;
            apply::apply(&at.client, &objects, args.force_conflicts).await
        });
    }
    let mut yaml = String::new();
    if args.image.is_none() {
        yaml.push_str(&format!(
            "# The image {PLACEHOLDER} does not exist: name yours with --image.\n"
        ));
    }
    for (place, object) in objects.iter().enumerate() {
        if place > 0 {
            yaml.push_str("---\n");
        }
        yaml.push_str(&crate::render::to_yaml(object)?);
    }
    output::text(&yaml)?;
    Ok(Exit::Completed)
}

/// The objects, complete and with the image.
fn objects(args: &InstallArgs) -> anyhow::Result<Vec<Value>> {
    let text = match &args.image {
        Some(image) => {
            // As a JSON text it is one YAML text, whatever it holds.
            text(args.variant).replace(PLACEHOLDER, &serde_json::to_string(image)?)
        }
        None => text(args.variant).to_owned(),
    };
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).context("the manifests in this program are damaged")?;
    Ok(objects
        .into_iter()
        .filter(|object| !(args.without_crd && is_crd(object)))
        .map(|mut object| {
            if is_crd(&object) {
                object["spec"] = crd::crd_value()["spec"].clone();
            }
            object
        })
        .collect())
}

fn is_crd(object: &Value) -> bool {
    object["kind"] == "CustomResourceDefinition"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ConnectionArgs;

    fn of(variant: Variant, image: Option<&str>, without_crd: bool) -> Vec<Value> {
        objects(&InstallArgs {
            variant,
            image: image.map(str::to_owned),
            without_crd,
            apply: false,
            force_conflicts: false,
            connection: ConnectionArgs::default(),
        })
        .unwrap()
    }

    #[test]
    fn every_variant_is_complete_and_takes_an_image() {
        for variant in [
            Variant::Default,
            Variant::Ha,
            Variant::CertManager,
            Variant::NoWebhook,
        ] {
            let objects = of(variant, Some("r.example.com/c:v1"), false);
            let find = |kind: &str| {
                let found = objects.iter().find(|object| object["kind"] == kind);
                found.unwrap_or_else(|| panic!("{variant:?}: no {kind}"))
            };
            assert_eq!(
                find("CustomResourceDefinition")["spec"],
                crd::crd_value()["spec"]
            );
            let pod = &find("Deployment")["spec"]["template"]["spec"];
            assert_eq!(
                pod["containers"][0]["image"], "r.example.com/c:v1",
                "{variant:?}"
            );
            assert_eq!(of(variant, None, true).len(), objects.len() - 1);
        }
    }
}
