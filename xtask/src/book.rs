//! `cargo xtask book`: the guide in docs/ as a book of HTML pages.
//!
//! Pages of docs/ link to files beside that folder, such as examples. The book is therefore made
//! from a copy that is laid out like the repository and holds what is linked to; pages outside of
//! docs/ become chapters at its end.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::{
    go::{cache, on_path},
    links::{links, resolve, title},
    root,
};

/// The mdBook that is installed where there is none.
const VERSION: &str = "0.5.4";

/// Builds the book and prints where its first page is.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run() -> anyhow::Result<()> {
    let mdbook = find()?;
    let folder = root().join("target/book");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    lay_out(&folder)?;
    let html = folder.join("html");
    let status = Command::new(mdbook)
        .arg("build")
        .arg("--dest-dir")
        .arg(&html)
        .arg(&folder)
        // Otherwise as docs/book.toml says.
        .env("MDBOOK_BOOK__SRC", "src")
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .context("cannot start mdbook")?;
    if !status.success() {
        bail!("mdbook failed: {status}");
    }
    // mdBook's own is a copy of the first chapter, with links that are right in docs/ only.
    let index = html.join("index.html");
    fs::write(&index, redirect("docs/introduction.html"))
        .with_context(|| index.display().to_string())?;
    let dangling = dangling(&html)?;
    if !dangling.is_empty() {
        bail!("links of the book lead nowhere:\n{}", dangling.join("\n"));
    }
    println!("{}", index.display());
    Ok(())
}

/// A page that leads to another one.
fn redirect(to: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>JobSet in Rust</title>\
         <meta http-equiv=\"refresh\" content=\"0; url={to}\"></head>\
         <body><a href=\"{to}\">JobSet in Rust</a></body></html>\n"
    )
}

/// Links and pictures of the finished pages that lead to nothing in the book.
fn dangling(html: &Path) -> anyhow::Result<Vec<String>> {
    let mut dangling = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let shown = html.join(&folder);
        for entry in fs::read_dir(&shown).with_context(|| shown.display().to_string())? {
            let path = folder.join(entry?.file_name());
            if html.join(&path).is_dir() {
                folders.push(path);
            // The page for what is not found is served at any address.
            } else if path.extension().is_some_and(|e| e == "html") && !path.ends_with("404.html") {
                let text = fs::read_to_string(html.join(&path))?;
                let targets = targets(&text).filter(|target| !leads_somewhere(html, &path, target));
                dangling.extend(targets.map(|target| format!("{}: {target}", path.display())));
            }
        }
    }
    Ok(dangling)
}

/// What a page refers to in the book itself.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let values = ["href=\"", "src=\""].map(|attribute| text.split(attribute).skip(1));
    values
        .into_iter()
        .flatten()
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .filter(|target| !target.contains("://"))
}

fn leads_somewhere(html: &Path, page: &Path, target: &str) -> bool {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => Some(page.to_owned()),
        path => resolve(page, path),
    };
    let Some(file) = file.map(|file| html.join(file)).filter(|f| f.is_file()) else {
        return false;
    };
    // In other files, such as pictures, an anchor has another meaning.
    anchor.is_empty()
        || file.extension().is_none_or(|e| e != "html")
        || fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("id=\"{anchor}\"")))
}

/// Prints the path of an mdbook, installing one if need be.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn install() -> anyhow::Result<()> {
    println!("{}", find()?.display());
    Ok(())
}

/// The mdbook on `PATH`, else the one in the cache, which is installed there first if need be.
#[expect(clippy::print_stderr, reason = "progress of a command")]
fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = on_path("mdbook") {
        return Ok(path);
    }
    let folder = cache()?.join("jobset/mdbook").join(VERSION);
    let program = folder.join("bin/mdbook");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("installing mdbook {VERSION}; this takes some minutes, once");
    // Nothing of serving and watching is needed, and a debug build is fast enough for one book.
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "mdbook", "--locked", "--version", VERSION])
        .args(["--no-default-features", "--debug", "--root"])
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("there is no mdbook on this machine, and installing one failed: {status}");
    }
    Ok(program)
}

/// Fills a folder with the source of the book.
fn lay_out(folder: &Path) -> anyhow::Result<()> {
    let source = folder.join("src");
    copy(Path::new("docs/book.toml"), &folder.join("book.toml"))?;
    let summary = read(Path::new("docs/SUMMARY.md"))?;
    let chapters = links(&summary);
    let mut waiting: Vec<_> = chapters
        .iter()
        .filter_map(|link| resolve(Path::new("docs/SUMMARY.md"), &link.path))
        .collect();
    let listed: BTreeSet<_> = waiting.iter().cloned().collect();
    let mut appendix = String::new();
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        // A link to a folder has nothing to show in a book.
        if !root().join(&file).is_file() || !seen.insert(file.clone()) {
            continue;
        }
        copy(&file, &source.join(&file))?;
        if file.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let text = read(&file)?;
        let targets = links(&text);
        waiting.extend(targets.iter().filter_map(|link| resolve(&file, &link.path)));
        if !listed.contains(&file) {
            let path = file.display();
            let title = title(&text).unwrap_or_else(|| path.to_string());
            appendix += &format!("- [{title}]({path})\n");
        }
    }
    let mut summary = summary.replace("](", "](docs/");
    if !appendix.is_empty() {
        summary += &format!("\n# Of the repository\n\n{appendix}");
    }
    let path = source.join("SUMMARY.md");
    fs::write(&path, summary).with_context(|| path.display().to_string())
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(root().join(file)).with_context(|| file.display().to_string())
}

/// Copies a file, named from the root of the repository, and makes the folders for it.
fn copy(file: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::copy(root().join(file), to).with_context(|| file.display().to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_inside_of_the_book() {
        let text = r#"<a href="a.html#b">x</a> <img src="c.svg"> <a href="https://x.example">"#;
        assert_eq!(targets(text).collect::<Vec<_>>(), ["a.html#b", "c.svg"]);
    }

    /// What is linked to comes along, and is a chapter if it is a page.
    #[test]
    fn the_layout_has_what_is_linked_to() {
        let folder = root().join(format!("target/book-test-{}", std::process::id()));
        let result = lay_out(&folder);
        let summary = fs::read_to_string(folder.join("src/SUMMARY.md"));
        let there: Vec<_> = [
            "book.toml",
            "src/docs/run.md",
            "src/examples/coordinator.yaml",
        ]
        .iter()
        .filter(|path| folder.join(path).is_file())
        .collect();
        let _ = fs::remove_dir_all(&folder);
        result.unwrap();
        assert_eq!(there.len(), 3, "{there:?}");
        let summary = summary.unwrap();
        for line in [
            "- [Quick start](docs/quick-start.md)\n",
            "- [Contributing](CONTRIBUTING.md)\n",
        ] {
            assert!(summary.contains(line), "{line:?} is not in {summary}");
        }
    }
}
