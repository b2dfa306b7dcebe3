//! `jobset init`: a commented manifest to begin with.

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal as _, Write};

use anyhow::{Context as _, bail};
use jobset_api::FeatureGates;

use crate::args::{InitArgs, Template};
use crate::exit::Exit;
use crate::manifest::{self, Checks};
use crate::{output, style};

/// The texts with their holes, and what goes into these unless something else is said.
fn template(kind: Template) -> (&'static str, &'static str, u32) {
    match kind {
        Template::LeaderWorker => (include_str!("leader-worker.yaml"), "busybox:1.37", 4),
        Template::Torchrun => (
            include_str!("torchrun.yaml"),
            "registry.example.com/train:v1",
            2,
        ),
        Template::Mpi => (include_str!("mpi.yaml"), "registry.example.com/mpi:v1", 4),
        Template::ParameterServer => (include_str!("parameter-server.yaml"), "busybox:1.37", 4),
        Template::Etl => (include_str!("etl.yaml"), "busybox:1.37", 4),
        Template::InPlaceRestart => (include_str!("in-place-restart.yaml"), "busybox:1.37", 4),
    }
}

/// Writes the manifest. Asks for what is not given, if there is somebody to ask.
pub(crate) fn main(args: &InitArgs) -> anyhow::Result<Exit> {
    let kind = match args.template {
        Some(kind) => kind,
        None if io::stdin().is_terminal() && io::stderr().is_terminal() => ask()?,
        None => {
            eprintln!(
                "{} name a template: {}",
                style::error("error:"),
                names().join(", ")
            );
            return Ok(Exit::BadInput);
        }
    };
    let text = fill(kind, args);
    let checks = Checks {
        // One of the templates needs it.
        gates: FeatureGates::parse("InPlaceRestart=true").map_err(anyhow::Error::msg)?,
        ..Checks::default()
    };
    let found = manifest::inspect_bytes("the manifest", text.clone().into_bytes(), checks);
    if !found.problems.is_empty() {
        manifest::report(&found.problems);
        return Ok(Exit::BadInput);
    }
    match &args.file {
        None => {
            output::text(&text)?;
        }
        Some(path) => {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            if !args.force {
                options.create_new(true);
            }
            let mut file = match options.open(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    bail!("{} is there already; --force replaces it", path.display())
                }
                result => result.with_context(|| path.display().to_string())?,
            };
            file.write_all(text.as_bytes())
                .with_context(|| path.display().to_string())?;
            eprintln!(
                "{} written; try: jobset validate {}",
                path.display(),
                path.display()
            );
        }
    }
    Ok(Exit::Completed)
}

/// The text with its holes filled.
fn fill(kind: Template, args: &InitArgs) -> String {
    let (text, image, workers) = template(kind);
    text.replace("{{name}}", args.name.as_deref().unwrap_or(kind.name()))
        .replace("{{image}}", args.image.as_deref().unwrap_or(image))
        .replace("{{workers}}", &args.workers.unwrap_or(workers).to_string())
}

fn names() -> Vec<&'static str> {
    Template::ALL
        .iter()
        .map(|template| template.name())
        .collect()
}

/// Lets the user choose.
fn ask() -> anyhow::Result<Template> {
    for (number, template) in Template::ALL.iter().enumerate() {
        eprintln!(
            "{}  {:16}  {}",
            number + 1,
            template.name(),
            template.about()
        );
    }
    loop {
        eprint!("Which template? ");
        io::stderr().flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            bail!("no template was chosen");
        }
        let answer = answer.trim();
        let by_number = answer
            .parse()
            .ok()
            .and_then(|number: usize| number.checked_sub(1));
        let chosen = by_number
            .and_then(|place| Template::ALL.get(place))
            .or_else(|| {
                Template::ALL
                    .iter()
                    .find(|template| template.name() == answer)
            });
        match chosen {
            Some(template) => return Ok(*template),
            None => eprintln!("a number or a name of the list"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_a_valid_manifest_without_warnings() {
        for kind in Template::ALL {
            let args = InitArgs {
                template: Some(*kind),
                name: Some("mine".to_owned()),
                workers: Some(3),
                ..InitArgs::default()
            };
            let text = fill(*kind, &args);
            assert!(!text.contains("{{"), "{kind:?}: a hole is left");
            assert!(text.contains("name: mine\n"), "{kind:?}");
            let checks = Checks {
                gates: FeatureGates::parse("InPlaceRestart=true").unwrap(),
                processes: false,
            };
            let found = manifest::inspect_bytes("m", text.into_bytes(), checks);
            assert_eq!(found.documents.len(), 1, "{kind:?}");
            let all = found
                .problems
                .iter()
                .chain(&found.warnings)
                .chain(&found.skipped);
            let all: Vec<String> = all.map(ToString::to_string).collect();
            assert_eq!(all, [] as [String; 0], "{kind:?}");
        }
    }
}
