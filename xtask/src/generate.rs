//! `cargo xtask generate`: files made from code.
//!
//! | module | is the one source of |
//! |---|---|
//! | `rbac` | what the manager may do, and why |
//! | `webhooks` | which requests are sent to the manager |
//! | `policy` | the rules that hold without a webhook |
//! | `kustomize`, `chart`, `reference` | how these look under `config/`, `charts/`, `docs/` |
//! | `api` | how the types of `jobset-api` look under `docs/` |

mod api;
mod chart;
mod kustomize;
pub(crate) mod policy;
mod rbac;
mod reference;
mod webhooks;

use std::{fs, io};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::root;

/// A file and what it shall hold.
struct Generated {
    /// Relative to the root of the workspace.
    path: String,
    content: String,
}

impl Generated {
    fn new(path: &str, content: String) -> Self {
        Self {
            path: path.to_owned(),
            content,
        }
    }
}

/// Writes the files that differ, or with `check` fails when any does.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let outdated = outdated()?;
    if check && !outdated.is_empty() {
        let paths: Vec<_> = outdated.iter().map(|file| file.path.as_str()).collect();
        bail!(
            "out of date: {}; run `cargo xtask generate`",
            paths.join(", ")
        );
    }
    if outdated.is_empty() {
        println!("all generated files are up to date");
    }
    for file in outdated {
        let path = root().join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&path, &file.content).with_context(|| path.display().to_string())?;
        println!("wrote {}", file.path);
    }
    Ok(())
}

/// The generated files whose content on disk differs.
fn outdated() -> anyhow::Result<Vec<Generated>> {
    let mut outdated = Vec::new();
    for file in all()? {
        let path = root().join(&file.path);
        let differs = match fs::read_to_string(&path) {
            Ok(content) => content != file.content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        if differs {
            outdated.push(file);
        }
    }
    Ok(outdated)
}

fn all() -> anyhow::Result<Vec<Generated>> {
    let crd = jobset_api::crd::generate();
    let crd_yaml = manifest("the types of crates/jobset-api", std::slice::from_ref(&crd))?;
    let mut files = vec![
        Generated::new(
            "crates/jobset-api/generated/crd.json",
            format!("{}\n", serde_json::to_string(&crd)?),
        ),
        Generated::new(
            "config/crd/bases/jobset.x-k8s.io_jobsets.yaml",
            crd_yaml.clone(),
        ),
        Generated::new("charts/jobset/crds/jobset.x-k8s.io_jobsets.yaml", crd_yaml),
    ];
    files.extend(kustomize::files()?);
    files.extend(chart::files()?);
    files.push(reference::file());
    files.push(api::file(&crd)?);
    Ok(files)
}

/// A file with these objects, checked to read back as the same values.
fn manifest(source: &str, objects: &[Value]) -> anyhow::Result<String> {
    let mut text = format!("# Made by `cargo xtask generate` from {source}. Do not edit.\n");
    for object in objects {
        text += &format!("---\n{}\n", yaml(object)?);
    }
    Ok(text)
}

/// A value as YAML without a line end, checked to read back as the same value.
fn yaml(value: &Value) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(value)?.trim_end().to_owned();
    let back: Value = serde_saphyr::from_str(&text)?;
    if back != *value {
        bail!("the YAML writer changed the value");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        let outdated = outdated().unwrap();
        let paths: Vec<_> = outdated.iter().map(|file| &file.path).collect();
        assert!(
            paths.is_empty(),
            "out of date: {paths:?}; run `cargo xtask generate`"
        );
    }
}
