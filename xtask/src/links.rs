//! Links of Markdown files: which there are, and where they lead.

use std::path::{Component, Path, PathBuf};

/// A link to something in this repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Line of the file, from 1.
    pub(crate) line: usize,
    /// The path as it is written, relative to the file; empty for a link inside the page.
    pub(crate) path: String,
    /// What follows `#`.
    pub(crate) anchor: Option<String>,
}

/// The links of a page to files, pages and headings of this repository, pictures included; those
/// to other places are left out.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else {
                break;
            };
            rest = after;
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor.to_owned())),
                None => (target, None),
            };
            found.push(Link {
                line,
                path: path.to_owned(),
                anchor,
            });
        }
    }
    found
}

/// The name by which a heading can be linked to, as GitHub and mdBook make it.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// The names by which the headings of a page can be linked to; the second of the same name has a
/// number.
#[cfg(test)]
fn anchors(text: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let mut anchors = Vec::new();
    for (_, line) in headings(text) {
        let anchor = anchor(&line);
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(match *count {
            0 => anchor,
            n => format!("{anchor}-{n}"),
        });
        *count += 1;
    }
    anchors
}

/// The first heading of a page.
pub(crate) fn title(text: &str) -> Option<String> {
    headings(text).next().map(|(_, heading)| heading)
}

/// Where a path that is written in a file leads to, both relative to the root of the repository.
/// Nothing if it leads out of the repository.
pub(crate) fn resolve(file: &Path, path: &str) -> Option<PathBuf> {
    let mut target = file.parent()?.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => target.push(name),
            Component::ParentDir if target.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(target)
}

/// Headings with their lines.
fn headings(text: &str) -> impl Iterator<Item = (usize, String)> {
    outside_of_fences(text).filter_map(|(line, text)| {
        let heading = text.trim_start_matches('#');
        let level = text.len() - heading.len();
        let heading = heading.strip_prefix(' ')?;
        (1..=6)
            .contains(&level)
            .then(|| (line, heading.trim().to_owned()))
    })
}

/// The lines of a text without code: neither fenced blocks nor code inside a line.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    outside_of_fences(text).map(|(line, text)| {
        let pieces = text.split('`').enumerate();
        let outside = pieces.filter(|(index, _)| index % 2 == 0);
        (line, outside.map(|(_, piece)| piece).collect())
    })
}

fn outside_of_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::root;

    #[test]
    fn links_outside_of_code() {
        let text = "see [a](b.md#c), `[no](x)` and ![p](d.svg)\n```\n[no](y)\n```\n\
                    [out](https://x.example) [here](#top)";
        let found: Vec<_> = links(text)
            .into_iter()
            .map(|link| (link.line, link.path, link.anchor))
            .collect();
        assert_eq!(
            found,
            [
                (1, "b.md".to_owned(), Some("c".to_owned())),
                (1, "d.svg".to_owned(), None),
                (5, String::new(), Some("top".to_owned())),
            ]
        );
    }

    #[test]
    fn anchors_as_they_are_rendered() {
        let text =
            "# A `code` title\n## Why did it fail?\n```\n# no\n```\n## spec.a[]\n## spec.a[]";
        assert_eq!(
            anchors(text),
            ["a-code-title", "why-did-it-fail", "speca", "speca-1"]
        );
        assert_eq!(title(text).as_deref(), Some("A `code` title"));
    }

    #[test]
    fn paths_stay_inside_of_the_repository() {
        let from = |path| resolve(Path::new("docs/a.md"), path);
        assert_eq!(from("b.md"), Some(PathBuf::from("docs/b.md")));
        assert_eq!(from("../x/./y"), Some(PathBuf::from("x/y")));
        assert_eq!(from("../../y"), None);
        assert_eq!(from("/y"), None);
    }

    /// Every Markdown file that users and contributors read.
    fn pages() -> Vec<PathBuf> {
        let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
        let mut folders = vec![PathBuf::from("docs"), PathBuf::from("examples")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "md") {
                    pages.push(path);
                }
            }
        }
        pages
    }

    #[test]
    fn every_link_leads_somewhere() {
        let mut wrong = Vec::new();
        for page in pages() {
            let text = fs::read_to_string(root().join(&page)).unwrap();
            for link in links(&text) {
                let place = format!("{}:{}", page.display(), link.line);
                let target = match link.path.as_str() {
                    "" => Some(page.clone()),
                    path => resolve(&page, path),
                };
                let Some(target) = target.map(|t| root().join(t)).filter(|t| t.exists()) else {
                    wrong.push(format!("{place}: there is no {}", link.path));
                    continue;
                };
                if let Some(anchor) = link.anchor {
                    let text = fs::read_to_string(&target).unwrap_or_default();
                    if !anchors(&text).contains(&anchor) {
                        wrong.push(format!("{place}: {} has no #{anchor}", target.display()));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// What nobody links to is not found: each page is a chapter, each manifest is shown in one.
    #[test]
    fn every_file_of_the_guide_is_linked() {
        let mut linked: Vec<PathBuf> = Vec::new();
        for page in pages().iter().filter(|page| page.starts_with("docs")) {
            let text = fs::read_to_string(root().join(page)).unwrap();
            let from_here = links(&text);
            // A chapter is one by the table of contents alone.
            let counts = |target: &PathBuf| {
                target.extension().is_none_or(|e| e != "md") || page.ends_with("SUMMARY.md")
            };
            let targets = from_here
                .iter()
                .filter_map(|link| resolve(page, &link.path));
            linked.extend(targets.filter(counts));
        }
        let mut folders = vec![PathBuf::from("docs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).unwrap() {
                let path = folder.join(entry.unwrap().file_name());
                if root().join(&path).is_dir() {
                    folders.push(path);
                } else if !path.ends_with("SUMMARY.md") && !path.ends_with("book.toml") {
                    assert!(linked.contains(&path), "{} is not linked", path.display());
                }
            }
        }
    }
}
